"""Stand-in of slicer.i18n: texts stay English."""


def translate(context: str, text: str) -> str:
    """The text in the language of the application: here as it is."""
    del context
    return text


def tr(text: str) -> str:
    """The text in the language of the application, for `from slicer.i18n import tr as _`."""
    return translate("", text)

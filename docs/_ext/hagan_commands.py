"""The reference of the command line, written from the parsers that the commands themselves use.

``{hagan-commands}`` in a page becomes one section for each command and each of its actions.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from docutils import nodes
from sphinx.util.docutils import SphinxDirective

from HAGANCore.cli.parser import build_parser

if TYPE_CHECKING:
    from sphinx.application import Sphinx

_COMMON = {"-h", "--help", "--json", "--debug"}
"""Options of every command: the page describes them once."""


class HaganCommands(SphinxDirective):
    """Sections for all commands, in the order of ``hagan --help``."""

    has_content = False

    def run(self) -> list[nodes.Node]:
        self.env.note_reread()  # the parsers may have changed where the page has not
        text = "\n\n".join(_section(parser, level) for parser, level in _parsers(build_parser(), 2))
        return self.parse_text_to_nodes(text, allow_section_headings=True)


def _parsers(parser: argparse.ArgumentParser, level: int) -> Iterator[tuple[argparse.ArgumentParser, int]]:
    for part in _subparsers(parser):
        for child in part.choices.values():
            yield child, level
            yield from _parsers(child, level + 1)


def _subparsers(parser: argparse.ArgumentParser) -> list[Any]:
    return [part for part in parser._actions if isinstance(part, argparse._SubParsersAction)]


def _section(parser: argparse.ArgumentParser, level: int) -> str:
    """Return one command as Markdown: what it does, its usage, its options, its examples."""
    label = parser.prog.replace(" ", "-")
    parts = [f"({label})=\n{'#' * level} {parser.prog}", _sentence(parser.description)]
    if not _subparsers(parser):
        parts.append(_verbatim(_usage(parser)))
        parts += [_group(group) for group in parser._action_groups]
    if parser.epilog:
        parts.append(_verbatim(parser.epilog))
    return "\n\n".join(part for part in parts if part)


def _usage(parser: argparse.ArgumentParser) -> str:
    # Wrapped here, not as wide as the terminal that happens to build the pages.
    formatter = argparse.HelpFormatter(parser.prog, width=88)
    formatter.add_usage(parser.usage, parser._actions, parser._mutually_exclusive_groups)
    return formatter.format_help()


def _group(group: argparse._ArgumentGroup) -> str:
    entries = [_entry(action) for action in group._group_actions if not _COMMON & {*action.option_strings}]
    return "\n\n".join(entry for entry in entries if entry)


def _entry(action: argparse.Action) -> str:
    """Return one option as an entry of a definition list."""
    if action.help == argparse.SUPPRESS:
        return ""
    formatter = argparse.HelpFormatter(prog="")
    name = formatter._format_action_invocation(action)
    text = formatter._expand_help(action) if action.help else ""
    return f"`{name}`\n: {_sentence(text) or 'As above.'}"


def _sentence(text: str | None) -> str:
    """Return text as a sentence in Markdown; what has a meaning in Markdown is escaped."""
    text = re.sub(r"([\\`*_<>\[\]{}#|$])", r"\\\1", " ".join((text or "").split()))
    text = re.sub(r"'(hagan [a-z ]+)'", r"`\1`", text)
    if text.split(" ")[0].isalpha():
        text = text[:1].upper() + text[1:]
    return text if not text or text.endswith((".", "…")) else f"{text}."


def _verbatim(text: str) -> str:
    return f"```text\n{text.strip()}\n```"


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the directive."""
    app.add_directive("hagan-commands", HaganCommands)
    return {"parallel_read_safe": True, "parallel_write_safe": True}

"""The exceptions a caller meets: something to put right, memory that ran out, a stop that was asked for."""

from __future__ import annotations


class HaganError(Exception):
    """A problem the user can act on.

    The message is one line for a person: what happened, the value found, what to do next.
    The command line prints it without a traceback, the GUI shows it in a message box.
    """


class OutOfMemory(HaganError):
    """Memory ran out, on a GPU or in the machine, and there is no smaller way left to do the work."""


class Cancelled(HaganError):
    """The work was stopped because the user asked for it. Nothing half-written is left."""

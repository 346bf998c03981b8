"""What ends a run: a wrong input, or the user."""


class InputError(ValueError):
    """The input or the call is wrong; the message is one sentence: what, where, what to do."""


class Cancelled(Exception):
    """The user asked to stop; nothing was written."""

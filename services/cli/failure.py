"""What ends a command with a message for the person instead of a traceback."""


class Failure(Exception):
    """Something that the person can act on. The text says what happened and what to do."""

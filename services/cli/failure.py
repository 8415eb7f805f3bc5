"""What ends a command with a message for the person instead of a traceback."""


class Failure(Exception):  # noqa: N818  reads as what it is where it is raised
    """Something that the person can act on. The text says what happened and what to do."""

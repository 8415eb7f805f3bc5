"""Prints text that others wrote: a team's labels and the names of clients are words, never markup."""

from rich.console import Console


def plain_console(*, to_stderr: bool = False, file_columns: int | None = None) -> Console:
    """Make a console that changes nothing of what it prints. `file_columns` is its width in a file."""
    console = _made(to_stderr=to_stderr, columns=None)
    if file_columns is None or console.is_terminal:
        return console
    return _made(to_stderr=to_stderr, columns=file_columns)


def _made(*, to_stderr: bool, columns: int | None) -> Console:
    return Console(stderr=to_stderr, width=columns, markup=False, emoji=False, highlight=False)

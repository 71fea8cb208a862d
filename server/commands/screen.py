"""A console of rich whose closed pipe is told like any other."""

from typing import NoReturn

from rich.console import Console


class Screen(Console):
    """Where commands draw."""

    def on_broken_pipe(self) -> NoReturn:
        """Rich would end the process here; the command line ends it, silently, and with a code that says why."""
        raise BrokenPipeError

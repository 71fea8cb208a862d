"""A console of rich that reports a closed pipe to the command line, as other code does."""

from typing import NoReturn

from rich.console import Console


class Screen(Console):
    """The console on which commands draw."""

    def on_broken_pipe(self) -> NoReturn:
        """Raise the error, so that the command line ends quietly with its own exit code. Rich would exit here."""
        raise BrokenPipeError

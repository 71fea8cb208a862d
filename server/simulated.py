"""`--simulate`: the same server, with the simulator in Novita's place for as long as it runs."""

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import replace

from . import later
from .settings import Settings


@contextmanager
def novita_for(settings: Settings, *, simulate: bool) -> Generator[Settings]:
    """The settings to run with: as they are, or moved to a simulator that ends with the block.

    What is played leaves no trace in the user's journal, which counts what was spent, and no file in the user's
    downloads, unless a flag names them.
    """
    if not simulate:
        yield settings
        return
    with later.simulator.serve() as running, later.served_here(running.url):
        yield replace(
            settings,
            api_key=later.simulator.DEFAULT_KEY,
            base_url=running.url,
            journal=settings.journal or "off",
            output_dir=settings.output_dir or later.played_folder("files"),
        )

"""`--simulate`: runs the same server against a simulator of its own, which ends with it."""

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import replace

from . import later
from .settings import Settings


@contextmanager
def novita_for(settings: Settings, *, simulate: bool) -> Generator[Settings]:
    """The settings to run with: unchanged, or changed to use a simulator that ends with the block.

    Simulated work is not written into the user's journal, which counts real spending, and its files do not go into the
    user's downloads, unless a flag names those places.
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

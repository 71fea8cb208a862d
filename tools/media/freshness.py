"""Gives each call today's catalogue of models. If Novita's news are old, they are read again in the background."""

import logging
from collections.abc import Mapping

from ...novita.core.errors import JournalError
from ...novita.journal.gone import GoneModel
from ...novita.media.catalogue import Catalog, shipped, use_catalog
from ...novita.media.freshness import Freshness, freshness_of, refresh_quietly
from ..kit.context import App, Caller
from ..kit.ways import what_is_gone

logger = logging.getLogger(__name__)

_LOOKED_AT = 600.0
"""Seconds until this process checks again whether another process has read newer news."""


class Fresh:
    """The catalogue that one process holds, with the news it knows."""

    def __init__(self, app: App) -> None:
        self._app = app
        self._found: Freshness | None = None
        self._looked = 0.0
        self._reading = False

    async def catalog(self) -> Catalog:
        """Today's catalogue. If its news are more than a day old, this starts to read them in the background."""
        jobs, now = self._app.jobs, self._app.jobs.clock.now()
        if self._found is None or now - self._looked >= _LOOKED_AT:
            try:
                self._found = await freshness_of(jobs.journal, base=self._app.client.base_url)
            except JournalError as error:
                logger.warning("the news of Novita's models cannot be read: %s", error)
                return self._found.catalog if self._found else shipped()
            self._looked = now
        if self._found.stale(jobs.journal.wall()) and not self._reading:
            self._reading = True
            jobs.background.start_soon(self._read)
        return self._found.catalog

    async def _read(self) -> None:
        try:
            if await refresh_quietly(self._app.jobs.journal, self._app.client):
                self._found = None
        finally:
            self._reading = False


def fresh(app: App) -> Fresh:
    """Makes the holder of the catalogue; use it as `app.part(fresh)`."""
    return Fresh(app)


async def up_to_date(caller: Caller) -> Mapping[str, GoneModel]:
    """Use today's catalogue for this call. Returns, by model, what the journal knows to be gone for this caller."""
    gone = await what_is_gone(caller)
    found = shipped() if caller.app.settings.shipped_models_only else await caller.app.part(fresh).catalog()
    use_catalog(found, gone=[name for name, one in gone.items() if one.passed_over])
    return gone

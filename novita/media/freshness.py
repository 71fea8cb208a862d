"""Today's catalogue: the shipped one, updated by the news that the journal keeps for all processes."""

import logging
from dataclasses import dataclass

from anyio import to_thread

from ..core.client import NovitaClient
from ..core.errors import NovitaError
from ..core.words import counted
from ..journal.journal import Journal
from ..journal.news import A_DAY, claim_news, keep_news, kept_news
from .catalogue import Catalog, shipped
from .news import News, Source, catalog_with, load_news, read_news
from .tariffs import load_cel

logger = logging.getLogger(__name__)

_FIELDS: dict[Source, str] = {"language": "language", "media": "offers", "prices": "offers", "notices": "endings"}


@dataclass(frozen=True)
class Freshness:
    """The catalogue, and the age of its news.

    Args:
        at: When the news were read, in Unix seconds; 0 if there are none, or they cannot be read.
    """

    catalog: Catalog
    news: News
    at: float

    def age(self, now: float) -> str:
        """`2 hours old`, or that there are none."""
        if not self.at:
            return "as shipped, no news"
        hours = max(0, int((now - self.at) // 3_600))
        return f"news {counted(hours // 24, 'day')} old" if hours >= 48 else f"news {counted(hours, 'hour')} old"

    def stale(self, now: float) -> bool:
        """Whether it is time to read again."""
        return not 0 <= now - self.at < A_DAY


async def freshness_of(journal: Journal, *, base: str) -> Freshness:
    """The catalogue for an address of Novita. Nothing is sent; damaged news are ignored.

    Raises:
        JournalError: The journal cannot be used.
    """
    kept = await kept_news(journal, base=base)
    news = load_news(kept.text) if kept is not None else None
    if kept is None or news is None:
        return Freshness(shipped(), News(), 0.0)
    return Freshness(await to_thread.run_sync(_built, news, kept.at), news, kept.at)


def _built(news: News, at: float) -> Catalog:
    found = catalog_with(news, at)
    if any(model.tariff is not None for model in found.models):
        load_cel()
    return found


async def refresh(journal: Journal, client: NovitaClient, *, now: bool = False) -> News | None:
    """Read the news and keep them for all processes; None if another process is doing so or has within a day.

    If a source cannot be read, its earlier news are kept.

    Args:
        now: Read them however fresh the kept ones are, because the user asked for it.

    Raises:
        JournalError: The journal cannot be used.
    """
    base = client.base_url
    if not now and not await claim_news(journal, base=base):
        return None
    before = (await freshness_of(journal, base=base)).news
    news = await read_news(client)
    if len(news.failed) == (4 if client.api_key else 3):
        return news  # no source could be read: the kept news stay, and it is tried again later
    old = {field: getattr(before, field) for source, field in _FIELDS.items() if source in news.failed}
    if "prices" in news.failed and "media" not in news.failed:
        del old["offers"]
    if not client.api_key:
        old["language"] = before.language
    news = news.model_copy(update=old)
    await keep_news(journal, news.model_dump_json(exclude_defaults=True), base=base)
    return news


async def refresh_quietly(journal: Journal, client: NovitaClient) -> bool:
    """The same in the background; returns whether the news have changed."""
    try:
        return await refresh(journal, client) is not None
    except NovitaError as error:
        logger.warning("the news of Novita's models were not kept: %s", error)
    except Exception:  # malformed lists from outside must not end the server, in whose task this runs
        logger.exception("the news of Novita's models could not be read")
    return False

"""`novita-mcp models`: lists the media models with state, evidence, date and price, and says how old these facts are.

It sends nothing, except with `refresh`, which reads Novita's lists. `refresh --probe` also asks the models' routes.
"""

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import anyio
import httpx

from ...novita.core.client import NovitaClient, new_http, owner_of
from ...novita.core.errors import InputError, NovitaError
from ...novita.core.words import counted
from ...novita.journal.gone import GoneModel, gone_models, note_gone, note_living
from ...novita.journal.journal import Journal
from ...novita.journal.news import claim_news, keep_news
from ...novita.media.catalogue import Catalog, shipped, use_catalog
from ...novita.media.freshness import freshness_of, refresh
from ...novita.media.lookup import MediaModel
from ...novita.media.news import WHERE, News
from ...novita.media.price_rows import price_line
from ...novita.media.probing import probe
from ...novita.text.kept_list import listed_models_if_there
from ...tools.kit.ways import is_novita
from ..building import open_journal
from ..config.places import journal_file
from ..settings import Settings
from .layout import columns, table, wrapped

_COLUMNS = ("model", "state", "since", "sure", "evidence", "price")


@dataclass(frozen=True)
class KnownModels:
    """What this machine knows about media models."""

    catalog: Catalog
    gone: Mapping[str, GoneModel]
    age: str


def run_models(settings: Settings, words: str, *, everything: bool, as_json: bool, probing: bool = False) -> int:
    """Print the models, those with the best evidence first. Returns the exit code: 1 if the journal or Novita's lists
    cannot be read.

    Args:
        words: Show only models that have all these words in id, title or capabilities. If the first word is `refresh`,
            read Novita's lists first.
        everything: Show retired models too.
        probing: With `refresh`, ask the models' routes too.
    """
    first, _, rest = words.partition(" ")
    reading = first == "refresh"
    try:
        if probing and not reading:
            raise InputError("--probe goes with refresh", next_step="novita-mcp models refresh --probe")
        known = anyio.run(_known, settings, reading, probing)
    except NovitaError as error:
        sys.stderr.write(f"novita-mcp: {error}\n")
        return 1
    wanted = (rest if reading else words).casefold().split()
    found = [
        model
        for model in sorted(known.catalog.models, key=lambda model: model.doubt)
        if (everything or model.state != "retired")
        and all(word in f"{model.id} {model.title} {' '.join(model.does)}".casefold() for word in wanted)
    ]
    rows = [_row(model, known) for model in found]
    if as_json:
        sys.stdout.write(json.dumps(rows, indent=2) + "\n")
        return 0
    sys.stdout.write("\n".join(model_lines(rows, columns())) + "\n")
    sys.stdout.write(f"\n{counted(len(rows), 'model')}, {known.age}.\n")
    return 0


def model_lines(rows: Sequence[Mapping[str, Any]], width: int | None) -> list[str]:
    """The lines of a table, or a few lines for each model if the table is too wide."""
    cells = [[*_COLUMNS], *([str(row[name]) for name in _COLUMNS] for row in rows)]
    lines = table(cells, None, names=len(_COLUMNS))
    if width is None or max(map(len, lines)) <= width:
        return lines
    folded: list[str] = []
    for row in rows:
        folded += wrapped(f"{row['model']}  {row['state']} {row['since']}", width, rest="  ")
        folded += wrapped(str(row["price"]), width, first="  ")
        folded += wrapped(f"evidence, {row['sure']}: {row['evidence']}", width, first="  ")
    return folded


def journal_there(settings: Settings) -> Journal:
    """The user's journal if there is one, or else an empty one in memory, because reading must not create a file."""
    place = journal_file(settings)
    return open_journal(settings) if place is None or place.exists() else Journal(None)


async def known_here(settings: Settings, journal: Journal) -> KnownModels:
    """The shipped catalogue, with the news and the models that are gone by the journal. Sends nothing."""
    gone = await gone_models(journal, base=settings.base_url, owner=owner_of(settings.api_key))
    if settings.shipped_models_only:
        return KnownModels(shipped(), gone, "as shipped: NOVITA_MCP_SHIPPED_MODELS_ONLY is set")
    fresh = await freshness_of(journal, base=settings.base_url)
    return KnownModels(fresh.catalog, gone, fresh.age(journal.wall()))


async def _known(settings: Settings, reading: bool, probing: bool) -> KnownModels:
    journal = open_journal(settings) if reading else journal_there(settings)
    try:
        if reading:
            if settings.shipped_models_only:
                raise InputError("NOVITA_MCP_SHIPPED_MODELS_ONLY is set", next_step="Unset it to read Novita's lists.")
            async with new_http(timeouts=httpx.Timeout(30)) as http:
                client = NovitaClient(http, settings.api_key, settings.base_url)
                news = await refresh(journal, client, now=True)
                _tell(news)
                if news is not None and news.language:
                    await listed_models_if_there(client, journal)  # for servers that cannot read the list later
                if probing:
                    use_catalog((await known_here(settings, journal)).catalog)
                    await _probe(journal, client)
        return await known_here(settings, journal)
    finally:
        await journal.close()


def _tell(news: News | None) -> None:
    for source, where in WHERE.items():
        why = news.failed.get(source) if news is not None else None
        if why is not None:
            sys.stderr.write(f"novita-mcp: could not read {where}: {why}\n")


async def _probe(journal: Journal, client: NovitaClient) -> None:
    """Ask the models' routes, at most once a day, and store the results in the journal."""
    base = client.base_url
    if not await is_novita(client):
        raise InputError(
            f"{base} does not answer as Novita does, so its routes prove nothing",
            next_step="Check NOVITA_BASE_URL and the key.",
        )
    if not await claim_news(journal, base=f"probe {base}"):
        sys.stderr.write("novita-mcp: the routes were asked within a day; they are not asked again yet\n")
        return
    counts = dict.fromkeys(("there", "gone", "nothing learnt"), 0)
    async for one in probe(client):
        counts[one.found] += 1
        if one.found == "gone":
            await note_gone(journal, one.model.id, base=base)
        elif one.found == "there":
            await note_living(journal, one.model.id, base=base, owner=owner_of(client.api_key))
        if one.found != "there" or one.said.startswith("it took"):
            sys.stderr.write(f"novita-mcp: {one.model.id}: {one.found}: {one.said}\n")
    await keep_news(journal, "", base=f"probe {base}")
    sys.stderr.write("novita-mcp: routes asked: " + ", ".join(f"{n} {what}" for what, n in counts.items()) + "\n")


def _row(model: MediaModel, known: KnownModels) -> dict[str, Any]:
    gone = known.gone.get(model.id)
    return {
        "model": model.id,
        "state": gone.words if gone else model.state,
        "since": model.life.date,
        "sure": model.life.confidence,
        "evidence": ", ".join(model.life.evidence),
        "price": price_line(model),
        "age": known.age,
    }

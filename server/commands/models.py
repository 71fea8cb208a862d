"""`novita-mcp models`: the media models with state, evidence, its day and price, as shipped. Nothing is sent."""

import json
import sys
from collections.abc import Mapping
from typing import Any

import anyio

from ...novita.core.client import owner_of
from ...novita.core.errors import NovitaError
from ...novita.journal.gone import GoneModel, gone_models
from ...novita.media.lookup import MediaModel, media_models
from ...novita.media.price_rows import price_line
from ..building import journal_file, open_journal
from ..settings import Settings

_COLUMNS = ("model", "state", "since", "sure", "evidence", "price")


def run_models(settings: Settings, words: str, *, everything: bool, as_json: bool) -> int:
    """Show them on stdout, the best evidence of life first; 1 if the journal cannot be read.

    Args:
        words: All of them must stand in id, title or capabilities.
        everything: Those that are retired too.
    """
    try:
        gone = anyio.run(_gone, settings)
    except NovitaError as error:
        sys.stderr.write(f"novita-mcp: {error}\n")
        return 1
    wanted = words.casefold().split()
    found = [
        model
        for model in sorted(media_models(), key=lambda model: model.doubt)
        if (everything or model.state != "retired")
        and all(word in f"{model.id} {model.title} {' '.join(model.does)}".casefold() for word in wanted)
    ]
    rows = [_row(model, gone.get(model.id)) for model in found]
    if as_json:
        sys.stdout.write(json.dumps(rows, indent=2) + "\n")
        return 0
    widths = [max(len(name), *(len(str(row[name])) for row in rows)) if rows else len(name) for name in _COLUMNS]
    lines = [dict(zip(_COLUMNS, _COLUMNS, strict=True)), *rows]
    for line in lines:
        cells = (str(line[name]).ljust(width) for name, width in zip(_COLUMNS, widths, strict=True))
        sys.stdout.write("  ".join(cells).rstrip() + "\n")
    return 0


async def _gone(settings: Settings) -> Mapping[str, GoneModel]:
    """What this machine's journal knows to be gone for the key in the settings."""
    journal, place = open_journal(settings), journal_file(settings)
    if place is not None and not place.exists():  # looking must not make one
        return {}
    try:
        return await gone_models(journal, base=settings.base_url, owner=owner_of(settings.api_key))
    finally:
        await journal.close()


def _row(model: MediaModel, gone: GoneModel | None) -> dict[str, Any]:
    return {
        "model": model.id,
        "state": gone.words if gone else model.state,
        "since": model.life.date,
        "sure": model.life.confidence,
        "evidence": ", ".join(model.life.evidence),
        "price": price_line(model),
    }

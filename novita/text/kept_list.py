"""The list of language models, also where Novita cannot give it now: as it was when it was read last.

What a caller's key sees is kept in the journal, once in a day, for that caller alone: another key may see others.
"""

import logging
from dataclasses import replace
from datetime import UTC, datetime
from functools import cache
from weakref import WeakKeyDictionary

from pydantic import TypeAdapter, ValidationError

from ..core.client import NovitaClient
from ..core.errors import JournalError, NovitaConnectionError, NovitaError, NovitaServerError, RateLimitError
from ..journal.journal import Journal
from ..journal.news import A_DAY, keep_news, kept_news
from .language_models import LlmModel, llm_models

logger = logging.getLogger(__name__)

_MOST, _LONGEST_TEXT = 2_000, 300


_keeping: "WeakKeyDictionary[Journal, dict[str, float]]" = WeakKeyDictionary()
"""When this process last saw that a list was kept."""


async def listed_models(client: NovitaClient, journal: Journal) -> tuple[LlmModel, ...]:
    """The language models on offer as the list is, else as it was read last; those say then how old they are.

    Raises:
        NovitaError: The list cannot be read, and was not read before.
    """
    try:
        models = await llm_models(client)
    except (NovitaConnectionError, NovitaServerError, RateLimitError):
        before = await _kept(client, journal)
        if not before:
            raise
        return before
    await _keep(client, journal, models)
    return models


async def listed_models_if_there(client: NovitaClient, journal: Journal) -> tuple[LlmModel, ...]:
    """The same list, or an empty one: a call need not fail because there is no price list.

    Raises:
        NovitaError: A fault the call itself would meet too (no key, a wrong key).
    """
    try:
        return await listed_models(client.for_looking(), journal)
    except (NovitaConnectionError, NovitaServerError, RateLimitError):
        return ()


@cache
def _rows() -> TypeAdapter[tuple[LlmModel, ...]]:
    return TypeAdapter(tuple[LlmModel, ...])


def _place(client: NovitaClient) -> str:
    return f"{client.base_url} language {client.owner}"


async def _kept(client: NovitaClient, journal: Journal) -> tuple[LlmModel, ...]:
    try:
        found = await kept_news(journal, base=_place(client))
        if found is None:
            return ()
        day = f"{datetime.fromtimestamp(found.at, UTC):%Y-%m-%d %H:%M} UTC"
        return tuple(replace(model, seen=day) for model in _rows().validate_json(found.text))
    except JournalError as error:
        logger.warning("the language models that were listed before cannot be read: %s", error)
    except ValidationError:
        logger.warning("the language models that were listed before are damaged, and left aside")
    return ()


async def _keep(client: NovitaClient, journal: Journal, models: tuple[LlmModel, ...]) -> None:
    """Keep a list that was read, once a day."""
    known = _keeping.setdefault(journal, {})
    place, now = _place(client), journal.wall()
    if 0 <= now - known.get(place, -A_DAY) < A_DAY:
        return
    try:
        before = await kept_news(journal, base=place)
        if before is None or not 0 <= now - before.at < A_DAY:
            short = tuple(replace(model, description=model.description[:_LONGEST_TEXT]) for model in models[:_MOST])
            await keep_news(journal, _rows().dump_json(short).decode(), base=place)
    except NovitaError as error:
        logger.warning("the list of language models was not kept: %s", error)
        return
    known[place] = now

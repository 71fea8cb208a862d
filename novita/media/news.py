"""Reads what Novita says about its models today, from four sources, and makes the catalogue that follows from it.

Only the list of language models is documented. No document promises the other three, and the code marks them so: the
list of media models, their prices, and the notices in the text of the documentation. A source can only add a model,
say that one is alive or ends, and give its price. What cannot be read is ignored, and the shipped tables stay.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from datetime import UTC, date, datetime
from typing import Literal

import anyio
from anyio import to_thread
from pydantic import BaseModel, ConfigDict, ValidationError

from ..core.answers import an_object, objects
from ..core.client import NovitaClient
from ..core.errors import NovitaError
from .catalog_entry import Life, MediaModel
from .catalogue import Catalog, key_of, shipped
from .notices import Ending, endings_of, is_over, read_notices
from .offered import ListedModel, alive_on_the_list, entry_of, fetch_offers, fetch_prices, tariff_of, without_key

Source = Literal["language", "media", "prices", "notices"]
WHERE: Mapping[Source, str] = {
    "language": "the documented list of language models",
    "media": "the list of media models on Novita's site (unconfirmed)",
    "prices": "the prices of Novita's site (unconfirmed)",
    "notices": "the notices in Novita's documentation (unconfirmed)",
}
DOCS_HOST, DOCS_PATH = "https://novita.ai", "/docs/llms-full.txt"
LANGUAGE_PATH = "/openai/v1/models"
_LARGEST_TEXT = 12 * 2**20
_MOST_LANGUAGE_MODELS, _LONGEST_ID = 2_000, 120
_PATIENCE = 60.0
"""Seconds that the answer of one source may take."""


class News(BaseModel):
    """What the sources said. Its size was limited when it was read.

    Args:
        language: Language model -> whether Novita serves it; False means that it is archived.
        failed: Source -> why it could not be read.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    language: dict[str, bool] = {}
    offers: tuple[ListedModel, ...] = ()
    endings: tuple[Ending, ...] = ()
    failed: dict[Source, str] = {}


async def read_news(client: NovitaClient) -> News:
    """Ask all four sources once. `failed` names those that cannot be read.

    Only the list of language models is asked for with the client's key, at the configured address. Without a key it is
    left out.
    """
    found = News()
    for source, ask in _SOURCES.items():
        if source == "language" and not client.api_key:
            continue
        with anyio.move_on_after(_PATIENCE) as scope:
            try:
                found = await ask(client, found)
            except NovitaError as error:
                found = found.model_copy(update={"failed": {**found.failed, source: error.what[:200]}})
        if scope.cancelled_caught:
            found = found.model_copy(update={"failed": {**found.failed, source: "it took too long"}})
    return found


async def _language(client: NovitaClient, found: News) -> News:
    answer = await client.for_looking().read("GET", LANGUAGE_PATH, doing="listing the language models", group="llm")
    rows = objects(an_object(answer.data).get("data") or answer.data)[:_MOST_LANGUAGE_MODELS]
    named = [(row.get("id"), row.get("status")) for row in rows]
    served = {name: status != 4 for name, status in named if isinstance(name, str) and 0 < len(name) <= _LONGEST_ID}
    return found.model_copy(update={"language": served})


async def _media(client: NovitaClient, found: News) -> News:
    return found.model_copy(update={"offers": await fetch_offers(client)})


async def _prices(client: NovitaClient, found: News) -> News:
    return found.model_copy(update={"offers": await fetch_prices(client, found.offers)}) if found.offers else found


async def _notices(client: NovitaClient, found: News) -> News:
    nobody = replace(client.for_looking(), auth=without_key, largest_answer=_LARGEST_TEXT)
    doing = "reading Novita's notices"
    answer = await nobody.read("GET", DOCS_PATH, host=DOCS_HOST, doing=doing, as_json=False)
    endings = await to_thread.run_sync(read_notices, answer.body.decode("utf-8", "replace"))
    return found.model_copy(update={"endings": endings})


_SOURCES: Mapping[Source, Callable[[NovitaClient, News], Awaitable[News]]] = {
    "language": _language,
    "media": _media,
    "prices": _prices,
    "notices": _notices,
}


def load_news(text: str) -> News | None:
    """Reads news that were kept as text; None if the text is damaged."""
    try:
        return News.model_validate_json(text)
    except ValidationError:
        return None


# The catalogue that follows --------------------------------------------------------------------------------------


def catalog_with(news: News, at: float) -> Catalog:
    """The shipped catalogue, updated with news that were read at this time (in Unix seconds)."""
    seen = datetime.fromtimestamp(at, UTC).date()
    base = shipped()
    ends = endings_of(base.models, news.endings)
    offered = {key_of(offer.name): offer for offer in news.offers}
    by_route = {offer.route: offer for offer in news.offers if offer.route}
    routes = [model.path for model in base.models]
    known: list[MediaModel] = []
    used: set[str] = set()
    for model in base.models:
        names = (model.id, model.operation, *model.aliases)
        offer = next((offered[key] for name in names if (key := key_of(name)) in offered), None)
        if offer is None and routes.count(model.path) == 1:
            offer = by_route.get(model.path)
        if offer is not None:
            used.add(offer.name)
        known.append(_heard(model, offer, ends.get(model.id), seen))
    new = [
        entry
        for offer in news.offers
        if offer.name not in used and (entry := entry_of(offer, f"{seen}")) is not None and entry.path not in routes
    ]
    return Catalog((*known, *new), base.chains)


def _heard(model: MediaModel, offer: ListedModel | None, ending: Ending | None, seen: date) -> MediaModel:
    """A known model, updated with what the sources say about it."""
    life = model.life
    if ending is not None and life.state != "retired":
        life = _ended(life, ending, seen)
    tariff = None
    if offer is not None:
        life = _listed(life, seen)
        tariff = tariff_of(offer, f"{seen}")
    return model.model_copy(update={"life": life, "tariff": tariff})


def _ended(life: Life, ending: Ending, seen: date) -> Life:
    """What a notice means for a model: retired if its day has come, otherwise a note that names the day."""
    if not is_over(ending, seen):
        said = f"A notice says that Novita switches it off on {ending.day}."
        return life.model_copy(update={"note": f"{life.note} {said}".lstrip()})
    return Life(
        state="retired",
        date=ending.day,
        confidence="medium",
        why="a notice in Novita's documentation, matched by its name",
        evidence=(ending.page,),
    )


def _listed(life: Life, seen: date) -> Life:
    """The state of a model on the site's list: live, or unknown if a notice says that it has ended."""
    day = f"{seen}"
    if life.state != "retired":
        return alive_on_the_list(day).model_copy(update={"note": life.note})
    why = "on the list that Novita's site reads, though it is said to have ended"
    said = f"Said to have ended{f' on {life.date}' if life.date else ''}: {life.why}." if life.why else ""
    return alive_on_the_list(day).model_copy(
        update={"state": "unknown", "confidence": "low", "why": why, "note": said, "replacement": life.replacement}
    )

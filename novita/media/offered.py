"""Reads the lists on Novita's own site: routes of media models, their request bodies, and how a charge is calculated.

No document promises these lists (`freshness_sources` of the API facts calls them undocumented), so they are not
trusted. A route is used only if it is a media route, a schema only if it is small, closed and without references, and
an expression only if it is short. Texts from the lists are never shown, and the key is never sent.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from pydantic import BaseModel, ConfigDict

from ..core.answers import a_count, a_list, an_object, objects
from ..core.client import NovitaClient
from ..core.errors import NovitaError
from ..core.json_paths import Json, dig
from ..core.json_text import is_object, load_json
from .catalog_entry import AnswerPart, Argument, Capability, Kind, Life, MediaModel, Tariff
from .tariffs import may_be_evaluated

LIST_HOST = "https://api-server.novita.ai"
LIST_PATH, PRICES_PATH = "/v1/product/multimodal-model/list", "/v1/product/batch-price"
LISTED = "multimodal-list"
"""The name of this list as evidence that a model is alive."""
_LARGEST = 8 * 2**20
_LARGEST_SCHEMA, _DEEPEST, _MOST_PARTS = 200_000, 12, 2_000
_MOST_MODELS, _MOST_SKUS, _AT_ONCE = 1_000, 40, 200
_MOST_UNITS = 10**9
_NAME = re.compile(r"[a-z0-9][a-z0-9.-]{1,80}")
_ROUTE = re.compile(r"/v3/(?:async/)?[a-z0-9][a-z0-9._-]{1,80}")
_CODE = re.compile(r"[A-Za-z0-9_.:-]{1,120}")
_UNIT = re.compile(r"[A-Za-z0-9_ ]{1,24}")
_MAKES: Mapping[str, Kind] = {"image_gen": "image", "video_gen": "video", "audio_gen": "audio"}
_SPELLED: Mapping[str, tuple[str, ...]] = {
    "prompt": ("prompt",),
    "negative_prompt": ("negative_prompt",),
    "text": ("text",),
    "lyrics": ("lyrics",),
    "image": ("image", "image_url", "img_url", "image_file"),
    "images": ("images", "image_urls", "reference_images"),
    "end_image": ("end_image", "image_tail", "last_image", "end_image_url"),
    "video": ("video", "video_url"),
    "audio": ("audio", "audio_url"),
    "duration": ("duration", "duration_seconds"),
    "resolution": ("resolution",),
    "size": ("size",),
    "aspect_ratio": ("aspect_ratio",),
    "seed": ("seed",),
    "sound": ("sound", "generate_audio"),
    "count": ("n", "image_num", "num_images"),
    "format": ("output_format", "response_format"),
    "voice": ("voice", "voice_id"),
    "speed": ("speed",),
    "language": ("language",),
}
"""Common argument -> names of native fields that mean the same."""
_FILES, _FORMS = ("image", "images", "end_image", "video", "audio"), ("url", "data_uri")
_KEPT = frozenset(
    {
        *("type", "properties", "required", "items", "enum", "default", "minimum", "maximum", "minLength", "maxLength"),
        *("minItems", "maxItems", "additionalProperties"),
    }
)
"""Keywords of a listed schema that are kept. Patterns are dropped, because matching a hostile one may never end."""


class _KeptRow(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Sku(_KeptRow):
    """One price of a model.

    Args:
        picked: A CEL expression over the body that is true if this price applies.
        units: The price in units of 0.0001 USD; None if it is not known.
    """

    code: str
    picked: str
    units: int | None = None


class ListedModel(_KeptRow):
    """What can be used of one listed model.

    Args:
        route: Empty if route and body cannot be used. Even then, being listed shows that the model is alive.
        charge: A CEL expression for the charge in units of 0.0001 USD; empty if there is none that can be used.
    """

    name: str
    makes: Kind
    is_task: bool = False
    route: str = ""
    body: Json = {}
    charge: str = ""
    unit: str = ""
    skus: tuple[Sku, ...] = ()


# Reading the lists -----------------------------------------------------------------------------------------------


def _nobody(client: NovitaClient) -> NovitaClient:
    """A client with the same connections, but without a key."""
    return replace(client.for_looking(), auth=without_key, largest_answer=_LARGEST)


def without_key(_: str | None) -> Mapping[str, str]:
    """No headers, because these calls need no key."""
    return {}


async def fetch_offers(client: NovitaClient, name: str | None = None) -> tuple[ListedModel, ...]:
    """All listed models, with the prices that the list gives. With a name, only the model of that name.

    Raises:
        NovitaError: The list cannot be read.
    """
    params = {"returnSchema": "true", **({"fusion_product_names": name} if name else {})}
    doing = "looking which media models Novita lists"
    answer = await _nobody(client).read("GET", LIST_PATH, params=params, host=LIST_HOST, doing=doing)
    rows = objects(dig(answer.data, "configs"))[:_MOST_MODELS]
    found = {offer.name: offer for row in rows if (offer := read_offer(row)) is not None}
    return tuple(found.values())


async def fetch_prices(client: NovitaClient, offers: Iterable[ListedModel]) -> tuple[ListedModel, ...]:
    """The offers with the prices of their SKUs.

    Raises:
        NovitaError: The prices cannot be read.
    """
    offers = tuple(offers)
    codes = list(dict.fromkeys(sku.code for offer in offers for sku in offer.skus))
    units: dict[str, int] = {}
    for first in range(0, len(codes), _AT_ONCE):
        body = {"businessType": "model_api", "productIds": codes[first : first + _AT_ONCE]}
        doing = "reading the prices of media models"
        answer = await _nobody(client).read("POST", PRICES_PATH, body=body, host=LIST_HOST, doing=doing)
        for row in objects(dig(answer.data, "products")):
            told = a_count(row.get("discountPrice0")) or a_count(row.get("basePrice0"))
            if told is not None and 0 < told <= _MOST_UNITS:
                units[str(row.get("productId"))] = told
    return tuple(
        offer.model_copy(update={"skus": tuple(sku.model_copy(update={"units": units.get(sku.code)}) for sku in skus)})
        if (skus := offer.skus)
        else offer
        for offer in offers
    )


async def offered_model(client: NovitaClient, name: str) -> MediaModel | None:
    """The model of that name; None if Novita's site does not list it, or its route or schema cannot be used."""
    wanted = name.strip().casefold()
    if not _NAME.fullmatch(wanted):
        return None
    try:
        offers = await fetch_offers(client, wanted)
    except NovitaError:
        return None  # the site may close this list at any time; then only our tables count
    found = tuple(offer for offer in offers if offer.name == wanted)
    with suppress(NovitaError):  # without a price, the ceiling for its kind of media is counted
        found = await fetch_prices(client, found)
    day = f"{datetime.fromtimestamp(client.clock.wall(), UTC):%Y-%m-%d}"
    return entry_of(found[0], day) if found else None


def read_offer(row: Json) -> ListedModel | None:
    """One row of the list; None if it describes no media model."""
    config, name = dig(row, "modelConfig.config"), dig(row, "fusionConfig.name")
    makes = _MAKES.get(str(dig(config, "category")))
    if makes is None or not isinstance(name, str) or not _NAME.fullmatch(name.casefold()):
        return None
    route, body = _route_of(dig(config, "openapiSchema"))
    charge, unit = dig(config, "billingExpr"), _unit_of(dig(config, "priceConfig"))
    skus = tuple(_skus(dig(row, "modelConfig.skuMappings")))
    usable = isinstance(charge, str) and may_be_evaluated(charge) and bool(skus)
    return ListedModel(
        name=name.casefold(),
        makes=makes,
        is_task=dig(config, "async") is True,
        route=route,
        body=body,
        charge=str(charge) if usable else "",
        unit=unit,
        skus=skus if usable else (),
    )


def _skus(rows: Any) -> Iterator[Sku]:
    """The prices of a model. If one of them cannot be used, there are none, because that one may be the highest."""
    found: list[Sku] = []
    for row in objects(rows):
        code, picked = row.get("skuCode"), row.get("celExpr")
        if not isinstance(code, str) or not _CODE.fullmatch(code):
            return
        if not isinstance(picked, str) or not may_be_evaluated(picked or "true"):
            return
        found.append(Sku(code=code, picked=picked or "true"))
    yield from found if len(found) <= _MOST_SKUS else ()


def _unit_of(text: Any) -> str:
    try:
        unit: object = dig(load_json(text), "table.priceUnit") if isinstance(text, str) and len(text) < 20_000 else ""
    except ValueError:
        return ""
    return unit if isinstance(unit, str) and _UNIT.fullmatch(unit) else ""


def _route_of(text: Any) -> tuple[str, Json]:
    """Route and request schema from an OpenAPI document; both are empty if they cannot be used."""
    if not isinstance(text, str) or len(text) > _LARGEST_SCHEMA:
        return "", {}
    try:
        document: Any = load_json(text)
    except ValueError:
        return "", {}
    paths: Any = dig(document, "paths")
    for route, item in an_object(paths).items():
        contents = an_object(dig(item, "post.requestBody.content"))
        schema = dig(contents.get("application/json"), "schema")
        if _ROUTE.fullmatch(route) and is_object(schema) and _is_small(schema):
            return route, _lean(schema)
    return "", {}


def _is_small(schema: object) -> bool:
    """Whether a schema is small enough and has no references."""
    parts = list(_parts(schema, 0))
    if len(parts) > _MOST_PARTS or any(depth > _DEEPEST for _, depth in parts):
        return False
    return not any(isinstance(part, dict) and "$ref" in part for part, _ in parts)


def _parts(node: object, depth: int) -> Iterator[tuple[object, int]]:
    yield node, depth
    if depth > _DEEPEST:
        return
    for one in node.values() if is_object(node) else a_list(node):
        yield from _parts(one, depth + 1)


def _lean(schema: Json) -> Json:
    """A schema without its texts, which allows no further fields."""
    kept: Json = {key: value for key, value in schema.items() if key in _KEPT}
    if is_object(parts := schema.get("properties")):
        kept["properties"] = {name: _lean(part) for name, part in parts.items() if is_object(part)}
        kept["additionalProperties"] = False
        kept["required"] = [name for name in a_list(kept.get("required")) if name in kept["properties"]]
    if is_object(items := schema.get("items")):
        kept["items"] = _lean(items)
    return kept


# Entries of the catalogue ----------------------------------------------------------------------------------------


def tariff_of(offer: ListedModel, day: str) -> Tariff | None:
    """How the charge is calculated from a body; None if a price is missing."""
    priced = tuple((sku.picked, sku.units) for sku in offer.skus if sku.units is not None)
    if not offer.charge or not priced or len(priced) < len(offer.skus):
        return None
    return Tariff(charge=offer.charge, skus=priced, unit=offer.unit, seen=day)


def entry_of(offer: ListedModel, day: str) -> MediaModel | None:
    """A catalogue entry for a model that our tables do not know; None if its route or body cannot be used."""
    fields: Json = offer.body.get("properties", {})
    if not offer.route or not fields:
        return None
    arguments: dict[str, Argument] = {}
    for common, names in _SPELLED.items():
        native = next((one for one in names if one in fields), None)
        if native is None:
            continue
        part: Json = fields[native]
        if common == "images" or (common in _FILES and part.get("type") == "array"):
            how: Json = {"to": f"{native}[]", "as": "list", "send": _FORMS}
        elif common in _FILES:
            how = {"to": native, "as": "media", "send": _FORMS}
        else:
            how = {"to": native, "as": "size" if common == "size" else "value"}
        arguments[common] = Argument.model_validate(how)
    if "size" not in arguments and {"width", "height"} <= fields.keys():
        arguments["size"] = Argument.model_validate({"to": ("width", "height"), "as": "width_height"})
    return MediaModel(
        id=offer.name,
        operation=offer.name,
        title=offer.name,
        summary="On the list of Novita's site; its entry was made from that.",
        makes=offer.makes,
        does=tuple(_does(offer.makes, arguments)),
        path=offer.route,
        mode="async" if offer.is_task else "sync",
        input=offer.body,
        arguments=arguments,
        answer=(AnswerPart(form="task") if offer.is_task else AnswerPart(form="url", at="images[]", kind=offer.makes),),
        tariff=tariff_of(offer, day),
        life=alive_on_the_list(day),
        source=f"{LIST_HOST}{LIST_PATH}",
        checked=day,
    )


def _does(makes: Kind, arguments: Mapping[str, Argument]) -> Iterator[Capability]:
    """The capabilities of a model, judged by its arguments. For sound they may not tell, and there is none."""
    pictured = "image" in arguments or "images" in arguments
    if makes == "image":
        yield Capability.EDIT_IMAGE if pictured else Capability.TEXT_TO_IMAGE
    elif makes == "video":
        if "video" in arguments:
            yield Capability.EDIT_VIDEO
        elif "image" in arguments:
            yield Capability.IMAGE_TO_VIDEO
            if "end_image" in arguments:
                yield Capability.FIRST_LAST_FRAME
        else:
            yield Capability.REFERENCE_TO_VIDEO if pictured else Capability.TEXT_TO_VIDEO
    elif "text" in arguments:
        yield Capability.TEXT_TO_SPEECH
    elif "lyrics" in arguments:
        yield Capability.MUSIC


def alive_on_the_list(day: str) -> Life:
    """The state of a model that is listed on this day."""
    return Life(
        state="live",
        date=day,
        confidence="medium",
        why="on the list that Novita's site reads, which no document promises",
        evidence=(LISTED,),
    )

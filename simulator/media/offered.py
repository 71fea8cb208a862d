"""The list of media models, their prices, and the notices, as Novita's own web pages read them.

No documentation promises these three routes. Their fields come from `freshness_sources` in the facts. At Novita they
are on other hosts than the API and need no key, so a key that is sent counts in `World.leaked_keys`. (The documented
list of language models, with `status`, is in text/vectors.py.)

    GET  /v1/product/multimodal-model/list[?returnSchema=true][&fusion_product_names=NAME]
    POST /v1/product/batch-price {"businessType": "model_api", "productIds": [SKU...]}
    GET  /docs/llms-full.txt, /llms-full.txt

The list has the documented models that the facts call live, and the prices that Novita itself has published. The facts
do not show the text around the table of a notice, `rank`, `labels`, `pricePrecision`, and all but two SKUs, so these
are invented.

`world.area(Offer).add(...)` or `POST /_simulator/models` adds a new model with a route of its own.
`world.switched_off` removes one.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Literal, cast
from urllib.parse import parse_qs

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from ..core.answers import answer
from ..core.calls import Call, Handler, Service
from ..core.facts import Json, Operation, operations, request_schema
from ..core.lifecycle import KnownModel, Notice, known_models, notices
from ..core.prices import price_rows
from ..core.world import World
from . import pixels
from .film import Film, make_film
from .images import accepted, many, seed_of
from .tasks import TaskOutput, TaskStore

Category = Literal["image_gen", "video_gen", "audio_gen"]
CATEGORY: dict[str, Category] = {"image": "image_gen", "video": "video_gen", "audio": "audio_gen", "voice": "audio_gen"}
NOVITAS = ("documented", "third_party")
"""The sources of Novita's own prices. Novita does not list a price that only the maker of a model names."""
IN_A_DOLLAR = 10_000
"""List prices are given as text, in whole units of 0.0001 USD."""


@dataclass(frozen=True)
class OfferedPrice:
    """One SKU: a CEL expression over the request's body that selects it, and its price in 0.0001 USD."""

    sku: str
    picked: str
    amount: int


@dataclass(frozen=True)
class AddedModel:
    """A model that a test added while the simulator runs. `schema` describes its body, and `usd` is for one `unit`."""

    name: str
    category: Category = "image_gen"
    schema: Json = field(default_factory=lambda: {"type": "object", "properties": {"prompt": {"type": "string"}}})
    usd: str = "0.02"
    unit: Literal["image", "second"] = "image"

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[a-z0-9.-]+", self.name) or self.category not in ("image_gen", "video_gen"):
            raise ValueError("name is lower-case letters, digits, dots and hyphens; category image_gen or video_gen")
        if self.unit not in ("image", "second"):
            raise ValueError("unit is image or second")

    @property
    def operation(self) -> Operation:
        facts: Json = {
            "parameters": [],
            "request": {"application/json": self.schema},
            "request_required": True,
            "responses": {},
            "task": "async",
        }
        return Operation(self.name, "POST", f"/v3/async/{self.name}", "added", "media", False, (), facts)


class Offer:
    """The models that are listed besides those of the facts: `world.area(Offer)`."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.added: dict[str, AddedModel] = {}
        self.notices: list[Notice] = []

    def add(self, name: str, **how: Any) -> AddedModel:
        """Offer a model from now on. The arguments are those of AddedModel. ValueError or TypeError for wrong ones."""
        self.added[name] = AddedModel(name, **how)
        return self.added[name]

    def known(self) -> Iterator[tuple[KnownModel, Operation]]:
        """The models of the facts that are on the list."""
        for operation, model in known_models().items():
            if model.state == "live" and operations()[operation].area != "newer" and self._world.offers(operation):
                yield model, operations()[operation]


# The list


async def list_models(world: World, request: Request, _: bytes) -> Response:
    _count_key(world, request)
    asked = parse_qs(request.url.query)
    names, schemas = asked.get("fusion_product_names"), asked.get("returnSchema") == ["true"]
    offer = world.area(Offer)
    rows = [
        _config(model.id, model.title, CATEGORY[model.makes], each, _prices(model.id, each))
        for model, each in offer.known()
    ]
    rows += [
        _config(model.name, model.name, model.category, model.operation, _added_prices(model))
        for model in offer.added.values()
        if world.offers(model.name)
    ]
    if names is not None:
        rows = [row for row in rows if row["fusionConfig"]["name"] in names]
    for row in rows if not schemas else ():
        del row["modelConfig"]["config"]["openapiSchema"]
    return answer({"configs": rows, "total": len(rows)})


def _config(
    name: str, title: str, category: Category, operation: Operation, priced: tuple[str, list[OfferedPrice]]
) -> Json:
    unit, prices = priced
    return {
        "fusionConfig": {
            "name": name,
            "displayName": title,
            "series": name.split("-")[0],
            "description": title,
            "labels": [],
            "rank": 0,
            "platformReleaseAt": "",
        },
        "modelConfig": {
            "config": {
                "name": name,
                "category": category,
                "async": operation.is_task,
                "openapiSchema": json.dumps(_document(title, operation)),
                "billingExpr": _billing(unit, operation),
                "priceConfig": json.dumps({"table": {"priceUnit": unit}}),
            },
            "skuMappings": [{"skuCode": price.sku, "celExpr": price.picked} for price in prices],
        },
    }


def _document(title: str, operation: Operation) -> Json:
    """The route and its body as an OpenAPI 3 document."""
    kinds = {kind: {"schema": _body(operation, kind)} for kind in operation.request or {}}
    post = {"requestBody": {"required": True, "content": kinds}, "responses": {"200": {"description": "OK"}}}
    return {
        "openapi": "3.0.0",
        "info": {"title": title, "version": "1.0.0"},
        "paths": {operation.path: {operation.method.lower(): post}},
    }


def _body(operation: Operation, kind: str) -> Json:
    return operation.facts["request"][kind] if operation.area == "added" else request_schema(operation, kind)


def _billing(unit: str, operation: Operation) -> str:
    """A CEL expression for the cost of a body. In it `sku` is the price and `characters` the length of the text.

    It is empty if the body says in another field how much is made, as nobody knows what Novita writes then.
    """
    bodies: list[Json] = [_body(operation, kind) for kind in operation.request or {}]
    fields: Json = bodies[0].get("properties", {}) if bodies else {}
    match unit:
        case "1M_characters":
            return "(sku * characters + 500000) / 1000000"
        case "second":
            return "sku * int(body.duration)" if "duration" in fields else ""
        case "image" if "n" in fields:
            return "sku * int(body.n)"
        case "image" | "video" | "voice" | "song":
            nested = any(part.get("type") == "object" for part in fields.values())
            counted = [name for name in fields if re.search(r"num|count|max_images|sequential|batch", name)]
            return "" if nested or counted else "sku"
        case _:
            return ""


# Prices


def _prices(name: str, operation: Operation) -> tuple[str, list[OfferedPrice]]:
    """The unit, and a SKU for each of Novita's own prices."""
    rows = [row for row in price_rows(operation.id) if row["basis"] in NOVITAS and not row.get("extra")]
    rows = [row for row in rows if "times" not in row and "over" not in row]
    if not rows:
        return "", []
    return rows[0]["per"], [
        OfferedPrice(_sku(name, row.get("when", {})), _picked(row.get("when", {})), _amount(row["usd"])) for row in rows
    ]


def _added_prices(model: AddedModel) -> tuple[str, list[OfferedPrice]]:
    return model.unit, [OfferedPrice(_sku(model.name, {}), "true", _amount(model.usd))]


def _amount(usd: str) -> int:
    return int(Decimal(usd) * IN_A_DOLLAR)


def _sku(name: str, when: Json) -> str:
    """The SKU, formed like the known ones: KLING_V30_4K_T2V_A (_NA without sound) and MINIMAX_SPEECH_2_8_HD."""
    parts = [re.sub(r"[-.]", "_", re.sub(r"v(\d)\.(\d)", r"v\1\2", name)).upper()]
    for path, values in when.items():
        parts.append(("A" if values == [True] else "NA") if path == "sound" else str(values[0]).upper())
    return "_".join(parts)


def _picked(when: Json) -> str:
    """A CEL expression over the body that is true if this price applies."""
    tests = [
        ("" if values == [True] else "!") + f"body.{path}"
        if values in ([True], [False])
        else " || ".join(f"body.{path} == {json.dumps(value)}" for value in values)
        for path, values in when.items()
    ]
    return " && ".join(f"({test})" if " || " in test else test for test in tests) or "true"


async def batch_price(world: World, request: Request, body: bytes) -> Response:
    """Prices by SKU, also of models that are switched off."""
    _count_key(world, request)
    try:
        sent: Json = json.loads(body)
        wanted = [str(each) for each in cast("list[Any]", sent["productIds"])]
    except (ValueError, KeyError, TypeError):
        return answer({"code": 400, "reason": "INVALID_REQUEST_BODY", "message": "productIds", "metadata": {}}, 400)
    known: dict[str, tuple[str, OfferedPrice]] = {}
    for operation, model in known_models().items():
        unit, prices = _prices(model.id, operations()[operation])
        known |= {price.sku: (unit, price) for price in prices}
    for model in world.area(Offer).added.values():
        unit, prices = _added_prices(model)
        known |= {price.sku: (unit, price) for price in prices}
    return answer({"products": [_product(sku, *known[sku]) for sku in wanted if sku in known]})


def _product(sku: str, unit: str, price: OfferedPrice) -> Json:
    return {
        "productId": sku,
        "productCategory": "model_api",
        "basePrice0": str(price.amount),
        "discountPrice0": str(price.amount),
        "pricePrecision": IN_A_DOLLAR,
        "priceUnit": unit,
        "displayPriceUnit": unit,
        "billingMethod": "",
    }


# Notices


async def full_text(world: World, request: Request, _: bytes) -> Response:
    """The documentation as one text. Here it has only the notices, the newest first."""
    _count_key(world, request)
    told = sorted((*notices(), *world.area(Offer).notices), key=lambda notice: notice.dated, reverse=True)
    return PlainTextResponse("\n".join(map(_told, told)))


def _told(notice: Notice) -> str:
    day = notice.page.rsplit("/", 1)[-1].removesuffix(".md")
    rows = "".join(f"| {name} | {replacement or '-'} |\n" for name, replacement in notice.rows)
    return (
        f"# Changelog {day}\nSource: {notice.page}\n\nThese models are discontinued on {notice.retires}.\n\n"
        f"| Model | Replacement |\n| --- | --- |\n{rows}"
    )


def _count_key(world: World, request: Request) -> None:
    if "authorization" in request.headers or "x-api-key" in request.headers:
        world.leaked_keys += 1


# Models that are added


def find_added(world: World, request: Request) -> Operation | None:
    head, _, name = request.scope["path"].rpartition("/")
    model = world.area(Offer).added.get(name) if head == "/v3/async" and request.method == "POST" else None
    return model.operation if model is not None else None


async def make_added(call: Call) -> Response:
    """Makes a picture, or a film of the `duration` asked for, by prompt and seed."""
    model = call.world.area(Offer).added[call.operation.id]
    prompt, seed = str(call.body.get("prompt", "")), seed_of(call.body.get("seed"))
    seconds = int(call.body.get("duration", 5))
    usd = float(model.usd) * (seconds if model.unit == "second" else 1)
    if model.category == "image_gen":
        return accepted(
            call.world.area(TaskStore).submit(
                call,
                lambda: many(call, 1, "png", lambda n: pixels.paint(prompt, seed + n, (1024, 1024))),
                kind="image",
                usd=usd,
            )
        )
    film = Film(words=prompt, seed=seed, width=640, height=360, seconds=seconds)

    def make() -> list[TaskOutput]:
        hosted = call.world.files.add("video.mp4", "video/mp4", lambda: make_film(film))
        return [TaskOutput(hosted, "mp4")]

    return accepted(call.world.area(TaskStore).submit(call, make, kind="video", usd=usd))


async def control(world: World, sent: Json) -> Json:
    """POST /_simulator/models {add?: {name, category?, schema?, usd?, unit?}, off?: [operation or added name]}"""
    if unknown := sent.keys() - {"add", "off"}:
        raise ValueError(f"unknown: {', '.join(sorted(unknown))}")
    offer = world.area(Offer)
    if "add" in sent:
        offer.add(**sent["add"])
    if wrong := set(sent.get("off", ())) - operations().keys() - offer.added.keys():
        raise ValueError(f"off: no such model: {', '.join(sorted(wrong))}")
    world.switched_off |= set(sent.get("off", ()))
    return {"added": sorted(offer.added), "off": sorted(world.switched_off)}


HANDLERS: dict[str, Handler] = {}
NEWCOMERS: dict[str, Handler] = {"added": make_added}
SERVICES: dict[str, Service] = {
    "/v1/product/multimodal-model/list": list_models,
    "/v1/product/batch-price": batch_price,
    "/docs/llms-full.txt": full_text,
    "/llms-full.txt": full_text,
}
FINDER = find_added
CONTROLS = {("POST", "models"): control}

"""Models that Novita offers and the tables do not know yet, from the list that its own site reads.

No document promises that list (`freshness_sources` of the API facts call it undocumented), and what it says is taken as
hostile: a route counts only where it is one of the media routes, a schema only where it is small, closed and without
references, and no text of it is shown. The name asked for is sent; the key is not.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, cast

from ..core.client import NovitaClient, dig
from ..core.errors import NovitaError
from ..core.json_paths import Json
from ..core.tolerant import load_json, objects
from .catalog_entry import AnswerPart, Argument, Capability, Kind, Life, MediaModel

LIST_HOST = "https://api-server.novita.ai"
LIST_PATH = "/v1/product/multimodal-model/list"
_LARGEST = 4 * 2**20
_LARGEST_SCHEMA, _DEEPEST, _MOST_PARTS = 200_000, 12, 2_000
_NAME = re.compile(r"[a-z0-9][a-z0-9.-]{1,80}")
_ROUTE = re.compile(r"/v3/(?:async/)?[a-z0-9][a-z0-9._-]{1,80}")
_MAKES: Mapping[str, Kind] = {"image_gen": "image", "video_gen": "video", "audio_gen": "audio"}
_SPELLED: Mapping[str, tuple[str, ...]] = {
    "prompt": ("prompt",),
    "text": ("text",),
    "image": ("image", "image_url"),
    "duration": ("duration",),
    "resolution": ("resolution",),
    "aspect_ratio": ("aspect_ratio",),
    "seed": ("seed",),
    "sound": ("sound", "generate_audio"),
    "count": ("n", "image_num"),
    "format": ("output_format",),
}
"""Common argument -> native fields that mean it by their name."""
_KEPT = frozenset(
    {
        *("type", "properties", "required", "items", "enum", "default", "minimum", "maximum", "minLength", "maxLength"),
        *("minItems", "maxItems", "additionalProperties"),
    }
)
"""What is kept of a foreign schema; a pattern, which may take for ever, is Novita's to check."""


async def offered_model(client: NovitaClient, name: str) -> MediaModel | None:
    """The model of that name, where Novita's site lists it with a route and a schema that can be used; else None."""
    wanted = name.strip().casefold()
    if not _NAME.fullmatch(wanted):
        return None
    nobody = replace(client.for_looking(), auth=_without_key, largest_answer=_LARGEST)
    params = {"returnSchema": "true", "fusion_product_names": wanted}
    try:
        answer = await nobody.read(
            "GET", LIST_PATH, params=params, host=LIST_HOST, doing="looking for a model that came since"
        )
    except NovitaError:
        return None  # the list may close any day; the tables stay
    for row in objects(dig(answer.data, "configs")):
        if dig(row, "fusionConfig.name") == wanted and (found := _read(wanted, row)) is not None:
            day = f"{datetime.fromtimestamp(client.clock.wall(), UTC):%Y-%m-%d}"
            return found.model_copy(update={"checked": day, "life": found.life.model_copy(update={"date": day})})
    return None


def _without_key(_: str | None) -> Mapping[str, str]:
    return {}


def _read(name: str, row: Json) -> MediaModel | None:
    config = dig(row, "modelConfig.config")
    makes, text = _MAKES.get(str(dig(config, "category"))), dig(config, "openapiSchema")
    if makes is None or not isinstance(text, str) or len(text) > _LARGEST_SCHEMA:
        return None
    try:
        document: Any = load_json(text)
    except ValueError:
        return None
    paths: Any = dig(document, "paths")
    for route, item in cast(Json, paths).items() if isinstance(paths, dict) else ():
        contents: Any = dig(item, "post.requestBody.content")
        schema: Any = dig(contents.get("application/json"), "schema") if isinstance(contents, dict) else None  # pyright: ignore[reportUnknownMemberType]
        if _ROUTE.fullmatch(route) and isinstance(schema, dict) and _is_small(cast(Json, schema)):
            return _entry(name, makes, route, _lean(cast(Json, schema)), is_task=dig(config, "async") is True)
    return None


def _is_small(schema: object) -> bool:
    """Whether a schema is bounded and holds no reference."""
    parts = list(_parts(schema, 0))
    if len(parts) > _MOST_PARTS or any(depth > _DEEPEST for _, depth in parts):
        return False
    return not any(isinstance(part, dict) and "$ref" in part for part, _ in parts)


def _parts(node: object, depth: int) -> Iterator[tuple[object, int]]:
    yield node, depth
    if depth > _DEEPEST:
        return
    inner: list[object] = []
    if isinstance(node, dict):
        inner = list(cast("dict[str, object]", node).values())
    elif isinstance(node, list):
        inner = cast("list[object]", node)
    for one in inner:
        yield from _parts(one, depth + 1)


def _lean(schema: Json) -> Json:
    """A schema without texts, closed."""
    kept: Json = {key: value for key, value in schema.items() if key in _KEPT}
    if isinstance(schema.get("properties"), dict):
        parts = cast(Json, schema["properties"])
        kept["properties"] = {name: _lean(cast(Json, part)) for name, part in parts.items() if isinstance(part, dict)}
        kept["additionalProperties"] = False
        kept["required"] = [name for name in kept.get("required", ()) if name in kept["properties"]]
    if isinstance(schema.get("items"), dict):
        kept["items"] = _lean(cast(Json, schema["items"]))
    return kept


def _entry(name: str, makes: Kind, route: str, schema: Json, *, is_task: bool) -> MediaModel | None:
    fields: Json = schema.get("properties", {})
    if not fields:
        return None
    arguments: dict[str, Argument] = {}
    for common, names in _SPELLED.items():
        native = next((one for one in names if one in fields), None)
        if native is None:
            continue
        media = {"as": "media", "send": ("url", "data_uri")} if common == "image" else {}
        arguments[common] = Argument.model_validate({"to": native, **media})
    does = {
        "image": Capability.EDIT_IMAGE if "image" in arguments else Capability.TEXT_TO_IMAGE,
        "video": Capability.IMAGE_TO_VIDEO if "image" in arguments else Capability.TEXT_TO_VIDEO,
    }.get(makes, Capability.TEXT_TO_SPEECH)
    return MediaModel(
        id=name,
        operation=name,
        title=name,
        summary="On the list of Novita's site; its entry was made from that.",
        makes=makes,
        does=(does,),
        path=route,
        mode="async" if is_task else "sync",
        input=schema,
        arguments=arguments,
        answer=(AnswerPart(form="task") if is_task else AnswerPart(form="url", at="images[]", kind=makes),),
        life=Life(state="live", confidence="medium", why="on the list that Novita's site reads"),
        source=f"{LIST_HOST}{LIST_PATH}",
        checked="",
    )

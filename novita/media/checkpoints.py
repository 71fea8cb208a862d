"""Novita's library of Stable Diffusion files: checkpoints, LoRAs and their kin (`GET /v3/model`)."""

from typing import Any, Literal, cast

from pydantic import BaseModel, ConfigDict

from ..core.answers import a_text, an_object
from ..core.client import NovitaClient
from ..core.errors import NovitaConnectionError
from ..core.json_paths import dig

CheckpointType = Literal["checkpoint", "lora", "vae", "controlnet", "upscaler", "textualinversion"]


class LibraryFile(BaseModel):
    """One file. `name` is what requests take: `sd_name_in_api` where there is one, else `sd_name`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    title: str
    type: str
    base: str | None = None
    sdxl: bool | None = None
    inpainting: bool | None = None
    tags: str | None = None


class LibraryPage(BaseModel):
    """One page of a search."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    files: tuple[LibraryFile, ...]
    next_cursor: str | None = None


async def search_library(
    client: NovitaClient,
    *,
    query: str | None = None,
    kind: CheckpointType | None = None,
    limit: int = 10,
    cursor: str | None = None,
) -> LibraryPage:
    """Search the library, public and private.

    Raises:
        NovitaConnectionError: The answer holds no list.
    """
    wanted: dict[str, Any] = {
        "filter.query": query,
        "filter.types": kind,
        "pagination.limit": limit,
        "pagination.cursor": cursor,
    }
    params = {name: value for name, value in wanted.items() if value is not None}
    answer = await client.read("GET", "/v3/model", params=params, doing="searching the model library")
    found: Any = answer.data
    data: dict[str, Any] = an_object(found)
    listed: Any = data.get("models")
    if listed is not None and not isinstance(listed, list):
        raise NovitaConnectionError("Novita's answer about its model library could not be read")
    files = [_file(cast(dict[str, Any], item)) for item in cast(list[Any], listed or []) if isinstance(item, dict)]
    following = dig(data, "pagination.next_cursor")
    return LibraryPage(files=tuple(files), next_cursor=str(following) if following and len(files) >= limit else None)


def _file(item: dict[str, Any]) -> LibraryFile:
    kind = item.get("type")
    if isinstance(kind, dict):  # {name, display_name}
        kind = cast(dict[str, Any], kind).get("name")
    words: Any = item.get("tags")
    return LibraryFile(
        name=str(item.get("sd_name_in_api") or item.get("sd_name") or item.get("name") or ""),
        title=str(item.get("name") or item.get("sd_name") or ""),
        type=str(kind or ""),
        base=a_text(item.get("base_model")) or None,
        sdxl=sdxl if isinstance(sdxl := item.get("is_sdxl"), bool) else None,
        inpainting="inpaint" in str(item.get("base_model_type") or "").lower(),
        tags=", ".join(str(word) for word in cast(list[Any], words)) if isinstance(words, list) else a_text(words),
    )

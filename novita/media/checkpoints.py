"""Novita's library of Stable Diffusion files: checkpoints, LoRAs and their kin (`GET /v3/model`)."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict

from ..core.answers import Plain, Shape, Text, WhetherTold, a_text, an_object, objects, read_shape
from ..core.client import NovitaClient
from ..core.errors import NovitaConnectionError
from ..core.json_paths import dig
from ..core.json_text import is_list

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
    data = an_object(answer.data)
    listed = data.get("models")
    if listed is not None and not is_list(listed):
        raise NovitaConnectionError("Novita's answer about its model library could not be read")
    files = [read_shape(_LibraryRow, row, "searching the model library").file for row in objects(listed)]
    following = dig(data, "pagination.next_cursor")
    return LibraryPage(files=tuple(files), next_cursor=str(following) if following and len(files) >= limit else None)


def _type(value: Any) -> str:
    """The name of a type, which is a text or `{name, display_name}`."""
    return a_text(an_object(value).get("name")) or a_text(value)


def _tags(value: Any) -> str:
    return ", ".join(str(word) for word in value) if is_list(value) else a_text(value)


class _LibraryRow(Shape):
    sd_name_in_api: Text = ""
    sd_name: Text = ""
    name: Text = ""
    type: Annotated[str, BeforeValidator(_type)] = ""
    base_model: Plain = ""
    base_model_type: Text = ""
    is_sdxl: WhetherTold = None
    tags: Annotated[str, BeforeValidator(_tags)] = ""

    @property
    def file(self) -> LibraryFile:
        return LibraryFile(
            name=self.sd_name_in_api or self.sd_name or self.name,
            title=self.name or self.sd_name,
            type=self.type,
            base=self.base_model or None,
            sdxl=self.is_sdxl,
            inpainting="inpaint" in self.base_model_type.lower(),
            tags=self.tags,
        )

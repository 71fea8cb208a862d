"""A checked input: its content or a link, and the forms in which it can be given to a model."""

import base64
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

import anyio.to_thread

from ..core.errors import InputError

Expects = Literal["image", "video", "audio", "text", "media"]
"""The kind of file that is wanted. "media" is any of a picture, a clip or a sound."""


def expects_of(argument: str) -> Expects:
    """The kind of file that a common argument accepts."""
    if argument.endswith("video"):
        return "video"
    return "audio" if argument.endswith("audio") else "image"


@dataclass(frozen=True)
class Source:
    """A checked input.

    Args:
        name: What messages call the input.
        mime: Its type. None, like the measures, if nothing behind the link was read yet.
        link: A link that Novita can fetch now, or None.
        data: The content, or None if it is not fetched yet.
        no_link: Why there is no link, for messages.
        changed: Whether it was resized, converted or turned, or is the sound of a video. Then it has no link.
        turned: The EXIF orientation that the picture had before it was turned upright.
    """

    name: str
    kind: Expects
    mime: str | None = None
    bytes_size: int | None = None
    width: int | None = None
    height: int | None = None
    duration: float | None = None
    link: str | None = None
    data: bytes | None = field(default=None, repr=False)
    no_link: str = ""
    changed: bool = False
    turned: int = 1
    _load: "Callable[[], Awaitable[Source]] | None" = field(default=None, repr=False)
    _vouch: Callable[[], Awaitable[str]] | None = field(default=None, repr=False)

    async def read(self) -> bytes:
        """The content. It is fetched and checked if it is not here yet.

        Raises:
            InputError: The content cannot be fetched, or is not what it should be.
        """
        return (await self.loaded())[1]

    async def as_form(self, forms: Sequence[str]) -> str:
        """The input as "url", "data_uri" or "base64": the first of `forms` that is possible.

        Raises:
            InputError: None is possible, as with a local file for a model that accepts only links.
        """
        dead = ""
        for form in forms:
            if form == "url" and self.link is not None:
                dead = await self._vouch() if self._vouch is not None else ""
                if not dead:
                    return self.link
            if form in ("data_uri", "base64"):
                loaded, data = await self.loaded()
                packed = await anyio.to_thread.run_sync(_pack, data, abandon_on_cancel=True)
                return packed if form == "base64" else f"data:{loaded.mime};base64,{packed}"
        if "url" in forms:
            why = dead or self.no_link or "is no link"
            raise InputError(
                f"This model takes only links for its {self.kind}, and {self.name} {why}",
                next_step="Give a public http(s) link, task:<id>/<n> of a fresh result, or use a model that takes "
                "files (list_media_models).",
            )
        raise InputError(f"This model takes its {self.kind} as {', '.join(forms)}, which {self.name} cannot become")

    async def loaded(self) -> "tuple[Source, bytes]":
        """The source with its content, fetched and checked if it is not here yet. Raises what `read` raises."""
        source = self if self.data is not None or self._load is None else await self._load()
        assert source.data is not None  # a source has content, or a way to load it
        return source, source.data


def _pack(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")

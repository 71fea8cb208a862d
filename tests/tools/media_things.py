"""Pictures, clips and recordings to hand in, and what came of a call."""

import base64
from collections.abc import Awaitable
from pathlib import Path
from typing import Any

from mcp_types import CallToolResult
from novita_mcp.simulator.core.world import World
from novita_mcp.simulator.media.film import SOUND_RATE, Clip, Film, look_at, make_film
from novita_mcp.simulator.media.hearing import Hearing
from novita_mcp.simulator.media.sound import SoundFormat, encode, speak
from novita_mcp.simulator.media.tasks import TaskStore
from PIL import Image, ImageDraw

from ..conftest import text_of

Json = dict[str, Any]


def picture(path: Path, size: tuple[int, int] = (640, 480), *, colour: str = "red", mode: str = "RGB") -> str:
    """A picture with something in its middle; its path."""
    image = Image.new(mode, size, "white" if mode == "RGB" else (0, 0, 0, 0))
    width, height = size
    ImageDraw.Draw(image).ellipse((width // 4, height // 4, width * 3 // 4, height * 3 // 4), fill=colour)
    image.save(path)
    return str(path)


def mask(path: Path, size: tuple[int, int] = (640, 480)) -> str:
    """A mask whose left half is white; its path."""
    image = Image.new("L", size, 0)
    image.paste(255, (0, 0, size[0] // 2, size[1]))
    image.save(path)
    return str(path)


def recording(path: Path, text: str, world: World) -> str:
    """Somebody saying a text that the simulator will understand again; its path."""
    path.write_bytes(encode(speak(world.area(Hearing).note(text)), SoundFormat(path.suffix[1:])))
    return str(path)


def clip(path: Path, *, seconds: float = 4, size: tuple[int, int] = (640, 480), said: str = "", world: World) -> str:
    """A short film, with somebody speaking in it where a text is given; its path."""
    sound = (lambda: speak(world.area(Hearing).note(said), rate=SOUND_RATE)) if said else None
    path.write_bytes(make_film(Film(*size, seconds, words="a fox", sound=sound)))
    return str(path)


def link_to(path: str, world: World, base_url: str) -> str:
    """A public link to a file."""
    kinds = {"png": "image/png", "jpg": "image/jpeg", "mp4": "video/mp4", "mp3": "audio/mpeg", "wav": "audio/wav"}
    file = Path(path)
    stored = world.files.add(file.name, kinds[file.suffix[1:]], file.read_bytes())
    return world.files.link(stored, base_url)


def data_uri(path: str) -> str:
    """The file as a data URI."""
    kind = {"png": "image/png", "mp3": "audio/mpeg", "wav": "audio/wav"}[path.rpartition(".")[2]]
    return f"data:{kind};base64,{base64.b64encode(Path(path).read_bytes()).decode()}"


async def done(call: Awaitable[CallToolResult]) -> Json:
    """The structured answer of a call that worked and is finished."""
    result = await call
    assert not result.is_error, text_of(result)
    answer: Json = result.structured_content or {}
    assert answer["status"] == "succeeded", text_of(result)
    return answer


async def refused(call: Awaitable[CallToolResult], *words: str) -> str:
    """The text of an error; each of `words` is in it."""
    result = await call
    text = text_of(result)
    assert result.is_error, text
    assert result.structured_content is None
    for word in words:
        assert word in text, text
    return text


def one(answer: Json) -> Json:
    """The only file of an answer."""
    (artifact,) = answer["artifacts"]
    assert Path(artifact["path"]).stat().st_size == artifact["bytes"]
    return artifact


def image_of(answer: Json) -> Image.Image:
    """The only file, opened as a picture."""
    with Image.open(one(answer)["path"]) as opened:
        opened.load()
        return opened


def film_of(answer: Json) -> Clip:
    """The only file, measured as a film."""
    return look_at(Path(one(answer)["path"]).read_bytes())


def body_of(world: World, operation: str) -> Json:
    """What Novita got in the last request of an operation."""
    return world.received(operation)[-1].body


def nothing_paid(world: World) -> None:
    """No money moved, no task began, no paid route was called."""
    assert not world.charges
    assert not world.area(TaskStore).tasks
    assert not [request.path for request in world.requests if request.method == "POST"]

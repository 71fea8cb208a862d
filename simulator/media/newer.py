"""Models that were first seen in June 2026 or later: image routes in OpenAI's format, and formats of the makers.

Third parties have captured answers of Ming. Of the other models only code that builds requests is known: see `new` in
lifecycle.yaml of the API facts. Ming makes pictures of one or four megapixels. The layers of a picture are its halves.
"""

import base64
import math
import re
import time
from collections.abc import Callable
from typing import Any, Final

from PIL import Image
from starlette.responses import Response

from ..core.answers import answer
from ..core.calls import Call, Handler, Json
from ..core.faults import Fault
from ..core.prices import usd_each
from . import pixels
from .film import Film, make_film
from .images import kept, picture_in, seed_of
from .inputs import InputLimits, take_picture
from .pixels import Picture, Size
from .tasks import FAILED, SUCCEED, Task, TaskOutput, TaskStore

_TOKEN: Final = 256
"""So many pixels of a Ming picture count as one token."""
_LINK: Final = 86_400
_SIDES: Final = {"480p": 480, "720p": 720, "768P": 768, "1080p": 1080, "2K": 1440}


# OpenAI-style images


def _asked(call: Call, default: Size) -> Size:
    found = re.fullmatch(r"(\d+)x(\d+)", call.body.get("size", ""))
    return (int(found[1]), int(found[2])) if found else default


def _bucket(size: Size) -> Size:
    """The size that Ming makes: a square as asked for, or else the shape in the nearer number of megapixels."""
    if size in ((1024, 1024), (2048, 2048)):
        return size
    pixels_wanted = 1024 * 1024 if math.log(size[0] * size[1]) < math.log(2) * 21 else 2048 * 2048
    ratio = size[0] / size[1]
    return round(math.sqrt(pixels_wanted * ratio) / 16) * 16, round(math.sqrt(pixels_wanted / ratio) / 16) * 16


def _images(call: Call, pictures: list[Callable[[], Picture]], tokens: int, **more: Any) -> Response:
    """The documented answer: links or base64, and the tokens used."""
    kind = call.body.get("output_format", "png")
    files = [kept(call, f"ming-{n}", kind, draw) for n, draw in enumerate(pictures)]
    linked = call.body.get("response_format") == "url"
    told: list[Json] = [
        {"url": call.world.files.link(file, call.base_url, _LINK)}
        if linked
        else {"b64_json": base64.b64encode(file.data).decode()}
        for file in files
    ]
    usage = {"input_tokens": 40, "output_tokens": tokens, "output_tokens_details": {"image_tokens": tokens}}
    return answer(
        {"created": int(time.time()), "data": told, "output_format": kind, "size": None, "usage": usage, **more}
    )


async def ming_image_design(call: Call) -> Response:
    body = call.body
    size = _asked(call, (2048, 2048))
    if body.get("size", "auto") != "auto" and min(size) < 1024 and size != (512, 512):
        raise call.invalid("size: each side must be 1024 or more")
    made = (1024, 1024) if size == (512, 512) else _bucket(size)
    call.charge()

    def draw() -> Picture:
        return pixels.cut_out(pixels.paint(body["prompt"], seed_of(None), made, style="ming-image-0.1-design"))

    return _images(call, [draw], made[0] * made[1] // _TOKEN, model="ling-image-internal")


async def ming_image_layer(call: Call) -> Response:
    picture = _part(call, "image[]")
    call.charge()
    found = re.search(r"\d+", call.body["prompt"])
    count = min(8, max(2, int(found[0]) if found else 2))
    subject = pixels.cut_out(picture)

    def layer(n: int) -> Callable[[], Picture]:
        return lambda: subject if n else pixels.paint("background", n, picture.size, style="layer")

    drawn = [layer(n) for n in range(count)]
    return _images(call, drawn, count * 4096, model="ling-image-internal")


async def gpt_image_2(call: Call) -> Response:
    size = _asked(call, (1024, 1024))
    if size[0] % 16 or size[1] % 16 or max(size) > 3840 or not 1 / 3 <= size[0] / size[1] <= 3:
        raise call.invalid("size: multiples of 16, up to 3840, ratio 1:3 to 3:1")
    count = call.body.get("n", 1)
    call.charge(units=count)

    def draw(n: int) -> Callable[[], Picture]:
        return lambda: pixels.paint(call.body["prompt"], seed_of(None) + n, size, style="gpt-image-2")

    return _images(call, [draw(n) for n in range(count)], 1000 * count, model="gpt-image-2")


async def gpt_image_2_edit(call: Call) -> Response:
    picture, body = _part(call, "image[]"), call.body
    mask = _part(call, "mask") if "mask" in call.files else None
    if mask is not None and (mask.size != picture.size or "A" not in mask.getbands()):
        raise call.invalid("mask: must be a PNG with an alpha channel, as large as the picture")
    count = body.get("n", 1)
    call.charge(units=count)

    def draw(n: int) -> Callable[[], Picture]:
        def drawn() -> Picture:
            made = pixels.rework(picture, body["prompt"], seed_of(None) + n, picture.size).convert("RGB")
            if mask is None:
                return made
            # The transparent part of the mask is changed, and the rest stays.
            return Image.composite(picture.convert("RGB"), made, mask.getchannel("A"))

        return drawn

    return _images(call, [draw(n) for n in range(count)], 1000 * count, model="gpt-image-2")


def _part(call: Call, name: str) -> Picture:
    upload = call.files.get(name)
    if upload is None:
        raise call.invalid(f"{name}: must be a file")
    uri = base64.b64encode(upload.data).decode()
    return picture_in(call, uri, name)


# Google's dialect


async def generate_content(call: Call) -> Response:
    parts: list[Json] = call.body["contents"][-1]["parts"]
    words = " ".join(part["text"] for part in parts if "text" in part)
    given = [picture_in(call, part["inlineData"]["data"], "inlineData.data") for part in parts if "inlineData" in part]
    if not words:
        raise call.invalid("contents: no text")
    wanted: Json = call.body.get("generationConfig", {}).get("imageConfig", {})
    side = {"1K": 1024, "2K": 2048, "4K": 4096}[wanted.get("imageSize", "1K")]
    wide, high = (int(part) for part in wanted.get("aspectRatio", "1:1").split(":"))
    size = (round(side * math.sqrt(wide / high) / 8) * 8, round(side * math.sqrt(high / wide) / 8) * 8)
    call.charge()
    seed = seed_of(None)
    picture = pixels.rework(given[0], words, seed, size) if given else pixels.paint(words, seed, size, style="gemini")
    data = base64.b64encode(pixels.encode(picture, "png")).decode()
    part: Json = {"inlineData": {"mimeType": "image/png", "data": data}}
    told: Json = {"candidates": [{"content": {"role": "model", "parts": [part]}}]}
    return answer({**told, "usageMetadata": {"totalTokenCount": 1300}})


async def predict_long_running(call: Call) -> Response:
    instance: Json = call.body["instances"][0]
    wanted: Json = call.body.get("parameters", {})
    first = None
    if image := instance.get("image"):
        field = "instances[0].image"
        limits = InputLimits("b")
        first = take_picture(call, image["bytesBase64Encoded"], field, limits).picture()
    seconds, tier = wanted.get("durationSeconds", 8), wanted.get("resolution", "720p")
    ratio = wanted.get("aspectRatio", "16:9")
    task = _film_task(call, instance["prompt"], seconds, _SIDES[tier], ratio, first, wanted.get("sampleCount", 1))
    return answer({"task_id": task.id})


# Content lists


async def content_video(call: Call) -> Response:
    """MiniMax H3 and Seedance 2, which take text and pictures in one list."""
    content: list[Json] = call.body["content"]
    words = " ".join(part.get("text", "") for part in content if part["type"] == "text").strip()
    frames = [part for part in content if part["type"] == "image_url"]
    for part in frames:
        if "image_url" not in part:
            raise call.invalid("content: image_url is missing")
    if not words and not frames:
        raise call.invalid("content: neither text nor picture")
    first = None
    if frames:
        limits = InputLimits("ud")
        first = take_picture(call, frames[0]["image_url"]["url"], "content.image_url.url", limits).picture()
    side = _SIDES.get(call.body.get("resolution", "720p"))
    if side is None:
        raise call.invalid("resolution: not known")
    ratio = call.body.get("ratio", "16:9").replace("adaptive", "16:9")
    task = _film_task(call, words, call.body.get("duration", 5), side, ratio, first, 1)
    return answer({"task_id": task.id} if call.operation.id == "minimax_h3" else {"id": task.id})


def _film_task(call: Call, words: str, seconds: float, side: int, ratio: str, first: bytes | None, count: int) -> Task:
    wide, high = (int(part) for part in ratio.split(":"))
    size = (round(side * max(1, wide / high) / 2) * 2, round(side * max(1, high / wide) / 2) * 2)
    pictures = (first,) if first is not None else ()
    films = [Film(*size, seconds, words=words, seed=seed_of(None) + n, pictures=pictures) for n in range(count)]

    def outputs() -> list[TaskOutput]:
        files = call.world.files
        return [
            TaskOutput(files.add(f"{n}.mp4", "video/mp4", lambda film=film: make_film(film)), "mp4")
            for n, film in enumerate(films)
        ]

    usd = usd_each(call.operation.id, call.body, seconds=seconds)
    return call.world.area(TaskStore).submit(call, outputs, kind="video", usd=usd, units=count, seconds_factor=1.5)


async def query_content_video(call: Call) -> Response:
    task = call.world.area(TaskStore).tasks.get(call.path["task_id"])
    if task is None or task.account is not call.account:
        raise Fault(404, "TASK_NOT_FOUND", "task not found")
    task.look(call.world)
    own = call.operation.id == "query_minimax_h3"
    told: Json = {"status": {SUCCEED: "succeeded", FAILED: "failed"}.get(task.status, "running")}
    if task.status == SUCCEED:
        told["content"] = {"url" if own else "video_url": call.link(task.outputs[0].file)}
    elif task.status == FAILED:
        told["error"] = {"message": task.reason}
    return answer({"task": told} if own else {"id": task.id, **told})


async def cancel_content_video(call: Call) -> Response:
    task = call.world.area(TaskStore).tasks.get(call.path["task_id"])
    if task is None or task.account is not call.account:
        raise Fault(404, "TASK_NOT_FOUND", "task not found")
    if not task.final:
        task.end(call.world, FAILED, "cancelled")
    return answer({})


HANDLERS: Final[dict[str, Handler]] = {
    "ming_image_design": ming_image_design,
    "ming_image_layer": ming_image_layer,
    "gpt_image_2": gpt_image_2,
    "gpt_image_2_edit": gpt_image_2_edit,
    **dict.fromkeys(
        ("gemini_3_1_flash_image", "gemini_3_1_flash_lite_image", "gemini_3_pro_image", "gemini_2_5_flash_image"),
        generate_content,
    ),
    **dict.fromkeys(("veo_3_1", "veo_3_1_fast", "veo_3_1_lite"), predict_long_running),
    **dict.fromkeys(
        ("minimax_h3", "seedance_2_5", "seedance_2_0", "seedance_2_0_fast", "seedance_2_0_mini"), content_video
    ),
    "query_minimax_h3": query_content_video,
    "query_seedance_2": query_content_video,
    "cancel_seedance_2": cancel_content_video,
}

"""Image generation from text and from pictures, by Stable Diffusion and by newer models.

The table MODELS holds what differs between the newer models: field names, how a size is given, the shape of the answer.
The four older routes nest everything in `request`, and each has a function of its own.
"""

import asyncio
import base64
import io
import math
import re
import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, cast

from PIL import Image
from starlette.responses import Response

from ..core.answers import answer
from ..core.calls import Call, Handler, Json
from ..core.files import HostedFile
from ..core.prices import usd_each
from . import pixels
from .inputs import InputLimits, take_picture
from .pixels import Picture, Size
from .tasks import Task, TaskOutput, TaskStore

MEGAPIXELS_16 = 16_000_000


@dataclass(frozen=True)
class ImageModel:
    """The form of a request to one of the newer models, and of its answer."""

    images: str | None = None
    """The field with the input picture or pictures."""
    forms: str = "udb"
    """The accepted forms of an input, as letters: u is a link, d a data URI, b plain base64."""
    size: Callable[[Call], Size] = lambda call: sized(call, 256, 1536)
    count: str | None = None
    answers: str = "task"
    """The word task, or the field of a synchronous answer that holds the links."""
    output: str = "jpeg"
    mark: str | None = None
    """The field that turns the watermark on or off. It is on by default."""
    ttl: str | int | None = None
    series: bool = False


# Sizes


def sized(call: Call, least: int, most: int) -> Size:
    """The field `size`, as 1024*1024 or 1024x1024, each side within bounds. Without the field it is 1024 x 1024."""
    width, height = parsed_size(call)
    if not (least <= width <= most and least <= height <= most):
        raise call.invalid(f"size: each side must be {least} to {most}, not {width} x {height}")
    return width, height


def size_text(call: Call) -> str:
    """The field `size` as it was sent, or else its documented default, or else a square of 1024."""
    field: Json = call.operation.facts["request"]["application/json"]["properties"]["size"]
    return call.body.get("size") or field.get("default", "1024*1024")


def parsed_size(call: Call) -> Size:
    found = re.fullmatch(r"(\d+)[*x](\d+)", size_text(call))
    if found is None:
        raise call.invalid("size: not understood")
    return int(found[1]), int(found[2])


def sized_by_area(call: Call, least: int, most: int) -> Size:
    """The field `size`: 1K to 4K for a square, or WIDTHxHEIGHT.

    The number of pixels must be from `least` to `most`, and the ratio from 1/16 to 16.
    """
    size = size_text(call)
    if size.endswith("K"):
        return int(size[:-1]) * 1024, int(size[:-1]) * 1024
    width, height = parsed_size(call)
    if not (least <= width * height <= most and 1 / 16 <= width / max(height, 1) <= 16):
        raise call.invalid(f"size: {width}x{height} must have {least} to {most} pixels and a ratio of 1/16 to 16")
    return width, height


def sized_glm(call: Call) -> Size:
    width, height = parsed_size(call)
    # Two of the recommended sizes have a side of 960, although the documentation says at least 1024.
    bad = width % 32 or height % 32 or min(width, height) < 960 or max(width, height) > 2048
    if bad or width * height > 4_194_304:
        raise call.invalid("size: sides 1024 to 2048, multiples of 32, at most 4194304 pixels")
    return width, height


def sized_by_ratio(call: Call) -> Size:
    """About one megapixel, in the `aspect_ratio` such as 16:9, or else in the shape of the first input, or square."""
    wide, high = map(int, call.body.get("aspect_ratio", "1:1").split(":"))
    return round(math.sqrt(wide / high) * 64) * 16, round(math.sqrt(high / wide) * 64) * 16


MODELS: dict[str, ImageModel] = {
    "flux_1_kontext_dev": ImageModel("images", count="num_images"),
    "flux_1_kontext_pro": ImageModel("images", size=sized_by_ratio),
    "flux_1_kontext_max": ImageModel("images", size=sized_by_ratio),
    "flux_2_dev": ImageModel("images", forms="u"),
    "flux_2_flex": ImageModel("images", forms="u"),
    "flux_2_pro": ImageModel("images", forms="u"),
    "qwen_image_txt2img": ImageModel(ttl="0"),
    "qwen_image_edit": ImageModel("image", size=lambda call: (0, 0), ttl="0"),
    "z_image_turbo": ImageModel(),
    "z_image_turbo_lora": ImageModel(),
    "glm_image": ImageModel(size=sized_glm, mark="watermark_enabled", output="png"),
    "hunyuan_image_3": ImageModel(),
    "seedream_3_0_txt2img": ImageModel(
        size=lambda call: sized(call, 512, 2048), answers="image_urls", mark="watermark"
    ),
    "seedream_4_0": ImageModel(
        "images",
        forms="ud",
        size=lambda call: sized_by_area(call, 1024 * 1024, 4096 * 4096),
        answers="images",
        mark="watermark",
        series=True,
    ),
    "seedream_4_5": ImageModel(
        "image",
        size=lambda call: sized_by_area(call, 3_686_400, 16_777_216),
        answers="images",
        mark="watermark",
        series=True,
    ),
    "seedream_5_0_lite": ImageModel(
        "image",
        size=lambda call: sized_by_area(call, 3_686_400, 10_404_496),
        answers="images",
        mark="watermark",
        series=True,
    ),
    "gemini_2_5_flash_image_text_to_image": ImageModel(size=sized_by_ratio, answers="image_urls", output="png"),
    "gemini_2_5_flash_image_edit": ImageModel("image_base64s", size=sized_by_ratio, answers="image_urls", output="png"),
}


# Functions that editing.py and images_v2.py also use


def picture_in(
    call: Call, value: str, field: str, *, forms: str = "b", mb: float = 30, side: int = 100_000, pixels: int = 0
) -> Picture:
    """An input picture, checked against its documented limits. With `pixels` 0 its area is not limited.

    Raises the documented faults.
    """
    given = take_picture(call, value, field, InputLimits(forms=forms, most_mb=mb, sides=(1, side)))
    picture = Image.open(io.BytesIO(given.picture()))
    picture.load()
    if pixels and picture.width * picture.height > pixels:
        raise call.fault("IMAGE_EXCEEDS_MAX_RESOLUTION", f"{field}: {picture.width}x{picture.height} is too large")
    return picture


def seed_of(value: int | None) -> int:
    """The seed to use. -1 and None mean a random one."""
    return secrets.randbelow(2**31) if value is None or value < 0 else value


def kept(call: Call, name: str, encoding: str, draw: Callable[[], Picture]) -> HostedFile:
    """A file whose picture is drawn at its first download."""
    return call.world.files.add(
        f"{name}.{pixels.SUFFIXES[encoding]}",
        pixels.MEDIA_TYPES[encoding],
        lambda: pixels.encode(draw(), encoding),
    )


def many(call: Call, count: int, encoding: str, draw: Callable[[int], Picture]) -> list[TaskOutput]:
    """`count` outputs, numbered from 0. Each is drawn at its first download."""

    def drawn(n: int) -> Callable[[], Picture]:
        return lambda: draw(n)

    stem = secrets.token_hex(16)
    return [TaskOutput(kept(call, f"{stem}-{n}", encoding, drawn(n)), encoding) for n in range(count)]


def accepted(task: Task) -> Response:
    return answer({"task_id": task.id})


# Stable Diffusion


def diffuse(
    call: Call,
    size: Size,
    draw: Callable[[int], Picture],
    *,
    count: int,
    seed: int | None,
    shows_progress: bool = True,
    picture: Size | None = None,
) -> Response:
    """What the four older routes share: price, encoding, webhook, NSFW scores. `picture` is the size of the input."""
    options: Json = call.body.get("extra") or {}
    encoding = options.get("response_image_type", "png")
    nsfw = bool(options.get("enable_nsfw_detection"))
    extra: Json = {"enable_nsfw_detection": nsfw}
    if seed is not None:
        extra["seed"] = str(seed)

    def make() -> list[TaskOutput]:
        outputs = many(call, count, encoding, draw)
        if nsfw:
            for output in outputs:
                output.more["nsfw_detection_result"] = {"valid": True, "confidence": 1.5}
        return outputs

    task = call.world.area(TaskStore).submit(
        call,
        make,
        kind="image",
        usd=usd_each(call.operation.id, call.body, picture=picture),
        units=count,
        extra=extra,
        shows_progress=shows_progress,
        webhook=options.get("webhook"),
    )
    return accepted(task)


async def txt2img(call: Call) -> Response:
    request: Json = call.body["request"]
    size = (request["width"], request["height"])
    if fix := request.get("hires_fix"):
        size = (fix["target_width"], fix["target_height"])
    clear = bool(request.get("enable_transparent_background"))
    options: Json = call.body.get("extra") or {}
    if clear and options.get("response_image_type", "png") != "png":
        raise call.invalid("request.enable_transparent_background: needs extra.response_image_type png")
    seed = seed_of(request.get("seed"))

    def draw(n: int) -> Picture:
        picture = pixels.paint(request["prompt"], seed + n, size, style=request["model_name"])
        return pixels.cut_out(picture) if clear else picture

    return diffuse(call, size, draw, count=request["image_num"], seed=seed)


async def img2img(call: Call) -> Response:
    request: Json = call.body["request"]
    picture = picture_in(call, request["image_base64"], "request.image_base64", mb=10, pixels=MEGAPIXELS_16)
    controlnet: Json = request.get("controlnet") or {}
    for i, unit in enumerate(controlnet.get("units", [])):
        picture_in(call, unit["image_base64"], f"request.controlnet.units.{i}.image_base64")
    for i, adapter in enumerate(request.get("ip_adapters") or []):
        picture_in(call, adapter["image_base64"], f"request.ip_adapters.{i}.image_base64")
    size, seed = (request["width"], request["height"]), seed_of(request.get("seed"))
    strength = request.get("strength", 0.5)

    def draw(n: int) -> Picture:
        return pixels.rework(picture, request["prompt"], seed + n, size, strength)

    return diffuse(call, size, draw, count=request["image_num"], seed=seed)


async def inpainting(call: Call) -> Response:
    request: Json = call.body["request"]
    picture = picture_in(call, request["image_base64"], "request.image_base64", pixels=MEGAPIXELS_16)
    mask = picture_in(call, request["mask_image_base64"], "request.mask_image_base64", pixels=MEGAPIXELS_16)
    if mask.size != picture.size:
        raise call.fault("INVALID_IMAGE_SIZE", f"mask is {mask.size}, the image {picture.size}")
    mask = mask.convert("L")
    if request.get("inpainting_mask_invert"):
        mask = mask.point([255 - level for level in range(256)])
    seed = seed_of(request.get("seed"))

    def draw(n: int) -> Picture:
        return pixels.repaint(
            picture,
            mask,
            request["prompt"],
            seed + n,
            blur=request.get("mask_blur", 0),
            strength=request.get("strength", 1.0),
        )

    given = picture.size
    return diffuse(call, given, draw, count=request["image_num"], seed=seed, shows_progress=False, picture=given)


async def upscale(call: Call) -> Response:
    request: Json = call.body["request"]
    picture = picture_in(call, request["image_base64"], "request.image_base64", side=2048)
    factor = request["scale_factor"]
    size, given = (round(picture.width * factor), round(picture.height * factor)), picture.size

    def draw(_: int) -> Picture:
        return pixels.enlarge(picture, size)

    return diffuse(call, size, draw, count=1, seed=None, shows_progress=False, picture=given)


# The newer models


async def flux_1_schnell(call: Call) -> Response:
    body = call.body
    size, count = (body["width"], body["height"]), body["image_num"]
    task_id = call.world.new_id("task-")
    call.charge(units=count, ref=task_id)
    outputs = many(
        call,
        count,
        body.get("response_image_format", "png"),
        lambda n: pixels.paint(body["prompt"], body["seed"] + n, size, style="flux-1-schnell"),
    )
    # This route documents image_url_ttl as a number, and its example has a week.
    images = [
        {"image_url": call.link(o.file), "image_url_ttl": call.world.settings.link_ttl, "image_type": o.type}
        for o in outputs
    ]
    return answer({"task": {"task_id": task_id}, "images": images})


def references(call: Call, model: ImageModel) -> list[Picture]:
    """The input pictures, checked."""
    if model.images is None:
        return []
    sent: Any = call.body.get(model.images, [])
    found = [
        picture_in(call, value, f"{model.images}.{i}" if isinstance(sent, list) else model.images, forms=model.forms)
        for i, value in enumerate([sent] if isinstance(sent, str) else sent)
    ]
    if model.images == "image_base64s":
        found += [
            picture_in(call, url, f"image_urls.{i}", forms="u") for i, url in enumerate(call.body.get("image_urls", []))
        ]
        if not found:
            raise call.invalid("image_base64s: at least one input picture is needed")
    return found


def how_many(call: Call, model: ImageModel, given: int) -> int:
    """How many pictures this call makes. A series has as many as the first number in the prompt."""
    body = call.body
    if model.count:
        return body.get(model.count, 1)
    if not model.series or body.get("sequential_image_generation", "disabled") != "auto":
        return 1
    most = body.get("max_images") or body.get("sequential_image_generation_options", {}).get("max_images", 15)
    number = re.search(r"\d+", body["prompt"])
    return max(1, min(int(number[0]) if number else 1, most, 15 - given))


async def generate(call: Call) -> Response:
    """Answers for any model of the table."""
    name, body = call.operation.id, call.body
    model = MODELS[name]
    given = references(call, model)
    size = model.size(call)
    if size == (0, 0):
        size = given[0].size
    count, seed, prompt = how_many(call, model, len(given)), seed_of(body.get("seed")), body["prompt"]
    encoding = body.get("output_format", model.output)
    mark = bool(model.mark) and bool(body.get(model.mark or "", True))

    def draw(n: int) -> Picture:
        if not given:
            return pixels.paint(prompt, seed + n, size, style=name, mark=mark)
        picture = pixels.rework(given[0], prompt, seed + n, size)
        if mark:
            pixels.stamp(picture, "AI generated")
        return picture

    if model.answers == "task":

        def make() -> list[TaskOutput]:
            outputs = many(call, count, encoding, draw)
            if body.get("enable_base64_output"):
                for output in outputs:
                    text = base64.b64encode(output.file.data).decode()
                    output.more["image_url"] = f"data:image/{encoding};base64,{text}"
            return outputs

        extra: Json = {"has_nsfw_contents": []}
        if "seed" in call.operation.facts["request"]["application/json"]["properties"]:
            extra["seed"] = str(seed)
        return accepted(
            call.world.area(TaskStore).submit(call, make, kind="image", units=count, extra=extra, ttl=model.ttl)
        )

    call.charge(units=count)
    outputs = many(call, count, encoding, draw)
    if body.get("response_format") == "b64_json":
        texts = await asyncio.to_thread(lambda: [base64.b64encode(o.file.data).decode() for o in outputs])
        return answer({"image_urls": [], "binary_data_base64": texts})
    links = [call.link(output.file) for output in outputs]
    extra_fields: Json = {"binary_data_base64": []} if name == "seedream_3_0_txt2img" else {}
    return answer({model.answers: links} | extra_fields)


async def newcomer(call: Call) -> Response:
    """Answers for a documented model that has no row in the table yet: pictures by prompt, size, seed and count."""
    said = dict(_leaves(call.body))
    width, height = said.get("width", 1024), said.get("height", 1024)
    if found := re.fullmatch(r"(\d+)[*x](\d+)", str(said.get("size", ""))):
        width, height = int(found[1]), int(found[2])
    count = next((said[name] for name in ("n", "count", "image_num", "num_images") if name in said), 1)
    prompt, seed = said.get("prompt", ""), seed_of(said.get("seed"))

    def make() -> list[TaskOutput]:
        return many(call, count, "png", lambda n: pixels.paint(prompt, seed + n, (width, height)))

    return accepted(call.world.area(TaskStore).submit(call, make, kind="image", units=count))


def _leaves(body: Json) -> Iterator[tuple[str, Any]]:
    for name, value in body.items():
        if isinstance(value, dict):
            yield from _leaves(cast(Json, value))
        else:
            yield name, value


NEWCOMERS = {"image": newcomer}
HANDLERS: dict[str, Handler] = {
    "txt2img": txt2img,
    "img2img": img2img,
    "inpainting": inpainting,
    "upscale": upscale,
    "flux_1_schnell": flux_1_schnell,
    **dict.fromkeys(MODELS, generate),
}

"""Image editors: synchronous ones, which answer in base64, and the same ones as tasks."""

import asyncio
import base64
from collections.abc import Callable

from starlette.responses import Response

from ..core.answers import answer
from ..core.calls import Call, Handler
from . import pixels
from .images import MEGAPIXELS_16, accepted, many, picture_in, seed_of
from .pixels import Picture
from .tasks import TaskStore

RESOLUTIONS = {"2k": 2048, "4k": 4096, "8k": 8192}


async def edited(call: Call, work: Callable[[], Picture]) -> Response:
    """Charge, do the work in a thread, and answer {image_file, image_type}."""
    call.charge()
    encoding = call.body.get("extra", {}).get("response_image_type", "png")
    data = await asyncio.to_thread(lambda: pixels.encode(work(), encoding))
    return answer({"image_file": base64.b64encode(data).decode(), "image_type": encoding})


async def reimagine(call: Call) -> Response:
    picture = picture_in(call, call.body["image_file"], "image_file", side=1024)
    return await edited(call, lambda: pixels.vary(picture, seed_of(None)))


async def remove_background(call: Call) -> Response:
    picture = picture_in(call, call.body["image_file"], "image_file", pixels=MEGAPIXELS_16)
    return await edited(call, lambda: pixels.cut_out(picture))


async def replace_background(call: Call) -> Response:
    # The page names two limits: 2048x2048, and 4096 for a side. The larger one counts.
    picture = picture_in(call, call.body["image_file"], "image_file", side=4096)
    return await edited(call, lambda: pixels.on_background(picture, call.body["prompt"], seed_of(None)))


async def image_to_prompt(call: Call) -> Response:
    picture = picture_in(call, call.body["image_file"], "image_file", side=2048)
    call.charge()
    return answer({"prompt": pixels.describe(picture)})


async def cleanup(call: Call) -> Response:
    picture = picture_in(call, call.body["image_file"], "image_file", pixels=MEGAPIXELS_16)
    mask = picture_in(call, call.body["mask_file"], "mask_file", pixels=MEGAPIXELS_16)
    return await edited(call, lambda: pixels.erase(picture, mask))


async def remove_text(call: Call) -> Response:
    picture = picture_in(call, call.body["image_file"], "image_file", side=1024)
    return await edited(call, lambda: pixels.without_text(picture))


async def merge_face(call: Call) -> Response:
    face = picture_in(call, call.body["face_image_file"], "face_image_file", side=2048)
    target = picture_in(call, call.body["image_file"], "image_file", side=2048)
    for field, picture in (("face_image_file", face), ("image_file", target)):
        if not pixels.has_face(picture):
            raise call.fault("IMAGE_NO_FACE_DETECTED", f"{field}: no face detected")
    return await edited(call, lambda: pixels.put_face(target, face))


async def outpainting(call: Call) -> Response:
    body = call.body
    picture = picture_in(call, body["image_file"], "image_file", side=1024)
    size, shift = (body["width"], body["height"]), (body["center_x"], body["center_y"])
    if size[0] <= picture.width or size[1] <= picture.height:
        raise call.fault("INVALID_IMAGE_SIZE", f"width and height must exceed those of the image, {picture.size}")
    for name, at, new, old in zip(("center_x", "center_y"), shift, size, picture.size, strict=True):
        if abs(at) > (new + old) / 2:
            raise call.invalid(f"{name}: must be within +-{(new + old) // 2}")
    return await edited(call, lambda: pixels.extend(picture, body["prompt"], seed_of(None), size, shift))


def later(call: Call, encoding: str, work: Callable[[], Picture]) -> Response:
    """Do the work as a task with one picture."""
    return accepted(
        call.world.area(TaskStore).submit(call, lambda: many(call, 1, encoding, lambda _: work()), kind="image")
    )


async def replace_background_async(call: Call) -> Response:
    picture = picture_in(call, call.body["image_file"], "image_file", side=4096)
    seed = seed_of(None)
    encoding = call.body.get("extra", {}).get("response_image_type", "png")
    return later(
        call,
        encoding if encoding in pixels.SUFFIXES else "png",
        lambda: pixels.on_background(picture, call.body["prompt"], seed),
    )


async def image_remove_background(call: Call) -> Response:
    picture = picture_in(call, call.body["image"], "image", forms="u")
    return later(call, "png", lambda: pixels.cut_out(picture))


async def image_eraser(call: Call) -> Response:
    picture = picture_in(call, call.body["image"], "image", forms="udb")
    mask = picture_in(call, call.body["mask"], "mask", forms="udb") if "mask" in call.body else None
    return later(call, call.body.get("output_format", "jpeg"), lambda: pixels.erase(picture, mask))


async def image_upscaler(call: Call) -> Response:
    picture = picture_in(call, call.body["image"], "image", forms="u")
    scale = RESOLUTIONS[call.body.get("resolution", "4k")] / max(picture.size)
    size = (round(picture.width * scale), round(picture.height * scale))
    return later(call, call.body.get("output_format", "jpeg"), lambda: pixels.enlarge(picture, size))


HANDLERS: dict[str, Handler] = {
    "reimagine": reimagine,
    "remove_background": remove_background,
    "replace_background": replace_background,
    "image_to_prompt": image_to_prompt,
    "cleanup": cleanup,
    "remove_text": remove_text,
    "merge_face": merge_face,
    "outpainting": outpainting,
    "replace_background_async": replace_background_async,
    "image_remove_background": image_remove_background,
    "image_eraser": image_eraser,
    "image_upscaler": image_upscaler,
}

"""The deprecated V2 routes. They wrap answers in {code, msg, data}, and have a route of their own for tasks."""

from starlette.responses import Response

from ..core.answers import answer
from ..core.calls import Call, Handler, Json
from . import pixels
from .images import many, picture_in, seed_of
from .pixels import Picture
from .tasks import FAILED, PROCESSING, SUCCEED, Task, TaskOutput, TaskStore

NO_SUCH_TASK = 3
STATES = {PROCESSING: 1, SUCCEED: 2, FAILED: 3}


def _wrapped(task: Task) -> Response:
    return answer({"code": 0, "msg": "", "data": {"task_id": task.id, "warn": ""}})


def _count(body: Json) -> int:
    return max(1, body.get("batch_size") or 1) * max(1, body.get("n_iter") or 1)


def _encoding(body: Json) -> str:
    options: Json = body.get("extra") or {}
    return options.get("response_image_type", "png")


async def txt2img_v2(call: Call) -> Response:
    body = call.body
    size, seed, count = (body["width"], body["height"]), seed_of(body["seed"]), _count(body)
    if body.get("enable_hr") and body.get("hr_scale") == 2:
        size = (size[0] * 2, size[1] * 2)
    elif body.get("enable_hr") and body.get("hr_resize_x") and body.get("hr_resize_y"):
        size = (body["hr_resize_x"], body["hr_resize_y"])

    def make() -> list[TaskOutput]:
        style = body["model_name"]
        return many(call, count, _encoding(body), lambda n: pixels.paint(body["prompt"], seed + n, size, style=style))

    return _wrapped(call.world.area(TaskStore).submit(call, make, kind="image", units=count))


async def img2img_v2(call: Call) -> Response:
    body = call.body
    if not body["init_images"]:
        raise call.invalid("init_images: at least one picture is needed")
    given = [picture_in(call, image, f"init_images.{i}") for i, image in enumerate(body["init_images"])]
    size, seed, count = (body["width"], body["height"]), seed_of(body.get("seed")), _count(body)
    strength, mask = body.get("denoising_strength"), None
    if body.get("mask"):
        mask = pixels.cover(picture_in(call, body["mask"], "mask").convert("L"), size)
        if body.get("inpainting_mask_invert"):
            mask = mask.point([255 - level for level in range(256)])

    def draw(n: int) -> Picture:
        base, words = given[n % len(given)], body["prompt"] or ""
        if mask is not None:
            return pixels.repaint(pixels.cover(base, size), mask, words, seed + n, blur=body.get("mask_blur") or 0)
        return pixels.rework(base, words, seed + n, size, 0.5 if strength is None else strength)

    return _wrapped(
        call.world.area(TaskStore).submit(
            call, lambda: many(call, count, _encoding(body), draw), kind="image", units=count
        )
    )


async def upscale_v2(call: Call) -> Response:
    body = call.body
    picture = picture_in(call, body["image"], "image")
    factor = body.get("upscaling_resize") or 2
    size = (round(picture.width * factor), round(picture.height * factor))
    if body.get("resize_mode") == 1 and body.get("upscaling_resize_w") and body.get("upscaling_resize_h"):
        size = (body["upscaling_resize_w"], body["upscaling_resize_h"])
    if max(size) > 2048 or min(size) < 1:
        raise call.invalid(f"the result would be {size[0]}x{size[1]}, at most 2048 a side")
    work = pixels.cover if body.get("upscaling_crop") else pixels.enlarge
    return _wrapped(
        call.world.area(TaskStore).submit(
            call, lambda: many(call, 1, "png", lambda _: work(picture, size)), kind="image"
        )
    )


async def get_progress_v2(call: Call) -> Response:
    task = call.world.area(TaskStore).tasks.get(call.query["task_id"])
    if task is None or task.account is not call.account or not task.operation.endswith("_v2"):
        return answer({"code": NO_SUCH_TASK, "msg": "task not found", "data": {}})
    task.look(call.world)
    done = task.status == SUCCEED
    seconds = str(int(task.progress.started))
    data: Json = {
        "status": STATES.get(task.status, 0),
        "progress": task.percent / 100,
        "eta_relative": 0 if task.final else round(task.progress.seconds * (1 - task.percent / 100)),
        "imgs": [call.link(output.file) for output in task.outputs] if done else None,
        "failed_reason": task.reason,
        "current_images": [],
        "submit_time": seconds,
        "execution_time": seconds,
        "txt2img_time": seconds,
        "finish_time": str(int(task.finished_at)) if task.finished_at else "",
        "info": "",
        "enable_nsfw_detection": False,
        "nsfw_detection_result": None,
    }
    return answer({"code": 0, "msg": "", "data": data})


HANDLERS: dict[str, Handler] = {
    "txt2img_v2": txt2img_v2,
    "img2img_v2": img2img_v2,
    "upscale_v2": upscale_v2,
    "get_progress_v2": get_progress_v2,
}

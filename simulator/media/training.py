"""LoRA training: upload links for pictures, trainings of a subject or a style, and their progress."""

import itertools
from dataclasses import dataclass, field

from starlette.responses import Response

from ..core.answers import answer
from ..core.bounds import Kept
from ..core.calls import Call, Handler, Json
from ..core.world import Account, Charge, Course, World

TRAINING_FACTOR, DEPLOYING_FACTOR = 3.0, 0.5
"""How long training and deployment take, as multiples of the setting task_seconds."""
ENDS = ("SUCCESS", "FAILED")


@dataclass
class Training:
    """One training of a LoRA."""

    number: int
    id: str
    kind: str
    account: Account
    name: str
    base_model: str
    progress: Course
    charge: Charge
    created: float
    world: World
    doom: str | None = None
    endless: bool = False
    status: str = "QUEUING"
    percent: int = 0
    deploying: Course | None = field(default=None)

    @property
    def is_sdxl(self) -> bool:
        return "xl" in self.base_model.lower()

    def look(self) -> None:
        if self.status in ENDS:
            return
        done = min(self.progress.look(), 0.95 if self.endless else 1.0)
        self.percent = int(done * 100)
        if done < 1:
            self.status = "QUEUING" if done < 0.15 else "TRAINING"
        elif self.doom:
            self.status = "FAILED"
            self.world.refund(self.charge)
        else:
            self.status = "SUCCESS"
            self.deploying = self.world.progress(self.world.settings.task_seconds * DEPLOYING_FACTOR, steps=1)

    def models(self) -> list[Json]:
        """The trained LoRA: DEPLOYING at first, then SERVING."""
        if self.deploying is None:
            return []
        serving = self.deploying.look() >= 1
        name = f"model_{self.number}_{self.name.replace(' ', '_')}.safetensors"
        return [{"model_name": name, "model_status": "SERVING" if serving else "DEPLOYING"}]


class TrainingState:
    """The trainings, and the pictures to be uploaded for them."""

    def __init__(self, world: World) -> None:
        self.numbers = itertools.count(1)
        self.assets: dict[str, str] = {}
        """The upload ids by assets_id, as text."""
        self.trainings: Kept[str, Training] = Kept(world.bounds.records, over=lambda each: each.status in ENDS)

    def of(self, account: Account) -> list[Training]:
        return [training for training in self.trainings.values() if training.account is account]


async def create_training_image_upload_url(call: Call) -> Response:
    state = call.world.area(TrainingState)
    upload_id, url = call.world.files.upload_link(call.base_url, f"image.{call.body['file_extension']}")
    number = 100_000 + next(state.numbers)
    state.assets[str(number)] = upload_id
    host = call.request.headers.get("host", "")
    return answer({"assets_id": number, "upload_url": url, "method": "PUT", "headers": {"Host": {"values": [host]}}})


async def create(call: Call) -> Response:
    state, kind = call.world.area(TrainingState), "subject" if "subject" in call.operation.id else "style"
    if not call.body["image_dataset_items"]:
        raise call.invalid("image_dataset_items: at least one picture is needed")
    for i, item in enumerate(call.body["image_dataset_items"]):
        if state.assets.get(str(item["assets_id"])) not in call.world.files.uploads:
            raise call.invalid(f"image_dataset_items.{i}.assets_id: nothing was uploaded for {item['assets_id']}")
    task_id = call.world.new_id("train-")
    doom = call.world.fate()
    state.trainings[task_id] = Training(
        number=next(state.numbers),
        id=task_id,
        kind=kind,
        account=call.account,
        name=call.body["name"],
        base_model=call.body["base_model"],
        progress=call.world.progress(call.world.settings.task_seconds * TRAINING_FACTOR),
        charge=call.charge(ref=task_id),
        created=call.world.clock.now(),
        world=call.world,
        doom=doom or None,
        endless=doom is None,
    )
    return answer({"task_id": task_id})


async def get(call: Call) -> Response:
    training = call.world.area(TrainingState).trainings.get(call.query["task_id"])
    wanted = "subject" if "subject" in call.operation.id else "style"
    if training is None or training.account is not call.account or training.kind != wanted:
        raise call.fault("TASK_NOT_FOUND", "training not found")
    training.look()
    left = training.progress.seconds * (1 - training.percent / 100)
    return answer(
        {
            "task_id": training.id,
            "task_status": training.status,
            "model_type": "lora" if training.status == "SUCCESS" else "",
            "models": training.models(),
            "extra": {"eta_relative": round(left), "progress_percent": training.percent},
        }
    )


async def list_training_tasks(call: Call) -> Response:
    text = call.params.get("pagination.cursor", "c_0").removeprefix("c_")
    if not text.isdigit():
        raise call.invalid("pagination.cursor: c_<offset> is wanted")
    start, limit, kind = int(text), call.params.get("pagination.limit", 20), call.params.get("task_type")
    found = [t for t in reversed(call.world.area(TrainingState).of(call.account)) if kind in (None, "", t.kind)]
    for training in found:
        training.look()
    more = start + limit < len(found)
    return answer(
        {
            "tasks": [
                {
                    "task_name": training.name,
                    "task_id": training.id,
                    "task_type": training.kind,
                    "task_status": training.status,
                    "created_at": int(training.created),
                    "models": training.models(),
                }
                for training in found[start : start + limit]
            ],
            "pagination": {"next_cursor": f"c_{start + limit}" if more else ""},
        }
    )


HANDLERS: dict[str, Handler] = {
    "create_training_image_upload_url": create_training_image_upload_url,
    "create_subject_training": create,
    "create_style_training": create,
    "get_subject_training": get,
    "get_style_training": get,
    "list_training_tasks": list_training_tasks,
}

"""Media tasks: how they go on, the answer of task-result, and the webhook at the end."""

import asyncio
import http.client
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import urlsplit

from starlette.responses import Response

from ..core.answers import answer
from ..core.bounds import Kept
from ..core.calls import Call, Handler, Json
from ..core.files import HostedFile
from ..core.world import Account, Charge, Course, World

Kind = Literal["image", "video", "audio"]
QUEUED, PROCESSING, SUCCEED, FAILED = (
    f"TASK_STATUS_{state}" for state in ("QUEUED", "PROCESSING", "SUCCEED", "FAILED")
)
WEBHOOK_TIMEOUT, WEBHOOK_RETRIES = 5.0, 5


@dataclass
class TaskOutput:
    """One finished file of a task. The fields in `more` are added to its entry or replace fields of it."""

    file: HostedFile
    type: str
    """png, jpeg, webp, mp4, gif, mp3, wav..."""
    more: Json = field(default_factory=dict[str, Any])


@dataclass
class Task:
    """One asynchronous job. `look()` moves it."""

    id: str
    account: Account
    operation: str
    task_type: str
    kind: Kind
    progress: Course
    make: Callable[[], list[TaskOutput]]
    charges: list[Charge]
    extra: Json
    base_url: str
    shows_progress: bool
    ttl: str | int | None
    webhook: Json | None
    doom: str | None = None
    """The reason for which it will fail, if it will."""
    endless: bool = False
    status: str = QUEUED
    reason: str = ""
    outputs: list[TaskOutput] = field(default_factory=list[TaskOutput])
    percent: int = 0
    finished_at: float | None = None

    @property
    def final(self) -> bool:
        return self.status in (SUCCEED, FAILED)

    def size(self) -> int:
        """Bytes of content in the answer itself, such as data URIs. The world's file store counts those of files."""
        texts = (text for output in self.outputs for text in output.more.values() if isinstance(text, str))
        return sum(len(text) for text in texts)

    def look(self, world: World, *, moving: bool = True) -> None:
        """Bring the task up to the world's time. In a manual world it moves one step, if `moving`."""
        if self.final:
            return
        done = self.progress.look() if moving else self.progress.peek()
        if self.endless:
            done = min(done, 0.95)
        self.percent = int(done * 100)
        if done >= 1:
            self.end(world, FAILED if self.doom is not None else SUCCEED, self.doom or "")
        else:
            self.status = QUEUED if done < 0.15 else PROCESSING

    def end(self, world: World, status: str, reason: str = "") -> None:
        """End the task. A success makes its files, and a failure gives the money back."""
        if status == SUCCEED and not self.outputs:
            self.outputs = self.make()
        self.make = list[TaskOutput]  # This frees the inputs that the function held.
        self.status, self.reason, self.finished_at, self.percent = status, reason, world.clock.now(), 100
        if status == FAILED:
            for charge in self.charges:
                world.refund(charge)


class TaskStore:
    """All tasks of a world, by id."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.tasks: Kept[str, Task] = Kept(
            world.bounds.tasks, most_bytes=world.bounds.file_bytes, size=Task.size, over=self._over
        )
        self._deliveries: set[asyncio.Task[None]] = set()

    def _over(self, task: Task) -> bool:
        """Whether the task has ended, also if nobody has asked about it since."""
        task.look(self._world, moving=False)
        return task.final

    def submit(
        self,
        call: Call,
        make: Callable[[], list[TaskOutput]],
        *,
        kind: Kind,
        usd: float | None = None,
        units: float = 1,
        task_type: str | None = None,
        seconds_factor: float = 1.0,
        extra: Json | None = None,
        shows_progress: bool = False,
        ttl: str | int | None = None,
        webhook: Json | None = None,
    ) -> Task:
        """Charge and start a task.

        `usd` is the price of each of `units`; None means the unlisted price. `make` runs once, when the task succeeds.
        The data of its files should be functions, so that a file is rendered only when somebody downloads it. `extra`
        is added to the field `extra` of the result. `ttl` is the value of its *_url_ttl, by default the setting, as
        text. `webhook` is the documented object {url, test_mode?}.
        """
        world = self._world
        test: Json = (webhook or {}).get("test_mode") or {}
        test_mode = bool(test.get("enabled"))
        task_id = world.new_id("task-")
        charges = [] if test_mode else [call.charge(usd, units=units, ref=task_id)]
        doom = world.fate()
        task = Task(
            id=task_id,
            account=call.account,
            operation=call.operation.id,
            task_type=task_type or call.operation.facts.get("task_type") or call.operation.id.upper(),
            kind=kind,
            progress=world.progress(0 if test_mode else world.settings.task_seconds * seconds_factor),
            make=make,
            charges=charges,
            extra=extra or {},
            base_url=call.base_url,
            shows_progress=shows_progress,
            ttl=ttl,
            webhook=webhook,
            doom=doom or None,
            endless=doom is None,
        )
        if test_mode and test.get("return_task_status") == FAILED:
            task.doom = "simulated failure (webhook test mode)"
        self.tasks[task_id] = task
        if webhook and webhook.get("url"):
            delivery = asyncio.get_running_loop().create_task(self._deliver(task))
            self._deliveries.add(delivery)
            delivery.add_done_callback(self._deliveries.discard)
        return task

    def result(self, task: Task, base_url: str) -> Json:
        """The documented body of task-result, with fresh links."""
        times = {"submit": task.progress.started, "execute": task.progress.started, "complete": task.finished_at}
        extra: Json = {
            "enable_nsfw_detection": False,
            "debug_info": {
                "request_info": "",
                **{f"{name}_time_ms": str(int(at * 1000)) if at else "" for name, at in times.items()},
            },
        }
        left = 0 if task.final else max(0.0, task.progress.seconds * (1 - task.percent / 100))
        body: Json = {
            "extra": extra | task.extra,
            "task": {
                "task_id": task.id,
                "status": task.status,
                "reason": task.reason,
                "task_type": task.task_type,
                "eta": round(left) if task.shows_progress else 0,
                "progress_percent": task.percent if task.shows_progress else 0,
            },
            "images": [],
            "videos": [],
            "audios": [],
        }
        ttl = str(self._world.settings.link_ttl) if task.ttl is None else task.ttl
        for output in task.outputs:
            entry: Json = {
                f"{task.kind}_url": self._world.files.link(output.file, base_url),
                f"{task.kind}_url_ttl": ttl,
                f"{task.kind}_type": output.type,
            }
            if task.kind == "image":
                entry["nsfw_detection_result"] = None
            elif task.kind == "audio":
                entry["audio_metadata"] = None
            body[f"{task.kind}s"].append(entry | output.more)
        return body

    async def _deliver(self, task: Task) -> None:
        """Wait for the end of the task. Then post the event until somebody answers 2xx, at most six times."""
        while not task.final:
            task.look(self._world, moving=False)
            if not task.final:
                await asyncio.sleep(0.02)
        assert task.webhook is not None
        result = self.result(task, task.base_url)
        result["extra"]["webhook"] = task.webhook
        event = json.dumps({"event_type": "ASYNC_TASK_RESULT", "payload": result}).encode()
        for attempt in range(1 + WEBHOOK_RETRIES):
            status = await asyncio.to_thread(_post, task.webhook["url"], event)
            self._world.delivered({"url": task.webhook["url"], "task_id": task.id, "status": status})
            if status is not None and 200 <= status < 300:
                return
            await asyncio.sleep(0.1 * 2**attempt)


def _post(url: str, body: bytes) -> int | None:
    """The status of the answer, or None if there was no answer in time."""
    parts = urlsplit(url)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = kind(parts.hostname or "", parts.port, timeout=WEBHOOK_TIMEOUT)
    target = parts.path or "/"
    if parts.query:
        target += f"?{parts.query}"
    try:
        connection.request("POST", target, body, {"Content-Type": "application/json"})
        return connection.getresponse().status
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()


async def get_task_result(call: Call) -> Response:
    task = call.world.area(TaskStore).tasks.get(call.query["task_id"])
    if task is None or task.account is not call.account:
        raise call.fault("TASK_NOT_FOUND", "task not found")
    task.look(call.world)
    return answer(call.world.area(TaskStore).result(task, call.base_url))


async def end_task(world: World, id: str, sent: Json) -> Json:
    """Set the state of a task by hand: {status, reason?}. A final status ends it."""
    task = world.area(TaskStore).tasks[id]
    status = str(sent["status"])
    if status in (SUCCEED, FAILED):
        task.end(world, status, str(sent.get("reason", "")))
    else:
        task.status, task.endless = status, True
    return {"task_id": task.id, "status": task.status}


def shown(world: World) -> list[Json]:
    return [
        {"task_id": t.id, "operation": t.operation, "status": t.status, "reason": t.reason, "percent": t.percent}
        for t in world.area(TaskStore).tasks.values()
    ]


HANDLERS: dict[str, Handler] = {"get_task_result": get_task_result}
CONTROLS_OF_ONE = {("POST", "tasks"): end_task}
SHOWN = {"tasks": shown}

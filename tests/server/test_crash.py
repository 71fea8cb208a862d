"""kill -9 at any instant: no task that Novita took is lost, none is sent twice, no half a file has a real name."""

import random
import sys
import time
from collections import Counter, deque
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from novita_mcp.novita.files.folders import slug
from novita_mcp.simulator.core.world import Received, World
from novita_mcp.simulator.media.tasks import TaskStore
from novita_mcp.simulator.serving import Running
from PIL import Image

from .children import PATIENCE, Child, child

pytestmark = [
    pytest.mark.old_models,
    pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL of POSIX"),
    pytest.mark.slow,
]

SPEND = "qwen_image_txt2img"
KILLS_PER_MOMENT = 6
CALLS = 3
"""Made at once by every process, so that each kill meets several jobs at different places."""


@dataclass
class CrashScene:
    """One machine: its processes come and go, the journal and the folder stay."""

    world: World
    novita: str
    home: Path
    killed: list[str] = field(default_factory=list[str])

    @contextmanager
    def process(self, name: str) -> Generator[Child]:
        own = self.home / name
        own.mkdir()
        places = {
            "NOVITA_MCP_JOURNAL": str(self.home / "journal.sqlite3"),
            "NOVITA_MCP_OUTPUT_DIR": str(self.home / "out"),
            "NOVITA_MCP_THUMBNAILS": "off",
        }
        with child(own, self.novita, **places) as process:
            process.initialize()
            yield process

    def prompts(self) -> Counter[str]:
        return Counter(request.body["prompt"] for request in self.world.received(SPEND))

    def submits(self, before: "Before") -> list[Received]:
        """A process's own submits."""
        later = list(self.world.requests)[before.requests :]
        return [request for request in later if request.operation == SPEND and request.body["prompt"] in before.prompts]

    def downloads(self) -> int:
        return sum(file.downloads for file in list(self.world.files.files.values()))

    def names(self) -> frozenset[str]:
        """What is in the folder, finished or not."""
        return frozenset(path.name for path in (self.home / "out").glob("*"))

    def files(self) -> list[Path]:
        """What has a real name in the folder."""
        return [self.home / "out" / name for name in self.names() if not name.startswith(".")]


@dataclass(frozen=True)
class Before:
    """How things stood before a process was told to work."""

    prompts: frozenset[str]
    requests: int
    downloads: int
    names: frozenset[str]


Moment = Callable[[CrashScene, Before, random.Random], None]


def until(true: Callable[[], bool]) -> None:
    """Wait closely: the moment is the point."""
    deadline = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < deadline, "the moment never came"
        time.sleep(0.004)


def submitted(scene: CrashScene, before: Before) -> bool:
    return bool(scene.submits(before))


def answered(scene: CrashScene, before: Before) -> bool:
    return any(request.status == 200 for request in scene.submits(before))


def before_the_submit(scene: CrashScene, before: Before, chance: random.Random) -> None:
    time.sleep(chance.uniform(0, 0.06))


def during_the_submit(scene: CrashScene, before: Before, chance: random.Random) -> None:
    until(lambda: submitted(scene, before))
    time.sleep(chance.uniform(0, 0.12))


def after_the_answer(scene: CrashScene, before: Before, chance: random.Random) -> None:
    until(lambda: answered(scene, before))
    time.sleep(chance.uniform(0, 0.01))


def while_polling(scene: CrashScene, before: Before, chance: random.Random) -> None:
    until(lambda: answered(scene, before))
    time.sleep(chance.uniform(0.05, 0.5))


def while_downloading(scene: CrashScene, before: Before, chance: random.Random) -> None:
    until(lambda: scene.downloads() > before.downloads)
    time.sleep(chance.uniform(0, 0.1))


def while_writing(scene: CrashScene, before: Before, chance: random.Random) -> None:
    until(lambda: bool(scene.names() - before.names))
    time.sleep(chance.uniform(0, 0.03))


def after_the_first_file(scene: CrashScene, before: Before, chance: random.Random) -> None:
    own = [slug(prompt) for prompt in before.prompts]
    until(lambda: any(prompt in name for name in scene.names() for prompt in own))
    time.sleep(chance.uniform(0, 0.01))


MOMENTS: tuple[Moment, ...] = (
    before_the_submit,
    during_the_submit,
    after_the_answer,
    while_polling,
    while_downloading,
    while_writing,
    after_the_first_file,
)


def kill_one(scene: CrashScene, moment: Moment, number: int) -> None:
    """A process that makes pictures until it is killed."""
    name = f"{moment.__name__}-{number}"
    chance = random.Random(name)
    prompts = [f"{name} {call}" for call in range(CALLS)]
    with scene.process(name) as process:
        # What a first call imports and builds is done before the moment is waited for.
        process.answer(
            process.call("generate_image", {"model": "qwen-image-txt2img", "prompt": "warm up", "dry_run": True})
        )
        before = Before(frozenset(prompts), len(scene.world.requests), scene.downloads(), scene.names())
        for prompt in prompts:
            process.call("generate_image", {"model": "qwen-image-txt2img", "prompt": prompt, "size": "512x512"})
        try:
            moment(scene, before, chance)
        except AssertionError as error:
            raise AssertionError(f"{name}: {error}; {process.stderr()} {process.stdout[-5:]}") from error
        process.process.kill()
        process.process.wait()
        scene.killed.append(name)


def rows_of(process: Child) -> list[dict[str, Any]]:
    """All that the journal lists."""
    rows: list[dict[str, Any]] = []
    while True:
        answer = process.answer(process.call("list_tasks", {"limit": 50, "offset": len(rows)}))
        page = answer["result"]["structuredContent"]
        rows += page["tasks"]
        if not page["more"]:
            return rows


@pytest.fixture
def scene(simulator: Running, world: World, tmp_path: Path) -> CrashScene:
    world.set(task_seconds=0.4)
    world.requests = deque()
    world.trouble({"delay": 0.08}, operation=SPEND, times=-1)
    world.trouble({"delay": 0.05}, path="/_simulator/files/*", times=-1)
    return CrashScene(world, simulator.url, tmp_path)


def test_nothing_is_lost_doubled_or_half_written_however_often_it_is_killed(scene: CrashScene, world: World) -> None:
    with ThreadPoolExecutor(4) as pool:
        kills = [pool.submit(kill_one, scene, moment, n) for n in range(KILLS_PER_MOMENT) for moment in MOMENTS]
        for kill in kills:
            kill.result()
    assert len(scene.killed) >= 40
    assert_whole(scene)
    world.troubles.clear()

    with scene.process("the next one") as process:
        rows = rows_of(process)
        known = [row for row in rows if row["state"] in ("working", "succeeded")]
        # Asked all at once, as an impatient host would.
        asked = {row["task_id"]: process.call("get_task", {"task_id": row["task_id"]}) for row in known}
        answers = answers_of(process, asked)

    # Nothing twice.
    sent = scene.prompts()
    assert set(sent.values()) == {1}
    assert len(asked) == len(known)

    # Nothing lost: whatever reached Novita has its row, with its task id or the word that it is unclear.
    titles = {row["title"]: row for row in rows}
    assert len(titles) == len(rows)
    unclear = [row for row in rows if row["state"] == "unconfirmed"]
    assert len(known) + len(unclear) == len(rows)
    assert set(sent) <= set(titles)
    assert set(asked) <= set(world.area(TaskStore).tasks)
    forgotten = set(world.area(TaskStore).tasks) - set(asked)
    assert len(forgotten) <= sum(sent[row["title"]] for row in unclear)
    assert all("may have accepted" in row["reason"] for row in unclear)

    # Everything that has an id comes home, whole.
    for answer in answers.values():
        assert answer["status"] == "succeeded"
        (artifact,) = answer["artifacts"]
        assert Path(artifact["path"]).is_file()
    assert_whole(scene)

    # Nothing is saved twice, although many were killed between saving a file and noting it.
    assert sorted(scene.files()) == sorted(
        Path(artifact["path"]) for each in answers.values() for artifact in each["artifacts"]
    )

    # The kills met what they were meant to meet.
    assert unclear
    assert any(row["state"] == "working" for row in known)
    assert any(row["state"] == "succeeded" for row in known)


def answers_of(process: Child, asked: dict[str, int]) -> dict[str, dict[str, Any]]:
    """The structured answers to requests, in whatever order they come."""
    names = {request: name for name, request in asked.items()}
    answers: dict[str, dict[str, Any]] = {}
    while len(answers) < len(asked):
        message = process.next()
        if "method" not in message:
            assert not message["result"].get("isError"), message["result"]["content"]
            answers[names[message["id"]]] = message["result"]["structuredContent"]
    return answers


def assert_whole(scene: CrashScene) -> None:
    """Every file with a real name is a whole picture."""
    for path in scene.files():
        with Image.open(path) as picture:
            picture.load()
            assert picture.size == (512, 512)


def test_what_a_wait_gave_up_comes_from_the_next_process(scene: CrashScene, world: World) -> None:
    world.never_end_next_task()
    with scene.process("first") as process:
        request = process.call(
            "generate_image",
            {"model": "qwen-image-txt2img", "prompt": "a slow fox", "size": "512x512", "wait_seconds": 0.3},
        )
        started = process.answer(request)["result"]["structuredContent"]
        assert started["status"] == "working"
    world.area(TaskStore).tasks[started["task_id"]].endless = False

    with scene.process("second") as process:
        request = process.call("get_task", {"task_id": started["task_id"]})
        finished = process.answer(request)["result"]["structuredContent"]
        assert finished["status"] == "succeeded"
        assert [Path(artifact["path"]) for artifact in finished["artifacts"]] == scene.files()
    assert world.count(SPEND) == 1
    assert_whole(scene)

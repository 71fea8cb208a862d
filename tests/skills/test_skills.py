"""The folder of agent skills: each is what a host can read, names tools that there are, and its calls work."""

import shutil
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from novita_mcp.simulator.core.world import World
from novita_mcp.simulator.sandbox.service import area
from novita_mcp.tools import TOOLS

from ..conftest import Connect, fields_of, text_of
from ..tool_calls import Walk
from ..tools.media_things import picture
from ..walls import why_no_walls
from .skill_files import FOLDER, ROOT, Json, Skill, skills

pytestmark = pytest.mark.skipif(not (ROOT / "server").is_dir(), reason="away from the source")

SKILLS = {skill.folder: skill for skill in (skills() if FOLDER.is_dir() else [])}
GIVEN: dict[str, Json] = {
    "poster-with-variants": {"poster": 'a poster that says "JAZZ"', "change": "make it blue"},
    "storyboard-to-clip": {"shot": "a fox", "look": "ink", "movement": "it runs", "narration": "Once there was a fox."},
    "product-photo-set": {"scene": "on a wooden table, morning light"},
    "gpu-job-not-forgotten": {"gpu": "4090", "image": "docker.io/acme/job:1", "machine": "night"},
    "label-rows-by-batch": {"row": "lovely", "instruction": "Answer good or bad."},
    "monthly-cost-review": {"period": "this month"},
}
"""What a user would give for the skills whose calls go one after the other."""
each = pytest.mark.parametrize("skill", SKILLS.values(), ids=[*SKILLS])


def test_there_are_skills_and_no_folder_without_one() -> None:
    assert {path.name for path in FOLDER.iterdir() if path.is_dir()} == SKILLS.keys()
    assert {"analyse-data", "test-a-repository", *GIVEN} <= SKILLS.keys()


@each
def test_a_skill_is_what_a_host_can_read(skill: Skill) -> None:
    """The rules of agentskills.io: the name is the folder's, the description says what it does and when."""
    assert set(skill.front) == {"name", "description"}
    assert skill.front["name"] == skill.folder
    assert all(part.isalnum() and part.islower() for part in skill.folder.split("-")) and len(skill.folder) <= 64
    assert "Use when " in skill.front["description"] and len(skill.front["description"]) <= 1024
    assert len(skill.text.splitlines()) < 500


@each
def test_a_skill_names_tools_and_arguments_that_there_are(skill: Skill) -> None:
    for tool, arguments, _ in skill.calls:
        assert tool in TOOLS, tool
        assert arguments.keys() <= TOOLS[tool].build().parameters["properties"].keys(), tool


@asynccontextmanager
async def walk(connect: Connect, name: str, **given: Any) -> AsyncGenerator[Walk]:
    async with connect(toolsets="default,sandbox") as client:
        yield Walk(client, SKILLS[name].calls, **given)


async def test_analyse_this_csv_and_show_me_a_chart(connect: Connect, world: World, tmp_path: Path) -> None:
    table = tmp_path / "sales of may.csv"
    table.write_text("city,sold\nRome,3\nParis,4\n")
    async with walk(connect, "analyse-data", file=str(table), x="city", y="sold") as on:
        results = [await on.call(number) for number in range(len(on.calls))]

    looked, plotted, deleted = (fields_of(result) for result in results[2:])
    assert "(2, 2) ['city', 'sold']" in looked["output"]
    assert plotted["status"] == "succeeded"
    assert Path(plotted["files"][0]["path"]).suffix == ".png"
    assert [block.type for block in results[3].content if block.type == "image"] == ["image"]
    assert '"title": "sold by city"' in plotted["charts"][0]
    assert deleted["status"] == "deleted"
    assert area(world).sandboxes == {}


@pytest.mark.parametrize("name", GIVEN)
async def test_the_calls_of_a_skill_work_one_after_the_other(
    connect: Connect, world: World, tmp_path: Path, name: str
) -> None:
    """Each call's answer fills in the next; whatever a skill began and calls its end is not running any more."""
    photo, rows = picture(tmp_path / "photo.png"), tmp_path / "rows.csv"
    rows.write_text("prompt\nlovely\nawful\n")
    async with walk(connect, name, photo=str(photo), file=str(rows), **GIVEN[name]) as on:
        results = [fields_of(await on.call(number)) for number in range(len(on.calls))]
        running = fields_of(await on.client.call_tool("list_tasks", {}))

    told = [(tool, result.get("status")) for (tool, *_), result in zip(on.calls, results, strict=True)]
    for tool, status in told:
        # A batch goes on for hours; what began it is done when it says so, and get_batch waits.
        assert status is None or status in DONE or (tool, status) == ("create_batch", "working"), told
    assert "running" not in running, "what costs by the hour was given back"
    paid = [tool for tool, arguments, _ in on.calls if not arguments.get("dry_run") and TOOLS[tool].effect.spends]
    dry = {tool for tool, arguments, _ in on.calls if arguments.get("dry_run")}
    assert dry <= set(paid), "what is priced first is then made"


DONE = {"succeeded", "completed", "dry_run", "running", "deleted"}
"""How a call may end that did what the skill wants of it."""


WHY_NOT = why_no_walls() if shutil.which("git") else "needs git"
TESTS = """
import unittest

class Adding(unittest.TestCase):
    def test_adds(self): self.assertEqual(1 + 1, 2)
    def test_breaks(self): self.assertEqual(1 + 1, 3)
    @unittest.skip("not here")
    def test_skipped(self): pass
"""


@pytest.mark.skipif(bool(WHY_NOT), reason=WHY_NOT)
async def test_try_this_repositorys_tests_in_a_clean_machine(connect: Connect, world: World) -> None:
    """In a machine that really runs it, behind walls: git, the clone and the tests are real."""
    area(world).level = "isolated"
    seed = "git -c init.defaultBranch=main init -q origin && mv test_adding.py origin/ && cd origin && git add . && "
    seed += "git -c user.name=me -c user.email=me@example.com commit -qm first"
    async with walk(
        connect,
        "test-a-repository",
        repository="file:///home/user/origin",
        install="python3 --version",
        test="python3 -m unittest -v",
    ) as on:
        await on.call(0)
        id = on.known["sandbox_id"]
        written = {"sandbox_id": id, "path": "test_adding.py", "text": TESTS}
        assert not (await on.client.call_tool("write_sandbox_file", written)).is_error
        seeded = await on.client.call_tool("run_command", {"sandbox_id": id, "command": seed})
        assert fields_of(seeded)["status"] == "succeeded", text_of(seeded)
        cloned, installed, tested, deleted = [fields_of(await on.call(number)) for number in range(1, 5)]

    assert (cloned["status"], cloned["output"]) == ("succeeded", "test_adding.py\n")
    assert installed["output"].startswith("Python 3")
    assert (tested["status"], tested["exit_code"]) == ("failed", 1)
    assert "FAILED (failures=1, skipped=1)" in tested["errors"]
    assert "test_breaks" in tested["errors"]
    assert deleted["status"] == "deleted"
    assert area(world).sandboxes == {}

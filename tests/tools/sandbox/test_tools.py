"""The sandbox tools as a host meets them: the journey, what comes home, money, secrets, and what breaks."""

import re
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from decimal import Decimal
from pathlib import Path

import pytest
from mcp import Client
from novita_mcp.simulator.core.world import World
from novita_mcp.simulator.sandbox.service import area
from novita_mcp.simulator.sandbox.state import SimulatedSandboxes as State
from PIL import Image

from ...conftest import Connect, text_of
from .asking import Json, ask, made, refused

Http = Callable[..., AbstractAsyncContextManager[Client]]
PLOT = """
import csv
import matplotlib.pyplot as plt
rows = list(csv.DictReader(open('sales.csv')))
plt.bar([row['city'] for row in rows], [float(row['sold']) for row in rows])
plt.title('Sold')
plt.show()
"""


async def test_the_journey_from_a_csv_to_a_chart(connect: Connect, state: State, world: World, tmp_path: Path) -> None:
    (tmp_path / "sales.csv").write_text("city,sold\nRome,3\nParis,4\n")
    async with connect(toolsets="default,sandbox") as client:
        start = await ask(client, "create_sandbox", label="sales")
        id = start["sandbox_id"]
        await ask(client, "write_sandbox_file", sandbox_id=id, path="sales.csv", file=str(tmp_path / "sales.csv"))
        first = await ask(client, "run_code", sandbox_id=id, code="total = 7")
        second = await ask(client, "run_code", sandbox_id=id, code="print('adding')\ntotal + 35")
        plotted = await client.call_tool("run_code", {"sandbox_id": id, "code": PLOT})
        seen = await ask(client, "list_tasks")
        gone = await ask(client, "delete_sandbox", sandbox_id=id, confirm=True)
        after = await ask(client, "list_tasks")

    assert (start["status"], Decimal(start["estimated_cost_usd"])) == ("running", Decimal("0.01368"))
    assert start["sandbox"]["usd_per_hour"] == "0.08208"
    assert first["status"] == "succeeded"
    assert (second["result"], second["output"]) == ("42", "adding\n")
    answer: Json = plotted.structured_content or {}
    (file,) = answer["files"]
    picture = Image.open(file["path"])
    picture.load()
    assert picture.size == (640, 480)
    assert len([block for block in plotted.content if block.type == "image"]) == 1
    assert '"title": "Sold"' in answer["charts"][0]
    assert [(line["kind"], line["id"]) for line in seen["running"]] == [("sandbox", id)]
    assert gone["deleted"] == [id]
    assert "running" not in after
    assert state.sandboxes == {}


async def test_a_run_without_a_sandbox_makes_uses_and_deletes_one(connect: Connect, state: State) -> None:
    async with connect(toolsets="sandbox") as client:
        done = await ask(client, "run_code", code="6 * 7")
        failed = await ask(client, "run_code", code="1 / 0")

    assert (done["status"], done["result"]) == ("succeeded", "42")
    assert failed["status"] == "failed"
    assert "ZeroDivisionError: division by zero" in failed["error"]
    assert "----> 1 1 / 0" in failed["error"]
    assert state.sandboxes == {}
    assert (state.count["create"], state.count["delete"]) == (2, 2)


async def test_a_command_gives_its_output_its_code_and_its_files(connect: Connect) -> None:
    async with connect(toolsets="sandbox") as client:
        id = await made(client)
        command = "echo hello > out.txt; echo said; cat none; exit 3"
        ran = await ask(client, "run_command", sandbox_id=id, command=command, save_files=["*.txt"])
        read = await ask(client, "read_sandbox_file", sandbox_id=id, path="out.txt")
        listed = await ask(client, "read_sandbox_file", sandbox_id=id)

    assert (ran["status"], ran["exit_code"], ran["output"]) == ("failed", 3, "said\n")
    assert "No such file" in ran["errors"]
    assert Path(ran["files"][0]["path"]).read_text() == "hello\n"
    assert read["text"] == "hello\n"
    assert [entry["path"] for entry in listed["entries"]] == ["/home/user/out.txt"]


@pytest.mark.parametrize("wanted", ["none*.png", "missing.txt", "folder/*/x", "wall"])
async def test_files_that_cannot_come_home_hide_nothing_of_what_the_run_did(
    connect: Connect, wanted: str, world: World
) -> None:
    async with connect(toolsets="sandbox") as client:
        id = await made(client)
        if wanted == "wall":
            world.trouble({"status": 500}, method="GET", path="/files", times=-1)
        command = "echo wall > wall; echo said; exit 4"
        wish = {"sandbox_id": id, "command": command, "save_files": [wanted]}
        ran = await ask(client, "run_command", **wish)

    assert (ran["status"], ran["exit_code"], ran["output"]) == ("failed", 4, "said\n")
    assert wanted in ran["trouble"] and "was not saved" in ran["trouble"]


async def test_long_output_is_cut_with_all_of_it_in_a_file(connect: Connect) -> None:
    async with connect(toolsets="sandbox") as client:
        ran = await ask(client, "run_command", sandbox_id=await made(client), command="seq 20000")

    assert len(ran["output"]) < 7_000
    assert "letters left out" in ran["output"]
    assert ran["output"].startswith("1\n2\n")
    assert ran["output"].endswith("20000\n")
    assert Path(ran["files"][0]["path"]).read_text() == "".join(f"{n}\n" for n in range(1, 20_001))


async def test_a_table_is_short_here_and_whole_in_its_file(connect: Connect) -> None:
    rows = "n,square\n" + "".join(f"{n},{n * n}\n" for n in range(500))
    async with connect(toolsets="sandbox") as client:
        id = await made(client)
        await ask(client, "write_sandbox_file", sandbox_id=id, path="t.csv", text=rows)
        ran = await ask(client, "run_code", sandbox_id=id, code="import pandas as pd\npd.read_csv('t.csv')")

    assert len(ran["result"]) < 2_200
    assert Path(ran["files"][0]["path"]).read_text() == rows


@pytest.mark.parametrize("what", ["results", "charts", "errors"])
async def test_many_results_are_one_bounded_answer(connect: Connect, what: str) -> None:
    """A model reads about 8,000 tokens of an answer, however much a cell shows."""
    plot = "import matplotlib.pyplot as plt\nfor n in range(12):\n    plt.plot(list(range(300)))\n    plt.show()"
    code = {
        "results": "for n in range(50):\n    display('x' * 1900)",
        "charts": plot,
        "errors": "raise ValueError('x' * 100000)",
    }[what]
    async with connect(toolsets="sandbox") as client:
        result = await client.call_tool("run_code", {"sandbox_id": await made(client), "code": code})

    answer: Json = result.structured_content or {}
    assert len(text_of(result)) < 32_000
    assert answer["status"] == ("failed" if what == "errors" else "succeeded")
    if what == "results":
        assert "50 results of" in answer["result"]
        assert Path(answer["files"][-1]["path"]).stat().st_size > 90_000
    if what == "charts":
        assert len(answer["files"]) == 12
        assert 1 <= len(answer["charts"]) < 12
        assert "beyond those shown" in answer["trouble"]


@pytest.mark.parametrize("fault", ["no_end", "cut"])
@pytest.mark.parametrize("tool", ["run_code", "run_command"])
async def test_a_run_without_its_end_is_broken_and_says_so(
    connect: Connect, state: State, fault: str, tool: str
) -> None:
    async with connect(toolsets="sandbox") as client:
        id = await made(client)
        state.add_fault(fault)
        what = {"code": "print(1)"} if tool == "run_code" else {"command": "echo 1; sleep 1"}
        result = await client.call_tool(tool, {"sandbox_id": id, **what})

    answer: Json = result.structured_content or {}
    assert answer["status"] == "broken"
    assert answer["trouble"]
    assert "The run broke" in text_of(result)


async def test_a_run_that_takes_longer_than_the_wait_is_fetched_later(connect: Connect) -> None:
    async with connect(toolsets="sandbox") as client:
        id = await made(client)
        command = "echo on; sleep 1; echo over"
        started = await ask(client, "run_command", sandbox_id=id, command=command, wait_seconds=0)
        rest = await ask(client, "get_sandbox", sandbox_id=id, run_id=started["run_id"], wait_seconds=20)

    assert started["status"] == "working"
    assert (rest["run"]["status"], rest["run"]["output"]) == ("succeeded", "on\nover\n")


async def test_a_secret_is_in_the_sandbox_and_in_no_answer_and_no_file(connect: Connect, tmp_path: Path) -> None:
    word = "tok-very-secret-77"
    async with connect(toolsets="sandbox") as client:
        id = await made(client, secret_env={"TOKEN": word}, env={"A": "1"})
        shown = await client.call_tool("run_command", {"sandbox_id": id, "command": "echo $TOKEN; echo $TOKEN | wc -c"})
        long = await client.call_tool("run_command", {"sandbox_id": id, "command": "seq 5000; echo $TOKEN; seq 5000"})
        rehearsed = await client.call_tool("create_sandbox", {"secret_env": {"TOKEN": word}, "dry_run": True})
        looks = await refused(client, "create_sandbox", env={"GITHUB_TOKEN": "abcdefgh1"})

    assert (shown.structured_content or {})["output"] == "[secret]\n19\n"
    for result in (shown, long, rehearsed):
        assert word not in text_of(result)
    for file in (tmp_path / "out").rglob("*.*"):
        assert word.encode() not in file.read_bytes()
    assert "secret_env" in looks
    assert word.encode() not in (tmp_path / "journal.sqlite3").read_bytes()


async def test_what_is_dear_or_open_is_asked_about_first(connect: Connect, state: State) -> None:
    async with connect(toolsets="sandbox") as client:
        long = await ask(client, "create_sandbox", timeout_minutes=90)
        ports = await ask(client, "create_sandbox", public_ports=True)
        run = await ask(client, "run_code", code="1", timeout_seconds=3600)
        rehearsed = await ask(client, "create_sandbox", dry_run=True)

    assert [answer["status"] for answer in (long, ports, run)] == ["needs_confirmation"] * 3
    assert "$0.0821 per hour (2 cores, 1 GiB)" in long["next_step"]
    assert "Anybody on the internet" in ports["next_step"]
    assert rehearsed["request"]["body"]["timeout"] == 600
    assert state.count.get("create") is None


async def test_what_the_account_cannot_have_is_told_before_anything_is_made(connect: Connect, state: State) -> None:
    async with connect(toolsets="sandbox") as client:
        long = await refused(client, "create_sandbox", timeout_minutes=600, confirm=True)
        unknown = await refused(client, "create_sandbox", template="nobodys")
        state.quota["concurrentInstances"] = 1
        await made(client)
        full = await refused(client, "create_sandbox")

    assert "3 hours at most" in long
    assert "code-interpreter-v1" in unknown
    assert "1 sandbox at a time" in full
    assert state.count["create"] == 1


@pytest.mark.parametrize(
    "wish",
    [
        {"files": ["/etc/passwd"]},
        {"files": ["task:nobodys-task/0"]},
        {"files": ["data:text/plain;base64,%%%"]},
        {"save_to": "/etc/cron.d/x"},
        {"secret_env": {"PIN": "1234"}},
    ],
)
async def test_a_run_that_cannot_be_is_refused_before_a_sandbox_is_made(
    connect: Connect, state: State, wish: Json
) -> None:
    async with connect(toolsets="sandbox") as client:
        await refused(client, "run_code", code="1", **wish)

    assert state.count.get("create") is None


async def test_pausing_stops_the_cost_and_resuming_says_what_it_costs(connect: Connect, state: State) -> None:
    async with connect(toolsets="default,sandbox") as client:
        id = await made(client)
        paused = await ask(client, "change_sandbox", sandbox_id=id, action="pause")
        seen = await ask(client, "list_sandboxes")
        tasks = await ask(client, "list_tasks")
        refusal = await refused(client, "run_command", sandbox_id=id, command="echo")
        resumed = await ask(client, "change_sandbox", sandbox_id=id, action="resume", timeout_minutes=20)
        longer = await ask(client, "change_sandbox", sandbox_id=id, action="set_time", timeout_minutes=30)

    assert (paused["status"], seen["sandboxes"][0]["usd_per_hour"]) == ("paused", "0.00")
    assert "free up to 60 GB" in seen["sandboxes"][0]["storage"]
    (line,) = tasks["running"]
    assert (line["kind"], line["id"], "usd_per_hour" in line) == ("sandbox", id, False)
    assert "It is paused" in line["note"] and "free up to 60 GB" in line["note"]
    assert "is paused" in refusal
    assert Decimal(resumed["estimated_cost_usd"]) == Decimal("0.02736")
    assert longer["status"] == "running"


async def test_a_snapshot_starts_a_copy(connect: Connect) -> None:
    async with connect(toolsets="sandbox") as client:
        id = await made(client)
        await ask(client, "write_sandbox_file", sandbox_id=id, path="seed.txt", text="seed")
        saved = (await ask(client, "change_sandbox", sandbox_id=id, action="snapshot"))["snapshot_id"]
        copy = await made(client, template=saved)
        read = await ask(client, "read_sandbox_file", sandbox_id=copy, path="seed.txt")
        listed = await ask(client, "list_sandboxes", what="snapshots")
        gone = await ask(client, "delete_sandbox", sandbox_id=saved, confirm=True)

    assert read["text"] == "seed"
    assert [each["template"] for each in listed["templates"]] == [saved]
    assert gone["status"] == "deleted"


async def test_an_id_that_is_made_up_is_refused_with_those_there_are(connect: Connect) -> None:
    async with connect(toolsets="sandbox") as client:
        id = await made(client)
        wrong = await refused(client, "run_command", sandbox_id="sbx-invented", command="echo")
        hostile = await refused(client, "run_command", sandbox_id="x.evil.example#", command="echo")

    assert id in wrong
    assert "no sandbox id" in hostile


async def test_a_sandbox_is_found_again_by_its_mark_after_a_lost_answer(connect: Connect, world: World) -> None:
    world.trouble({"reset": "after"}, method="POST", path="/sandboxes")
    async with connect(toolsets="default,sandbox") as client:
        lost = await refused(client, "create_sandbox")
        tasks = await ask(client, "list_tasks")

    assert "may have been billed" in lost
    assert [line["kind"] for line in tasks["running"]] == ["sandbox"]
    assert area(world).count["create"] == 1


async def test_ports_are_told_with_who_can_reach_them(connect: Connect) -> None:
    async with connect(toolsets="sandbox") as client:
        closed = await made(client)
        opened = await made(client, public_ports=True, confirm=True)
        first = await ask(client, "get_sandbox", sandbox_id=closed, ports=[8000])
        second = await ask(client, "get_sandbox", sandbox_id=opened, ports=[8000])

    assert re.fullmatch(rf"https://8000-{closed}\.us-phx-1\.sandbox\.novita\.ai", first["ports"][0]["url"])
    assert "without public_ports" in first["note"]
    assert "Anybody" in second["note"]


async def test_files_go_in_from_a_data_uri_and_an_earlier_result(connect: Connect) -> None:
    async with connect(toolsets="sandbox") as client:
        id = await made(client)
        await ask(client, "write_sandbox_file", sandbox_id=id, path="a.txt", file="data:text/plain;base64,aGVsbG8=")
        home = await ask(client, "read_sandbox_file", sandbox_id=id, path="a.txt", bring=True)
        await ask(client, "write_sandbox_file", sandbox_id=id, path="b.txt", file=f"task:{id}/0")
        read = await ask(client, "read_sandbox_file", sandbox_id=id, path="b.txt")
        await refused(client, "write_sandbox_file", sandbox_id=id, path="c", file="/etc/passwd")
        listed = await ask(client, "read_sandbox_file", sandbox_id=id)

    assert Path(home["file"]["path"]).read_bytes() == b"hello"
    assert read["text"] == "hello"
    assert [entry["path"] for entry in listed["entries"]] == ["/home/user/a.txt", "/home/user/b.txt"]


async def test_a_picture_goes_in_by_its_link_and_by_the_task_that_made_it(connect: Connect) -> None:
    async with connect(toolsets="default,sandbox") as client:
        painted = await ask(client, "generate_image", prompt="a fox", wait_seconds=20)
        (artifact,) = painted["artifacts"]
        refs = {"link": artifact["url"], "task": f"task:{painted['task_id']}/0", "path": artifact["path"]}
        id = await made(client)
        for name, ref in refs.items():
            await ask(client, "write_sandbox_file", sandbox_id=id, path=f"{name}.png", file=ref)
        count = await ask(client, "run_code", sandbox_id=id, files=[refs["task"]], code="import os\nos.listdir('.')")
        listed = await ask(client, "read_sandbox_file", sandbox_id=id)

    sizes = {Path(entry["path"]).name: entry["bytes"] for entry in listed["entries"]}
    assert {sizes[f"{name}.png"] for name in refs} == {Path(artifact["path"]).stat().st_size}
    assert f"{painted['task_id']}_0" in count["result"]


async def test_over_http_no_path_goes_in_and_none_comes_out(connect_http: Http, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("of the server")
    async with connect_http(toolsets="sandbox") as client:
        id = await made(client)
        text = await refused(client, "write_sandbox_file", sandbox_id=id, path="x", file=str(tmp_path / "mine.txt"))
        ran = await ask(client, "run_command", sandbox_id=id, command="seq 20000")

    assert "cannot be used here" in text
    assert "path" not in ran["files"][0]
    assert ran["files"][0]["uri"].startswith("novita://artifacts/")

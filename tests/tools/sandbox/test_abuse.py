"""Code that means harm, in machines that really run it behind walls, through our tools: what it does stays in its
sandbox and ends with it, and what comes home is bounded and named by us.
"""

import os
from dataclasses import replace
from pathlib import Path

import pytest
from novita_mcp.simulator.sandbox.real import machine as outside
from novita_mcp.simulator.sandbox.state import SimulatedSandboxes as State

from ...conftest import Connect, fields_of, text_of
from ...walls import why_no_walls
from .asking import ask, made, refused, until

MIB = 2**20


WHY_NOT = why_no_walls()
pytestmark = pytest.mark.skipif(bool(WHY_NOT), reason=WHY_NOT)


@pytest.fixture(autouse=True)
def walls(state: State, monkeypatch: pytest.MonkeyPatch) -> None:
    """Limits that a test reaches quickly."""
    state.level = "isolated"
    small = replace(outside.limits, processes=40, output_bytes=3 * MIB, disk_bytes=16 * MIB)
    monkeypatch.setattr(outside, "limits", small)


def on_this_machine(marker: str) -> list[str]:
    """Command lines with this word of everything that runs here now."""
    found: list[str] = []
    for each in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = each.read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
        except OSError:
            continue
        found += [line] if marker in line else []
    return found


@pytest.mark.parametrize("tool", ["run_command", "run_code"])
async def test_a_gigabyte_of_output_is_a_short_answer_and_a_bounded_file(connect: Connect, tool: str) -> None:
    wish = {"command": "yes | head -c 1000000000"}
    if tool == "run_code":
        wish = {"code": "import os\nfor _ in range(1000): _ = os.write(1, b'y' * 2**20)"}
    async with connect(toolsets="sandbox") as client:
        id = await made(client)
        ran = await ask(client, tool, sandbox_id=id, timeout_seconds=120, wait_seconds=120, **wish)
        after = await ask(client, "run_command", sandbox_id=id, command="echo on")

    assert ran["status"] != "succeeded"
    assert len(str(ran)) < 20_000
    assert all(Path(file["path"]).stat().st_size < 4 * MIB for file in ran.get("files", ()))
    assert after["output"] == "on\n"


async def test_an_endless_loop_ends_with_its_limit_and_the_sandbox_goes_on(connect: Connect) -> None:
    async with connect(toolsets="sandbox") as client:
        id = await made(client)
        command = await ask(
            client, "run_command", sandbox_id=id, command="while :; do sleep 0.01; done", timeout_seconds=1
        )
        code = "while True: __import__('time').sleep(0.01)"
        cell = await ask(client, "run_code", sandbox_id=id, code=code, timeout_seconds=1)
        burnt = await ask(client, "run_code", sandbox_id=id, code="while True: pass", timeout_seconds=1)

        async def nothing_runs() -> bool:
            return not (await ask(client, "get_sandbox", sandbox_id=id)).get("processes")

        await until(nothing_runs, "all of it is killed")
        after = await ask(client, "run_code", sandbox_id=id, code="6 * 7")

    assert (command["status"], cell["status"], burnt["status"]) == ("time_limit",) * 3
    assert after.get("result") == "42", after


async def test_a_fork_bomb_stays_small_and_ends_with_its_sandbox(connect: Connect, state: State) -> None:
    marker = f"bomb{os.getpid()}of{id(state)}"
    bomb = "import os\nwhile True:\n    try: os.fork()\n    except OSError: pass"
    async with connect(toolsets="sandbox") as client:
        sandbox = await made(client)
        await ask(client, "write_sandbox_file", sandbox_id=sandbox, path="bomb.py", text=bomb)
        command = f"exec -a {marker} python3 bomb.py"
        await ask(client, "run_command", sandbox_id=sandbox, command=command, wait_seconds=0)

        async def many() -> bool:
            return len(on_this_machine(marker)) >= 20

        await until(many, "it forks")
        most = len(on_this_machine(marker))
        gone = await ask(client, "delete_sandbox", sandbox_id=sandbox, confirm=True)

        async def none() -> bool:
            return not on_this_machine(marker)

        await until(none, "all of it ends")

    assert most <= 40
    assert gone["deleted"] == [sandbox]


async def test_nothing_is_written_or_read_outside(connect: Connect, tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    kept.write_text("of the host")
    async with connect(toolsets="sandbox") as client:
        id = await made(client)
        for path in (str(kept), f"../../../../..{kept}", f"/proc/1/root{kept}", f"/home/user/../..{kept}"):
            await client.call_tool("write_sandbox_file", {"sandbox_id": id, "path": path, "text": "overwritten"})
            command = {"sandbox_id": id, "command": f"echo overwritten > '{path}'"}
            await client.call_tool("run_command", command)
            read = await client.call_tool("read_sandbox_file", {"sandbox_id": id, "path": path})
            assert "of the host" not in read.model_dump_json()
        linked = await ask(client, "run_command", sandbox_id=id, command=f"ln -s {tmp_path} there; cat there/kept")
        key = await ask(client, "run_command", sandbox_id=id, command="env; cat /proc/1/environ /proc/self/environ")
        away = await ask(client, "run_command", sandbox_id=id, command="exec 3<>/dev/tcp/192.0.2.1/80")

    assert kept.read_text() == "of the host"
    assert "of the host" not in str(linked), "it is a folder of the sandbox's own, if there is one"
    assert "NOVITA" not in str(key)
    assert away["status"] == "failed"


HOSTILE = [
    r"-rf.txt",
    r"a\nb.txt",
    r"\e[31mred.txt",
    r"..\\..\\up.txt",
    r"con.txt",
    r"\xff\xfe.txt",
    r"\'; rm -rf ~.txt",
]
"""As bash writes them in $'...'."""
AS_THEY_ARE = ("-rf.txt", "a\nb.txt", "\x1b[31mred.txt", "..\\..\\up.txt", "con.txt", "'; rm -rf ~.txt", "link.txt")


async def test_hostile_names_come_home_under_names_of_ours(connect: Connect, tmp_path: Path) -> None:
    make = "mkdir in; cd in; " + "; ".join(f"printf x > $'./{name}'" for name in HOSTILE)
    async with connect(toolsets="sandbox") as client:
        id = await made(client)
        make += "; ln -s /etc/passwd link.txt; ls -A | wc -l"
        ran = await ask(client, "run_command", sandbox_id=id, command=make)
        said = r"printf 'a\e[31mb\e]0;title\ac\e]52;c;eA==\e\\d\bd\n'"
        obeyed = await ask(client, "run_command", sandbox_id=id, command=said)
        each = [
            await client.call_tool("read_sandbox_file", {"sandbox_id": id, "path": f"in/{name}", "bring": True})
            for name in AS_THEY_ARE
        ]
        listed = await client.call_tool("read_sandbox_file", {"sandbox_id": id, "path": "in"})
        elsewhere = await refused(
            client, "run_command", sandbox_id=id, command="true", save_files=["in/con.txt"], save_to="/etc/cron.d/x"
        )

    assert ran["output"].split()[-1] == "9", ran
    out = (tmp_path / "out").resolve()
    for result in each:
        assert not result.is_error, result.content
        path = Path(fields_of(result)["file"]["path"])
        assert path.resolve().is_relative_to(out)
        assert path.is_file() and not path.is_symlink()
        assert all(letter.isalnum() or letter in "-_." for letter in path.name), path.name
        assert not path.name.startswith(("-", "."))
    assert "root:x" not in Path(fields_of(each[-1])["file"]["path"]).read_text()
    entries = fields_of(listed)["entries"]
    assert len(entries) == 9 - 1
    assert "/etc/cron.d" in elsewhere
    assert "\x1b" not in text_of(listed)
    assert "/home/user/in/?[31mred.txt" in {entry["path"] for entry in entries}
    assert obeyed["output"] == "abcdd\n"

"""Code that really runs, isolated or not. It ends when it should, and it never runs unless that was asked for."""

import base64
import io
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from novita_mcp.simulator import World
from novita_mcp.simulator.sandbox.machine import Level
from novita_mcp.simulator.sandbox.real import machine as outside
from novita_mcp.simulator.sandbox.state import SimulatedSandboxes
from PIL import Image
from raw import Inside, Raw

MIB = 2**20
LONG = 60.0
"""Seconds after which a test gives up. It does not measure how fast something is."""


def _possible() -> str:
    try:
        outside.check_level("isolated")
    except outside.Unavailable as error:
        return str(error)
    return ""


IMPOSSIBLE = _possible() if sys.platform == "linux" else "Linux only"
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX")
walls = pytest.mark.skipif(bool(IMPOSSIBLE), reason=IMPOSSIBLE)


def _processes() -> set[str]:
    """Command lines of everything that runs on this machine now."""
    found: set[str] = set()
    for each in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            found.add(each.read_bytes().replace(b"\0", b" ").decode("utf-8", "replace"))
        except OSError:
            continue
    return found


@pytest.fixture
def isolated(raw: Raw, state: SimulatedSandboxes) -> Inside:
    state.level = "isolated"
    return raw.create(timeout=600)


@pytest.fixture
def tight(monkeypatch: pytest.MonkeyPatch) -> None:
    """Limits that a test reaches quickly."""
    small = replace(outside.limits, cpu_seconds=1, processes=40, output_bytes=2 * MIB, disk_bytes=16 * MIB)
    monkeypatch.setattr(outside, "limits", small)


PICTURE = """
import struct, zlib
class Picture:
    def _repr_png_(self):
        rows = b''.join(b'\\0' + bytes([x, y, 128]) * 8 for x in range(2) for y in range(4))
        def part(kind, data):
            return struct.pack('>I', len(data)) + kind + data + struct.pack('>I', zlib.crc32(kind + data))
        head = struct.pack('>IIBBBBB', 8, 8, 8, 2, 0, 0, 0)
        return b'\\x89PNG\\r\\n\\x1a\\n' + part(b'IHDR', head) + part(b'IDAT', zlib.compress(rows)) + part(b'IEND', b'')
Picture()
"""


@walls
def test_python_and_the_shell_are_real_and_share_files(isolated: Inside) -> None:
    isolated.write("numbers.csv", b"1,2\n3,4\n")
    isolated.code("import csv\nrows = list(csv.reader(open('numbers.csv')))")

    assert isolated.value("sum(int(cell) for row in rows for cell in row)") == "10"
    assert isolated.run("wc -l < numbers.csv; whoami; pwd")[1].split() == ["2", "user", "/home/user"]
    result = isolated.code(PICTURE)[1]
    picture = Image.open(io.BytesIO(base64.b64decode(result["png"])))
    picture.load()
    assert picture.size == (8, 8)
    error = isolated.error("def f():\n    raise ValueError('why')\nf()")
    assert (error["name"], error["value"]) == ("ValueError", "why")
    assert "line 2, in f" in error["traceback"]
    assert "kernel.py" not in error["traceback"]


@walls
def test_what_programs_write_is_told_in_its_place_among_the_lines_of_the_cell(isolated: Inside) -> None:
    loop = "for n in range(40):\n    os.system(f'echo below {n}')\n    print(n)\n    display(n)"

    lines = [
        (line["type"], line["text"])
        for line in isolated.code(f"import os\n{loop}\nos.system('echo last')")
        if "text" in line
    ]

    each = (("stdout", "below {}\n"), ("stdout", "{}\n"), ("result", "{}"))
    told = [(kind, text.format(n)) for n in range(40) for kind, text in each]
    assert lines == [*told, ("stdout", "last\n"), ("result", "0")]
    failed = isolated.code("os.write(2, b'first')\n1 / 0")
    assert [line["type"] for line in failed[1:3]] == ["stderr", "error"]
    cut = isolated.code("for byte in '\\u00e9'.encode() * 5: written = os.write(1, bytes([byte]))")
    assert "".join(line["text"] for line in cut if line["type"] == "stdout") == "\u00e9" * 5


@walls
def test_the_host_cannot_be_seen_written_or_reached(isolated: Inside, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("of the host")
    places = f"{secret} {Path(__file__)} /root /home/{os.environ.get('USER', 'root')}x /var/log /etc/shadow"

    _, out, _ = isolated.run(f"for place in {places}; do ls $place 2>/dev/null; done; ls /home; ls /tmp; id -u")
    assert out == "user\n1000\n"
    for target in ("/usr/bin/made", "/etc/made", "/made", f"{sys.base_prefix}/made"):
        assert isolated.run(f"touch {target}")[0]["exitCode"] != 0
        assert not Path(target).exists()
    assert isolated.run("cat /proc/self/status | grep CapEff")[1].split()[-1] == "0000000000000000"
    network = isolated.error("import socket\nsocket.create_connection(('192.0.2.1', 80), 2)")
    assert "unreachable" in network["value"]
    mine = isolated.error(f"import socket\nsocket.create_connection(('127.0.0.1', {_port(isolated)}), 2)")
    assert mine["name"] == "ConnectionRefusedError"
    assert "pytest" not in isolated.run("cat /proc/[0-9]*/cmdline | tr '\\0' ' '")[1]
    assert isolated.run("unshare -Ur true")[0]["exitCode"] != 0
    assert isolated.run("mount -t tmpfs none /mnt")[0]["exitCode"] != 0
    assert "NOVITA" not in isolated.run("env")[1]


def _port(sandbox: Inside) -> int:
    return sandbox.raw.plane.base_url.port or 0


@walls
@pytest.mark.usefixtures("tight")
def test_a_gigabyte_of_output_is_cut_at_its_source(isolated: Inside) -> None:
    end, out, _ = isolated.run("yes | head -c 1000000000")

    assert end["error"].startswith("output limit")
    assert 2 * MIB <= len(out) < 3 * MIB


@walls
@pytest.mark.usefixtures("tight")
def test_endless_loops_end(isolated: Inside) -> None:
    looping = isolated.error("while True: pass")

    assert looping["name"] == "ExecutionAborted"
    assert "CPU time" in looping["value"] or "killed" in looping["value"]
    assert isolated.value("1 + 1") == "2", "a new kernel took its place"
    assert isolated.run("while :; do :; done")[0]["exitCode"] == -1


@walls
@pytest.mark.usefixtures("tight")
def test_a_fork_bomb_stays_small_and_ends_with_its_sandbox(isolated: Inside, raw: Raw) -> None:
    marker = f"bomb{os.getpid()}"
    bomb = "import os\nwhile True:\n    try: os.fork()\n    except OSError: pass"
    isolated.write("bomb.py", bomb.encode())
    next(isolated.start(f"exec -a {marker} python3 bomb.py"))
    most, deadline = 0, time.monotonic() + LONG
    while most < 35 and time.monotonic() < deadline:
        listed = isolated.call("filesystem.Filesystem/ListDir", {"path": "/proc"}).json()["entries"]
        most = max(most, sum(entry["name"].isdigit() for entry in listed))

    assert 35 <= most <= 40
    raw.ask("DELETE", f"/sandboxes/{isolated.id}")
    deadline = time.monotonic() + LONG
    while any(marker in line for line in _processes()) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not [line for line in _processes() if marker in line]


@walls
@pytest.mark.usefixtures("tight")
def test_memory_and_disk_are_bounded(isolated: Inside) -> None:
    assert isolated.error("x = bytes(4 * 10**9)")["name"] == "MemoryError"
    full = isolated.error("open('big', 'wb').write(bytes(64 * 2**20))")
    assert full["name"] == "OSError"
    assert isolated.write("more", bytes(20 * MIB)).status_code == 507
    hoarding = "held = []\nwhile True:\n    held.append(bytearray(50 * 2**20))"
    assert isolated.error(hoarding)["name"] in ("MemoryError", "ExecutionAborted")


@walls
def test_hostile_names_lead_nowhere(isolated: Inside, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("of the host")
    isolated.run(f"ln -s {secret} link; ln -s /etc/passwd known; mkfifo pipe; ln -s loop loop; mkdir -- '-rf' $'a\\nb'")

    assert isolated.file("link").status_code == 404
    assert isolated.file(f"../../../../..{secret}").status_code == 404
    assert b"root" not in isolated.file("known").content, "its own, not the host's"
    assert isolated.file("pipe").status_code == 400
    assert isolated.file("loop").status_code in (400, 404)
    assert isolated.write("x" * 300, b"1").status_code == 400
    assert isolated.write("a\0b", b"1").status_code == 400
    assert isolated.write("../../../../tmp/made-outside", b"1").status_code == 200
    assert not Path("/tmp/made-outside").exists()
    names = isolated.call("filesystem.Filesystem/ListDir", {"path": "."}).json()["entries"]
    assert {"-rf", "a\nb"} <= {entry["name"] for entry in names}


@walls
def test_a_pause_stops_processes_and_a_resume_lets_them_go_on(isolated: Inside, raw: Raw) -> None:
    isolated.run("(while :; do echo tick >> ticks; sleep 0.05; done) >/dev/null 2>&1 & sleep 0.3")
    raw.ask("POST", f"/sandboxes/{isolated.id}/pause")
    time.sleep(0.1)
    raw.ask("POST", f"/sandboxes/{isolated.id}/connect", {"timeout": 60})

    before = len(isolated.file("ticks").content)
    deadline = time.monotonic() + LONG
    while len(isolated.file("ticks").content) == before and time.monotonic() < deadline:
        time.sleep(0.05)
    assert len(isolated.file("ticks").content) > before


@walls
def test_snapshots_carry_the_files_of_the_home_folder(isolated: Inside, raw: Raw) -> None:
    isolated.run("mkdir d; echo kept > d/f; chmod +x d/f")
    made = raw.ask("POST", f"/sandboxes/{isolated.id}/snapshots", {}).json()

    copy = raw.create(templateID=made["snapshotID"])

    assert copy.run("cat d/f; test -x d/f && echo runs")[1] == "kept\nruns\n"


@walls
def test_a_terminal_and_stdin_reach_the_program(isolated: Inside) -> None:
    process = {"cmd": "/bin/bash", "args": ["-c", "tty >/dev/null && stty size; read line; echo got $line"]}
    message = {"process": process, "pty": {"size": {"cols": 100, "rows": 30}}}
    running = isolated.stream("process.Process/Start", message)
    pid = next(running)["event"]["start"]["pid"]
    heard = b""
    while not heard.endswith(b"\n"):
        heard += base64.b64decode(next(running)["event"]["data"]["pty"])
    assert heard == b"30 100\r\n"

    typed = base64.b64encode(b"hello\n").decode()
    isolated.call("process.Process/SendInput", {"process": {"pid": pid}, "input": {"pty": typed}})

    rest = b"".join(base64.b64decode(m["event"]["data"]["pty"]) for m in running if "data" in m.get("event", {}))
    assert b"got hello" in rest


@walls
def test_an_interrupted_cell_keeps_its_state(isolated: Inside) -> None:
    isolated.code("x = 41")
    body = {"code": "import time\nprint('on', flush=True)\ntime.sleep(100)"}
    with isolated.raw.inside.stream("POST", "/execute", json=body, headers=isolated.headers(49999)) as answer:
        lines = answer.iter_lines()
        while json.loads(next(lines))["type"] != "stdout":
            pass

    assert isolated.value("x + 1") == "42"


@walls
def test_nothing_is_left_when_the_simulator_ends_or_is_killed(tmp_path: Path) -> None:
    marker = f"left{os.getpid()}"
    script = (
        "import sys, time\n"
        "from novita_mcp.simulator import World, serve\n"
        "from novita_mcp.simulator.sandbox.service import area\n"
        "world = World(); area(world).level = 'isolated'\n"
        "with serve(world) as running:\n"
        "    print(running.url, flush=True)\n"
        "    sys.stdin.read()\n"
    )
    for ending in ("eof", "kill"):
        child = subprocess.Popen(
            [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert child.stdin is not None
        assert child.stdout is not None
        raw = Raw(child.stdout.readline().strip(), World())
        try:
            running = raw.create().start(f"exec -a {marker} sleep 300")
            next(running)
            deadline = time.monotonic() + LONG
            while not any(marker in line for line in _processes()) and time.monotonic() < deadline:
                time.sleep(0.02)
            assert [line for line in _processes() if marker in line]
            if ending == "eof":
                child.stdin.close()
            else:
                os.kill(child.pid, signal.SIGKILL)
            child.wait(20)
            deadline = time.monotonic() + LONG
            while any(marker in line for line in _processes()) and time.monotonic() < deadline:
                time.sleep(0.05)
            assert not [line for line in _processes() if marker in line], ending
        finally:
            child.kill()
            child.wait()
            child.stdout.close()
            if not child.stdin.closed:
                child.stdin.close()
            raw.close()


def test_local_runs_code_in_a_folder_of_its_own_and_keeps_the_daemons_routes_in_it(
    raw: Raw, state: SimulatedSandboxes, tmp_path: Path
) -> None:
    state.level = "local"
    sandbox = raw.create()
    secret = tmp_path / "secret"
    secret.write_text("of the host")
    sandbox.write("a.txt", b"hello")

    assert sandbox.run("cat a.txt; echo $HOME | grep -c novita-sandbox-")[1] == "hello1\n"
    assert sandbox.value("open('a.txt').read()") == "hello"
    assert sandbox.value(f"open({str(secret)!r}).read()") == "of the host", "local is no wall, and the README says so"
    sandbox.run(f"ln -s {secret} link")
    assert sandbox.file("link").status_code == 403
    assert sandbox.file(str(secret)).status_code == 404
    assert sandbox.write(str(tmp_path / "made"), b"x").status_code == 200
    assert not (tmp_path / "made").exists()
    raw.ask("DELETE", f"/sandboxes/{sandbox.id}")


def test_a_local_sandbox_leaves_no_process_behind(raw: Raw, state: SimulatedSandboxes) -> None:
    state.level = "local"
    sandbox = raw.create()
    marker = f"local{os.getpid()}"
    next(sandbox.start(f"(exec -a {marker} sleep 300) & exec -a {marker} sleep 300"))
    deadline = time.monotonic() + LONG
    while not any(marker in line for line in _processes()) and time.monotonic() < deadline:
        time.sleep(0.02)

    raw.ask("DELETE", f"/sandboxes/{sandbox.id}")

    deadline = time.monotonic() + LONG
    while any(marker in line for line in _processes()) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not [line for line in _processes() if marker in line]


@pytest.mark.parametrize("level", ["scripted", "local", "isolated"])
def test_the_level_is_named_in_every_sandbox(raw: Raw, state: SimulatedSandboxes, level: Level) -> None:
    state.level = level

    assert raw.detail(raw.create())["metadata"]["simulator_execution"] == level


def test_running_without_walls_is_refused_to_the_superuser() -> None:
    if os.geteuid() == 0:
        with pytest.raises(outside.Unavailable, match="root"):
            outside.check_level("local")
    else:
        outside.check_level("local")

"""The daemon in a sandbox: the Connect protocol, processes, files, and access."""

import base64
import gzip
import json
import time
from typing import Any

import httpx
import pytest
from novita_mcp.simulator import World
from novita_mcp.simulator.sandbox.state import SimulatedSandboxes
from raw import Raw


def test_output_comes_as_base64_and_the_end_says_the_code(raw: Raw) -> None:
    sandbox = raw.create()

    messages = list(sandbox.start("echo out; echo err >/dev/null; cat none; exit 4"))

    assert messages[0]["event"]["start"]["pid"] > 0
    kinds = [next(iter(message["event"]["data"])) for message in messages if "data" in message.get("event", {})]
    assert kinds == ["stdout", "stderr"]
    assert messages[-2] == {"event": {"end": {"status": "exit status 4", "exited": True, "exitCode": 4}}}
    assert messages[-1] == {"trailer": {}}


def test_zero_is_left_out_as_proto3_json_does(raw: Raw) -> None:
    end, out, _ = raw.create().run("echo hi")

    assert "exitCode" not in json.dumps(end)
    assert out == "hi\n"


def test_an_error_of_a_stream_comes_under_status_200(raw: Raw) -> None:
    (message,) = raw.create().start("echo", cwd="/nowhere")

    assert message["trailer"]["error"]["code"] == "invalid_argument"
    assert "/nowhere" in message["trailer"]["error"]["message"]


@pytest.mark.parametrize(
    ("method", "message", "status", "code"),
    [
        ("filesystem.Filesystem/Stat", {"path": "none"}, 404, "not_found"),
        ("filesystem.Filesystem/MakeDir", {"path": "/tmp"}, 409, "already_exists"),
        ("filesystem.Filesystem/ListDir", {"path": "/etc/hostname"}, 400, "invalid_argument"),
        ("filesystem.Filesystem/ListDir", {"path": "a\0b"}, 400, "invalid_argument"),
        ("filesystem.Filesystem/ListDir", {"dir": "/tmp"}, 400, "invalid_argument"),
        ("process.Process/SendSignal", {"process": {"pid": 1}, "signal": "SIGNAL_SIGKILL"}, 404, "not_found"),
        ("process.Process/SendSignal", {"process": {"pid": 1}, "signal": "KILL"}, 400, "invalid_argument"),
        ("process.Process/Nothing", {}, 501, "unimplemented"),
    ],
)
def test_unary_errors_carry_connects_codes(raw: Raw, method: str, message: Any, status: int, code: str) -> None:
    answer = raw.create().call(method, message)

    assert (answer.status_code, answer.json()["code"]) == (status, code)


def test_a_missing_or_wrong_token_is_refused_everywhere_inside(raw: Raw) -> None:
    sandbox = raw.create()
    other = raw.create()
    for token in ("", "wrong", other.made["envdAccessToken"]):
        headers = sandbox.headers() | {"X-Access-Token": token}
        calls = [
            raw.inside.post("/process.Process/List", json={}, headers=headers),
            raw.inside.get("/files", params={"path": "/etc/hostname"}, headers=headers),
            raw.inside.get("/envs", headers=headers),
            raw.inside.post("/execute", json={"code": "1"}, headers=headers | {"Novita-Sandbox-Port": "49999"}),
        ]
        assert [call.status_code for call in calls] == [401, 401, 401, 401]
    assert raw.inside.get("/health", headers={"Novita-Sandbox-Id": sandbox.id}).status_code == 204


def test_a_restricted_interpreter_wants_the_traffic_token_too(raw: Raw) -> None:
    sandbox = raw.create(network={"allowPublicTraffic": False})
    headers = sandbox.headers(49999)

    without = raw.inside.post("/execute", json={"code": "1"}, headers=headers)
    token = {"E2B-Traffic-Access-Token": sandbox.made["trafficAccessToken"]}

    assert without.status_code == 403
    assert raw.inside.post("/execute", json={"code": "1"}, headers=headers | token).status_code == 200
    assert raw.ask("GET", f"/sandboxes/{sandbox.id}").json().get("trafficAccessToken") is None


def test_a_process_outlives_its_client_and_dies_at_its_time(raw: Raw) -> None:
    sandbox = raw.create()
    left = sandbox.start("sleep 100")
    pid = next(left)["event"]["start"]["pid"]
    left.close()
    running = sandbox.call("process.Process/List", {}).json()["processes"]
    assert [each["pid"] for each in running] == [pid]

    messages = list(sandbox.start("sleep 100", limit_ms=200))

    assert messages[-1]["trailer"]["error"]["code"] == "deadline_exceeded"
    deadline = time.monotonic() + 60
    while len(sandbox.call("process.Process/List", {}).json()["processes"]) > 1 and time.monotonic() < deadline:
        time.sleep(0.02)
    assert [each["pid"] for each in sandbox.call("process.Process/List", {}).json()["processes"]] == [pid]


def test_whoever_attaches_later_hears_nothing_of_before(raw: Raw) -> None:
    sandbox = raw.create()
    first = sandbox.start("echo before; cat", stdin=True)
    pid = next(first)["event"]["start"]["pid"]
    assert base64.b64decode(next(first)["event"]["data"]["stdout"]) == b"before\n"
    second = sandbox.stream("process.Process/Connect", {"process": {"pid": pid}})
    assert next(second)["event"]["start"]["pid"] == pid

    typed = base64.b64encode(b"typed").decode()
    sandbox.call("process.Process/SendInput", {"process": {"pid": pid}, "input": {"stdin": typed}})
    sandbox.call("process.Process/CloseStdin", {"process": {"pid": pid}})

    assert base64.b64decode(next(second)["event"]["data"]["stdout"]) == b"typed"
    assert [list(message["event"]) for message in second if "event" in message] == [["end"]]
    first.close()


def test_a_signal_ends_a_process_without_an_exit_code_of_its_own(raw: Raw) -> None:
    sandbox = raw.create()
    running = sandbox.start("sleep 100")
    pid = next(running)["event"]["start"]["pid"]

    sandbox.call("process.Process/SendSignal", {"process": {"pid": pid}, "signal": "SIGNAL_SIGTERM"})

    end = next(message["event"]["end"] for message in running if "event" in message)
    assert end == {"status": "signal: terminated", "exitCode": -1, "error": "signal: terminated"}


def test_the_environment_has_the_sandboxs_variables_and_the_list_shows_only_the_calls_own(raw: Raw) -> None:
    sandbox = raw.create(envVars={"A": "sandbox", "B": "sandbox"})
    process = {"cmd": "/bin/bash", "args": ["-l", "-c", "printenv A B HOME; sleep 100"], "envs": {"B": "call"}}
    running = sandbox.stream("process.Process/Start", {"process": process, "tag": "mine"})
    next(running)

    heard = b"".join(base64.b64decode(next(running)["event"]["data"]["stdout"]) for _ in range(1))

    assert heard == b"sandbox\ncall\n/home/user\n"
    (listed,) = sandbox.call("process.Process/List", {}).json()["processes"]
    assert (listed["tag"], listed["config"]["envs"]) == ("mine", {"B": "call"})
    running.close()


def test_whole_files_go_in_and_out_with_ranges_gzip_and_honest_refusals(raw: Raw) -> None:
    sandbox = raw.create()
    written = sandbox.write("deep/er/f.bin", b"0123456789")

    assert written.json() == [{"name": "f.bin", "path": "/home/user/deep/er/f.bin", "type": "file"}]
    assert sandbox.file("deep/er/f.bin", **{"Accept-Encoding": "identity"}).content == b"0123456789"
    part = sandbox.file("deep/er/f.bin", **{"Accept-Encoding": "identity", "Range": "bytes=3-5"})
    assert (part.status_code, part.content, part.headers["content-range"]) == (206, b"345", "bytes 3-5/10")
    packed = sandbox.file("deep/er/f.bin", **{"Accept-Encoding": "gzip"})
    assert packed.headers["content-encoding"] == "gzip"
    assert [sandbox.file(path).status_code for path in ("none", "deep")] == [404, 400]
    assert sandbox.write("/tmp", b"x").status_code == 400
    assert sandbox.file("f", Range="bytes=20-").status_code == 404
    zipped = sandbox.headers() | {"Content-Type": "application/octet-stream", "Content-Encoding": "gzip"}
    raw.inside.post("/files", params={"path": "z"}, content=gzip.compress(b"unzipped"), headers=zipped)
    assert sandbox.file("z").content == b"unzipped"


def test_a_full_disk_is_507(raw: Raw, state: SimulatedSandboxes) -> None:
    sandbox = raw.create()
    sandbox.write("a", b"1")
    disk: Any = state.sandboxes[sandbox.id].machine
    disk.disk.room = 100

    assert sandbox.write("b", bytes(200)).status_code == 507


def test_entries_are_shown_with_sizes_as_text(raw: Raw) -> None:
    sandbox = raw.create()
    sandbox.write("d/a.txt", b"abc")

    answer = sandbox.call("filesystem.Filesystem/ListDir", {"path": "/home/user", "depth": 2}).json()

    assert [(each["path"], each["type"]) for each in answer["entries"]] == [
        ("/home/user/d", "FILE_TYPE_DIRECTORY"),
        ("/home/user/d/a.txt", "FILE_TYPE_FILE"),
    ]
    assert (answer["entries"][1]["size"], answer["entries"][1]["permissions"]) == ("3", "-rw-r--r--")


def test_a_stream_breaks_when_its_sandbox_ends(raw: Raw) -> None:
    sandbox = raw.create()
    running = sandbox.start("sleep 100")
    next(running)

    raw.ask("DELETE", f"/sandboxes/{sandbox.id}")

    with pytest.raises(httpx.RemoteProtocolError):
        list(running)
    assert sandbox.call("process.Process/List", {}).status_code == 502


@pytest.mark.parametrize("fault", ["cut", "garbage"])
def test_ordered_faults_break_the_stream(raw: Raw, state: SimulatedSandboxes, fault: str) -> None:
    sandbox = raw.create()
    state.add_fault(fault)

    with pytest.raises((httpx.RemoteProtocolError, ValueError)):
        list(sandbox.start("echo hi"))

    assert sandbox.run("echo hi")[1] == "hi\n"


def test_a_stream_can_be_without_its_end(raw: Raw, state: SimulatedSandboxes) -> None:
    sandbox = raw.create()
    state.add_fault("no_end")

    messages = list(sandbox.start("echo hi"))

    assert [list(message) for message in messages] == [["event"]]


def test_a_port_nobody_listens_at_is_502(raw: Raw) -> None:
    sandbox = raw.create()

    answer = raw.inside.get("/any/path", headers={"Novita-Sandbox-Id": sandbox.id, "Novita-Sandbox-Port": "3000"})

    assert (answer.status_code, answer.json()["port"]) == (502, 3000)


def test_a_sandbox_is_named_by_host_and_by_user_info_too(raw: Raw, world: World) -> None:
    sandbox = raw.create()
    token = {"X-Access-Token": sandbox.made["envdAccessToken"]}
    sandbox.write("a", b"named")

    by_host = raw.inside.get("/files?path=a", headers=token | {"Host": f"49983-{sandbox.id}.sandbox.test"})
    by_user = raw.inside.get("/contexts", headers=token, auth=(f"49999-{sandbox.id}.sbx", ""))
    by_token = raw.inside.get("/files?path=a", headers=token)

    assert [by_host.content, by_user.status_code, by_token.content] == [b"named", 200, b"named"]

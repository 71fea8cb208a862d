"""The interpreter's routes: lines, contexts, errors, and how a cell ends early."""

import json
import threading
import time

import httpx
import pytest
from novita_mcp.simulator import World
from novita_mcp.simulator.sandbox.state import SimulatedSandboxes
from raw import Inside, Raw


def test_a_cell_answers_in_lines_that_begin_with_its_number_and_end_with_the_end(raw: Raw) -> None:
    lines = raw.create().code("print('a')\nprint('b')\n[1, 'x']")

    assert [line["type"] for line in lines] == [
        "number_of_executions",
        "stdout",
        "stdout",
        "result",
        "end_of_execution",
    ]
    assert lines[3] == {"type": "result", "is_main_result": True, "text": "[1, 'x']"}
    assert lines[1]["text"] == "a\n"


def test_the_quotes_of_a_text_are_not_shown(raw: Raw) -> None:
    assert raw.create().value("'plain'") == "plain"


def test_state_lives_in_the_context_and_the_default_is_shared(raw: Raw) -> None:
    sandbox = raw.create()
    context = raw.inside.post("/contexts", json={"cwd": "/tmp"}, headers=sandbox.headers(49999)).json()
    sandbox.code("x = 1")
    sandbox.code("x = 2", context_id=context["id"])

    assert sandbox.value("x") == "1"
    assert context["cwd"] == "/tmp"
    listed = raw.inside.get("/contexts", headers=sandbox.headers(49999)).json()
    assert [each["language"] for each in listed] == ["python", "python"]
    assert raw.inside.delete(f"/contexts/{context['id']}", headers=sandbox.headers(49999)).status_code == 200
    gone = raw.inside.post("/execute", json={"code": "x", "context_id": context["id"]}, headers=sandbox.headers(49999))
    assert gone.status_code == 404


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"code": "1", "context_id": "c", "language": "python"}, 400),
        ({"code": 1}, 400),
        ({}, 422),
        ({"code": "1", "lang": "python"}, 400),
        ({"code": "1", "env_vars": {"A": 1}}, 400),
        ({"code": "1", "language": "cobol"}, 400),
        ({"code": "1", "context_id": None, "language": None, "env_vars": None}, 200),
    ],
)
def test_bodies_are_checked(raw: Raw, body: object, status: int) -> None:
    sandbox = raw.create()

    assert raw.inside.post("/execute", json=body, headers=sandbox.headers(49999)).status_code == status


def test_variables_of_a_call_do_not_stay(raw: Raw) -> None:
    sandbox = raw.create(envVars={"A": "1"})
    code = "import os\n[os.getenv('A'), os.getenv('B')]"

    assert sandbox.code(code, env_vars={"B": "2"})[1]["text"] == "['1', '2']"
    assert sandbox.value(code) == "['1', None]"


def test_a_template_without_the_interpreter_has_no_such_port(raw: Raw) -> None:
    sandbox = raw.create(templateID="base")

    answer = raw.inside.post("/execute", json={"code": "1"}, headers=sandbox.headers(49999))

    assert (answer.status_code, answer.json()["port"]) == (502, 49999)


def test_a_cell_is_interrupted_when_its_client_hangs_up_and_state_is_kept(raw: Raw) -> None:
    sandbox = raw.create()
    sandbox.code("x = 41")
    body = {"code": "import time\nprint('on')\ntime.sleep(100)"}
    with raw.inside.stream("POST", "/execute", json=body, headers=sandbox.headers(49999)) as answer:
        assert json.loads(next(answer.iter_lines()))["type"] == "number_of_executions"

    assert sandbox.value("x + 1") == "42"


def until_it_runs(state: SimulatedSandboxes, sandbox: Inside) -> None:
    """Wait until a cell of the sandbox has begun."""
    deadline = time.monotonic() + 60
    while not state.sandboxes[sandbox.id].open_streams and time.monotonic() < deadline:
        time.sleep(0.01)


def test_a_context_runs_one_cell_at_a_time(raw: Raw, world: World, state: SimulatedSandboxes) -> None:
    world.set(speed=20)
    sandbox = raw.create()
    slow = threading.Thread(target=sandbox.code, args=("import time\ntime.sleep(6)\nx = 'slow was first'",))
    slow.start()
    until_it_runs(state, sandbox)

    assert sandbox.value("x") == "slow was first"
    slow.join()


def test_restarting_forgets_and_breaks_off_what_runs(raw: Raw, state: SimulatedSandboxes) -> None:
    sandbox = raw.create()
    context = raw.inside.post("/contexts", json={}, headers=sandbox.headers(49999)).json()["id"]
    sandbox.code("x = 1", context_id=context)
    found: list[list[dict[str, object]]] = []
    body = "import time\ntime.sleep(100)"
    running = threading.Thread(target=lambda: found.append(sandbox.code(body, context_id=context)))
    running.start()
    until_it_runs(state, sandbox)

    assert raw.inside.post(f"/contexts/{context}/restart", headers=sandbox.headers(49999)).status_code == 200
    running.join(60)

    assert "ContextRestarting" in [line.get("name") for line in found[0]]
    assert sandbox.code("x", context_id=context)[1]["name"] == "NameError"


def test_a_stream_may_lack_its_end(raw: Raw, state: SimulatedSandboxes) -> None:
    state.add_fault("no_end")
    state.add_fault("cut")
    sandbox = raw.create()

    assert sandbox.code("1")[-1]["type"] == "result"
    with pytest.raises(httpx.RemoteProtocolError):
        sandbox.code("1")


def test_deleting_breaks_a_cell_off(raw: Raw) -> None:
    sandbox = raw.create()
    body = {"code": "import time\ntime.sleep(100)"}
    with raw.inside.stream("POST", "/execute", json=body, headers=sandbox.headers(49999)) as answer:
        lines = answer.iter_lines()
        next(lines)
        raw.ask("DELETE", f"/sandboxes/{sandbox.id}")
        with pytest.raises(httpx.RemoteProtocolError):
            list(lines)

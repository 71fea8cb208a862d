"""What hosts really write into the pipe, and that every line of ours can be read by the strictest of them.

Answers to what is no message are those of JSON-RPC 2.0, section 5.1.
"""

import json
import os
import subprocess
import sys
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mcp_types import JSONRPCNotification, JSONRPCResponse
from novita_mcp.server.wire.messages import read_message, written
from novita_mcp.simulator.core.world import World
from novita_mcp.simulator.core.world import WorldSettings as WorldSettings
from novita_mcp.simulator.serving import Running, serve
from pydantic_core import from_json

from .children import PATIENCE, Child, child, environment

HALF = r"\ud83d"
ANY_TEXT = st.text(
    st.one_of(st.characters(codec=None), st.sampled_from('\ud83d\ude00\udcff\\u"d8\x00\ufeff\u2028{[')), max_size=30
)


@pytest.fixture(scope="module")
def novita() -> Generator[tuple[World, Running]]:
    world = World(WorldSettings(task_seconds=0))
    with serve(world) as running:
        yield world, running


@pytest.fixture(scope="module")
def server(novita: tuple[World, Running], tmp_path_factory: pytest.TempPathFactory) -> Generator[Child]:
    """A server that has shaken hands; one for all, since none of this may end it."""
    with child(tmp_path_factory.mktemp("home"), novita[1].url) as running:
        running.initialize()
        running.answer(running.send("tools/list"))  # builds the tools, which takes its time
        yield running


def assert_every_line_is_strict_json(server: Child) -> None:
    """As serde and pydantic read it: they refuse half an emoji, escaped or not."""
    for line in server.stdout:
        message = from_json(line.encode(), allow_inf_nan=False)
        assert message["jsonrpc"] == "2.0"


def call(arguments: str, tool: str = "generate_image", number: int = 9001) -> bytes:
    """A tools/call whose arguments are written out by hand."""
    params = f'{{"name": "{tool}", "arguments": {arguments}}}'
    return f'{{"jsonrpc": "2.0", "id": {number}, "method": "tools/call", "params": {params}}}'.encode()


def test_half_an_emoji_in_an_argument_is_replaced_and_the_call_answered(server: Child) -> None:
    server.send_line(call(rf'{{"prompt": "fox {HALF}", "dry_run": true}}'))

    answer = server.answer(9001)["result"]

    assert not answer.get("isError")
    assert answer["structuredContent"]["request"]["body"]["prompt"] == "fox \ufffd"
    assert_every_line_is_strict_json(server)


def test_both_halves_of_an_emoji_in_an_argument_reach_novita_as_one(
    server: Child, novita: tuple[World, Running]
) -> None:
    server.send_line(call(r'{"prompt": "fox \ud83e\udd8a"}'))

    assert server.answer(9001)["result"]["structuredContent"]["status"] == "succeeded"
    assert [request.body["prompt"] for request in novita[0].requests if request.method == "POST"] == ["fox 🦊"]


ANYWHERE = [
    call(rf'{{"prompt": "x", "options": {{"{HALF}": ["{HALF}", {{"a": "{HALF}"}}]}}, "dry_run": true}}'),
    call(rf'{{"prompt": "x", "unheard{HALF}": 1}}'),
    call(rf'{{"prompt": "x", "save_to": "/tmp/{HALF}", "dry_run": true}}'),
    call(rf'{{"prompt": "{{\"a\": \"\{HALF}\"}}", "dry_run": true}}', "chat"),
    call(rf'{{"image": "a{HALF}.png"}}', "remove_background"),
    call(rf'{{"task_id": "{HALF}"}}', "get_task"),
    call("{}", f"no{HALF}"),
]


def test_half_an_emoji_anywhere_in_a_call_leaves_the_server_alive(server: Child) -> None:
    for line in ANYWHERE:
        server.send_line(line)

        text = server.answer(9001)["result"]["content"][0]["text"]

        assert "fault in novita-mcp" not in text
    assert_every_line_is_strict_json(server)


def test_half_an_emoji_in_other_requests_leaves_the_server_alive(server: Child) -> None:
    for number, (method, params) in enumerate(
        [
            ("resources/read", rf'{{"uri": "novita://tasks/{HALF}"}}'),
            ("prompts/get", rf'{{"name": "{HALF}", "arguments": {{"{HALF}": "{HALF}"}}}}'),
            (
                "completion/complete",
                rf'{{"ref": {{"type": "ref/resource", "uri": "{HALF}"}}, "argument": '
                rf'{{"name": "a", "value": "{HALF}"}}}}',
            ),
            (f"unheard/{HALF}", "{}"),
        ],
        start=9000,
    ):
        server.send_line(f'{{"jsonrpc": "2.0", "id": {number}, "method": "{method}", "params": {params}}}'.encode())
        assert {"result", "error"} & server.answer(number).keys()
    assert_every_line_is_strict_json(server)


def test_an_emoji_in_two_chunks_of_a_stream_is_whole_and_the_server_lives_on(
    server: Child, novita: tuple[World, Running]
) -> None:
    """Its halves come as two events, and the second event in two pieces of TCP."""
    said = ['"hi "', r'"\ud83d"', r'"\ude00"', '" bye"', r'"cut \ud83d"']
    events = [f'data: {{"choices": [{{"index": 0, "delta": {{"content": {text}}}}}]}}\n\n' for text in said]
    end = 'data: {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}\n\ndata: [DONE]\n\n'
    effect = {"status": 200, "body": "".join(events) + end, "headers": {"Content-Type": "text/event-stream"}}
    novita[0].trouble(effect, path="/openai/v1/chat/completions")

    server.send_line(call('{"prompt": "hi", "max_tokens": 20}', "chat"))
    waiting = server.send("ping")

    answers = {answer["id"]: answer for answer in (server.next(), server.next())}
    assert answers[waiting]["result"] == {}
    assert answers[9001]["result"]["structuredContent"]["text"] == "hi 😀 byecut \ufffd"
    assert_every_line_is_strict_json(server)


NO_REQUESTS: dict[str, tuple[bytes, int, Any]] = {
    "no JSON": (b"this is no JSON", -32700, None),
    "a cut line": (b'{"jsonrpc": "2.0", "id": 1, "method": "pi', -32700, None),
    "UTF-16": ('{"jsonrpc": "2.0", "id": 1, "method": "ping"}'.encode("utf-16"), -32700, None),
    "a raw NUL": (b'{"jsonrpc": "2.0", "id": 1, "method": "pi\x00ng"}', -32700, None),
    "nested without end": (b'{"jsonrpc": "2.0", "id": 1, "method": "ping", "params": ' + b"[" * 99_999, -32700, None),
    "an empty batch": (b"[]", -32600, None),
    "a batch": (b'[{"jsonrpc": "2.0", "id": 1, "method": "ping"}]', -32600, None),
    "a number": (b"7", -32600, None),
    "an empty object": (b"{}", -32600, None),
    "no method": (b'{"jsonrpc": "2.0", "id": 7}', -32600, 7),
    "a method that is no text": (b'{"jsonrpc": "2.0", "id": "seven", "method": 5}', -32600, "seven"),
    "a method that is no text, and no id": (b'{"jsonrpc": "2.0", "method": 1, "params": "bar"}', -32600, None),
    "another version": (b'{"jsonrpc": "1.0", "id": 7, "method": "ping"}', -32600, 7),
    "no version": (b'{"id": 7, "method": "ping"}', -32600, 7),
    "parameters that are no object": (b'{"jsonrpc": "2.0", "id": 7, "method": "ping", "params": [1]}', -32600, 7),
    "a null id": (b'{"jsonrpc": "2.0", "id": null, "method": "ping"}', -32600, None),
    "a boolean id": (b'{"jsonrpc": "2.0", "id": true, "method": "ping"}', -32600, None),
    "an object for an id": (b'{"jsonrpc": "2.0", "id": {}, "method": "ping"}', -32600, None),
    "a fraction for an id": (b'{"jsonrpc": "2.0", "id": 1.5, "method": "ping"}', -32600, 1.5),
    "a NaN for an id": (b'{"jsonrpc": "2.0", "id": NaN, "method": "ping"}', -32600, None),
    "half an emoji for an id": (rb'{"jsonrpc": "2.0", "id": "\ud83d", "method": 5}', -32600, "\ufffd"),
}  # fmt: skip


@pytest.mark.parametrize("what", NO_REQUESTS)
def test_what_is_no_request_is_answered_as_json_rpc_says(what: str) -> None:
    line, code, named = NO_REQUESTS[what]

    answer = read_message(line)

    assert isinstance(answer, bytes)
    told = from_json(answer, allow_inf_nan=False)
    assert (told["jsonrpc"], told["id"], told["error"]["code"]) == ("2.0", named, code)
    assert told["error"]["message"]


def test_the_pipe_answers_what_is_no_request_and_goes_on(server: Child) -> None:
    for line, _, _ in NO_REQUESTS.values():
        server.send_line(line)

    answers = [server.next() for _ in NO_REQUESTS]

    assert [(told["error"]["code"], told["id"]) for told in answers] == [
        (code, named) for _, code, named in NO_REQUESTS.values()
    ]
    assert server.answer(server.send("ping"))["result"] == {}
    assert_every_line_is_strict_json(server)


SILENCE = [
    b"",
    b"   \t\r",
    b"\xef\xbb\xbf",
    b'{"jsonrpc": "2.0", "method": "ping"}',
    b'{"jsonrpc": "2.0", "method": "notifications/unheard", "params": 3}',
    b'{"jsonrpc": "2.0", "id": 77, "result": {}}',
    b'{"jsonrpc": "2.0", "id": 77, "result": 3}',
    b'{"jsonrpc": "2.0", "id": null, "error": {"code": -32700, "message": "what?"}}',
    b'{"jsonrpc": "2.0", "id": 77, "error": "odd"}',
]


def test_blank_lines_notifications_and_responses_get_nothing(server: Child) -> None:
    for line in SILENCE:
        server.send_line(line)

    request = server.send("ping")

    assert server.next() == {"jsonrpc": "2.0", "id": request, "result": {}}


ODD = [
    (b'\xef\xbb\xbf{"jsonrpc": "2.0", "id": 5, "method": "ping"}\r', 5),
    (b'{"jsonrpc": "2.0", "id": 5, "id": 6, "method": "ping"}', 6),
    (b'{"jsonrpc": "2.0", "id": 1208925819614629174706176, "method": "ping"}', 2**80),
    (b'{"jsonrpc": "2.0", "id": "", "method": "ping"}', ""),
    (b'{"jsonrpc": "2.0", "id": 5, "method": "ping", "params": {"a": "\xff\xed\xa0\xbd\xe2\x80\xa8"}}', 5),
    (b'{"jsonrpc": "2.0", "id": 5, "method": "ping", "params": {"a": [NaN, -Infinity, 1e999]}}', 5),
    (b'{"jsonrpc": "2.0", "id": 5, "method": "ping", "params": {"a": "' + b"x" * 10_000_000 + b'"}}', 5),
]


def test_odd_requests_are_answered(server: Child) -> None:
    for line, named in ODD:
        server.send_line(line)

        assert server.next() == {"jsonrpc": "2.0", "id": named, "result": {}}


@given(ANY_TEXT, ANY_TEXT)
def test_any_answer_is_written_as_strict_json(name: str, text: str) -> None:
    answer = JSONRPCResponse(jsonrpc="2.0", id=1, result={name: [text, {text: name}], "n": float("nan")})
    progress = JSONRPCNotification(jsonrpc="2.0", method="notifications/progress", params={"message": text})

    for message in (answer, progress):
        line = written(message)

        assert line is not None
        assert b"\n" not in line
        assert from_json(line, allow_inf_nan=False)["jsonrpc"] == "2.0"


def test_an_answer_that_is_no_json_becomes_an_error_with_its_id() -> None:
    circle: dict[str, Any] = {}
    circle["again"] = circle

    line = written(JSONRPCResponse(jsonrpc="2.0", id="seven", result=circle))

    assert line is not None
    told = json.loads(line)
    assert (told["id"], told["error"]["code"]) == ("seven", -32603)
    assert written(JSONRPCNotification(jsonrpc="2.0", method="x", params=circle)) is None


def test_a_host_that_stops_reading_ends_the_server_quietly(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "novita_mcp.server"]
    reading, writing = os.pipe()
    with (tmp_path / "stderr.txt").open("wb") as log:
        server = subprocess.Popen(
            command, env=environment(tmp_path, "http://127.0.0.1:9"), stdin=subprocess.PIPE, stdout=writing, stderr=log
        )
    os.close(writing)
    os.close(reading)
    try:
        assert server.stdin is not None
        server.stdin.write(b"this has an answer, which nobody hears\n")
        server.stdin.flush()

        assert server.wait(timeout=PATIENCE) == 0
    finally:
        server.kill()
        server.communicate()
    assert "Traceback" not in (tmp_path / "stderr.txt").read_text(encoding="utf-8")

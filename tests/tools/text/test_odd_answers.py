"""Language models as they really answer: through a whole server, from a Novita that answers oddly."""

import json
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest
from mcp_types import CallToolResult
from novita_mcp.simulator.serving import Running

from ...conftest import Connect, text_of
from ...odd import OddNovita, Reply, serve_odd
from ...server.children import child

Json = dict[str, Any]
CHAT, COMPLETION = "/openai/v1/chat/completions", "/openai/v1/completions"
STREAM = "text/event-stream"
USAGE: Json = {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}
PARIS, ROME = '{"city":"Paris"}', '{"city":"Rome"}'


@pytest.fixture
def era() -> str:
    """How an answer of Novita's is read does not depend on the protocol's era."""
    return "auto"


@pytest.fixture
def odd(simulator: Running) -> Generator[OddNovita]:
    with serve_odd(simulator.url) as server:
        yield server


def structured(result: CallToolResult) -> Json:
    assert not result.is_error, text_of(result)
    return result.structured_content or {}


def delta(**fields: Any) -> Json:
    return {"choices": [{"index": 0, "delta": fields}]}


def call(city: str | None = None, *, arguments: Any = None, name: str | None = "get_weather", **fields: Any) -> Json:
    """A chunk with one piece of a tool call."""
    said = PARIS if city == "Paris" else ROME if city == "Rome" else arguments
    function = {"name": name, "arguments": said}
    return {**fields, "function": {key: value for key, value in function.items() if value is not None}}


def calls(*parts: Json) -> Json:
    return delta(tool_calls=list(parts))


def end(reason: str = "stop") -> Json:
    return {"choices": [{"index": 0, "delta": {}, "finish_reason": reason}], "usage": USAGE}


def events(*chunks: Any, done: bool = True) -> bytes:
    texts = [chunk if isinstance(chunk, str) else json.dumps(chunk) for chunk in chunks]
    return b"".join(f"data: {text}\n\n".encode() for text in [*texts, *(["[DONE]"] if done else [])])


def message(finish_reason: str | None = "stop", **fields: Any) -> Json:
    choice = {"index": 0, "message": {"role": "assistant", **fields}, "finish_reason": finish_reason}
    return {"id": "c1", "object": "chat.completion", "model": "m", "choices": [choice], "usage": USAGE}


def whole(body: Any) -> bytes:
    return json.dumps(body).encode()


async def ask(connect: Connect, odd: OddNovita, *bodies: bytes | list[bytes], **arguments: Any) -> list[Json]:
    """What chat says to each of these bodies, in one session."""
    odd.plan("POST", CHAT, *(Reply(body, STREAM) for body in bodies))
    async with connect(base_url=odd.url) as client:
        asked = {"prompt": "weather?", **arguments}
        return [structured(await client.call_tool("chat", asked)) for _ in bodies]


# Text and thoughts

THOUGHT = {"text": "Sunny.", "reasoning": "Hm, Paris."}
SAID: dict[str, tuple[bytes | list[bytes], Json]] = {
    "an emoji in two chunks": (
        events(*(delta(content=text) for text in ("hi ", "\ud83d", "\ude00", " bye")), end()),
        {"text": "hi \U0001f600 bye"},
    ),
    "an emoji whose other half never comes": (
        events(delta(content="hi \ud83d"), delta(content=" bye"), end()),
        {"text": "hi \ufffd bye"},
    ),
    "an emoji in two chunks of thoughts": (
        events(delta(reasoning="\ud83d"), delta(reasoning="\ude00"), delta(content="x"), end()),
        {"text": "x", "reasoning": "\U0001f600"},
    ),
    "half an emoji as raw bytes": (
        b'data: {"choices":[{"delta":{"content":"hi \xed\xa0\xbd"}}]}\n\n'
        b'data: {"choices":[{"delta":{"content":"\xed\xb8\x80"},"finish_reason":"stop"}]}\n\n',
        {"text": "hi \U0001f600"},
    ),
    "thoughts as reasoning": (events(delta(reasoning="Hm, Paris."), delta(content="Sunny."), end()), THOUGHT),
    "thoughts as thinking": (events(delta(thinking="Hm, Paris."), delta(content="Sunny."), end()), THOUGHT),
    "thoughts under two names": (
        events(
            *(delta(reasoning=text, reasoning_content=text) for text in ("Hm,", " Paris.")),
            delta(content="Sunny."),
            end(),
        ),
        THOUGHT,
    ),
    "thoughts as details": (
        events(
            delta(reasoning_details=[{"type": "reasoning.text", "text": "Hm, Paris."}]), delta(content="Sunny."), end()
        ),
        THOUGHT,
    ),
    "thoughts as parts": (
        events(
            delta(content=[{"type": "thinking", "thinking": [{"type": "text", "text": "Hm, Paris."}]}]),
            delta(content=[{"type": "text", "text": "Sunny."}]),
            end(),
        ),
        THOUGHT,
    ),
    "thoughts as words of other names": (
        events(delta(reasoning_text="Hm,"), delta(thought=" Paris."), delta(content="Sunny."), end()),
        THOUGHT,
    ),
    "thoughts in a tag with a prefix": (
        events(delta(content="<seed:think>Hm, Paris.</seed:think>Sunny."), end()),
        THOUGHT,
    ),
    "thoughts twice": (
        events(delta(content="<think>Hm,</think>Sun<think>Paris.</think>ny."), end()),
        {"text": "Sunny.", "reasoning": "Hm,\nParis."},
    ),
    "an end of thoughts without a beginning": (
        events(delta(content="Hm, Par"), delta(content="is.\n</th"), delta(content="ink>\n\nSunny."), end()),
        THOUGHT,
    ),
    "a beginning cut into pieces": (
        events(*(delta(content=piece) for piece in ("\n<th", "ink>Hm, Paris.</", "think>Sunny.")), end()),
        THOUGHT,
    ),
    "thoughts apart and their end in the text": (
        events(delta(reasoning_content="Hm, Paris."), delta(content="</think>\n\nSunny."), end()),
        THOUGHT,
    ),
    "a tag that is spoken about": (
        events(delta(content="Close it with `</think>` at the end."), end()),
        {"text": "Close it with `</think>` at the end.", "reasoning": None},
    ),
    "content as parts": (
        events(delta(content=[{"type": "text", "text": "Sun"}, {"type": "text", "text": "ny."}]), end()),
        {"text": "Sunny."},
    ),
    "content as one part": (events(delta(content={"type": "text", "text": "Sunny."}), end()), {"text": "Sunny."}),
    "content as a number": (events(delta(content=17), end()), {"text": "17"}),
    "a picture as a link": (
        events(delta(content=[{"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}]), end()),
        {"text": "https://example.com/a.png"},
    ),
    "a picture as data beside words": (
        events(
            delta(content=["Look: ", {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}]), end()
        ),
        {"text": "Look: ", "trouble": "What cannot be shown as text was left out: image_url"},
    ),
    "null everywhere": (
        events(
            {"id": None, "model": None, "choices": [None, {"index": None, "delta": None, "finish_reason": None}]},
            delta(content=None, reasoning=None, tool_calls=None, function_call=None, refusal=None),
            delta(content="Sunny."),
            {"choices": None, "usage": None},
            end(),
        ),
        {"text": "Sunny."},
    ),
    "answers counted from 1": (
        events({"choices": [{"index": "1", "delta": {"content": "Sunny."}, "finish_reason": "STOP"}], "usage": USAGE}),
        {"text": "Sunny.", "finish_reason": "stop"},
    ),
    # How it is sent
    "a byte order mark at the head": (b"\xef\xbb\xbf" + events(delta(content="Sunny."), end()), {"text": "Sunny."}),
    "no space after data": (
        events(delta(content="Sunny."), end()).replace(b"data: ", b"data:"),
        {"text": "Sunny."},
    ),
    "lines that end in CR alone": (
        events(delta(content="Sun"), delta(content="ny."), end()).replace(b"\n", b"\r"),
        {"text": "Sunny."},
    ),
    "comments in the middle of an event": (
        b": PROCESSING\n\n:\n\n"
        + events(delta(content="Sun"), delta(content="ny."), end()).replace(b"\n\n", b"\n: keep-alive\nid: 7\n\n"),
        {"text": "Sunny."},
    ),
    "letters of several bytes, byte by byte": (
        [bytes([one]) for one in events(delta(content="Grüße 😀"), end()).replace(b"\\ud83d\\ude00", "😀".encode())],
        {"text": "Grüße 😀"},
    ),
    "a CR and its LF in two pieces": (
        [
            part + b"\r" if n % 2 == 0 else b"\n" + part
            for n, part in enumerate(
                [b'data: {"choices":[{"delta":{"content":"Sunny."},"finish_reason":"stop"}]}', b"\r\n", b"data: [DONE]"]
            )
        ],
        {"text": "Sunny."},
    ),
    "comments, ids and names": (
        b": hello\n\nid: 7\nretry: 10\nevent: message\n" + events(delta(content="Sunny."), {}, end()),
        {"text": "Sunny."},
    ),
    "data on several lines": (
        b'data: {"choices":\ndata: [{"delta":{"content":"Sunny."},\ndata: "finish_reason":"stop"}]}\n\n',
        {"text": "Sunny."},
    ),
    "no blank lines between events": (
        events(delta(content="Sun"), delta(content="ny."), end()).replace(b"\n\n", b"\n"),
        {"text": "Sunny."},
    ),
    "an end with spaces and no line end": (
        events(delta(content="Sunny."), done=False) + b"data:  [DONE]  ",
        {"text": "Sunny."},
    ),
    "no end line": (events(delta(content="Sunny."), end(), done=False), {"text": "Sunny."}),
    "a whole JSON": (whole(message(content="Sunny.")), {"text": "Sunny."}),
    "a whole JSON on many lines": (
        b"\xef\xbb\xbf" + json.dumps(message(content="Sunny."), indent=2).encode(),
        {"text": "Sunny."},
    ),
    "a whole JSON without a reason": (whole(message(None, content="Sunny.")), {"text": "Sunny."}),
    "a whole JSON as an event": (events(message(content="Sunny.")), {"text": "Sunny."}),
    "JSON lines": (
        b"\n".join(whole(chunk) for chunk in (delta(content="Sun"), delta(content="ny."), end())),
        {"text": "Sunny."},
    ),
    "the whole message once more at the end": (
        events(delta(content="Sun"), delta(content="ny."), message(content="Sunny.")),
        {"text": "Sunny."},
    ),
    "Harmony": (
        events(
            delta(content="<|channel|>analysis<|message|>Hm, "),
            delta(content="Paris.<|end|><|start|>assistant<|chan"),
            delta(content="nel|>final<|message|>Sunny.<|return|>"),
            end(),
        ),
        THOUGHT,
    ),
    "a whole answer in Harmony": (
        whole(
            message(
                content="<|start|>assistant<|channel|>analysis<|message|>Hm, Paris.<|end|>\n"
                "<|start|>assistant<|channel|>final <|constrain|>json<|message|>Sunny."
            )
        ),
        THOUGHT,
    ),
    "as Magistral thinks": (whole(message(content="[THINK]Hm, Paris.[/THINK]Sunny.")), THOUGHT),
    "as Kimi-VL thinks": (whole(message(content="◁think▷Hm, Paris.◁/think▷\n\nSunny.")), THOUGHT),
    "whole answers with parts": (
        whole(message(content=[{"type": "output_text", "text": "Sunny."}], reasoning="Hm, Paris.")),
        THOUGHT,
    ),
}


async def test_what_was_said_is_told_whole(connect: Connect, odd: OddNovita) -> None:
    answers = await ask(connect, odd, *(body for body, _ in SAID.values()))
    for (case, (_, expected)), answer in zip(SAID.items(), answers, strict=True):
        wanted = {"status": "succeeded", "trouble": None, **expected}
        assert {name: answer.get(name) for name in wanted} == wanted, case


# Tool calls

BOTH = [("get_weather", {"city": "Paris"}), ("get_weather", {"city": "Rome"})]
ONE = BOTH[:1]
CALLED: dict[str, tuple[bytes, list[tuple[str, Any]]]] = {
    "two calls and one index": (
        events(calls(call("Paris", index=0, id="call_a")), calls(call("Rome", index=0, id="call_b")), end()),
        BOTH,
    ),
    "two calls and one index in one chunk": (events(calls(call("Paris", index=0), call("Rome", index=0)), end()), BOTH),
    "two calls and one index without ids": (
        events(calls(call("Paris", index=0)), calls(call("Rome", index=0)), end()),
        BOTH,
    ),
    "two calls without an index": (
        events(calls(call("Paris", id="call_a")), calls(call("Rome", id="call_b")), end()),
        BOTH,
    ),
    "two calls without index and id": (events(calls(call("Paris")), calls(call("Rome")), end()), BOTH),
    "pieces of two calls and one index, told apart by id": (
        events(
            calls(call(index=0, id="a", arguments='{"city"')),
            calls(call(index=0, id="b", arguments='{"city":')),
            calls(call(index=0, id="a", name=None, arguments=':"Paris"}')),
            calls(call(index=0, id="b", name=None, arguments='"Rome"}')),
            end(),
        ),
        BOTH,
    ),
    "the id first, then the name, then the arguments": (
        events(
            calls({"index": 0, "id": "a"}),
            calls({"index": 0, "function": {"name": "get_weather"}}),
            calls({"index": 0, "function": {"arguments": PARIS}}),
            calls({"index": 0, "id": "b"}),
            calls({"index": 0, "function": {"name": "get_weather", "arguments": ROME}}),
            end(),
        ),
        BOTH,
    ),
    "the index only at first": (
        events(calls(call(index=0, id="a", arguments="")), calls(call(name=None, arguments=PARIS)), end()),
        ONE,
    ),
    "a name in pieces": (
        events(
            calls({"index": 0, "id": "a", "function": {"name": "get_"}}),
            calls({"index": 0, "function": {"name": "weather", "arguments": PARIS}}),
            end(),
        ),
        ONE,
    ),
    "the name with every piece": (
        events(*(calls(call(index=0, id="a", arguments=piece)) for piece in ('{"city"', ':"Paris"}')), end()),
        ONE,
    ),
    "another id with every piece": (
        events(
            calls(call(index=0, id="a", arguments='{"city"')),
            calls(call(index=0, id="b", name=None, arguments=':"Paris"}')),
            end(),
        ),
        ONE,
    ),
    "one id for all": (
        events(calls(call("Paris", index=0, id="call_0")), calls(call("Rome", index=1, id="call_0")), end()),
        BOTH,
    ),
    "an index as text": (
        events(calls(call(index="0", id="a", arguments="")), calls(call(name=None, index="0", arguments=PARIS)), end()),
        ONE,
    ),
    "arguments as an object": (events(calls(call(index=0, id="a", arguments={"city": "Paris"})), end()), ONE),
    "an object that grows": (
        events(
            calls(call(index=0, id="a", arguments={})),
            calls(call(index=0, id="a", arguments={"city": "Paris"})),
            end(),
        ),
        ONE,
    ),
    "a placeholder before the arguments": (
        events(calls(call(index=0, id="a", arguments="{}")), calls(call(name=None, index=0, arguments=PARIS)), end()),
        ONE,
    ),
    "the arguments once more at the end": (
        events(calls(call("Paris", index=0, id="a")), calls(call(name=None, index=0, arguments=PARIS)), end()),
        ONE,
    ),
    "JSON within JSON": (events(calls(call(index=0, id="a", arguments=json.dumps(PARIS))), end()), ONE),
    "no arguments": (
        events(calls({"index": 0, "id": "a", "function": {"name": "now", "arguments": None}}), end()),
        [("now", {})],
    ),
    "arguments as a list": (
        events(calls(call(index=0, id="a", arguments=["Paris"])), end()),
        [("get_weather", '["Paris"]')],
    ),
    "arguments with NaN": (
        events(calls(call(index=0, id="a", arguments='{"x": NaN}')), end()),
        [("get_weather", '{"x": NaN}')],
    ),
    "arguments as input": (
        events(calls({"index": 0, "id": "a", "function": {"name": "get_weather", "input": {"city": "Paris"}}}), end()),
        ONE,
    ),
    "arguments as parameters": (
        events(calls({"index": 0, "id": "a", "function": {"name": "get_weather", "parameters": PARIS}}), end()),
        ONE,
    ),
    "a custom call": (
        events(
            calls({"index": 0, "id": "a", "type": "custom", "custom": {"name": "query", "input": "select 1"}}), end()
        ),
        [("query", "select 1")],
    ),
    "a call without function": (
        events(calls({"index": 0, "id": "a", "name": "get_weather", "arguments": {"city": "Paris"}}), end()),
        ONE,
    ),
    "a call that is no list": (events(delta(tool_calls=call("Paris", id="a")), end()), ONE),
    "calls by their numbers": (events(delta(tool_calls={"0": call("Paris"), "1": call("Rome")}), end()), BOTH),
    "a function call of old": (
        events(
            delta(function_call={"name": "get_weather", "arguments": '{"city":'}),
            delta(function_call={"arguments": '"Paris"}'}),
            end("function_call"),
        ),
        ONE,
    ),
    "a whole answer": (whole(message("tool_calls", content=None, tool_calls=[call("Paris"), call("Rome")])), BOTH),
    "a whole answer of old": (
        whole(message("function_call", content=None, function_call={"name": "get_weather", "arguments": PARIS})),
        ONE,
    ),
    "calls of Harmony": (
        events(
            delta(content="<|channel|>analysis<|message|>Hm.<|end|><|start|>assistant<|channel|>commentary to="),
            delta(content='functions.get_weather <|constrain|>json<|message|>{"city": "Paris"}<|call|>'),
            delta(content="<|start|>assistant to=functions.get_weather<|channel|>commentary json<|message|>"),
            delta(content='{"city": "Rome"}'),
            end(),
        ),
        BOTH,
    ),
    "calls as Hermes writes them": (
        whole(
            message(
                content="Let me look.\n"
                + "\n".join(
                    f'<tool_call>\n{{"name": "get_weather", "arguments": {{"city": "{city}"}}}}\n</tool_call>'
                    for city in ("Paris", "Rome")
                )
            )
        ),
        BOTH,
    ),
    "half an emoji in the arguments": (
        events(calls(call(index=0, id="a", arguments='{"city":"\\ud83d"}')), end()),
        [("get_weather", {"city": "\ufffd"})],
    ),
}


async def test_every_call_is_told_with_its_arguments(connect: Connect, odd: OddNovita) -> None:
    answers = await ask(connect, odd, *(body for body, _ in CALLED.values()))
    for (case, (_, expected)), answer in zip(CALLED.items(), answers, strict=True):
        wanted = answer.get("tool_calls", [])
        assert [(one["name"], one.get("arguments", one.get("raw_arguments"))) for one in wanted] == expected, case
        assert answer["status"] == "succeeded", case
        ids = [one["id"] for one in wanted]
        assert all(ids), case
        assert len(set(ids)) == len(ids), case


# No success

SERVER_ERROR = {"code": "server_error", "message": "Provider disconnected unexpectedly"}
BROKEN: dict[str, tuple[bytes, str]] = {
    "an error beside choices": (
        events(
            delta(content="The weather in"),
            {"error": SERVER_ERROR, "choices": [{"index": 0, "delta": {"content": ""}, "finish_reason": "error"}]},
        ),
        "Provider disconnected unexpectedly",
    ),
    "an error in a choice": (
        events(
            delta(content="The weather in"),
            {"choices": [{"index": 0, "delta": {}, "error": "Provider disconnected unexpectedly"}]},
        ),
        "Provider disconnected unexpectedly",
    ),
    "a reason that is an error": (events(delta(content="The weather in"), end("error")), "broke the answer off"),
    "an error as text": (events(delta(content="The weather in"), {"error": "overloaded today"}), "overloaded today"),
    "an error as a list": (
        events(delta(content="The weather in"), {"error": ["overloaded today"]}),
        "overloaded today",
    ),
    "an error under detail": (
        events(delta(content="The weather in"), {"detail": {"error": {"message": "overloaded today"}}}),
        "overloaded today",
    ),
    "an event named error": (
        events(delta(content="The weather in"), done=False) + b"event: error\ndata: overloaded today\n\n",
        "overloaded today",
    ),
    "an error that is no event": (
        events(delta(content="The weather in"), done=False) + b'{"error": {"message": "overloaded today"}}',
        "overloaded today",
    ),
    "an object named error": (
        events(delta(content="The weather in"), {"object": "error", "code": 503, "message": "overloaded today"}),
        "overloaded today",
    ),
    "thoughts alone": (events(delta(reasoning="Hm."), end("length")), "thought and gave no answer"),
    "thoughts without an end": (events(delta(content="<think>Hm."), end("length")), "thought and gave no answer"),
    "thoughts alone, whole": (whole(message(content=None, reasoning_content="Hm.")), "thought and gave no answer"),
    "nothing at all": (events(delta(content=""), end()), "nothing in it"),
    "blanks alone": (events(delta(content="\n \n"), end()), "nothing in it"),
    "a choice of null": (whole({"choices": [None], "usage": USAGE}), "nothing in it"),
    "no choices": (whole({"choices": [], "usage": USAGE}), "nothing in it"),
    "a picture as data alone": (
        events(delta(content=[{"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}]), end()),
        "cannot be shown",
    ),
    "a refusal": (events(delta(refusal="I will not."), end()), "declined"),
    "a refusal as a part": (whole(message(content=[{"type": "refusal", "refusal": "I will not."}])), "declined"),
    "a call cut by its length": (
        events(calls(call(index=0, id="a", arguments='{"city":"Pa')), end("length")),
        "call of the model was cut",
    ),
    "a call of nothing": (events(calls(call("Paris", index=0, id="a", name=None)), end()), "names no function"),
    "the content check": (events(delta(content="The wea"), end("content_filter")), "declined"),
}


async def test_what_is_no_answer_is_no_success_and_says_why(connect: Connect, odd: OddNovita) -> None:
    odd.plan("POST", CHAT, *(Reply(body, STREAM) for body, _ in BROKEN.values()))
    async with connect(base_url=odd.url) as client:
        for case, (_, says) in BROKEN.items():
            answer = structured(await client.call_tool("chat", {"prompt": "weather?"}))
            assert answer["status"] == "incomplete", case
            assert says in answer["trouble"], case
            assert "paid" in answer["next_step"] or "max_tokens" in answer["next_step"], case
            if case.startswith(("an error", "an event", "an object", "a reason")):
                assert answer["text"] == "The weather in", case
            if case.startswith("a refusal"):
                assert answer["text"] == "I will not.", case
        rows = structured(await client.call_tool("list_tasks", {"limit": 50}))["tasks"]
    assert {row["state"] for row in rows} == {"failed"}


REFUSED: dict[str, tuple[bytes, str, str]] = {
    "an object": (whole({"error": {"message": "overloaded today"}}), "overloaded today", "may have been billed"),
    "a text": (whole({"error": "overloaded today"}), "overloaded today", "may have been billed"),
    "a list": (whole([{"error": {"message": "overloaded today"}}]), "overloaded today", "may have been billed"),
    "under detail": (whole({"detail": [{"msg": "overloaded today"}]}), "overloaded today", "may have been billed"),
    "under message": (
        whole({"message": {"error": {"message": "overloaded today"}}}),
        "overloaded today",
        "may have been billed",
    ),
    "on many lines": (
        json.dumps({"error": {"message": "overloaded today"}}, indent=2).encode(),
        "overloaded today",
        "may have been billed",
    ),
    "with its own status": (
        whole({"code": 400, "reason": "INVALID_REQUEST_BODY", "message": "no such field"}),
        "no such field",
        "Nothing was billed",
    ),
    "words": (b"upstream connect error", "upstream connect error", "may have been billed"),
    "a web page": (b"<html><body>504 Gateway Time-out</body></html>", "no answer of a model", "may have been billed"),
    "nothing": (b"", "before a single token", "may have been billed"),
    "null": (b"null", "before a single token", "may have been billed"),
    "an end and nothing else": (b"data: [DONE]\n\n", "before a single token", "may have been billed"),
}


async def test_an_error_with_200_is_an_error(connect: Connect, odd: OddNovita) -> None:
    odd.plan("POST", CHAT, *(Reply(body) for body, _, _ in REFUSED.values()))
    async with connect(base_url=odd.url) as client:
        for number, (case, (_, says, billed)) in enumerate(REFUSED.items(), 1):
            result = await client.call_tool("chat", {"prompt": "weather?"})
            assert result.is_error, case
            assert says in text_of(result), case
            assert billed in text_of(result), case
            assert sum(path == CHAT for path, _ in odd.received) == number, case


NO_STREAM: dict[str, tuple[Reply, str, str]] = {
    "nothing with 204": (Reply(b"", STREAM, 204), "before a single token", "may have been billed"),
    "a login page": (Reply(b"<!DOCTYPE html>Log in", "text/html"), "no answer of a model", "may have been billed"),
    "a redirect": (
        Reply(b"", "text/html", 302, [("Location", "https://hotel.example/login")]),
        "NOVITA_BASE_URL",
        "Nothing was billed",
    ),
    "packed, it says": (
        Reply(events(delta(content="Sunny."), end()), STREAM, headers=[("Content-Encoding", "gzip")]),
        "packed in a way that cannot be read",
        "may have been billed",
    ),
    "packed as nobody asked": (
        Reply(events(delta(content="Sunny."), end()), STREAM, headers=[("Content-Encoding", "br")]),
        "which nobody asked for",
        "may have been billed",
    ),
}


async def test_what_stands_between_answers_and_is_no_stream(connect: Connect, odd: OddNovita) -> None:
    odd.plan("POST", CHAT, *(reply for reply, _, _ in NO_STREAM.values()))
    async with connect(base_url=odd.url) as client:
        for number, (case, (_, says, billed)) in enumerate(NO_STREAM.items(), 1):
            result = await client.call_tool("chat", {"prompt": "weather?"})
            assert result.is_error, case
            assert says in text_of(result) and billed in text_of(result), (case, text_of(result))
            assert sum(path == CHAT for path, _ in odd.received) == number, case


COUNTED: list[Json] = [
    {"prompt_tokens": "7", "completion_tokens": "3"},
    {"prompt_tokens": 7.0, "completion_tokens": None, "total_tokens": "10"},
    {"input_tokens": 7, "output_tokens": 3},
]
UNCOUNTED: list[Any] = [None, "7", [], {}, {"prompt_tokens": None}, {"prompt_tokens": -1}, "NaN"]


async def test_a_usage_of_another_type_counts_and_one_that_is_none_is_estimated(
    connect: Connect, odd: OddNovita
) -> None:
    texts = [json.dumps({**end(), "usage": usage}) for usage in [*COUNTED, *UNCOUNTED]]
    texts = [text.replace('"NaN"', '{"prompt_tokens": NaN, "completion_tokens": NaN}') for text in texts]
    answers = await ask(connect, odd, *(events(delta(content="Sunny."), text) for text in texts))
    told = [answer["usage"] for answer in answers]
    counted = {"prompt": 7, "completion": 3, "counted_by": "novita"}
    assert told[: len(COUNTED)] == [counted] * len(COUNTED)
    assert all(usage["counted_by"] == "estimate" and usage["completion"] for usage in told[len(COUNTED) :])


async def test_log_probabilities_that_are_no_numbers_do_not_break_the_answer(connect: Connect, odd: OddNovita) -> None:
    bare = '{"choices":[{"delta":{"content":"x"},"logprobs":{"content":[{"token":"x","logprob":-Infinity}]}}]}'
    (answer,) = await ask(connect, odd, events(bare, end()))
    assert answer["logprobs"] == [{"content": [{"token": "x", "logprob": None}]}]


# Answers held to a schema

SCHEMA: Json = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
HELD: dict[str, bytes] = {
    "prose around a fence": events(delta(content='Here you are:\n```json\n{"city": "Oslo"}\n```\nEnjoy!'), end()),
    "prose without a fence": events(delta(content='The answer is {"city": "Oslo"}, as {you} asked.'), end()),
    "thoughts before it": events(delta(content='<think>{"city": "Rome"}?</think>{"city": "Oslo"}'), end()),
    "an object as content": events(delta(content={"city": "Oslo"}), end()),
    "two objects": events(delta(content='{"note": "a longer object that does not fit"} {"city": "Oslo"}'), end()),
    "parts": whole(message(content=[{"type": "text", "text": '{"city": "Oslo"}'}])),
    "JSON within JSON": events(delta(content=json.dumps('{"city": "Oslo"}')), end()),
    "an end without a reason": events(delta(content='{"city": "Oslo"}'), done=True),
}


async def test_the_object_is_found_in_the_answer(connect: Connect, odd: OddNovita) -> None:
    answers = await ask(connect, odd, *HELD.values(), response_schema=SCHEMA)
    for case, answer in zip(HELD, answers, strict=True):
        assert (answer["status"], answer.get("parsed")) == ("succeeded", {"city": "Oslo"}), case


UNHELD: dict[str, tuple[bytes, str]] = {
    "cut by its length": (events(delta(content='{"city": "Os'), end("length")), "cut by its length"),
    "cut by its length, by another name": (
        events(delta(content='{"city": "Os'), end("MAX_TOKENS")),
        "cut by its length",
    ),
    "a number that is none": (events(delta(content='{"city": "Oslo", "x": NaN}'), end()), "no JSON"),
    "a list": (events(delta(content='["Oslo"]'), end()), "no JSON object"),
    "what does not fit": (events(delta(content='So: {"town": "Oslo"}'), end()), "city"),
}


async def test_an_answer_that_does_not_fit_is_incomplete(connect: Connect, odd: OddNovita) -> None:
    answers = await ask(connect, odd, *(body for body, _ in UNHELD.values()), response_schema=SCHEMA)
    for (case, (_, says)), answer in zip(UNHELD.items(), answers, strict=True):
        assert answer["status"] == "incomplete", case
        assert says in answer["trouble"], case
        assert answer["text"], case


# Answers that are not streamed, and the process itself

AT_ONCE: dict[str, tuple[Any, str]] = {
    "null": (None, "before a single token"),
    "a list": ([], "before a single token"),
    "an error": ({"error": "overloaded today"}, "overloaded today"),
}


async def test_an_answer_at_once_that_is_none_is_an_error(connect: Connect, odd: OddNovita) -> None:
    odd.plan("POST", COMPLETION, *(Reply(whole(body)) for body, _ in AT_ONCE.values()))
    async with connect(base_url=odd.url) as client:
        for case, (_, says) in AT_ONCE.items():
            asked = {"prompt": "Once", "max_tokens": 9, "options": {"best_of": 2}}
            result = await client.call_tool("complete_text", asked)
            assert result.is_error, case
            assert says in text_of(result), case


async def test_an_answer_at_once_has_its_thoughts_apart(connect: Connect, odd: OddNovita) -> None:
    choice = {"index": 0, "text": "<think>Hm.</think> upon a time", "finish_reason": "stop"}
    odd.plan("POST", COMPLETION, Reply(whole({"choices": [choice], "usage": USAGE})))
    async with connect(base_url=odd.url) as client:
        asked = {"prompt": "Once", "max_tokens": 9, "options": {"best_of": 2}}
        answer = structured(await client.call_tool("complete_text", asked))
    assert (answer["text"], answer["reasoning"]) == ("upon a time", "Hm.")


def test_the_process_lives_on_after_an_emoji_in_two_chunks(odd: OddNovita, tmp_path: Path) -> None:
    body, _ = SAID["an emoji in two chunks"]
    odd.plan("POST", CHAT, Reply(body, STREAM))
    with child(tmp_path, odd.url) as server:
        server.initialize()
        answer = server.answer(server.call("chat", {"prompt": "hi"}))
        assert answer["result"]["structuredContent"]["text"] == "hi \U0001f600 bye"
        again = server.answer(server.call("list_tasks", {}))
        assert again["result"]["structuredContent"]["tasks"][0]["state"] == "succeeded"
        assert all(json.loads(line) for line in server.stdout)

"""Calls of tools as language models really write them: in pieces, under odd names, or in the answer's text."""

import json
from typing import Any

import pytest

from ...conftest import Connect
from ...odd import OddNovita
from .odd_chats import (
    PARIS,
    ROME,
    ask,
    call,
    calls,
    delta,
    end,
    events,
    message,
    whole,
)


@pytest.fixture
def era() -> str:
    """How an answer of Novita's is read does not depend on the protocol's era."""
    return "auto"


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

"""Conversations and tools in the forms that hosts and other SDKs have, and what goes out for them."""

import base64
import json
from typing import Any

import pytest
from novita_mcp.simulator.core.world import World

from ...conftest import Connect, text_of

Json = dict[str, Any]
CHAT = "create_chat_completion"
ARGUMENTS = '{"city":"Paris"}'
CALL: Json = {"id": "c1", "type": "function", "function": {"name": "get_weather", "arguments": ARGUMENTS}}
ASKED: Json = {"role": "user", "content": "weather?"}
ANSWERED: Json = {"role": "tool", "tool_call_id": "c1", "content": "sunny"}
TURNS: list[Json] = [ASKED, {"role": "assistant", "content": None, "tool_calls": [CALL]}, ANSWERED]
LOOSE = json.dumps({"city": "Paris"})
LOOSE_CALL: Json = {"id": "c1", "type": "function", "function": {"name": "get_weather", "arguments": LOOSE}}
LOOSE_TURNS: list[Json] = [ASKED, {"role": "assistant", "content": None, "tool_calls": [LOOSE_CALL]}, ANSWERED]


def turns(call: Json, answer: Json = ANSWERED, **fields: Any) -> list[Json]:
    return [ASKED, {"role": "assistant", "tool_calls": [call], **fields}, answer]


def tool(content: Any, **fields: Any) -> Json:
    return {"role": "tool", "tool_call_id": "c1", "content": content, **fields}


MESSAGES: dict[str, tuple[list[Json], list[Json]]] = {
    "a tool turn without content": (turns(CALL), TURNS),
    "a tool turn with null everywhere": (turns(CALL, content=None, refusal=None, function_call=None), TURNS),
    "our own form of a call": (turns({"id": "c1", "name": "get_weather", "arguments": {"city": "Paris"}}), LOOSE_TURNS),
    "arguments as an object": (
        turns({"id": "c1", "function": {"name": "get_weather", "arguments": {"city": "Paris"}}}),
        LOOSE_TURNS,
    ),
    "arguments as they came": (turns({"id": "c1", "name": "get_weather", "raw_arguments": ARGUMENTS}), TURNS),
    "no arguments": (
        turns({"id": "c1", "name": "get_weather", "arguments": None}),
        turns(CALL | {"function": {"name": "get_weather", "arguments": "{}"}}, content=None),
    ),
    "a function call of old": (
        [
            ASKED,
            {"role": "assistant", "function_call": {"name": "get_weather", "arguments": ARGUMENTS}},
            {"role": "function", "name": "get_weather", "content": "sunny"},
        ],
        [
            ASKED,
            {"role": "assistant", "content": None, "tool_calls": [CALL | {"id": "call_get_weather_0"}]},
            {"role": "tool", "name": "get_weather", "tool_call_id": "call_get_weather_0", "content": "sunny"},
        ],
    ),
    "an answer that does not name its only call": (
        turns(CALL, {"role": "tool", "content": "sunny"}),
        TURNS,
    ),
    "a tool that gave back nothing": (turns(CALL, tool(None)), [*TURNS[:2], tool("")]),
    "a tool that gave back JSON": (turns(CALL, tool({"sky": "clear"})), [*TURNS[:2], tool('{"sky": "clear"}')]),
    "a tool that gave back a list": (turns(CALL, tool([1, {"a": 2}])), [*TURNS[:2], tool('[1, {"a": 2}]')]),
    "a tool that gave back parts": (
        turns(CALL, tool([{"type": "text", "text": "sunny"}])),
        [*TURNS[:2], tool([{"type": "text", "text": "sunny"}])],
    ),
    "no calls": (
        [ASKED, {"role": "assistant", "content": "Sunny.", "tool_calls": []}, ASKED],
        [ASKED, {"role": "assistant", "content": "Sunny."}, ASKED],
    ),
    "null calls": (
        [ASKED, {"role": "assistant", "content": "Sunny.", "tool_calls": None}, ASKED],
        [ASKED, {"role": "assistant", "content": "Sunny."}, ASKED],
    ),
    "one part in place of a list": (
        [{"role": "user", "content": {"type": "text", "text": "weather?"}}],
        [{"role": "user", "content": [{"type": "text", "text": "weather?"}]}],
    ),
    "thoughts among the content": (
        [
            ASKED,
            {
                "role": "assistant",
                "content": [{"type": "thinking", "thinking": "Hm."}, {"type": "output_text", "text": "Sunny."}],
            },
            ASKED,
        ],
        [
            ASKED,
            {
                "role": "assistant",
                "content": [{"type": "text", "text": "Sunny."}],
                "reasoning_content": "Hm.",
            },
            ASKED,
        ],
    ),
    "a refusal among the content": (
        [ASKED, {"role": "assistant", "content": [{"type": "refusal", "refusal": "No."}]}, ASKED],
        [ASKED, {"role": "assistant", "content": [{"type": "text", "text": "No."}]}, ASKED],
    ),
    "a role in capitals": ([{"role": "User", "content": "weather?"}], [ASKED]),
}


async def test_messages_go_out_as_openai_takes_them(connect: Connect, world: World) -> None:
    async with connect() as client:
        for case, (given, expected) in MESSAGES.items():
            result = await client.call_tool("chat", {"messages": given})
            assert not result.is_error, (case, text_of(result))
            assert world.received(CHAT)[-1].body["messages"] == expected, case


async def test_what_chat_answered_can_be_sent_back_as_it_is(connect: Connect, world: World) -> None:
    """Our own advice: send messages with this turn and one role tool message for each call."""
    parameters = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
    tools = [{"name": "weather", "parameters": parameters}]
    question = {"role": "user", "content": "What is the weather in Paris?"}
    async with connect() as client:
        answered = await client.call_tool("chat", {"messages": [question], "tools": tools})
        first: Json = answered.structured_content or {}
        calls: list[Json] = first["tool_calls"]
        results: list[Json] = [
            {"role": "tool", "tool_call_id": call["id"], "content": {"degrees": 17}} for call in calls
        ]
        messages: list[Json] = [question, {"role": "assistant", "tool_calls": calls}, *results]
        said = await client.call_tool("chat", {"messages": messages, "tools": tools})
    assert not said.is_error, text_of(said)
    assert "17" in (said.structured_content or {})["text"]
    sent = world.received(CHAT)[-1].body["messages"][1]
    assert json.loads(sent["tool_calls"][0]["function"]["arguments"]) == calls[0]["arguments"]


PICTURE = base64.b64encode(
    base64.b64decode("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAAAABJRU5ErkJggg==")
).decode()
PICTURES: dict[str, Json] = {
    "MCP's": {"type": "image", "data": PICTURE, "mimeType": "image/png"},
    "Anthropic's": {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PICTURE}},
    "of responses": {"type": "input_image", "image_url": f"data:image/png;base64,{PICTURE}"},
    "as text": {"type": "image_url", "image_url": f"data:image/png;base64,{PICTURE}"},
}


async def test_pictures_are_understood_in_other_spellings(connect: Connect, world: World) -> None:
    async with connect() as client:
        for case, part in PICTURES.items():
            content = [{"type": "input_text", "text": "What is it?"}, part]
            result = await client.call_tool("chat", {"messages": [{"role": "user", "content": content}]})
            assert not result.is_error, (case, text_of(result))
            text, image = world.received(CHAT)[-1].body["messages"][0]["content"]
            assert text == {"type": "text", "text": "What is it?"}, case
            assert image["image_url"]["url"].startswith("data:image/png;base64,"), case


SCHEMA: Json = {"type": "object", "properties": {"city": {"type": "string"}}}
FUNCTION: Json = {"name": "weather", "description": "Tells it.", "parameters": SCHEMA}
TOOLS: dict[str, tuple[Json, Json]] = {
    "MCP's": (
        {
            "name": "weather",
            "title": "Weather",
            "description": "Tells it.",
            "inputSchema": SCHEMA,
            "annotations": {"readOnlyHint": True},
        },
        FUNCTION,
    ),
    "Anthropic's": ({"name": "weather", "description": "Tells it.", "input_schema": SCHEMA}, FUNCTION),
    "of responses": ({"type": "function", **FUNCTION}, FUNCTION),
    "MCP's within function": (
        {"type": "function", "function": {"name": "weather", "inputSchema": SCHEMA}},
        {"name": "weather", "parameters": SCHEMA},
    ),
    "null everywhere": ({**FUNCTION, "strict": None, "inputSchema": None, "function": None}, FUNCTION),
    "an empty schema": ({"name": "now", "parameters": {}}, {"name": "now", "parameters": {"type": "object"}}),
    "a schema without its type": (
        {"name": "weather", "parameters": {"properties": SCHEMA["properties"]}},
        {"name": "weather", "parameters": SCHEMA},
    ),
    "no schema": ({"name": "now"}, {"name": "now"}),
}


async def test_tools_go_out_as_openai_takes_them(connect: Connect, world: World) -> None:
    async with connect() as client:
        for case, (given, expected) in TOOLS.items():
            result = await client.call_tool("chat", {"prompt": "weather?", "tools": [given]})
            assert not result.is_error, (case, text_of(result))
            (sent,) = world.received(CHAT)[-1].body["tools"]
            assert sent == {"type": "function", "function": expected}, case


BAD: dict[str, tuple[Json, str]] = {
    "a call without a name": (
        {"messages": turns({"id": "c1", "arguments": {}})},
        "messages[1].tool_calls[0] names no function",
    ),
    "calls that are no list": (
        {"messages": [ASKED, {"role": "assistant", "tool_calls": "c1"}]},
        "messages[1].tool_calls must be a list",
    ),
    "an answer to no function": (
        {"messages": [ASKED, {"role": "function", "name": "f", "content": "x"}]},
        "messages[1] answers no function call",
    ),
    "an answer to one of two calls": (
        {
            "messages": [
                ASKED,
                {"role": "assistant", "tool_calls": [CALL, CALL | {"id": "c2"}]},
                {"role": "tool", "content": "x"},
            ]
        },
        "tool_call_id",
    ),
    "a misspelt field of a tool": (
        {"prompt": "x", "tools": [{"name": "f", "paramters": SCHEMA}]},
        "tools[0] has the unknown field 'paramters'",
    ),
    "a schema by MCP that is none": (
        {"prompt": "x", "tools": [{"name": "f", "inputSchema": {"type": "objekt"}}]},
        "tools[0].parameters is no JSON schema",
    ),
    "nothing said": ({"messages": [{"role": "assistant"}]}, "messages[0].content is missing"),
    "an empty part": ({"messages": [{"role": "user", "content": {"sky": "clear"}}]}, "content[0] is not understood"),
}


@pytest.mark.parametrize("case", BAD)
async def test_what_cannot_be_understood_is_named_and_not_sent(case: str, connect: Connect, world: World) -> None:
    arguments, says = BAD[case]
    async with connect() as client:
        for more in ({}, {"dry_run": True}):
            result = await client.call_tool("chat", {**arguments, **more})
            assert result.is_error
            assert says in text_of(result)
    assert world.count(CHAT) == 0

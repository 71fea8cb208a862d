"""The same answers in two other formats: Anthropic messages, and OpenAI responses.

Novita has no reference page for either, so the formats are those of Anthropic and OpenAI. Responses do not stream here.
"""

import json
from typing import Any

from starlette.responses import Response

from ..core.calls import Call, Handler
from ..core.faults import Fault
from ..core.json_values import items, obj
from . import generate
from .chat import stream, unstreamed
from .generate import GeneratedAnswers
from .state import LlmState
from .stream import Event
from .writer import WrittenAnswer

Json = dict[str, Any]

_STOP_REASON = {"stop": "end_turn", "length": "max_tokens", "tool_calls": "tool_use"}


async def create_anthropic_message(call: Call) -> Response:
    """Answers with a message, or with its events. Tools and pictures come in Anthropic's format."""
    state = call.world.area(LlmState)
    made = generate.chat(state, call.account, _from_anthropic(call.body), endpoint="anthropic")
    if call.body.get("stream"):
        return stream(call, made, _message_events(made))
    return await unstreamed(call, made, _message(made, _blocks(made.answers[0])))


def _from_anthropic(body: Json) -> Json:
    messages: list[Json] = []
    if system := body.get("system"):
        text = system if isinstance(system, str) else _joined(system)
        messages.append({"role": "system", "content": text})
    for index, message in enumerate(body["messages"]):
        messages += _chat_messages(message, f"messages[{index}]")
    chat: Json = {"model": body["model"], "messages": messages, "max_tokens": body["max_tokens"]}
    chat |= {name: body[name] for name in ("temperature", "top_p", "top_k") if name in body}
    if "stop_sequences" in body:
        chat["stop"] = body["stop_sequences"]
    if tools := body.get("tools"):
        chat["tools"] = [
            {
                "type": "function",
                "function": {
                    "name": tool["name"],
                    "description": tool.get("description"),
                    "parameters": tool.get("input_schema"),
                },
            }
            for tool in tools
        ]
    # The model thinks only if the request asks for it, as in Anthropic's API.
    chat["enable_thinking"] = obj(body.get("thinking")).get("type") == "enabled"
    return chat


def _chat_messages(message: Json, place: str) -> list[Json]:
    """One Anthropic message as chat messages. Each tool result becomes a message of its own."""
    role, content = message.get("role"), message.get("content")
    if role not in ("user", "assistant") or not isinstance(content, (str, list)):
        raise Fault(400, "INVALID_REQUEST_BODY", f"{place}: role and content are required")
    if isinstance(content, str):
        return [{"role": role, "content": content}]
    parts: list[Json] = []
    calls: list[Json] = []
    results: list[Json] = []
    for block in items(content):
        match obj(block):
            case {"type": "text", "text": str(text)}:
                parts.append({"type": "text", "text": text})
            case {"type": "image", "source": {"type": "base64", "media_type": kind, "data": data}}:
                parts.append({"type": "image_url", "image_url": {"url": f"data:{kind};base64,{data}"}})
            case {"type": "image", "source": {"type": "url", "url": str(url)}}:
                parts.append({"type": "image_url", "image_url": {"url": url}})
            case {"type": "tool_use", "id": str(call_id), "name": str(name)}:
                arguments = json.dumps(block.get("input", {}))
                calls.append({"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}})
            case {"type": "tool_result", "tool_use_id": str(call_id)}:
                said = block.get("content", "")
                text = said if isinstance(said, str) else _joined(said)
                results.append({"role": "tool", "tool_call_id": call_id, "content": text})
            case {"type": "thinking"}:
                continue
            case _:
                raise Fault(400, "INVALID_REQUEST_BODY", f"{place}: unknown content block")
    own: Json = {"role": role, "content": parts or None}
    if calls:
        own["tool_calls"] = calls
    return [*results, own] if parts or calls else results


def _joined(parts: Any) -> str:
    return " ".join(str(obj(part).get("text", "")) for part in items(parts))


def _blocks(each: WrittenAnswer) -> list[tuple[Json, str, list[Json]]]:
    """The blocks of an answer: each finished block, the type of its deltas, and its deltas."""
    blocks: list[tuple[Json, str, list[Json]]] = []
    if each.reasoning:
        thought: Json = {"type": "thinking", "thinking": "".join(each.reasoning), "signature": ""}
        blocks.append((thought, "thinking_delta", [{"thinking": token} for token in each.reasoning]))
    if each.content:
        text: Json = {"type": "text", "text": "".join(each.content)}
        blocks.append((text, "text_delta", [{"text": token} for token in each.content]))
    for call in each.calls:
        arguments = "".join(call.arguments)
        try:
            value: Any = json.loads(arguments)
        except ValueError:
            value = {}  # max_tokens has cut off the JSON text.
        use: Json = {"type": "tool_use", "id": call.id, "name": call.name, "input": value}
        blocks.append((use, "input_json_delta", [{"partial_json": token} for token in call.arguments]))
    return blocks


def _message(made: GeneratedAnswers, blocks: list[tuple[Json, str, list[Json]]] | None) -> Json:
    """The message. Without blocks it is the message at its beginning: empty and unfinished."""
    begun = blocks is None
    return {
        "id": made.id,
        "type": "message",
        "role": "assistant",
        "model": made.model.id,
        "content": [] if begun else [block for block, _, _ in blocks],
        "stop_reason": None if begun else _STOP_REASON[made.answers[0].finish_reason],
        "stop_sequence": None,
        "usage": {
            "input_tokens": made.prompt_tokens - made.cached_tokens,
            "cache_read_input_tokens": made.cached_tokens,
            "output_tokens": 0 if begun else made.tokens,
        },
    }


def _message_events(made: GeneratedAnswers) -> list[Event]:
    def event(name: str, tokens: int = 0, **data: Any) -> Event:
        return Event({"type": name, **data}, tokens, name)

    events = [event("message_start", message=_message(made, None))]
    empty: dict[str, Json] = {"text": {"text": ""}, "thinking": {"thinking": ""}, "tool_use": {"input": {}}}
    for index, (block, kind, deltas) in enumerate(_blocks(made.answers[0])):
        opened = block | empty[block["type"]]
        events.append(event("content_block_start", index=index, content_block=opened))
        events += [event("content_block_delta", 1, index=index, delta={"type": kind, **delta}) for delta in deltas]
        events.append(event("content_block_stop", index=index))
    whole = _message(made, _blocks(made.answers[0]))
    ending = {"stop_reason": whole["stop_reason"], "stop_sequence": None}
    events.append(event("message_delta", delta=ending, usage={"output_tokens": made.tokens}))
    return [*events, event("message_stop")]


async def create_response(call: Call) -> Response:
    """Answers text or messages with a response. Tools come in the flat form of this format."""
    body = call.body
    if body.get("stream"):
        raise Fault(400, "INVALID_REQUEST_BODY", "stream is not supported on this route")
    made = generate.chat(call.world.area(LlmState), call.account, _from_response(body), endpoint="responses")
    return await unstreamed(call, made, _response(made, body))


def _from_response(body: Json) -> Json:
    given = body.get("input", "")
    sent: list[Any] = [{"role": "user", "content": given}] if isinstance(given, str) else items(given)
    messages: list[Json] = []
    if instructions := body.get("instructions"):
        messages.append({"role": "system", "content": instructions})
    for index, item in enumerate(sent):
        match obj(item):
            case {"type": "function_call_output", "call_id": str(call_id), "output": str(output)}:
                messages.append({"role": "tool", "tool_call_id": call_id, "content": output})
            case {"type": "function_call", "call_id": str(call_id), "name": str(name), "arguments": str(arguments)}:
                function = {"name": name, "arguments": arguments}
                calls = [{"id": call_id, "type": "function", "function": function}]
                messages.append({"role": "assistant", "content": None, "tool_calls": calls})
            case {"role": str(role), "content": content}:
                text = str(content) if isinstance(content, str) else _joined(content)
                messages.append({"role": role, "content": text})
            case {"type": "reasoning"}:
                continue
            case _:
                raise Fault(400, "INVALID_REQUEST_BODY", f"input[{index}] is not understood")
    chat: Json = {"model": body["model"], "messages": messages}
    chat |= {name: body[name] for name in ("temperature", "top_p", "tool_choice") if body.get(name) is not None}
    if (limit := body.get("max_output_tokens")) is not None:
        chat["max_tokens"] = limit
    if functions := [tool for tool in items(body.get("tools")) if obj(tool).get("type") == "function"]:
        named = ("name", "description", "parameters")
        chat["tools"] = [
            {"type": "function", "function": {name: tool.get(name) for name in named}} for tool in functions
        ]
    form = obj(obj(body.get("text")).get("format"))
    if form.get("type") == "json_schema":
        chat["response_format"] = {"type": "json_schema", "json_schema": {"schema": form.get("schema")}}
    return chat


def _response(made: GeneratedAnswers, body: Json) -> Json:
    each = made.answers[0]
    output: list[Json] = []
    if each.reasoning:
        thought = {"type": "reasoning_text", "text": "".join(each.reasoning)}
        output.append({"type": "reasoning", "id": f"rs_{made.id}", "summary": [], "content": [thought]})
    if each.content:
        text: Json = {"type": "output_text", "text": "".join(each.content), "annotations": []}
        output.append(
            {"type": "message", "id": f"msg_{made.id}", "status": "completed", "role": "assistant", "content": [text]}
        )
    output += [
        {
            "type": "function_call",
            "id": f"fc_{call.id}",
            "call_id": call.id,
            "name": call.name,
            "arguments": "".join(call.arguments),
            "status": "completed",
        }
        for call in each.calls
    ]
    cut = each.finish_reason == "length"
    return {
        "id": f"resp_{made.id}",
        "object": "response",
        "created_at": made.created,
        "model": made.model.id,
        "status": "incomplete" if cut else "completed",
        "incomplete_details": {"reason": "max_output_tokens"} if cut else None,
        "error": None,
        "output": output,
        "parallel_tool_calls": True,
        "tool_choice": body.get("tool_choice", "auto"),
        "tools": body.get("tools") or [],
        "usage": {
            "input_tokens": made.prompt_tokens,
            "input_tokens_details": {"cached_tokens": made.cached_tokens},
            "output_tokens": made.tokens,
            "output_tokens_details": {"reasoning_tokens": made.reasoning_tokens},
            "total_tokens": made.prompt_tokens + made.tokens,
        },
    }


HANDLERS: dict[str, Handler] = {
    "create_anthropic_message": create_anthropic_message,
    "create_response": create_response,
}

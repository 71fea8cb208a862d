"""Chats of a Novita that answers oddly: its chunks and messages, and what chat makes of them."""

import json
from typing import Any

from ...conftest import Connect, structured
from ...odd import OddNovita, Reply

Json = dict[str, Any]
CHAT, COMPLETION = "/openai/v1/chat/completions", "/openai/v1/completions"
STREAM = "text/event-stream"
USAGE: Json = {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}
PARIS, ROME = '{"city":"Paris"}', '{"city":"Rome"}'


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

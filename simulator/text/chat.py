"""Chat and text completions, whole or streamed, in the documented shapes."""

import time
from collections.abc import Iterator
from itertools import zip_longest
from typing import Any
from zlib import crc32

from starlette.responses import Response

from ..core.answers import answer
from ..core.calls import Call, Handler
from ..core.json_values import obj
from . import generate
from .generate import GeneratedAnswers
from .state import LlmState, StreamRecord, get_llm, post_llm
from .stream import DONE, Event, EventStream, pause_for
from .writer import WrittenAnswer, WrittenCall

Json = dict[str, Any]


async def create_chat_completion(call: Call) -> Response:
    made = generate.chat(call.world.area(LlmState), call.account, call.body)
    if call.body.get("stream"):
        return stream(call, made, chat_events(made, call.body))
    return await unstreamed(call, made, chat_body(made, call.body))


async def create_completion(call: Call) -> Response:
    made = generate.completion(call.world.area(LlmState), call.account, call.body)
    if call.body.get("stream"):
        return stream(call, made, completion_events(made, call.body))
    return await unstreamed(call, made, completion_body(made, call.body))


async def unstreamed(call: Call, made: GeneratedAnswers, body: Json) -> Response:
    """Answer as a whole: wait as long as the answer takes, and charge for it."""
    state = call.world.area(LlmState)
    await pause_for(state, made.tokens)
    generate.charge(state, call.account, call.operation.id, made.price(), made.model, made.id)
    return answer(body)


def stream(call: Call, made: GeneratedAnswers, events: list[Event]) -> EventStream:
    """An event stream. The account pays for the tokens that were sent."""
    state = call.world.area(LlmState)

    def pay(sent: int) -> int:
        return generate.charge(state, call.account, call.operation.id, made.price(sent), made.model, made.id)

    record = StreamRecord(operation=call.operation.id, model=made.model.id, started=time.monotonic())
    return EventStream(state, record, events, pay)


def chat_body(made: GeneratedAnswers, body: Json) -> Json:
    """A ChatCompletion."""
    return {
        "id": made.id,
        "object": "chat.completion",
        "created": made.created,
        "model": made.model.id,
        "choices": [
            {
                "index": index,
                "message": _message(made, each),
                "finish_reason": each.finish_reason,
                "logprobs": _logprobs(each.content, body),
            }
            for index, each in enumerate(made.answers)
        ],
        "usage": made.usage(),
        "system_fingerprint": "",
    }


def _message(made: GeneratedAnswers, each: WrittenAnswer) -> Json:
    message: Json = {"role": "assistant", "content": "".join(each.content)}
    if each.reasoning:
        message["reasoning_content"] = "".join(each.reasoning)
        if made.split_details:
            message["reasoning_details"] = [_detail(message["reasoning_content"])]
    if each.calls:
        message["content"] = message["content"] or None
        message["tool_calls"] = [
            {
                "index": index,
                "id": call.id,
                "type": "function",
                "function": {"name": call.name, "arguments": "".join(call.arguments)},
            }
            for index, call in enumerate(each.calls)
        ]
    return message


def chat_events(made: GeneratedAnswers, body: Json) -> list[Event]:
    """The ChatCompletionChunks of all choices by turns, then the usage if it is asked for, then [DONE]."""
    with_usage = bool(obj(body.get("stream_options")).get("include_usage"))
    common: Json = {
        "id": made.id,
        "object": "chat.completion.chunk",
        "created": made.created,
        "model": made.model.id,
        "system_fingerprint": "",
    }
    if with_usage:
        common["usage"] = None
    events = [
        Event({**common, "choices": [choice]}, size)
        for step in zip_longest(*(_deltas(made, index, each, body) for index, each in enumerate(made.answers)))
        for choice, size in filter(None, step)
    ]
    if with_usage:
        events.append(Event({**common, "choices": [], "usage": made.usage()}))
    return [*events, Event(DONE)]


def _deltas(made: GeneratedAnswers, index: int, each: WrittenAnswer, body: Json) -> Iterator[tuple[Json, int]]:
    """The choices of all chunks of one answer, each with the number of its tokens, in order."""

    def choice(delta: Json, finish: str | None = None, logprobs: Json | None = None) -> Json:
        return {"index": index, "delta": delta, "finish_reason": finish, "logprobs": logprobs}

    yield choice({"role": "assistant", "content": ""}), 0
    for token in each.reasoning:
        delta: Json = {"reasoning_content": token}
        if made.split_details:
            delta["reasoning_details"] = [_detail(token)]
        yield choice(delta), 1
    for position, token in enumerate(each.content):
        yield choice({"content": token}, logprobs=_logprobs((token,), body, position)), 1
    for number, call in enumerate(each.calls):
        yield from ((choice({"tool_calls": [part]}), size) for part, size in _call_parts(number, call))
    yield choice({}, each.finish_reason), 0


def _call_parts(number: int, call: WrittenCall) -> Iterator[tuple[Json, int]]:
    first = {"index": number, "id": call.id, "type": "function", "function": {"name": call.name, "arguments": ""}}
    yield first, call.size - len(call.arguments)
    for token in call.arguments:
        yield {"index": number, "function": {"arguments": token}}, 1


def _detail(text: str) -> Json:
    return {
        "type": "reasoning.text",
        "id": "reasoning-text-1",
        "format": "openai-responses-v1",
        "index": 0,
        "text": text,
    }


def _logprobs(content: tuple[str, ...], body: Json, start: int = 0) -> Json | None:
    """The log probabilities in OpenAI's form, as the documentation does not show one."""
    if not body.get("logprobs"):
        return None
    most = body.get("top_logprobs") or 0
    return {
        "content": [
            {
                **_with_bytes(token, _logprob(token, position)),
                "top_logprobs": [_with_bytes(*each) for each in _likeliest(token, position, most)],
            }
            for position, token in enumerate(content, start)
        ]
    }


def _with_bytes(token: str, logprob: float) -> Json:
    return {"token": token, "logprob": logprob, "bytes": list(token.encode())}


def _logprob(token: str, position: int) -> float:
    return -round((crc32(f"{position}{token}".encode()) % 1000) / 2000, 4)


def _likeliest(token: str, position: int, most: int) -> list[tuple[str, float]]:
    own = _logprob(token, position)
    others = (" the", " a", ",", ".", " of", " to", " and", " in", " is", " it", " that", "\n", " for", " as", " on")
    more = ("-", " with", " by", " was", " at", " be")
    others = [each for each in others + more if each != token]
    return [(token, own), *((other, round(own - 1.5 - 0.5 * rank, 4)) for rank, other in enumerate(others))][:most]


def completion_body(made: GeneratedAnswers, body: Json) -> Json:
    """A Completion."""
    return _completion(
        made, [_completion_choice(made, index, body) for index in range(len(made.answers))], made.usage()
    )


def _completion(made: GeneratedAnswers, choices: list[Json], usage: Json | None) -> Json:
    return {
        "id": made.id,
        "object": "text_completion",
        "created": made.created,
        "model": made.model.id,
        "choices": choices,
        "usage": usage,
    }


def _completion_choice(made: GeneratedAnswers, index: int, body: Json) -> Json:
    each = made.answers[index]
    return {
        "index": index,
        "text": "".join(each.content),
        "finish_reason": each.finish_reason,
        "logprobs": _text_logprobs(each.content, body),
    }


def completion_events(made: GeneratedAnswers, body: Json) -> list[Event]:
    """The same object for each piece of text, then the usage if it is asked for, then [DONE]."""
    events: list[Event] = []
    steps = (_text_pieces(index, each, body) for index, each in enumerate(made.answers))
    for step in zip_longest(*steps):
        events += [Event(_completion(made, [choice], None), size) for choice, size in filter(None, step)]
    if obj(body.get("stream_options")).get("include_usage"):
        events.append(Event(_completion(made, [], made.usage())))
    return [*events, Event(DONE)]


def _text_pieces(index: int, each: WrittenAnswer, body: Json) -> Iterator[tuple[Json, int]]:
    offset = 0
    for position, token in enumerate(each.content):
        logprobs = _text_logprobs((token,), body, position, offset)
        offset += len(token)
        yield {"index": index, "text": token, "finish_reason": None, "logprobs": logprobs}, 1
    yield {"index": index, "text": "", "finish_reason": each.finish_reason, "logprobs": None}, 0


def _text_logprobs(content: tuple[str, ...], body: Json, start: int = 0, offset: int = 0) -> Json | None:
    most = body.get("logprobs")
    if most is None:
        return None
    offsets: list[int] = []
    for token in content:
        offsets.append(offset)
        offset += len(token)
    positions = list(enumerate(content, start))
    return {
        "tokens": list(content),
        "token_logprobs": [_logprob(token, position) for position, token in positions],
        "top_logprobs": [dict(_likeliest(token, position, most)) for position, token in positions],
        "text_offset": offsets,
    }


HANDLERS: dict[str, Handler] = {
    "create_chat_completion": create_chat_completion,
    "create_completion": create_completion,
}
CONTROLS = {("GET", "llm"): get_llm, ("POST", "llm"): post_llm}

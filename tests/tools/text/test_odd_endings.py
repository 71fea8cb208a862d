"""What comes from Novita and is no answer, and answers that do not fit the schema that was asked for."""

import json
from typing import Any

import pytest

from ...conftest import Connect, structured, text_of
from ...odd import OddNovita, Reply
from .odd_chats import (
    CHAT,
    STREAM,
    USAGE,
    Json,
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

"""Streams of text: read whole however they are cut into pieces, and honest about how they ended."""

import json
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from novita_mcp.novita.core.client import NovitaClient
from novita_mcp.novita.core.errors import AuthenticationError, NovitaConnectionError
from novita_mcp.novita.text.chat import CHAT_PATH, generate
from novita_mcp.novita.text.generations import Generation

Json = dict[str, Any]


def chunk(**delta: Any) -> Json:
    return {"id": "c1", "model": "m", "choices": [{"index": 0, "delta": delta, "finish_reason": None}]}


END: Json = {"id": "c1", "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
USAGE: Json = {"id": "c1", "choices": [], "usage": {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}}


class Pieces(httpx.AsyncByteStream):
    """A body in the pieces given."""

    def __init__(self, pieces: list[bytes]) -> None:
        self._pieces = pieces

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self._pieces:
            yield piece


async def read(pieces: list[bytes], status: int = 200) -> Generation:
    """What is made of a body that comes in these pieces."""

    def answer(_: httpx.Request) -> httpx.Response:
        return httpx.Response(status, stream=Pieces(pieces))

    async with httpx.AsyncClient(transport=httpx.MockTransport(answer)) as http:
        made = Generation(5)
        await generate(NovitaClient(http, "key-of-a-test"), CHAT_PATH, {}, made, doing="asking m")
        return made


def lines(*events: Any, end: bytes = b"\n") -> bytes:
    texts = [event if isinstance(event, str) else json.dumps(event, ensure_ascii=False) for event in events]
    return b"".join(b"data: " + text.encode() + end + end for text in texts)


@settings(deadline=None)
@given(st.text(min_size=1, max_size=60), st.lists(st.integers(1, 400), max_size=12), st.sampled_from([b"\n", b"\r\n"]))
async def test_a_stream_reads_the_same_however_it_is_cut(text: str, cuts: list[int], end: bytes) -> None:
    if not text.encode("utf-8", "ignore").decode().strip() or text != text.encode("utf-8", "ignore").decode():
        return
    body = b": a comment\n\n" + lines(*(chunk(content=letter) for letter in text), END, USAGE, "[DONE]", end=end)
    places = sorted({min(cut, len(body)) for cut in cuts})
    pieces = [body[start:stop] for start, stop in zip([0, *places], [*places, len(body)], strict=True)]
    made = await read([piece for piece in pieces if piece])
    assert made.first.text == text
    assert made.ending == "done"
    assert (made.usage.prompt, made.usage.completion, made.usage.exact) == (7, 3, True)


async def test_pieces_of_tool_calls_are_joined_by_their_index() -> None:
    def part(index: int, **fields: Any) -> Json:
        return chunk(tool_calls=[{"index": index, **fields}])

    made = await read(
        [
            lines(
                part(0, id="a", function={"name": "f", "arguments": ""}),
                part(1, id="b", function={"name": "g", "arguments": "{"}),
                part(0, function={"arguments": '{"x"'}),
                part(1, function={"arguments": "}"}),
                part(0, function={"arguments": ":1}"}),
                END,
                "[DONE]",
            )
        ]
    )
    calls = made.first.calls
    assert [(call.id, call.name, call.arguments) for call in calls] == [
        ("a", "f", '{"x":1}'),
        ("b", "g", "{}"),
    ]


async def test_without_a_count_from_novita_ours_stands_in() -> None:
    made = await read([lines(chunk(reasoning_content="hm"), *(chunk(content="word ") for _ in range(9)))])
    assert made.ending == "cut"
    assert not made.usage.exact
    assert (made.usage.prompt, made.usage.completion) == (5, pytest.approx(16, abs=8))
    assert made.usage.reasoning > 0


@pytest.mark.parametrize(
    "event",
    [{"code": 503, "reason": "SERVICE_NOT_AVAILABLE", "message": "key-of-a-test"}, {"error": {"message": "no"}}],
)
async def test_an_error_event_ends_the_text_and_leaks_nothing(event: Json) -> None:
    made = await read([lines(chunk(content="Fox"), event, chunk(content="es"), "[DONE]")])
    assert (made.first.text, made.ending) == ("Fox", "error")
    assert "key-of-a-test" not in made.trouble


async def test_a_stream_with_a_finish_but_no_last_line_is_whole() -> None:
    assert (await read([lines(chunk(content="Fox"), END)])).ending == "done"


async def test_garbage_alone_is_an_error_and_a_refusal_is_its_own() -> None:
    with pytest.raises(NovitaConnectionError, match="before a single token"):
        await read([b"<html>no</html>\n\n"])
    refused = json.dumps({"code": 401, "reason": "FAILED_TO_AUTH", "message": "no"}).encode()
    with pytest.raises(AuthenticationError):
        await read([refused], 401)


async def test_a_stream_without_end_is_given_up() -> None:
    class EndlessStream(httpx.AsyncByteStream):
        async def __aiter__(self) -> AsyncGenerator[bytes]:
            yield lines(chunk(content="Fox"))
            while True:
                yield b"x" * 2**20

    async with httpx.AsyncClient(
        transport=httpx.MockTransport(lambda _: httpx.Response(200, stream=EndlessStream()))
    ) as http:
        made = Generation(5)
        await generate(NovitaClient(http, "k"), CHAT_PATH, {}, made, doing="asking m")
    assert (made.first.text, made.ending) == ("Fox", "too_long")

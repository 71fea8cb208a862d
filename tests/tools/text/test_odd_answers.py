"""Language models as they really answer: through a whole server, from a Novita that answers oddly."""

import json
from pathlib import Path
from typing import Any

import pytest

from ...conftest import Connect, structured, text_of
from ...odd import OddNovita, Reply
from ...server.children import child
from .odd_chats import (
    CHAT,
    COMPLETION,
    STREAM,
    USAGE,
    Json,
    ask,
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

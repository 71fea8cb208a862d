"""Writes the answers of the simulated language models from the prompt and a seed.

The same model, messages, sampling settings and seed always give the same text. The text quotes the prompt, describes
attached pictures, repeats tool results, and calls a tool whose words are in the prompt.
"""

import json
import random
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from typing import Any

from ..core.faults import Fault
from ..core.json_values import items
from ..core.schema_values import UnsatisfiableSchemaError, value_for
from . import tokens

Message = dict[str, Any]

_WORD = re.compile(r"[^\W\d_]{4,}")
_SENTENCES = (
    "The first thing to know about {a} is how it relates to {b}.",
    "In practice {a} depends on {b} more than people expect.",
    "Take {a} step by step, and keep {b} in view.",
    "A short way to put it: {a} comes before {b}.",
    "There are three parts to {a}: the plan, the work, and {b}.",
    "If you only remember one thing about {a}, let it be {b}.",
    "Most questions about {a} are really questions about {b}.",
    "Compare {a} with {b}, and the difference becomes plain.",
)
_THOUGHTS = (
    "Let me look at {a} first.",
    "The question mentions {b}, so that matters.",
    "I should check how {a} and {b} fit together.",
    "An answer about {a} should stay short.",
    "One more look at {b} before I answer.",
)
_COMMON = frozenset(
    re.findall(
        r"\w+",
        "about after also answer could does from give have into make more please some tell than that the their them"
        " then there these they this what when where which with word words would write your",
    )
)
_COLOURS = {
    "black": (0, 0, 0),
    "white": (255, 255, 255),
    "grey": (128, 128, 128),
    "red": (200, 40, 40),
    "green": (50, 150, 60),
    "blue": (50, 80, 200),
    "yellow": (230, 210, 60),
    "orange": (235, 140, 40),
    "purple": (130, 60, 160),
}
_TEXT_TOKENS = (40, 90)
_THOUGHT_TOKENS = (15, 40)


@dataclass(frozen=True, slots=True, kw_only=True)
class WrittenCall:
    """One tool call of the model. `arguments` are the tokens of its JSON text."""

    id: str
    name: str
    arguments: tuple[str, ...]

    @property
    def size(self) -> int:
        """The number of tokens in the call."""
        return tokens.count(self.name) + len(self.arguments)


@dataclass(frozen=True, slots=True, kw_only=True)
class WrittenAnswer:
    """One choice, as tokens. finish_reason is stop, length or tool_calls."""

    content: tuple[str, ...] = ()
    reasoning: tuple[str, ...] = ()
    calls: tuple[WrittenCall, ...] = ()
    finish_reason: str = "stop"

    @property
    def size(self) -> int:
        """The number of tokens in reasoning, content and calls."""
        return len(self.content) + len(self.reasoning) + sum(call.size for call in self.calls)

    def cut(self, limit: int) -> "WrittenAnswer":
        """The answer, cut off after `limit` tokens."""
        if self.size <= limit:
            return self
        reasoning = self.reasoning[:limit]
        content = self.content[: limit - len(reasoning)]
        left = limit - len(reasoning) - len(content)
        calls: list[WrittenCall] = []
        for call in self.calls:
            left -= tokens.count(call.name)
            if left < 0:
                break
            calls.append(replace(call, arguments=call.arguments[:left]))
            left -= len(calls[-1].arguments)
        return WrittenAnswer(content=content, reasoning=reasoning, calls=tuple(calls), finish_reason="length")


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerWish:
    """What an answer should be like.

    tool_choice: auto, none, required, or the name of a function. schema: {} means any JSON object, and None text.
    length: the number of tokens; None means a usual short answer.
    """

    salt: str
    think: float = 0
    tools: Sequence[dict[str, Any]] = ()
    tool_choice: str = "auto"
    parallel_calls: bool = True
    schema: dict[str, Any] | None = None
    stop: tuple[str, ...] = ()
    length: int | None = None
    scripted: dict[str, Any] | None = field(default=None)


def write_answer(messages: Sequence[Message], wish: AnswerWish) -> WrittenAnswer:
    """One answer to a conversation.

    Raises Fault 400 INVALID_REQUEST_BODY if no value can be found for the schema.
    """
    rng = random.Random(_digest(messages, wish.salt))
    if wish.scripted is not None:
        return _scripted(wish, rng)
    prompt = last_words(messages)
    reasoning = _thoughts(prompt, rng, wish.think) if wish.think else ""
    calls = _calls(messages, prompt, wish, rng)
    if calls:
        return WrittenAnswer(reasoning=tuple(tokens.split(reasoning)), calls=calls, finish_reason="tool_calls")
    content = _text(messages, prompt, rng, wish.length) if wish.schema is None else _json(wish.schema, prompt, rng)
    return WrittenAnswer(
        content=tuple(tokens.split(end_at(content, wish.stop))),
        reasoning=tuple(tokens.split(reasoning)),
    )


def last_words(messages: Sequence[Message]) -> str:
    """The text of the last user message, or of the last message that has any."""
    for role in ("user", None):
        for message in reversed(messages):
            if role in (None, message.get("role")) and (text := text_of(message)):
                return text
    return ""


def text_of(message: Message) -> str:
    """The text parts of a message, joined."""
    content = message.get("content")
    if isinstance(content, str):
        return content
    return " ".join(part["text"] for part in items(content) if part.get("type") == "text")


def end_at(text: str, stop: Sequence[str]) -> str:
    """The text up to and including the first stop sequence. The documentation says that it stays in the text."""
    ends = [text.find(each) + len(each) for each in stop if each and each in text]
    return text[: min(ends)] if ends else text


def continue_text(prompt: str, salt: str, *, length: int | None, stop: Sequence[str]) -> WrittenAnswer:
    """The text that follows a plain prompt."""
    rng = random.Random(_digest([{"content": prompt}], salt))
    text = " " + _prose(_SENTENCES, _topics(prompt), rng, length or rng.randint(*_TEXT_TOKENS))
    return WrittenAnswer(content=tuple(tokens.split(end_at(text, stop))))


def _digest(messages: Sequence[Message], salt: str) -> bytes:
    text = json.dumps([messages, salt], ensure_ascii=False, sort_keys=True)
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()


def _scripted(wish: AnswerWish, rng: random.Random) -> WrittenAnswer:
    script = wish.scripted or {}
    calls = tuple(_call(call["name"], call.get("arguments", {}), rng) for call in script.get("tool_calls", ()))
    return WrittenAnswer(
        content=tuple(tokens.split(end_at(script.get("content", ""), wish.stop))),
        reasoning=tuple(tokens.split(script.get("reasoning", ""))),
        calls=calls,
        finish_reason=script.get("finish_reason", "tool_calls" if calls else "stop"),
    )


def _topics(prompt: str) -> list[str]:
    seen = dict.fromkeys(word for word in _WORD.findall(prompt[:4000]) if word.lower() not in _COMMON)
    return list(seen)[:12] or ["this", "the rest"]


def _prose(templates: Sequence[str], topics: Sequence[str], rng: random.Random, length: int) -> str:
    sentences: list[str] = []
    written = 0
    while written < length:
        a, b = rng.choice(topics), rng.choice(topics)
        sentence = rng.choice(templates).format(a=a, b=b if a != b else "its surroundings")
        written += tokens.count(sentence)
        sentences.append(sentence)
    return " ".join(sentences)


def _thoughts(prompt: str, rng: random.Random, effort: float) -> str:
    return _prose(_THOUGHTS, _topics(prompt), rng, round(rng.randint(*_THOUGHT_TOKENS) * effort))


def _text(messages: Sequence[Message], prompt: str, rng: random.Random, length: int | None) -> str:
    last = messages[-1] if messages else {}
    words = prompt.split()
    quoted = " ".join(words[:12]) + ("…" if len(words) > 12 else "")
    answers_tool = last.get("role") == "tool"
    opening = f"The tool answered: {text_of(last)[:200]}" if answers_tool else f"You asked: “{quoted}”."
    seen = [line for message in messages for line in _media_lines(message)]
    target = rng.randint(*_TEXT_TOKENS) if length is None else length
    start = " ".join([opening, *seen])
    text = start + " " + _prose(_SENTENCES, _topics(prompt), rng, max(8, target - tokens.count(start)))
    return text if length is None else "".join(tokens.split(text)[:length])


def _media_lines(message: Message) -> list[str]:
    return [line for part in items(message.get("content")) if (line := _media_line(part))]


def _media_line(part: dict[str, Any]) -> str:
    match part.get("type"):
        case "image_url":
            picture = tokens.open_data_image(part["image_url"]["url"])
            if picture is None:
                return f"I see the picture at {part['image_url']['url']}."
            red, green, blue = picture.convert("RGB").resize((1, 1)).tobytes()
            colour = min(_COLOURS, key=lambda name: _distance(_COLOURS[name], (red, green, blue)))
            return f"I see a picture of {picture.width}x{picture.height} pixels, mostly {colour}."
        case "video_url":
            return f"I watched the clip at {part['video_url']['url'][:120]}."
        case "input_audio":
            return f"I heard the {part['input_audio']['format']} recording."
        case _:
            return ""


def _distance(one: tuple[int, int, int], other: tuple[int, int, int]) -> int:
    return sum((a - b) ** 2 for a, b in zip(one, other, strict=True))


def _json(schema: dict[str, Any], prompt: str, rng: random.Random) -> str:
    if not schema:
        return json.dumps({"answer": " ".join(prompt.split()[:12]), "topics": _topics(prompt)[:3]}, ensure_ascii=False)
    try:
        return json.dumps(value_for(schema, hint=prompt, rng=rng), ensure_ascii=False)
    except UnsatisfiableSchemaError as error:
        raise Fault(400, "INVALID_REQUEST_BODY", f"response_format: {error}") from error


def _calls(messages: Sequence[Message], prompt: str, wish: AnswerWish, rng: random.Random) -> tuple[WrittenCall, ...]:
    if not wish.tools or wish.tool_choice == "none":
        return ()
    if messages and messages[-1].get("role") == "tool" and wish.tool_choice == "auto":
        return ()
    functions: list[dict[str, Any]] = [tool["function"] for tool in wish.tools]
    if wish.tool_choice not in ("auto", "required"):
        chosen = [each for each in functions if each["name"] == wish.tool_choice]
    else:
        chosen = [each for each in functions if each["name"] in prompt]
        if not chosen:
            best = max(functions, key=lambda each: _likeness(each, prompt))
            chosen = [best] if wish.tool_choice == "required" or _likeness(best, prompt) else []
    if not wish.parallel_calls:
        chosen = chosen[:1]
    return tuple(_call(each["name"], _arguments(each, prompt, rng), rng) for each in chosen)


def _likeness(function: dict[str, Any], prompt: str) -> int:
    said = {word.lower()[:5] for word in _WORD.findall(prompt)} - _COMMON
    offered = _WORD.findall(function["name"].replace("_", " ") + " " + (function.get("description") or ""))
    return len(said & ({word.lower()[:5] for word in offered} - _COMMON))


def _arguments(function: dict[str, Any], prompt: str, rng: random.Random) -> Any:
    schema = function.get("parameters") or {"type": "object"}
    try:
        return value_for({"type": "object", **schema}, hint=prompt, rng=rng)
    except UnsatisfiableSchemaError as error:
        raise Fault(400, "INVALID_REQUEST_BODY", f"tools: {function['name']}: {error}") from error


def _call(name: str, arguments: Any, rng: random.Random) -> WrittenCall:
    text = arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False)
    return WrittenCall(id=f"call_{rng.getrandbits(96):024x}", name=name, arguments=tuple(tokens.split(text)))

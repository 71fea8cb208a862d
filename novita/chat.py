"""Streamed text from Novita: one request, read as it comes, and an honest account of how it ended.

A stream that was cut, fell silent or was broken off by an error still gives what had arrived: text that was paid for.
"""

import json
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any, Literal, cast

import anyio
import httpx

from .client import LONGEST_PATIENCE, NovitaClient
from .errors import NovitaAPIError, NovitaConnectionError, RateLimitError, api_error, redact
from .llm import count_tokens
from .waiting import HEARTBEAT

Json = dict[str, Any]
Ending = Literal["done", "cut", "error", "silent", "too_long"]

CHAT_PATH = "/openai/v1/chat/completions"
COMPLETION_PATH = "/openai/v1/completions"

LONGEST_SILENCE = 30.0
"""Seconds without a byte, once something has come, after which a stream is given up: hosts give up after sixty."""

LONGEST_START = 90.0
"""Seconds until the first event: a long prompt is read before the first token is made."""

_TRIES = 4
_DRAIN = 0.2
_LONGEST_LINE = 4 * 2**20
_LONGEST_STREAM = 64 * 2**20

OnStream = Callable[["Generation"], Awaitable[None]]


@dataclass
class ToolCall:
    """A function the model wants called. `arguments` is the JSON text as it came."""

    id: str = ""
    name: str = ""
    arguments: str = ""


@dataclass
class Choice:
    """One answer, as far as it has come."""

    text: str = ""
    reasoning: str = ""
    calls: dict[int, ToolCall] = field(default_factory=dict[int, ToolCall])
    finish_reason: str | None = None
    logprobs: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])

    def part_inline_reasoning(self) -> None:
        """Move reasoning that a model wrote into its answer to where it belongs."""
        start = self.text.lstrip()
        if not start.startswith("<think>") or self.reasoning:
            return
        thought, closed, rest = start.removeprefix("<think>").partition("</think>")
        self.reasoning = thought.strip()
        self.text = rest.lstrip() if closed else ""


@dataclass
class Usage:
    """Tokens. `exact` says whether Novita counted them or we did."""

    prompt: int = 0
    completion: int = 0
    reasoning: int = 0
    cached: int = 0
    exact: bool = False


@dataclass
class Generation:
    """What one request has made so far. `trouble` says in a sentence why it ended early.

    Args:
        events: Good events read.
        spoilt: Events that could not be read and were left out.
    """

    prompt_tokens: int
    model: str = ""
    id: str = ""
    choices: dict[int, Choice] = field(default_factory=dict[int, Choice])
    counted: Usage | None = None
    ending: Ending | None = None
    trouble: str = ""
    events: int = 0
    spoilt: int = 0
    pieces: int = 0

    @property
    def first(self) -> Choice:
        return self.choices.setdefault(0, Choice())

    @property
    def text(self) -> str:
        """The first answer as far as it has come; reasoning where there is nothing else."""
        return self.first.text or self.first.reasoning

    @property
    def whole(self) -> bool:
        return self.ending == "done"

    @property
    def state(self) -> str:
        """What is going on, in a word or two."""
        if not self.pieces:
            return "waiting for the first token"
        return "writing" if any(choice.text or choice.calls for choice in self.choices.values()) else "thinking"

    @property
    def usage(self) -> Usage:
        """Novita's count where it came, else ours."""
        if self.counted is not None:
            return self.counted
        texts = [
            choice.text + "".join(call.arguments for call in choice.calls.values()) for choice in self.choices.values()
        ]
        reasoning = sum(count_tokens(choice.reasoning) for choice in self.choices.values())
        # A piece is a token as a rule; both counts are guesses, and the larger one is the safer.
        made = max(self.pieces, reasoning + sum(count_tokens(text) for text in texts))
        return Usage(self.prompt_tokens, made, reasoning)

    def take(self, data: Json) -> None:
        """Add one chunk, of either route."""
        self.events += 1
        self.id = self.id or str(data.get("id") or "")
        self.model = str(data.get("model") or "") or self.model
        usage: Any = data.get("usage")
        if isinstance(usage, dict):
            self.counted = _usage(cast(Json, usage))
        for choice in _objects(data.get("choices")):
            index = choice.get("index")
            self._take_choice(self.choices.setdefault(index if isinstance(index, int) else 0, Choice()), choice)

    def _take_choice(self, here: Choice, choice: Json) -> None:
        # A chunk carries `delta`, a whole answer `message`, a completion `text`.
        found: Any = choice.get("delta") or choice.get("message")
        delta = cast(Json, found) if isinstance(found, dict) else {}
        text = _text(delta.get("content")) or _text(choice.get("text"))
        reasoning = _text(delta.get("reasoning_content"))
        here.text += text
        here.reasoning += reasoning
        calls = _objects(delta.get("tool_calls"))
        for number, part in enumerate(calls):
            index = part.get("index")
            call = here.calls.setdefault(index if isinstance(index, int) else number, ToolCall())
            function: Any = part.get("function")
            named = cast(Json, function) if isinstance(function, dict) else {}
            call.id = call.id or _text(part.get("id"))
            call.name = call.name or _text(named.get("name"))
            call.arguments += _text(named.get("arguments"))
        if text or reasoning or calls:
            self.pieces += 1
        if isinstance(choice.get("logprobs"), dict):
            here.logprobs.append(choice["logprobs"])
        if choice.get("finish_reason"):
            here.finish_reason = str(choice["finish_reason"])


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _objects(value: Any) -> list[Json]:
    found = cast("list[Any]", value) if isinstance(value, list) else []
    return [cast(Json, one) for one in found if isinstance(one, dict)]


def _usage(raw: Json) -> Usage:
    def number(name: str, *inside: str) -> int:
        here: Any = raw
        for step in inside:
            here = cast(Json, here).get(step)
            if not isinstance(here, dict):
                return 0
        value = cast(Json, here).get(name)
        return int(value) if isinstance(value, int | float) else 0

    return Usage(
        prompt=number("prompt_tokens"),
        completion=number("completion_tokens"),
        reasoning=number("reasoning_tokens", "completion_tokens_details"),
        cached=number("cached_tokens", "prompt_tokens_details"),
        exact=True,
    )


async def generate(
    client: NovitaClient,
    path: str,
    body: Json,
    made: Generation,
    *,
    doing: str,
    on_stream: OnStream | None = None,
    silence: float = LONGEST_SILENCE,
    start: float = LONGEST_START,
) -> None:
    """Send a request and fill `made` with what comes, until it ends one way or another.

    `on_stream` is told at the first token and then at least every HEARTBEAT seconds. A caller that is cancelled
    closes the connection at once, which ends the generation at Novita; `made` keeps what had come.
    Silence is measured in real time, whatever the clock: it is the connection's, not the job's.

    Raises:
        NovitaError: Novita refused it, or nothing at all came.
    """
    raised: list[Exception] = []
    async with anyio.create_task_group() as group:
        reading = anyio.CancelScope()
        seen = _Seen(anyio.current_time())
        group.start_soon(_watch, seen, reading, made, on_stream, silence, start)
        try:
            with reading:
                await _read_patiently(client, path, body, made, seen, doing, on_stream)
        except Exception as error:  # handed on below: a task group would wrap it
            raised.append(error)
        group.cancel_scope.cancel()
    if raised:
        raise raised[0]
    if made.ending is None:
        made.ending = "silent"
        made.trouble = f"The stream fell silent for {silence:g} s and was given up"
    for choice in made.choices.values():
        choice.part_inline_reasoning()
    if not made.pieces and not made.whole:
        raise NovitaConnectionError(
            f"{made.trouble or 'The stream ended'} before a single token came, while {doing}",
            billed="maybe",
            next_step="The prompt may have been billed. Try again, with another model if it happens twice.",
        )


@dataclass
class _Seen:
    """When the last byte came, and whether any has."""

    last: float
    any: bool = False

    def now(self) -> None:
        self.last, self.any = anyio.current_time(), True


async def _watch(
    seen: _Seen,
    reading: anyio.CancelScope,
    made: Generation,
    on_stream: OnStream | None,
    silence: float,
    start: float,
) -> None:
    """Give signs of life, and give up on a stream that has none."""
    while True:
        left = seen.last + (silence if seen.any else start) - anyio.current_time()
        if left <= 0:
            reading.cancel()
            return
        await anyio.sleep(min(left, HEARTBEAT))
        if on_stream is not None:
            await on_stream(made)


async def _read_patiently(
    client: NovitaClient,
    path: str,
    body: Json,
    made: Generation,
    seen: _Seen,
    doing: str,
    on_stream: OnStream | None,
) -> None:
    """Read, and ask again only where the request certainly was not taken: no connection, or too many requests."""
    for attempt in range(_TRIES):
        try:
            await _read(client, path, body, made, seen, doing, on_stream)
            return
        except (RateLimitError, NovitaConnectionError) as error:
            asked = error.retry_after if isinstance(error, RateLimitError) else None
            if error.billed != "no" or attempt == _TRIES - 1 or (asked or 0) > LONGEST_PATIENCE:
                raise
            await client.clock.sleep(asked if asked is not None else client.jitter(0, client.retries.ceiling(attempt)))


async def _read(
    client: NovitaClient,
    path: str,
    body: Json,
    made: Generation,
    seen: _Seen,
    doing: str,
    on_stream: OnStream | None,
) -> None:
    async with client.stream("POST", path, doing=doing, body=body) as response:
        try:
            ended = await _take_all(response, made, seen, doing, client.api_key, on_stream)
        except (httpx.RequestError, httpx.StreamError) as error:
            made.ending = "cut"
            what = redact(str(error)) or type(error).__name__
            made.trouble = f"The connection broke in the middle of the answer ({what})"
            return
        except _TooLongError:
            made.ending, made.trouble = "too_long", "Novita sent more than any answer has, and reading was stopped"
            return
    if made.ending is not None:
        return
    if ended or (made.choices and all(choice.finish_reason for choice in made.choices.values())):
        made.ending = "done"
    else:
        made.ending, made.trouble = "cut", "Novita ended the stream in the middle of the answer"


async def _take_all(
    response: httpx.Response,
    made: Generation,
    seen: _Seen,
    doing: str,
    key: str | None,
    on_stream: OnStream | None,
) -> bool:
    """Take event after event; whether the last one came."""
    async with aclosing(_events(response, seen)) as events:
        async for event in events:
            if event == "[DONE]":
                # To the end, so that the connection can be used again.
                with anyio.move_on_after(_DRAIN):
                    async for _ in events:
                        pass
                return True
            was = made.state
            problem = _take(made, event, doing, key)
            if problem is not None:
                made.ending, made.trouble = "error", problem
                return False
            if made.state != was and on_stream is not None:
                await on_stream(made)
    return False


def _take(made: Generation, event: str, doing: str, key: str | None) -> str | None:
    """Add one event; what went wrong if it is an error event."""
    try:
        data: Any = json.loads(event)
    except (ValueError, RecursionError):
        made.spoilt += 1
        return None
    if not isinstance(data, dict):
        made.spoilt += 1
        return None
    found = cast(Json, data)
    if "choices" in found or "usage" in found:
        made.take(found)
        return None
    if "error" in found or "message" in found or "reason" in found:
        return _error_event(found, doing, key).what
    made.spoilt += 1
    return None


def _error_event(data: Json, doing: str, key: str | None) -> NovitaAPIError:
    """An error in the middle of a stream, which comes with status 200: its own code stands for the status."""
    inner: Any = data.get("error")
    code: Any = data.get("code") or (cast(Json, inner).get("status") if isinstance(inner, dict) else None)
    status = code if isinstance(code, int) and 400 <= code < 600 else 500
    raw = json.dumps(data).encode()
    return api_error(status, raw, group="llm", doing=doing, spends=True, secrets=(key,) if key else ())


class _TooLongError(Exception):
    """More came than any answer has."""


async def _events(response: httpx.Response, seen: _Seen) -> AsyncGenerator[str]:
    """The data of each server-sent event.

    Lines end at CR and LF only: httpx's own reader would also break at U+2028 and its like, which JSON may hold.
    """
    rest, total = b"", 0
    data: list[str] = []
    async for chunk in response.aiter_bytes():
        seen.now()
        total += len(chunk)
        *lines, rest = (rest + chunk).split(b"\n")
        if len(rest) > _LONGEST_LINE or total > _LONGEST_STREAM:
            raise _TooLongError
        for line in lines:
            text = line.rstrip(b"\r").decode("utf-8", "replace")
            if text.startswith("data:"):
                data.append(text[5:].removeprefix(" "))
            elif not text and data:
                yield "\n".join(data)
                data = []
    if data:
        yield "\n".join(data)

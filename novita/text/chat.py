"""Streamed text from Novita: one request, read as it comes, and an honest account of how it ended.

A stream that was cut, fell silent or was broken off by an error still gives what had arrived: text that was paid for.
"""

import json
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

import anyio
import httpx

from ..core.answers import an_error, error_words, objects
from ..core.backoff import LONGEST_PATIENCE
from ..core.bodies import BodyError, BodyTooLargeError, body_pieces
from ..core.client import NovitaClient
from ..core.errors import NovitaAPIError, NovitaConnectionError, RateLimitError, api_error, read_envelope, redact
from ..core.events import EventReader, LineTooLongError, ServerEvent
from ..core.json_text import Json, load_piece
from ..core.waiting import HEARTBEAT
from ..core.wellformed import well_formed_text_of_json
from .generations import Generation

CHAT_PATH = "/openai/v1/chat/completions"
COMPLETION_PATH = "/openai/v1/completions"

LONGEST_SILENCE = 30.0
"""Seconds without a byte after which a stream is given up, once something has come. MCP clients give up after sixty."""

LONGEST_START = 90.0
"""Seconds to wait for the first event. It is longer, because a long prompt is read before the first token is made."""

_TRIES = 4
_DRAIN = 0.2
_MOST_UNREAD = 4 * 2**20
_LONGEST_STREAM = 64 * 2**20

OnStream = Callable[["Generation"], Awaitable[None]]


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
    reading = _Reading(client, path, body, made, doing, on_stream, anyio.current_time())
    raised: list[Exception] = []
    async with anyio.create_task_group() as group:
        scope = anyio.CancelScope()
        group.start_soon(_watch, reading, scope, silence, start)
        try:
            with scope:
                await _read_patiently(reading)
        except Exception as error:  # raised below, because a task group would wrap it
            raised.append(error)
        group.cancel_scope.cancel()
    if raised:
        raise raised[0]
    if made.ending is None:
        made.ending = "silent"
        made.trouble = f"The stream fell silent for {silence:g} s and was given up"
    made.finish()
    if not made.pieces and (made.counted is None or made.ending != "empty"):
        raise reading.refused or _nothing(reading)


async def generate_at_once(client: NovitaClient, path: str, body: Json, made: Generation, *, doing: str) -> None:
    """Send a request that Novita does not stream, and fill `made` with its answer.

    Raises:
        NovitaError: Novita refused it, or there is nothing in its answer.
    """
    answer = await client.spend("POST", path, doing=doing, group="llm", body=body)
    reading = _Reading(client, path, body, made, doing)
    _take(reading, ServerEvent("body", well_formed_text_of_json(answer.body)))
    made.ending = made.ending or "done"
    made.finish()
    if not made.pieces and (made.counted is None or made.ending != "empty"):
        raise reading.refused or _nothing(reading)


def _nothing(reading: "_Reading") -> NovitaConnectionError:
    return NovitaConnectionError(
        f"{reading.made.trouble or 'The stream ended'} before a single token came, while {reading.doing}",
        billed="maybe",
        next_step="The prompt may have been billed. Try again, with another model if it happens twice.",
        unread=redact(reading.unread, *reading.secrets),
    )


@dataclass
class _Reading:
    """One request and its answer, as it is read.

    Args:
        last: When the last byte came.
        heard: Whether any has.
        refused: The error that Novita sent in place of an answer, or in the middle of one.
        unread: What came and is no part of an answer as we know them; a page is none of anybody's.
    """

    client: NovitaClient
    path: str
    body: Json
    made: Generation
    doing: str
    on_stream: OnStream | None = None
    last: float = 0.0
    heard: bool = False
    refused: NovitaAPIError | None = None
    unread: str = ""

    @property
    def secrets(self) -> tuple[str, ...]:
        return (self.client.api_key,) if self.client.api_key else ()

    def set_apart(self, data: str) -> None:
        """Keep what cannot be read, up to a limit, and no web pages."""
        if len(self.unread) + len(data) <= _MOST_UNREAD and not data.lstrip().startswith("<"):
            self.unread += f"{data}\n"

    def hear(self) -> None:
        self.last, self.heard = anyio.current_time(), True


async def _watch(reading: _Reading, scope: anyio.CancelScope, silence: float, start: float) -> None:
    """Tell the listener that the stream lives, and give up on one that is silent for too long."""
    while True:
        left = reading.last + (silence if reading.heard else start) - anyio.current_time()
        if left <= 0:
            scope.cancel()
            return
        await anyio.sleep(min(left, HEARTBEAT))
        if reading.on_stream is not None:
            await reading.on_stream(reading.made)


async def _read_patiently(reading: _Reading) -> None:
    """Read the answer. Ask again only if the request certainly was not taken: no connection, or too many requests."""
    client = reading.client
    for attempt in range(_TRIES):
        try:
            await _read(reading)
            return
        except (RateLimitError, NovitaConnectionError) as error:
            asked = error.retry_after if isinstance(error, RateLimitError) else None
            if error.billed != "no" or attempt == _TRIES - 1 or (asked or 0) > LONGEST_PATIENCE:
                raise
            await client.clock.sleep(client.retries.pause(attempt, asked, client.jitter))


async def _read(reading: _Reading) -> None:
    made = reading.made
    async with reading.client.stream("POST", reading.path, doing=reading.doing, body=reading.body) as response:
        try:
            ended = await _take_all(reading, response)
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
        made.ending = "cut"
        nonsense = made.spoilt and not made.events
        made.trouble = made.trouble or (
            "Novita answered with something that is no answer of a model"
            if nonsense
            else "Novita ended the stream in the middle of the answer"
        )


async def _take_all(reading: _Reading, response: httpx.Response) -> bool:
    """Take event after event. Returns whether the last one came."""
    made, on_stream = reading.made, reading.on_stream
    async with aclosing(_events(reading, response)) as events:
        async for event in events:
            if event.is_end:
                # Read to the end, so that the connection can be used again.
                with anyio.move_on_after(_DRAIN):
                    async for _ in events:
                        pass
                return True
            was = made.state
            _take(reading, event)
            if made.ending is not None:
                return False
            if made.state != was and on_stream is not None:
                await on_stream(made)
    return False


def _take(reading: _Reading, event: ServerEvent) -> None:
    """Add one event. An error in it ends the answer; what came before stays."""
    made = reading.made
    found = _parsed(event.data)
    if found is None and event.name == "error":
        found = [{"error": event.data}]
    if found is None:
        made.spoilt += bool(event.data.strip())
        reading.set_apart(event.data)
        if event.name == "body" and (words := read_envelope(event.data.encode("utf-8", "replace"))[1]):
            made.trouble = f'Novita answered with "{redact(words, *reading.secrets)[:200]}"'
    for data in found or ():
        choices = objects(data.get("choices"))
        if choices or data.get("usage"):
            made.take(data)
        broken = next((error for choice in choices if (error := an_error(choice.get("error")))), None)
        if any(choice.finish_reason == "error" for choice in made.choices.values()):
            broken = broken or "Novita broke the answer off"
        told = an_error(data.get("error"))
        if told or broken or event.name == "error" or (not choices and _is_error(data)):
            reading.refused = _error_in(reading, data if told or not broken else {"error": broken})
            made.ending, made.trouble = "error", reading.refused.what
            return
        if not choices and not data.get("usage"):
            if data.keys() - _QUIET:
                made.spoilt += 1
                reading.set_apart(event.data)
        elif event.name == "body" and not any("delta" in choice for choice in choices):
            made.ending = "done"


_QUIET = frozenset({"id", "object", "created", "model", "type", "choices", "usage", "system_fingerprint", "error"})
"""An event with no other fields says nothing; it keeps the connection open."""


def _is_error(data: Json) -> bool:
    """Whether an event without choices is an error, in any known spelling."""
    kind = f"{data.get('object') or ''} {data.get('type') or ''}".casefold()
    return "error" in kind or any(data.get(name) for name in ("message", "reason", "detail", "msg", "errors"))


def _parsed(text: str) -> list[Json] | None:
    """The objects of an event; None if it is not JSON."""
    try:
        found: Any = load_piece(text)
    except ValueError:
        return None
    return objects(found) if isinstance(found, dict | list) else None if found is not None else []


def _error_in(reading: _Reading, data: Json) -> NovitaAPIError:
    """An error that comes with status 200. Its own code is used as the status."""
    code, reason, message = error_words(data)
    status = code if code is not None and 400 <= code < 600 else 500
    raw = json.dumps({"reason": reason, "message": message}).encode()
    return api_error(
        status, raw, group="llm", doing=reading.doing, spends=True, secrets=reading.secrets, within_success=True
    )


class _TooLongError(Exception):
    """More came than any answer is long."""


async def _events(reading: _Reading, response: httpx.Response) -> AsyncGenerator[ServerEvent]:
    """The server-sent events of an answer. If it is not a stream of events, all of it is one event."""
    reader = EventReader()
    try:
        async for piece in body_pieces(response, most=_LONGEST_STREAM):
            reading.hear()
            for event in reader.feed(piece):
                yield event
    except (BodyTooLargeError, LineTooLongError) as error:
        raise _TooLongError from error
    except BodyError as error:
        raise httpx.DecodingError(str(error)) from error
    for event in reader.finish():
        yield event

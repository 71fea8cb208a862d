"""NovitaClient: all calls to Novita's HTTP API go through it.

There are two kinds of call. `read` is repeated with full-jitter backoff until it works, or until a retry makes no
sense. `spend` is sent once, and repeated only if it certainly never arrived or the rate limiter refused it. Every
answer is checked here.
"""

import math
import random
import re
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import unquote

import httpx

from .answers import an_object
from .backoff import LONGEST_PATIENCE, Jitter, RetryPolicy, asked_to_wait
from .bodies import AS_IT_IS, BodyError, read_body
from .clock import Clock, SystemClock
from .errors import (
    Billed,
    Group,
    InputError,
    MissingKeyError,
    NovitaAPIError,
    NovitaConnectionError,
    NovitaError,
    api_error,
    redact,
)
from .hosts import API_HOST as API_HOST  # also found here, beside those who call it
from .json_text import load_json
from .network.limits import SENT_WITHIN, SentTooSlowlyError
from .network.plain import PlainClient
from .network.pools import Outside
from .network.surroundings import trouble
from .network.way import TheWay
from .placeholders import unfilled_key
from .redaction import Known, learn
from .redaction import owner_of as owner_of  # also found here, beside the client that pays
from .sent import calling, mark_sent
from .waiting import Turns

READ_TIMEOUT = 25.0
"""Seconds within which a read must be answered: MCP clients hang up after 60, and some tools read twice."""

NEVER_ARRIVED = (
    httpx.ConnectError,
    httpx.ConnectTimeout,
    httpx.PoolTimeout,
    httpx.ProxyError,
    httpx.UnsupportedProtocol,
)
"""Errors that httpx raises before the server can have processed any byte of the request."""


_SENDABLE = re.compile(r"[!-~]+")


FilePart = tuple[str, bytes, str]
"""A file in a form: its name, its content and its mime type."""


@dataclass(frozen=True)
class Answer:
    """A complete successful answer. `data` is the parsed JSON, or None if the body is not JSON."""

    status: int
    headers: httpx.Headers
    body: bytes
    data: Any


def new_http(*, timeouts: httpx.Timeout | None = None, quick: bool = False) -> httpx.AsyncClient:
    """The connection pool that all clients of a process share. It holds no key: each request brings its own.

    Args:
        quick: All its requests are for Novita's own API, so that they may take the quick road (`network/quick.py`).
    """
    return PlainClient(
        headers=AS_IT_IS,
        timeout=timeouts or httpx.Timeout(connect=10, read=120, write=60, pool=60),
        transport=TheWay(quick=quick),
        follow_redirects=False,
    )


def sendable(api_key: str | None) -> str:
    """Return the key if it can be sent.

    Raises:
        MissingKeyError: There is none, or it cannot be part of a header.
    """
    if not api_key:
        raise MissingKeyError
    if unfilled_key(api_key):  # the error does not quote the placeholder, which is hidden like a key
        raise MissingKeyError("The Novita API key was not filled in: a placeholder stands in its place")
    if not _SENDABLE.fullmatch(api_key):
        # It was pasted with an ellipsis or a line break. httpx's own error would show the key.
        raise MissingKeyError("The Novita API key holds characters that no key has")
    return api_key


def bearer(api_key: str | None) -> Mapping[str, str]:
    """The header in which Novita's API takes a key."""
    return {"Authorization": f"Bearer {sendable(api_key)}"}


@dataclass(frozen=True)
class NovitaClient:
    """Calls Novita with one key.

    Args:
        http: The shared pool.
        api_key: None makes every call fail with MissingKeyError, before anything is sent.
        base_url: The address of Novita's API. Any other than the default replaces every Novita host.
        largest_answer: Bytes above which an answer is refused.
        read_timeout: Seconds of silence after which a read is tried again or given up.
        outside: Connections to hosts that callers name; None: the shared pool.
        auth: Makes the headers that hold the key; raises MissingKeyError if a key is needed and missing.
        subject: The person whose calls these are, if somebody signed in; empty: whoever has the key.
        turns: The queue for paid requests, if several callers share one rate limit of Novita's.
    """

    http: httpx.AsyncClient
    api_key: str | None = field(repr=False)
    base_url: str = API_HOST
    clock: Clock = field(default_factory=SystemClock)
    retries: RetryPolicy = field(default_factory=RetryPolicy)
    largest_answer: int = 256 * 2**20
    read_timeout: float = READ_TIMEOUT
    jitter: Jitter = random.uniform
    outside: Outside | None = field(default=None, repr=False)
    auth: Callable[[str | None], Mapping[str, str]] = bearer
    subject: str = ""
    turns: Turns | None = field(default=None, repr=False)
    _known: Known | None = field(init=False, repr=False, compare=False, default=None)

    def __post_init__(self) -> None:
        # The key is hidden in every text that leaves the process as long as this client exists.
        object.__setattr__(self, "_known", learn(self.api_key, "key"))

    def for_looking(self) -> "NovitaClient":
        """The same client with fewer retries, for the waiting helper, which tries again by itself."""
        return replace(self, retries=RetryPolicy(attempts=2), read_timeout=9)

    def with_key(self, api_key: str | None) -> "NovitaClient":
        """The same client for another caller."""
        return replace(self, api_key=api_key, subject="")

    def for_subject(self, subject: str, api_key: str | None) -> "NovitaClient":
        """The same client for a person who signed in. Several may pay with one key and still be kept apart."""
        return replace(self, api_key=api_key, subject=subject)

    @property
    def owner(self) -> str:
        """Identifies the caller in the journal, the caps and the logs, without revealing the key.

        It is a hash of the subject that signed in, or else of the key.
        """
        return self.subject or owner_of(self.api_key)

    def url(self, path: str, *, host: str = API_HOST) -> str:
        """The address of a route. `host` is another documented Novita host, which a changed base URL replaces, too."""
        moved = self.base_url.rstrip("/") != API_HOST
        return (self.base_url.rstrip("/") if moved else host) + path

    async def read(
        self,
        method: str,
        path: str,
        *,
        doing: str,
        group: Group = "media",
        params: Mapping[str, Any] | None = None,
        body: Any = None,
        content: bytes | None = None,
        mime: str = "application/octet-stream",
        headers: Mapping[str, str] | None = None,
        host: str = API_HOST,
        as_json: bool = True,
    ) -> Answer:
        """Make a call that may be repeated. Temporary faults are retried: 429, 5xx, resets, cut or garbled bodies.

        Args:
            doing: The call in a few words, for error texts ("reading the balance").
            content: A body of bytes in place of the JSON of `body`; `mime` is its type.
            as_json: False if the answer is a file.

        Raises:
            NovitaAPIError: Novita answered with an error.
            NovitaConnectionError: No usable answer came after all tries.
        """
        last: NovitaError | None = None
        sent = {"json": body} if content is None else {"content": content}
        named = {**({"Content-Type": mime} if content is not None else {}), **(headers or {})}
        extra: dict[str, Any] = {"params": params, "headers": named, **sent}
        # Novita may need a while to store an uploaded body before it answers.
        silence = self.read_timeout if content is None else max(self.read_timeout, 120)
        extra["timeout"] = httpx.Timeout(connect=min(10, self.read_timeout / 2), read=silence, write=60, pool=60)
        started = self.clock.now()
        for attempt in range(self.retries.attempts):
            if last is not None:
                pause = self._pause(attempt - 1, last)
                if _asked_to_wait(last) is None:
                    left = started + self.retries.within - self.clock.now()
                    if left <= 0:
                        break
                    pause = min(pause, left)
                await self.clock.sleep(pause)
            try:
                return await self._once(method, path, doing, group, False, host, as_json, **extra)
            except NovitaAPIError as error:
                asked = error.retry_after or 0
                if not error.transient or asked > LONGEST_PATIENCE:
                    raise
                last = error
            except httpx.RequestError as error:
                last = self._no_answer(error, doing)
                if last.lasting:
                    raise last from error
            except _GarbledError as error:
                last = NovitaConnectionError(f"Novita's answer while {doing} could not be read ({error})")
        assert last is not None  # the loop ran at least once
        last.next_step = last.next_step or TRY_LATER
        raise last

    async def spend(
        self,
        method: str,
        path: str,
        *,
        doing: str,
        group: Group = "media",
        body: Any = None,
        headers: Mapping[str, str] | None = None,
        host: str = API_HOST,
        as_json: bool = True,
        read_timeout: float | None = None,
        sent_within: float = math.inf,
        files: Mapping[str, FilePart] | Sequence[tuple[str, FilePart]] | None = None,
    ) -> Answer:
        """Make a call that costs money or changes something. It is never repeated once it may have arrived.

        It is repeated only after a failed connect (nothing was sent) or a 429 (the rate limiter refused it). With
        `files` (pairs of field and part; a field may occur more than once) the body is sent as multipart form fields.

        Args:
            sent_within: Seconds within which it must be sent completely. Otherwise it is cut off, so that Novita
                never has a whole request.

        Raises:
            NovitaAPIError, NovitaConnectionError: `billed` says what is known about the money.
        """
        last: NovitaError | None = None
        extra: dict[str, Any] = {"data": body, "files": files} if files else {"json": body}
        extra["headers"] = headers
        extra["extensions"] = {SENT_WITHIN: sent_within}
        if read_timeout is not None:
            extra["timeout"] = httpx.Timeout(connect=10, read=read_timeout, write=60, pool=60)
        for attempt in range(4):
            if last is not None and (self.turns is None or not isinstance(last, NovitaAPIError)):
                await self.clock.sleep(self._pause(attempt - 1, last))
            await self._turn(path, body)
            try:
                return await self._once(method, path, doing, group, True, host, as_json, **extra)
            except NovitaAPIError as error:
                if error.status != 429 or not await self._turned_away(path, body, error):
                    raise
                last = error
            except NEVER_ARRIVED as error:
                last = self._no_answer(error, doing, billed="no", next_step=TRY_LATER)
                if last.lasting:
                    raise last from error
            except SentTooSlowlyError as error:
                raise uploaded_too_slowly(sent_within, doing) from error
            except httpx.RequestError as error:
                raise self._no_answer(error, doing, billed="maybe", next_step=LOOK_FIRST) from error
            except _GarbledError as error:
                raise NovitaConnectionError(
                    f"Novita accepted the request but its answer could not be read ({error}) while {doing}",
                    billed="maybe",
                    next_step=LOOK_FIRST,
                ) from error
        assert last is not None
        raise last

    @asynccontextmanager
    async def stream(
        self,
        method: str,
        path: str,
        *,
        doing: str,
        group: Group = "llm",
        body: Any = None,
        host: str = API_HOST,
        **more: Any,
    ) -> AsyncGenerator[httpx.Response]:
        """Make a spending call whose answer is read as it comes. The caller reads and closes the stream.

        Args:
            more: Arguments for httpx: `content` in place of the JSON of `body`, `headers`, `params`, `timeout`.
        """
        request = self._request(method, path, host, **({"json": body} if "content" not in more else {}), **more)
        await self._turn(path, body)
        mark_sent()
        with calling(method, path, doing) as span:
            try:
                response = await self.http.send(request, stream=True)
            except NEVER_ARRIVED as error:
                raise self._no_answer(error, doing, billed="no", next_step=TRY_LATER) from error
            except httpx.RequestError as error:
                raise self._no_answer(error, doing, billed="maybe", next_step=LOOK_FIRST) from error
            span.set_attribute("http.response.status_code", response.status_code)
        try:
            if response.status_code >= 300:
                refusal = self._error(response, await self._body(response), doing, group, spends=True)
                if refusal.status == 429:
                    await self._turned_away(path, body, refusal)
                raise refusal
            yield response
        except httpx.RequestError as error:  # while the answer was read, here or by the caller
            raise self._no_answer(error, doing, billed="maybe", next_step=LOOK_FIRST) from error
        finally:
            await response.aclose()

    async def _turn(self, path: str, body: Any) -> None:
        """Wait until a paid request may be sent, if there is a queue."""
        if self.turns is not None:
            await self.turns.wait(self._lane(path, body), self.owner)

    async def _turned_away(self, path: str, body: Any, error: NovitaAPIError) -> bool:
        """Wait after Novita's rate limiter has refused a request. Returns whether to send it again."""
        if self.turns is None:
            return (error.retry_after or 0) <= LONGEST_PATIENCE
        await self.turns.refused(self._lane(path, body), error.retry_after)
        return True

    def _lane(self, path: str, body: Any) -> str:
        """The lane of a request: this key and the model, which the body or the path names."""
        named = an_object(body).get("model")
        return f"{owner_of(self.api_key)} {named if isinstance(named, str) else path}"[:200]

    def _request(self, method: str, path: str, host: str, **extra: Any) -> httpx.Request:
        if any(part in (".", "..") for part in unquote(path.partition("?")[0]).split("/")):
            # As part of a path, "." or ".." as an id would lead to another route.
            raise InputError("'.' and '..' are no ids", next_step="Take an id from the tool that lists them.")
        more: Mapping[str, str] | None = extra.pop("headers", None)
        headers = {**self.auth(self.api_key), **(more or {})}
        try:
            return self.http.build_request(method, self.url(path, host=host), headers=headers, **extra)
        except httpx.InvalidURL as error:
            raise NovitaConnectionError(
                "The address of Novita is malformed", billed="no", next_step="Have the user correct NOVITA_BASE_URL."
            ) from error

    async def _once(
        self,
        method: str,
        path: str,
        doing: str,
        group: Group,
        spends: bool,
        host: str,
        as_json: bool,
        **extra: Any,
    ) -> Answer:
        request = self._request(method, path, host, **extra)
        if spends:
            mark_sent()
        with calling(method, path, doing) as span:
            response = await self.http.send(request, stream=True)
            span.set_attribute("http.response.status_code", response.status_code)
            try:
                body = await self._body(response)
            finally:
                await response.aclose()
            if response.status_code >= 300:
                raise self._error(response, body, doing, group, spends=spends)
        data: Any = None
        if as_json:
            try:
                data = load_json(body) if body.strip() else None
            except ValueError as error:
                raise _GarbledError("not JSON") from error
            if data is None and method == "GET":
                raise _GarbledError("empty")
        return Answer(response.status_code, response.headers, body, data)

    async def _body(self, response: httpx.Response) -> bytes:
        try:
            silence: float | None = response.request.extensions.get("timeout", {}).get("read")
            return await read_body(response, most=self.largest_answer, patience=silence or math.inf)
        except BodyError as error:
            if response.status_code >= 300:
                return b""  # an error's status is enough without its body
            raise _GarbledError(str(error)) from error

    def _error(
        self, response: httpx.Response, body: bytes, doing: str, group: Group, *, spends: bool
    ) -> NovitaAPIError:
        return api_error(
            response.status_code,
            body,
            group=group,
            doing=doing,
            spends=spends,
            retry_after=asked_to_wait(response.headers, self.clock.wall()),
            secrets=(self.api_key,) if self.api_key else (),
        )

    def _no_answer(
        self, error: httpx.RequestError, doing: str, *, billed: Billed | None = None, next_step: str = ""
    ) -> NovitaConnectionError:
        kind = "timed out" if isinstance(error, httpx.TimeoutException) else "failed"
        found = trouble(error, httpx.URL(self.base_url))
        return NovitaConnectionError(
            f"The connection to Novita {kind} while {doing} ({redact(found.what, self.api_key or '')})",
            billed=billed,
            next_step=found.mend or next_step,
            lasting=found.lasting,
        )

    def _pause(self, attempt: int, last: NovitaError) -> float:
        return self.retries.pause(attempt, _asked_to_wait(last), self.jitter)


def _asked_to_wait(error: NovitaError) -> float | None:
    """Seconds that Novita asked us to wait; None if it named none."""
    return error.retry_after if isinstance(error, NovitaAPIError) else None


def uploaded_too_slowly(seconds: float, doing: str) -> NovitaConnectionError:
    """The error for an upload that was cut off because it took longer than the caller waits."""
    wish = min(3600, math.ceil(max(120, 3 * seconds) / 60) * 60)
    return NovitaConnectionError(
        f"The upload took longer than {seconds:.0f} s and was ended while {doing}: nothing was submitted",
        billed="no",
        next_step=f"Call again with wait_seconds={wish}, or with smaller files.",
    )


class _GarbledError(Exception):
    """A 2xx answer whose body is not what it should be."""


TRY_LATER = "Novita seems unwell; try again in a minute."
LOOK_FIRST = "Look at list_tasks and the balance before asking again; this server does not repeat paid calls."

"""Downloads one file, whole or not at all: resumes after a cut, checks the length and follows no forbidden redirect."""

import hashlib
import random
import re
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from typing import Any, BinaryIO

import anyio
import anyio.to_thread
import httpx

from ..core.answers import a_count
from ..core.backoff import LONGEST_PATIENCE, Backoff, Jitter, asked_to_wait
from ..core.bodies import AS_IT_IS, BodyCutError, BodyError, BodyTooLargeError, body_pieces
from ..core.clock import Clock
from ..core.errors import ArtifactError, InputError
from ..core.network.surroundings import SettingOfTheWayError
from .addresses import AddressError, Guard, Hop, UnknownHostError, route_to
from .kinds import HEAD_BYTES, MediaType, media_type, sniff
from .links import parse_link

MIB = 2**20
_STEP = 32 * MIB
"""If a file's size is not known, `admit` is asked for so many bytes at a time."""

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_PASSING = frozenset({408, 425, 429, 500, 502, 503, 504})
_EXPIRED = frozenset({401, 403, 404, 410})
_TIMEOUT = httpx.Timeout(connect=10, read=30, write=10, pool=60)


class ExpiredLinkError(ArtifactError):
    """The link has expired: the storage no longer serves the file."""


@dataclass(frozen=True)
class Downloaded:
    """What a download has written.

    Args:
        declared: The type that the server named.
        measured: Whether the server named the file's length. Without it a file cut short can go unnoticed.
    """

    size: int
    sha256: str
    head: bytes
    declared: MediaType | None
    measured: bool


@dataclass(frozen=True)
class Peek:
    """A part of a file behind a link. `size` is that of the whole file, or None if the server does not tell."""

    head: bytes
    size: int | None


class _PassingError(Exception):
    """A fault that may pass, so that another try is worth making."""

    def __init__(self, what: str, retry_after: float | None = None) -> None:
        super().__init__(what)
        self.retry_after = retry_after


@dataclass
class _State:
    """How far a download has come, counted over all its tries."""

    sink: BinaryIO
    max_bytes: int
    deadline: float
    admit: Callable[[int], Awaitable[None]] | None = None
    size: int = 0
    head: bytes = b""
    digest: Any = field(default_factory=hashlib.sha256)
    validator: str | None = None
    total: int | None = None
    declared: MediaType | None = None

    async def admitted(self, total: int | None, coming: int = 0) -> None:
        """Ask `admit` for the bytes that come next, before they are read."""
        if self.admit is not None:
            steps = (self.size + coming) // _STEP + 1
            await self.admit(total if total is not None else min(self.max_bytes, steps * _STEP))

    def write(self, chunk: bytes) -> None:
        self.sink.write(chunk)
        self.digest.update(chunk)
        self.size += len(chunk)
        if len(self.head) < HEAD_BYTES:
            self.head = (self.head + chunk)[:HEAD_BYTES]

    def restart(self) -> None:
        self.sink.seek(0)
        self.sink.truncate()
        self.size, self.head, self.digest = 0, b"", hashlib.sha256()
        self.validator, self.total = None, None


@dataclass(frozen=True)
class Downloader:
    """Fetches files behind links.

    Args:
        budget: Seconds for one file, all tries and pauses together.
        glance: Seconds for reading the beginning of a file.
        turn: Takes one of the connections that the caller may use at a time; None sets no such bound.
        patience: Tells how many seconds are left for all links of the same call.
        tries: How many tries in a row may fail without receiving a byte before the download is given up.
        jitter: Draws a random pause between its two arguments.
    """

    http: httpx.AsyncClient
    clock: Clock
    guard: Guard = field(default_factory=Guard)
    budget: float = 900.0
    glance: float = 20.0
    turn: Callable[[], AbstractAsyncContextManager[None]] | None = None
    patience: Callable[[], float] | None = None
    tries: int = 6
    backoff: Backoff = field(default_factory=Backoff)
    jitter: Jitter = random.uniform

    async def download(
        self,
        url: str,
        sink: BinaryIO,
        *,
        max_bytes: int,
        accept: Callable[[bytes], str | None] = lambda head: None,
        admit: Callable[[int], Awaitable[None]] | None = None,
        what: str = "the file",
    ) -> Downloaded:
        """Write the file behind `url` to `sink`, which must be empty and seekable.

        Args:
            accept: Sees the first bytes before the rest is fetched. It returns why they are refused, or None.
            admit: Is told the number of bytes in all before they are read. If the size is unknown, it is told of one
                step at a time.
            what: The file in a few words, for error texts.

        Raises:
            ExpiredLinkError: The storage no longer serves the file.
            ArtifactError: The file was refused, is too large, or did not arrive whole in any try.
        """
        state = _State(sink, max_bytes, self.clock.now() + self.budget, admit)
        # A timeout of the socket begins anew with each byte, so a server that drips would never end without this one.
        within = self._within(self.budget)
        try:
            with anyio.fail_after(within):
                return await self._all_tries(url, state, accept, what)
        except TimeoutError as error:
            raise ArtifactError(
                f"Fetching {what} took longer than {within:g} s and was given up",
                next_step="Call get_task with its id to try again; nothing is lost while the link is valid.",
            ) from error

    def _within(self, budget: float) -> float:
        """Seconds that one operation may take: its budget, or what is left for the whole call if that is less."""
        return budget if self.patience is None else round(min(budget, self.patience()), 1)

    async def _all_tries(self, url: str, state: _State, accept: Callable[[bytes], str | None], what: str) -> Downloaded:
        fruitless = 0
        while True:
            before = state.size
            try:
                return await self._attempt(url, state, accept, what)
            except AddressError as error:
                if not isinstance(error, UnknownHostError):
                    raise ArtifactError(f"The link to {what} was not followed: {error}") from error
                fault = _PassingError(str(error))
            except httpx.TransportError as error:
                fault = _PassingError(_in_words(error))
            except _PassingError as error:
                fault = error
            fruitless = 1 if state.size > before else fruitless + 1
            pause = self.backoff.pause(fruitless - 1, fault.retry_after, self.jitter)
            if fault.retry_after is not None and fault.retry_after > LONGEST_PATIENCE:
                raise ArtifactError(
                    f"The storage asks to wait {fault.retry_after:g} s before {what} can be fetched",
                    next_step=f"Call get_task with its id after {fault.retry_after:g} s; nothing is lost.",
                ) from fault
            if fruitless >= self.tries or self.clock.now() + pause > state.deadline:
                raise ArtifactError(
                    f"Fetching {what} failed after several tries ({fault})",
                    next_step="Call get_task with its id to try again; nothing is lost while the link is valid.",
                ) from fault
            await self.clock.sleep(pause)

    async def peek(self, url: str, *, length: int = 64 * 1024, start: int = 0) -> Peek:
        """Read `length` bytes of the file behind a link, from `start` on, and the file's size.

        Raises:
            ArtifactError: The address may not be fetched, cannot be reached, or does not serve the file.
        """
        headers = {"Range": f"bytes={start}-{start + length - 1}"}
        within = self._within(self.glance)
        try:
            with anyio.fail_after(within):
                return await self._glance(_parsed(url), headers, length, start)
        except TimeoutError as error:
            raise ArtifactError(f"The link did not give the beginning of its file within {within:g} s") from error
        except AddressError as error:
            raise ArtifactError(f"The link was not followed: {error}") from error
        except BodyError as error:
            raise ArtifactError(f"What is behind the link cannot be read: it is {error}") from error
        except (httpx.TransportError, _PassingError) as error:
            raise ArtifactError(f"The link cannot be reached ({_in_words(error)})") from error

    async def _glance(self, url: httpx.URL, headers: dict[str, str], length: int, start: int) -> Peek:
        async with self._open(url, headers) as response:
            if response.status_code not in (200, 206):
                raise ArtifactError(f"The link answers {response.status_code}, not with a file")
            if start and _range(response)[0] != start:
                raise ArtifactError("The server behind the link sends no parts of its file")
            head = await _beginning(response, length)
            size = _range(response)[1] if response.status_code == 206 else _length(response)
            return Peek(head[:length], size)

    async def _attempt(self, url: str, state: _State, accept: Callable[[bytes], str | None], what: str) -> Downloaded:
        headers: dict[str, str] = {}
        # Resume only with a validator, which proves that the second answer continues the first. Else begin again.
        if state.size and state.validator:
            headers = {"Range": f"bytes={state.size}-", "If-Range": state.validator}
        async with self._open(_parsed(url), headers) as response:
            await self._check_status(response, what)
            encoded = response.headers.get("content-encoding", "identity") != "identity"
            start, total = _range(response)
            if response.status_code == 206 and (start != state.size or (state.total and total != state.total)):
                state.restart()
                raise _PassingError("the storage sent another part than asked for")
            if response.status_code == 200:
                if state.size:
                    state.restart()
                total = None if encoded else _length(response)
            state.total = total
            state.validator = None if encoded else _validator(response)
            state.declared = media_type(response.headers.get("content-type"))
            if total is not None and total > state.max_bytes:
                raise _too_large(what, total, state.max_bytes)
            await state.admitted(total)
            looked = state.size >= HEAD_BYTES
            # Write the bytes as they arrive: gathering chunks of a set size would lose some when the line is cut.
            async for chunk in self._pieces(response, state, what):
                await state.admitted(total, len(chunk))
                await anyio.to_thread.run_sync(partial(state.write, chunk))
                if not looked and len(state.head) >= HEAD_BYTES:
                    looked = True
                    self._look(state, accept, what)
                if self.clock.now() > state.deadline:
                    raise ArtifactError(
                        f"Fetching {what} took longer than {self.budget:g} s and was given up",
                        next_step="Call get_task with its id to try again; nothing is lost while the link is valid.",
                    )
        if state.total is not None and state.size != state.total:
            raise _PassingError(f"the storage sent {state.size} of {state.total} bytes")
        if state.size == 0:
            raise _PassingError("the storage sent an empty file")
        self._look(state, accept, what)
        return Downloaded(
            state.size, state.digest.hexdigest(), state.head, state.declared, measured=state.total is not None
        )

    async def _pieces(self, response: httpx.Response, state: _State, what: str) -> AsyncGenerator[bytes]:
        try:
            async for piece in body_pieces(response, most=state.max_bytes - state.size):
                yield piece
        except BodyTooLargeError as error:
            raise _too_large(what, None, state.max_bytes) from error
        except BodyCutError as error:
            raise _PassingError(str(error)) from error
        except BodyError as error:
            raise ArtifactError(f"What the storage gave as {what} cannot be read: it is {error}") from error

    def _look(self, state: _State, accept: Callable[[bytes], str | None], what: str) -> None:
        reason = accept(state.head)
        if reason is None:
            return
        found = sniff(state.head)
        state.restart()
        if found is not None and found.name in ("html", "xml", "json"):
            raise _PassingError(f"the storage answered with a {found.name.upper()} page instead")
        raise ArtifactError(f"What the storage gave as {what} was refused: {reason}")

    @asynccontextmanager
    async def _open(self, url: httpx.URL, headers: dict[str, str]) -> AsyncGenerator[httpx.Response]:
        """The answer after at most five redirects. Each address is judged before it is fetched."""
        # Ask for no compression: a compressed body has no length to check and cannot be resumed.
        headers = {"Accept": "*/*", **AS_IT_IS, "User-Agent": "novita-mcp", **headers}
        hop: Hop | None = None
        async with self.turn() if self.turn is not None else nullcontext():
            for _ in range(6):
                hop = await self.guard.judge(url, before=hop, route=route_to(self.http, url))
                response = await self._send(hop, headers)
                try:
                    if response.status_code not in _REDIRECTS:
                        yield response
                        return
                    target = response.headers.get("location")
                finally:
                    await response.aclose()
                if not target:
                    raise _PassingError("the storage redirects without saying where")
                try:
                    url = url.join(target)
                    parse_link(str(url))
                except (InputError, httpx.InvalidURL, ValueError) as error:
                    raise AddressError("it redirects to something that is no link") from error
            raise AddressError("it redirects more than five times")

    async def _send(self, hop: Hop, headers: dict[str, str]) -> httpx.Response:
        requests = hop.requests(headers, _TIMEOUT)
        while True:
            try:
                return await self.http.send(requests.pop(0), stream=True, auth=None, follow_redirects=False)
            except (httpx.ConnectError, httpx.ConnectTimeout):
                if not requests:
                    raise
            except UnicodeError as error:  # httpx reads the redirect's target although it does not follow it
                raise AddressError("it redirects to something that is no link") from error

    async def _check_status(self, response: httpx.Response, what: str) -> None:
        status = response.status_code
        if status in (200, 206):
            return
        if status in _PASSING or status == 416:
            asked = asked_to_wait(response.headers, self.clock.wall())
            raise _PassingError(f"the storage answered {status}", asked)
        try:
            body = await _beginning(response, HEAD_BYTES)
        except BodyError:
            body = b""  # the body cannot be read; the status says enough
        if status in _EXPIRED or (status == 400 and b"expire" in body.lower()):
            raise ExpiredLinkError(
                f"The storage no longer serves {what} ({status}): the link has expired or was removed",
                next_step="Call get_task with the task's id: it asks Novita for a fresh link.",
            )
        raise ArtifactError(f"The storage answered {status} for {what}", next_step="Call get_task for a fresh link.")


async def _beginning(response: httpx.Response, length: int) -> bytes:
    """At least `length` bytes of a body, or all of it."""
    head = b""
    async with aclosing(body_pieces(response, most=2**63)) as pieces:
        async for piece in pieces:
            head += piece
            if len(head) >= length:
                break
    return head


def _parsed(url: str) -> httpx.URL:
    try:
        return parse_link(url)
    except InputError as error:
        raise AddressError(error.what[:1].lower() + error.what[1:]) from error


def _validator(response: httpx.Response) -> str | None:
    """The header that proves that a later part belongs to the same file: a strong ETag, else the date."""
    etag = response.headers.get("etag", "")
    return etag if etag.startswith('"') else response.headers.get("last-modified")


def _length(response: httpx.Response) -> int | None:
    return a_count(response.headers.get("content-length"))


def _range(response: httpx.Response) -> tuple[int | None, int | None]:
    """The first byte and the total from a header such as `Content-Range: bytes 5-9/10`: here 5 and 10."""
    match = re.fullmatch(r"bytes ([0-9]{1,18})-[0-9]{1,18}/([0-9]{1,18}|\*)", response.headers.get("content-range", ""))
    if match is None:
        return None, None
    return int(match[1]), int(match[2]) if match[2] != "*" else None


def _too_large(what: str, size: int | None, limit: int) -> ArtifactError:
    found = f"{size / MIB:.1f} MiB" if size is not None else "more"
    return ArtifactError(
        f"{what[:1].upper()}{what[1:]} is larger than allowed ({found}; the limit is {limit / MIB:.0f} MiB)",
        next_step="Ask for a smaller result, or have the user raise the download limit in this server's settings.",
    )


def _in_words(error: Exception) -> str:
    if isinstance(error, httpx.TimeoutException):
        return "it took too long to answer"
    if isinstance(error, httpx.RemoteProtocolError):
        return "the connection was cut"
    if isinstance(error, httpx.ConnectError) and not isinstance(error, SettingOfTheWayError):
        return "no connection"
    return str(error) or type(error).__name__

"""The way into one running sandbox: its daemon and its interpreter, with its own token and with no other.

The token goes to the sandbox's own host only, and the API key never does.
"""

from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import httpx

from ..core.answers import a_text, an_object
from ..core.backoff import RetryPolicy
from ..core.bodies import BodyError, body_pieces
from ..core.client import Answer, NovitaClient, sendable
from ..core.errors import NotFoundError, NovitaAPIError, NovitaConnectionError, RateLimitError
from ..core.json_text import Json
from .frames import BrokenStreamError, FrameReader, frame
from .hosts import DAEMON, INTERPRETER, Hosts
from .sandboxes import Sandboxes, SandboxGoneError
from .shapes import Sandbox

GONE = (502, 503)
"""The statuses of an address whose sandbox does not run."""
PING = 20
"""Seconds after which a quiet stream must send a ping."""
LONGEST_SILENCE = 75.0
WITHOUT_END = 2**62
"""Bytes. A stream may have any length, because only a bounded part of it is kept."""
_STATUS: Mapping[str, int] = {
    "invalid_argument": 400,
    "unauthenticated": 401,
    "permission_denied": 403,
    "not_found": 404,
    "already_exists": 409,
    "resource_exhausted": 429,
    "unimplemented": 501,
    "unavailable": 503,
    "deadline_exceeded": 504,
    "canceled": 499,
}


def token_header(token: str | None) -> Mapping[str, str]:
    """The header with a sandbox's token. A sandbox that was made without one needs none."""
    return {"X-Access-Token": sendable(token)} if token else {}


class DeadlineError(Exception):
    """The time limit of a call is over."""


@dataclass
class Inside:
    """One running sandbox."""

    sandboxes: Sandboxes
    id: str
    domain: str
    envd_version: str
    shape: Sandbox
    _client: NovitaClient = field(repr=False)
    _traffic: str = field(default="", repr=False)

    @classmethod
    async def enter(cls, sandboxes: Sandboxes, sandbox_id: str, *, known: Sandbox | None = None) -> "Inside":
        """With the token that the control plane tells; `known` is an answer that has it already.

        Raises:
            SandboxGoneError: It does not run.
            NovitaConnectionError: It is where its token must not go.
        """
        found = known or await sandboxes.get(sandbox_id)
        if found.state == "paused":
            raise paused(found)
        domain = sandboxes.hosts.check(found.domain)
        client = replace(
            sandboxes.client,
            api_key=found.token.get_secret_value() or None,
            auth=token_header,
            retries=RetryPolicy(attempts=3),
        )
        traffic = found.traffic_token.get_secret_value()
        return cls(sandboxes, sandbox_id, domain, found.envd_version, found, client, traffic)

    @property
    def hosts(self) -> Hosts:
        return self.sandboxes.hosts

    async def _where(self, port: int) -> dict[str, Any]:
        """Host and headers of a port."""
        headers: dict[str, str] = dict(self.hosts.inside(self.id, port)) if self.hosts.moved or port == DAEMON else {}
        if port == INTERPRETER:
            if self.shape.network.restricted and not self._traffic:
                # Only connecting tells this token. If the sandbox runs, that does not change its end and costs nothing.
                again = await self.sandboxes.connect(self.id, 1)
                self._traffic = again.traffic_token.get_secret_value()
            if self._traffic:
                headers["E2B-Traffic-Access-Token"] = self._traffic
        return {"host": self.hosts.port(self.id, port, self.domain), "headers": headers}

    async def call(self, method: str, message: Json, doing: str, *, again: bool = True) -> Json:
        """A unary call of the daemon, `process.Process/List`.

        Args:
            again: Whether it may be sent twice.

        Raises:
            NovitaAPIError, NovitaConnectionError, SandboxGoneError
        """
        where = await self._where(DAEMON)
        where["headers"] |= {"Connect-Protocol-Version": "1"}
        send = self._client.read if again else self._client.spend
        try:
            answer = await send("POST", f"/{method}", doing=doing, group="sandbox", body=message, **where)
        except NovitaAPIError as error:
            raise await self.explained(error) from error
        return an_object(answer.data)

    async def rest(self, method: str, path: str, doing: str, *, port: int = DAEMON, **more: Any) -> Answer:
        """The answer of a plain call of the daemon or the interpreter, which may be sent twice."""
        where = await self._where(port)
        where["headers"] |= more.pop("headers", {})
        try:
            return await self._client.read(method, path, doing=doing, group="sandbox", **where, **more)
        except NovitaAPIError as error:
            raise await self.explained(error) from error

    @asynccontextmanager
    async def open(
        self, method: str, path: str, doing: str, *, port: int = DAEMON, silence: float = LONGEST_SILENCE, **more: Any
    ) -> AsyncGenerator[httpx.Response]:
        """An answer that is read as it comes. Leaving the block closes the connection."""
        where = await self._where(port)
        where["headers"] |= more.pop("headers", {})
        timeout = httpx.Timeout(connect=10, read=silence, write=60, pool=60)
        try:
            async with self._client.stream(
                method, path, doing=doing, group="sandbox", timeout=timeout, **where, **more
            ) as response:
                yield response
        except NovitaAPIError as error:
            raise await self.explained(error) from error
        except NovitaConnectionError as error:
            # The client warns of costs, as for everything it sends once. Here the sandbox is paid for, not the call.
            error.billed, error.next_step = None, "Look at get_sandbox, then try again."
            raise

    async def stream(
        self,
        method: str,
        message: Json,
        doing: str,
        *,
        limit: float | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> AsyncGenerator[Json]:
        """The messages of one of the daemon's streams, up to its proper end.

        Args:
            limit: Seconds after which the daemon ends it, and what it runs.

        Raises:
            BrokenStreamError: It ended without its end mark, or in the middle.
            DeadlineError: The limit was over.
            NovitaAPIError: It ended with an error of the daemon's.
        """
        sent = {
            **(headers or {}),
            "Content-Type": "application/connect+json",
            "Connect-Protocol-Version": "1",
            "Keepalive-Ping-Interval": str(PING),
        }
        if limit is not None:
            sent["Connect-Timeout-Ms"] = str(int(limit * 1000))
        reader = FrameReader()
        try:
            async with (
                self.open("POST", f"/{method}", doing, content=frame(message), headers=sent) as response,
                aclosing(body_pieces(response, most=WITHOUT_END)) as pieces,
            ):
                async for piece in pieces:
                    for one in reader.feed(piece):
                        yield one
        except (NovitaConnectionError, BodyError) as error:
            raise BrokenStreamError(broken_words(error)) from error
        if not reader.ended:
            raise BrokenStreamError("the stream ended without its end mark")
        if wrong := an_object(reader.trailer.get("error")):
            raise await self.explained(self._failed(wrong, doing))

    def _failed(self, wrong: Json, doing: str) -> NovitaAPIError:
        """The error in the last frame of a stream, which comes with status 200."""
        code, words = a_text(wrong.get("code")), a_text(wrong.get("message"))[:400]
        kind = {404: NotFoundError, 429: RateLimitError}.get(_STATUS.get(code, 500), NovitaAPIError)
        return kind(
            f'The sandbox refused {doing} ({code[:40] or "no code"}): "{words}"',
            status=_STATUS.get(code, 500),
            reason=code or None,
        )

    async def explained(self, error: NovitaAPIError) -> Exception:
        """The error to raise: this one, or what it means if the sandbox has gone or the time was over."""
        if error.status == _STATUS["deadline_exceeded"] and error.reason == "deadline_exceeded":
            return DeadlineError()
        error.billed = None  # the sandbox is billed for its time, not for the call
        if error.status == _STATUS["unauthenticated"]:
            error.next_step = "Call again: the sandbox's token is asked for anew each time."
        if error.status not in GONE:
            return error
        found = await self.sandboxes.get(self.id)  # raises with the reason if it is gone
        if found.state == "paused":
            return paused(found)
        return error


def paused(found: Sandbox) -> SandboxGoneError:
    """The error to raise if a sandbox is paused."""
    return SandboxGoneError(
        f"The sandbox {found.id[:60]} is paused",
        next_step="Resume it with change_sandbox (action=resume), then call again.",
    )


def broken_words(error: Exception) -> str:
    """What broke a stream, in words."""
    return error.what if isinstance(error, NovitaConnectionError) else str(error)

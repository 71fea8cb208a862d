"""Server-sent events: sent at a set speed, disturbed if a test orders it, and charged by what was sent."""

import asyncio
import contextlib
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from ..core.disturb import drop
from ..core.facts import error_row
from .state import LlmState, StreamRecord, StreamTrouble

DONE = "[DONE]"


@dataclass(frozen=True, slots=True)
class Event:
    """One event: its data (JSON, or text as it is), the number of its tokens, and its name if the format has names."""

    data: dict[str, Any] | str
    tokens: int = 0
    name: str | None = None

    def encode(self) -> bytes:
        data = self.data if isinstance(self.data, str) else json.dumps(self.data, ensure_ascii=False)
        name = f"event: {self.name}\n" if self.name else ""
        return f"{name}data: {data}\n\n".encode("utf-8", "replace")


class EventStream(Response):
    """Sends `events`, and then calls `settle(tokens sent)`, which takes the money and returns the micro dollars taken.

    If the client leaves, sending stops at once, only what was sent is paid, and the record says cancelled.
    """

    media_type = "text/event-stream"

    def __init__(
        self, state: LlmState, record: StreamRecord, events: Sequence[Event], settle: Callable[[int], int]
    ) -> None:
        super().__init__(headers={"cache-control": "no-cache"})
        del self.headers["content-length"]
        self._state = state
        self._record = record
        self._events = events
        self._settle = settle
        self._trouble = state.next_trouble()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        record = self._record
        self._state.opened(record)
        sending = asyncio.create_task(self._send_all(scope, send))
        watching = asyncio.create_task(_wait_until_gone(receive))
        try:
            await asyncio.wait({sending, watching}, return_when=asyncio.FIRST_COMPLETED)
            if not sending.done() and record.state == "open":
                record.state = "cancelled"
        except asyncio.CancelledError:  # The simulator is stopping.
            record.state = "broken"
            raise
        finally:
            for task in (sending, watching):
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task
            record.ended = time.monotonic()
            if record.state == "open":
                record.state = "done"
            record.charged_micro_usd = self._settle(record.tokens)

    async def _send_all(self, scope: Scope, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        await asyncio.sleep(self._state.knobs.first_token_seconds)
        trouble = self._trouble
        # If a stream has fewer events than `after`, it is disturbed before its last event, so trouble always happens.
        moment = -1 if trouble is None else min(trouble.after, len(self._events) - 1)
        for index, event in enumerate(self._events):
            if trouble is not None and index == moment and not await self._disturb(trouble, scope, send):
                break
            await _send_part(send, event.encode())
            self._record.events += 1
            self._record.tokens += event.tokens
            # This also lets the loop notice that the client has left, even if no speed is set.
            await asyncio.sleep(self._state.knobs.token_seconds * event.tokens)
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _disturb(self, trouble: StreamTrouble, scope: Scope, send: Send) -> bool:
        """Do what the trouble says. Returns whether the stream goes on."""
        match trouble.kind:
            case "silence":
                await asyncio.sleep(trouble.seconds)
                return True
            case "garbage":
                await _send_part(send, b'data: {"id": "chatcmpl-broken", "choices": [{"index": 0, "del\n\n')
                return True
            case "error":
                self._record.state = "broken"
                await _send_part(send, Event(_error_body(trouble)).encode())
                return False
            case "cut":
                self._record.state = "broken"
                drop(scope)
                await asyncio.Event().wait()  # Wait until the simulator notices that the connection is closed.
                return False
            case "end":
                self._record.state = "broken"
                return False


async def pause_for(state: LlmState, tokens: int) -> None:
    """Wait as long as an unstreamed answer with so many tokens takes at the set speed."""
    seconds = state.knobs.first_token_seconds + state.knobs.token_seconds * tokens
    if seconds:
        await asyncio.sleep(seconds)


async def _wait_until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _send_part(send: Send, body: bytes) -> None:
    await send({"type": "http.response.body", "body": body, "more_body": True})


def _error_body(trouble: StreamTrouble) -> dict[str, Any]:
    try:
        row = error_row("llm", trouble.error)
    except KeyError:
        row = {"http_status": 500, "meaning": trouble.error}
    if trouble.openai_shape:
        return {"error": {"message": row["meaning"], "code": trouble.error, "type": "server_error"}}
    return {"code": row["http_status"], "reason": trouble.error, "message": row["meaning"], "metadata": {}}

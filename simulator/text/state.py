"""The state of the language models: knobs, ordered trouble, scripted answers, streams, and the prompt cache."""

from collections import deque
from dataclasses import asdict, dataclass
from hashlib import blake2b
from typing import Any, Literal

from ..core.faults import Fault
from ..core.world import World
from . import tokens

TroubleKind = Literal["error", "garbage", "silence", "cut", "end"]
_KINDS: tuple[TroubleKind, ...] = ("error", "garbage", "silence", "cut", "end")
RATE_TIERS = ("T1", "T2", "T3", "T4", "T5")
_CACHE_FLOOR = 1024  # Tokens. Shorter prompts are not cached, as in the usual prompt caches.
_CACHE_ENTRIES = 4096


@dataclass(slots=True, kw_only=True)
class LlmKnobs:
    """Settable by `POST /_simulator/llm` or directly.

    token_seconds and first_token_seconds set the speed of every answer, in real seconds. answer_tokens sets the length
    of texts. rate_tier (T1 to T5) is the column of documented requests per minute that limits accounts; None means
    that there is no limit.
    """

    token_seconds: float = 0.0
    first_token_seconds: float = 0.0
    answer_tokens: int | None = None
    rate_tier: str | None = None

    def __post_init__(self) -> None:
        for name in ("token_seconds", "first_token_seconds", "answer_tokens"):
            value = getattr(self, name)
            if value is not None and not value >= 0:
                raise ValueError(f"{name} must not be negative")
        if self.rate_tier not in (None, *RATE_TIERS):
            raise ValueError(f"rate_tier {self.rate_tier!r} is not one of {', '.join(RATE_TIERS)}")


@dataclass(slots=True, kw_only=True)
class StreamTrouble:
    """What goes wrong in the next streams.

    kind: error (an event with the error `error`, then the end), garbage (an event with half a JSON, then the rest),
    silence (nothing for `seconds`, then the rest), cut (the connection is aborted), end (it closes without [DONE]).
    after: the number of good events before it. skip: the number of streams to leave alone first. times: the number of
    streams to disturb (-1: all). openai_shape: the error event is {"error": {...}} instead of Novita's flat body.
    """

    kind: TroubleKind
    after: int = 3
    seconds: float = 30.0
    error: str = "SERVICE_NOT_AVAILABLE"
    openai_shape: bool = False
    skip: int = 0
    times: int = 1


@dataclass(slots=True, kw_only=True)
class StreamRecord:
    """One stream. Times are from time.monotonic. state: open, done, cancelled (by the client), broken (by us)."""

    operation: str
    model: str
    started: float
    ended: float | None = None
    state: Literal["open", "done", "cancelled", "broken"] = "open"
    events: int = 0
    tokens: int = 0
    charged_micro_usd: int = 0


class LlmState:
    """The state of the language models: `world.area(LlmState)`."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.knobs = LlmKnobs()
        self.trouble: list[StreamTrouble] = []
        self.script: deque[dict[str, Any]] = deque()
        self.streams: list[StreamRecord] = []
        self._cached: dict[bytes, int] = {}
        self._minutes: dict[tuple[str, str, int], int] = {}

    def opened(self, stream: StreamRecord) -> None:
        self.streams.append(stream)
        del self.streams[: -self.world.bounds.records]

    @property
    def streams_cancelled(self) -> list[StreamRecord]:
        """The streams whose client left before the end. `ended` is when the simulator noticed it."""
        return [stream for stream in self.streams if stream.state == "cancelled"]

    def say(self, content: str = "", **script: Any) -> None:
        """Set the next answer: content, reasoning, tool_calls [{name, arguments}], finish_reason."""
        self.script.append({"content": content, **script})

    def disturb(self, kind: TroubleKind, **settings: Any) -> None:
        """Order trouble for the next streams. The settings are those of StreamTrouble."""
        self.trouble.append(StreamTrouble(kind=kind, **settings))

    def next_trouble(self) -> StreamTrouble | None:
        """The trouble for a stream that starts now, or None. The trouble counts as used."""
        for trouble in self.trouble:
            if trouble.skip:
                trouble.skip -= 1
            elif trouble.times:
                trouble.times -= 1  # If it began at -1 it never becomes 0.
                return trouble
        return None

    def next_script(self) -> dict[str, Any] | None:
        """The scripted answer for a request that starts now, or None."""
        return self.script.popleft() if self.script else None

    def control(self, body: dict[str, Any]) -> dict[str, Any]:
        """Apply `{"settings": {...}, "trouble": [...], "script": [...], "clear": true}`; each part is optional.

        Raises TypeError or ValueError, which name what is not known.
        """
        if unknown := body.keys() - {"settings", "trouble", "script", "clear"}:
            raise ValueError(f"unknown: {', '.join(sorted(unknown))}")
        if body.get("clear"):
            self.knobs = LlmKnobs()
            self.trouble.clear()
            self.script.clear()
        self.knobs = LlmKnobs(**(asdict(self.knobs) | body.get("settings", {})))
        planned = [StreamTrouble(**each) for each in body.get("trouble", [])]
        if wrong := [each.kind for each in planned if each.kind not in _KINDS]:
            raise ValueError(f"kind {wrong[0]!r} is not one of {', '.join(_KINDS)}")
        self.trouble += planned
        self.script.extend(body.get("script", []))
        return self.report()

    def report(self) -> dict[str, Any]:
        """Knobs, ordered trouble, the streams so far and counts, as JSON."""
        return {
            "settings": asdict(self.knobs),
            "trouble": [asdict(trouble) for trouble in self.trouble],
            "scripted": len(self.script),
            "streams": [asdict(stream) for stream in self.streams[-200:]],
            "streams_cancelled": [asdict(stream) for stream in self.streams_cancelled[-200:]],
        }

    def cached_tokens(self, owner: str, model_id: str, messages: list[dict[str, Any]]) -> int:
        """How many tokens at the start of this conversation the cache has from earlier requests. Caches this one."""
        digest = blake2b(f"{owner}\0{model_id}".encode(), digest_size=16)
        total = found = 0
        for message in messages:
            digest.update(repr(message).encode("utf-8", "surrogatepass"))
            total += tokens.count_messages([message])
            if total < _CACHE_FLOOR:
                continue
            if digest.digest() in self._cached:
                found = total
            self._cached[digest.digest()] = total
        while len(self._cached) > _CACHE_ENTRIES:
            del self._cached[next(iter(self._cached))]
        return found

    def count_request(self, owner: str, model_id: str, per_minute: int) -> None:
        """Count one request of this minute. Raises Fault 429 RATE_LIMIT_EXCEEDED above `per_minute`."""
        minute = int(self.world.clock.now() // 60)
        key = (owner, model_id, minute)
        self._minutes = {each: number for each, number in self._minutes.items() if each[2] == minute}
        if self._minutes.get(key, 0) >= per_minute:
            raise Fault(429, "RATE_LIMIT_EXCEEDED", f"{model_id}: more than {per_minute} requests per minute")
        self._minutes[key] = self._minutes.get(key, 0) + 1


async def get_llm(world: World, _: dict[str, Any]) -> Any:
    return world.area(LlmState).report()


async def post_llm(world: World, sent: dict[str, Any]) -> Any:
    """GET or POST /_simulator/llm shows or sets what `LlmState.control` describes."""
    return world.area(LlmState).control(sent)

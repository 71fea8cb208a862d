"""Detects jumps of the wall clock while a job runs, because a duration measured across a jump is wrong."""

from ..core.clock import Clock

_EVEN = 2.0
"""Seconds by which the two clocks may differ before that counts as a jump."""
_MOST = 1_000
"""Jobs that are remembered."""


class ClockJumps:
    """Compares the wall clock with a monotonic one. A machine that slept shows as a jump, too."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._start = self._apart()
        self._begun: dict[str, float] = {}

    def begin(self, key: str) -> None:
        """Note that a job begins now."""
        self._begun[key] = self._apart()
        if len(self._begun) > _MOST:
            del self._begun[next(iter(self._begun))]

    def steady(self, key: str, took: float) -> bool:
        """Whether the clock has not jumped since the job began, or since this process began if another began it."""
        jumped = abs(self._apart() - self._begun.pop(key, self._start))
        return took > 0 and jumped <= max(_EVEN, took * 0.05)

    def _apart(self) -> float:
        return self._clock.wall() - self._clock.now()

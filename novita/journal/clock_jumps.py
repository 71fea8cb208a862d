"""Whether the wall's clock went on evenly while a job was at work: what it measured over a jump is no duration."""

from ..core.clock import Clock

_EVEN = 2.0
"""Seconds that the clocks may drift apart."""
_MOST = 1_000
"""Jobs that are remembered."""


class ClockJumps:
    """Compares the wall's clock with one that only moves forward; a machine that slept shows as a jump too."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._start = self._apart()
        self._begun: dict[str, float] = {}

    def begin(self, key: str) -> None:
        """A job is at work from now on."""
        self._begun[key] = self._apart()
        if len(self._begun) > _MOST:
            del self._begun[next(iter(self._begun))]

    def steady(self, key: str, took: float) -> bool:
        """Whether the clock did not jump since; of a job that began in another process, since this one began."""
        jumped = abs(self._apart() - self._begun.pop(key, self._start))
        return took > 0 and jumped <= max(_EVEN, took * 0.05)

    def _apart(self) -> float:
        return self._clock.wall() - self._clock.now()

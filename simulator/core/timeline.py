"""The states that an instance, a job or an endpoint passes through as time goes by."""

from collections import deque
from collections.abc import Iterator

from .world import World


class Timeline:
    """The present and future states of a thing.

    The clock moves it on. In a manual world each look moves it one state on, except the first, which shows the present.
    """

    def __init__(self, world: World, state: str) -> None:
        self._world = world
        self.state = state
        self.since = world.clock.now()
        self._coming: deque[tuple[str, float]] = deque()
        self._seen = False

    @property
    def moving(self) -> bool:
        return bool(self._coming)

    def then(self, *steps: tuple[str, float]) -> None:
        """Replace the future states. A step is a state and how long after the one before it is entered.

        Its unit is the setting task_seconds.
        """
        pace = self._world.settings.task_seconds
        self._coming = deque((state, share * pace) for state, share in steps)
        self.since = self._world.clock.now()
        self._seen = False

    def set(self, state: str, *steps: tuple[str, float]) -> None:
        """Enter this state now, and set the future ones."""
        self.state = state
        self.then(*steps)

    def moves(self, *, look: bool = False) -> Iterator[tuple[str, float]]:
        """Enter every state that is due. Yields each state with the time at which it was entered."""
        if self._world.settings.manual:
            if look and self._seen and self._coming:
                self.state, _ = self._coming.popleft()
                self.since = self._world.clock.now()
                yield self.state, self.since
            self._seen = self._seen or look
            return
        while self._coming and self.since + self._coming[0][1] <= self._world.clock.now():
            self.state, seconds = self._coming.popleft()
            self.since += seconds
            yield self.state, self.since

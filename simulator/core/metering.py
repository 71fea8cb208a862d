"""The cost of things that are billed by time, in whole seconds and whole micro dollars, so that rounding loses
nothing."""

from .world import Account, Charge, World

DAY = 86_400
MONTH = 30 * DAY
"""The documentation does not say how long a subscription month is. Here it is thirty days."""


class Meter:
    """The cost of a thing so far, kept as whole seconds times micro dollars a day and divided only when it is read."""

    def __init__(self) -> None:
        self._rate = 0
        self._since = 0
        self._sum = 0
        self._paid = 0
        self._line: Charge | None = None

    def run_at(self, rate: int, at: float) -> None:
        """Set the rate from `at` on, in micro dollars a day."""
        self._count(at)
        self._rate = rate

    def _count(self, at: float) -> None:
        self._sum += self._rate * max(0, int(at) - self._since)
        self._since = max(self._since, int(at))

    def cost(self, at: float) -> int:
        """Micro dollars from the beginning until `at`."""
        self._count(at)
        return self._sum // DAY

    def collect(self, world: World, account: Account, operation: str, note: str, ref: str) -> bool:
        """Charge the cost since the last call, with one line of the bill for each hour.

        False if the account could not pay all of it. Then what it had is taken, and the rest is forgiven.
        """
        now = world.clock.now()
        due = self.cost(now) - self._paid
        if due <= 0:
            return True
        self._paid += due
        paid = min(due, max(0, account.micro_usd))
        line = self._line if self._line is not None and not self._line.refunded and self._line.within is None else None
        if line is not None and int(line.at) // 3600 == int(now) // 3600:
            account.micro_usd -= paid
            line.micro_usd += paid
        elif paid:
            self._line = world.charge(account, paid, operation, note, ref)
        return paid == due

"""What families tell of one row that costs by time, a transaction each."""

from decimal import Decimal
from typing import Any

from novita_mcp.novita.journal.journal import Journal
from novita_mcp.novita.journal.rows import Job


async def set_rate(journal: Journal, key: str, usd_per_day: Decimal, **given: Any) -> Job:
    return await journal.meter(lambda meters: meters.set_rate(meters.job(key), usd_per_day, **given))


async def bill(journal: Journal, key: str, usd: Decimal) -> Job:
    return await journal.meter(lambda meters: meters.bill(meters.job(key), usd))

"""Measures the load that copies of the server carry: processor time a call, memory and connections.

    python bench/team.py [--seconds 5]

It needs PostgreSQL and nginx, as the tests do. Each caller makes one call after another of a tool that asks Novita
nothing (list_tasks), so that the figures are ours: HTTP, rate limit, journal, audit log. Processor time depends little
on what else the machine does. The calls a second are calculated from it, for copies that have a core each.
"""

import argparse
import asyncio
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import httpx

sys.path.insert(0, str(Path(__file__).parents[1]))
from tests.postgres import Postgres, run_postgres
from tests.server.team.team import Copy, balancer, copies

CALL: dict[str, Any] = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "tools/call",
    "params": {"name": "list_tasks", "arguments": {}},
}
HEAD = {"Accept": "application/json, text/event-stream", "MCP-Protocol-Version": "2025-11-25"}


async def drive(url: str, callers: int, seconds: float) -> int:
    """Make calls for `seconds`. Returns the number of answers."""
    answered = 0
    until = time.monotonic() + seconds

    async def call(http: httpx.AsyncClient, number: int) -> None:
        nonlocal answered
        while True:
            answer = await http.post("/mcp", json=CALL, headers={**HEAD, "Authorization": f"Bearer sk-{number:04d}"})
            assert answer.status_code == 200, answer.text
            answered += 1
            if time.monotonic() > until:
                return

    limits = httpx.Limits(max_connections=callers)
    async with httpx.AsyncClient(base_url=url, timeout=300, limits=limits) as http:
        await asyncio.gather(*(call(http, number) for number in range(callers)))
    return answered


def processor(copy: Copy) -> float:
    """Seconds of processor time that a copy has used."""
    assert copy.process is not None
    fields = Path(f"/proc/{copy.process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident(copy: Copy) -> int:
    """The most memory that a copy has used, in MB."""
    assert copy.process is not None
    status = Path(f"/proc/{copy.process.pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) // 1024


def connections(postgres: Postgres) -> int:
    import psycopg

    with psycopg.connect(postgres.url()) as connection:
        asked = (
            "SELECT COUNT(*) FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
        )
        row = connection.execute(asked).fetchone()
    return row[0] if row else 0


def measure(count: int, callers: int, seconds: float) -> None:
    with tempfile.TemporaryDirectory() as home, run_postgres() as postgres:
        settings = {"NOVITA_MCP_JOURNAL": postgres.new(), "NOVITA_MCP_RATE_LIMIT": "1000000"}
        with copies(Path(home), "http://127.0.0.1:9", count, **settings) as members:
            # nginx.conf names two copies. If there is only one, the second address is a port at which nothing listens.
            there = [*members, Copy(Path(home), 9, {})][:2]
            with balancer(there) as url:
                asyncio.run(drive(url, min(callers, 16), 1))
                before = sum(map(processor, members))
                answered = asyncio.run(drive(url, callers, seconds))
                each = (sum(map(processor, members)) - before) / answered
                print(
                    f"| {count} | {callers} | {each * 1000:.0f} | {count / each:.0f} | {max(map(resident, members))} "
                    f"| {connections(postgres)} |",
                    flush=True,
                )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=5)
    seconds: float = parser.parse_args().seconds
    print("| copies | callers | ms of a core a call | calls/s | MB a copy | connections |\n|--|--|--|--|--|--|")
    for count in (1, 2):
        for callers in (16, 64, 256):
            measure(count, callers, seconds)


if __name__ == "__main__":
    main()

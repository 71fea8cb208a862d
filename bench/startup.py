"""Start-up of the real process over stdio, beside an empty server on the same SDK.

    python bench/startup.py [--runs 15]

Prints, as medians: process start to `initialize` answered, to `tools/list` answered, and memory (RSS) after each.
Goals of ours: initialize within 1.15 times the empty server's, idle memory within 80 MiB.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

EMPTY = "from mcp.server import MCPServer\nMCPServer('empty', version='1').run()"
SERVERS = {"empty": ["-c", EMPTY], "novita-mcp": ["-m", "novita_mcp.server"]}
GOAL_RATIO, GOAL_MIB = 1.15, 80.0


@dataclass(frozen=True)
class Start:
    """Milliseconds from the start of the process, MiB of memory."""

    initialize_ms: float
    initialize_mib: float
    list_ms: float
    list_mib: float


def start(arguments: list[str], home: str) -> Start:
    """One process, from nothing to its list of tools."""
    began = time.perf_counter()
    with subprocess.Popen(
        [sys.executable, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={"PATH": os.environ["PATH"], "HOME": home, "NOVITA_MCP_JOURNAL": "off"},
        text=True,
    ) as process:
        client = {"name": "bench", "version": "1"}
        hello = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": client}
        _ask(process, 1, "initialize", hello)
        initialized, first = time.perf_counter(), _rss(process.pid)
        _send(process, {"jsonrpc": "2.0", "method": "notifications/initialized"})
        _ask(process, 2, "tools/list", {})
        listed, second = time.perf_counter(), _rss(process.pid)
        process.kill()
    return Start((initialized - began) * 1000, first, (listed - began) * 1000, second)


def _send(process: subprocess.Popen[str], message: dict[str, Any]) -> None:
    assert process.stdin is not None
    process.stdin.write(json.dumps(message) + "\n")
    process.stdin.flush()


def _ask(process: subprocess.Popen[str], number: int, method: str, params: dict[str, Any]) -> None:
    _send(process, {"jsonrpc": "2.0", "id": number, "method": method, "params": params})
    assert process.stdout is not None
    while json.loads(process.stdout.readline()).get("id") != number:
        pass


def _rss(pid: int) -> float:
    """Resident memory in MiB. Linux only; elsewhere not a number."""
    status = Path(f"/proc/{pid}/status")
    if not status.exists():
        return float("nan")
    line = next(line for line in status.read_text().splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1]) / 1024


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=15)
    runs = parser.parse_args().runs
    with tempfile.TemporaryDirectory() as home:
        for arguments in SERVERS.values():  # once unmeasured: bytecode and disk cache
            start(arguments, home)
        # In turn, so that a busy moment of the machine meets both.
        found = {name: list[Start]() for name in SERVERS}
        for _ in range(runs):
            for name, arguments in SERVERS.items():
                found[name].append(start(arguments, home))
    print(f"{'median of ' + str(runs):<14}{'initialize':>12}{'RSS':>10}{'tools/list':>12}{'RSS':>10}")
    middle = {name: _median(starts) for name, starts in found.items()}
    for name, at in middle.items():
        print(
            f"{name:<14}{at.initialize_ms:>9.0f} ms{at.initialize_mib:>6.1f} MiB"
            f"{at.list_ms:>9.0f} ms{at.list_mib:>6.1f} MiB"
        )
    ours = middle["novita-mcp"]
    ratio = ours.initialize_ms / middle["empty"].initialize_ms
    good = ratio <= GOAL_RATIO and ours.initialize_mib <= GOAL_MIB
    print(
        f"initialize: {ratio:.2f} x the empty server (goal {GOAL_RATIO}); "
        f"idle memory {ours.initialize_mib:.0f} MiB (goal {GOAL_MIB:.0f}): {'met' if good else 'MISSED'}"
    )
    return 0 if good else 1


def _median(starts: list[Start]) -> Start:
    return Start(*(statistics.median(values) for values in zip(*(vars(s).values() for s in starts), strict=True)))


if __name__ == "__main__":
    raise SystemExit(main())

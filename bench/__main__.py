"""Compare our server with a bare one on the same SDK, and with the last release, in one table.

    python bench [--rounds 9] [--release PYTHON]

PYTHON is the interpreter of an environment in which the last release is installed. The servers take turns in each
round, so that a busy moment of the machine affects all of them. The figures are medians. It runs on Linux only, because
it reads memory use there. The exit code is 1 if a goal is missed.
"""

import argparse
import importlib.metadata
import os
import statistics
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from driving import REVISIONS, Child, Web, spawned

HERE = Path(__file__).parent
KEY = "sk-bench-only"
Figures = dict[str, float]
TO_LIST = "start to tools/list, ms"


@dataclass(frozen=True)
class Server:
    """A server to measure: the commands that start it over stdio and over HTTP (with a placeholder for the port)."""

    name: str
    stdio: list[str]
    http: list[str]


def servers(release: str | None) -> list[Server]:
    def of(name: str, python: str) -> Server:
        start = [python, "-m", "novita_mcp.server"]
        return Server(name, start, [*start, "serve", "--http", "--port", "{port}"])

    bare = [sys.executable, str(HERE / "bare.py")]
    found = [Server("bare", bare, [*bare, "{port}"]), of("ours", sys.executable)]
    return [*found, of("release", release)] if release else found


def environment(home: str, novita: str) -> dict[str, str]:
    return {
        "PATH": os.environ["PATH"],
        "HOME": home,
        "NOVITA_API_KEY": KEY,
        "NOVITA_BASE_URL": novita,
        "NOVITA_MCP_JOURNAL": "off",
    }


def of_a_start(server: Server, home: str, novita: str) -> Figures:
    """Measure the start up to the answer to the first call, and how much longer that call takes than later ones."""
    with Child(server.stdio, environment(home, novita)) as child:
        child.initialize()
        initialized = child.age_ms()
        child.ask("tools/list", {})
        listed, mib = child.age_ms(), child.rss_mib()
        first = child.call_ms()
        later = statistics.median(child.call_ms() for _ in range(30))
        return {
            "start to initialize, ms": initialized,
            "start to tools/list, ms": listed,
            "memory after the list, MiB": mib,
            "first call beyond later ones, ms": first - later,
            "memory after 30 calls, MiB": child.rss_mib(),
        }


def of_calls(server: Server, home: str, instant: str, slow: str, calls: int) -> Figures:
    """Measure calls over stdio: one after another, and 64 at once."""
    found: Figures = {}
    with Child(server.stdio, environment(home, instant)) as child:
        child.initialize()
        child.ask("tools/list", {})
        for _ in range(30):
            child.call_ms()
        found["a call over stdio, ms"] = statistics.median(child.call_ms() for _ in range(calls))
        found["64 at once over stdio, calls/s"] = child.rate(64, calls * 4)
    with Child(server.stdio, environment(home, slow)) as child:
        child.initialize()
        child.ask("tools/list", {})
        child.rate(64, 128)
        found["64 at once, upstream 100 ms, calls/s"] = child.rate(64, calls * 2)
    return found


def of_http(server: Server, home: str, instant: str, calls: int) -> Figures:
    """Measure the same over HTTP, in both of MCP's eras."""
    with Web(server.http, environment(home, instant), KEY) as web:
        web.rate(4, 40, REVISIONS[0])
        found: Figures = {}
        for revision in REVISIONS:
            found[f"a call over HTTP, {revision}, ms"] = 1_000 / web.rate(1, calls, revision)
            found[f"16 at once over HTTP, {revision}, calls/s"] = web.rate(16, calls * 2, revision)
            found[f"64 at once over HTTP, {revision}, calls/s"] = web.rate(64, calls * 2, revision)
        return found


def at_least(times: float, what: str) -> Callable[[Figures, Figures], bool]:
    return lambda ours, bare: ours[what] >= times * bare[what]


def at_most(most: float, what: str) -> Callable[[Figures, Figures], bool]:
    return lambda ours, _: ours[what] <= most


GOALS: dict[str, Callable[[Figures, Figures], bool]] = {
    "start to tools/list, ms": lambda ours, bare: ours[TO_LIST] <= 1.1 * bare[TO_LIST],
    "memory after the list, MiB": at_most(75, "memory after the list, MiB"),
    "memory after 30 calls, MiB": at_most(110, "memory after 30 calls, MiB"),
    "first call beyond later ones, ms": at_most(60, "first call beyond later ones, ms"),
    "64 at once over stdio, calls/s": at_least(1.1, "64 at once over stdio, calls/s"),
    "64 at once, upstream 100 ms, calls/s": lambda ours, _: ours["64 at once, upstream 100 ms, calls/s"] >= 490,
    **{
        what: at_least(1.5, what)
        for revision in REVISIONS
        for what in (f"16 at once over HTTP, {revision}, calls/s", f"64 at once over HTTP, {revision}, calls/s")
    },
}
"""Each goal by its name, with a function of our figures and the bare server's that says whether it is met."""


def installed() -> tuple[int, float]:
    """How many packages `pip install novita-mcp` installs, and their size in MiB."""
    from packaging.requirements import Requirement

    seen: dict[str, float] = {}
    left = ["novita-mcp"]
    while left:
        name = left.pop()
        if name in seen:
            continue
        try:
            package = importlib.metadata.distribution(name)
        except importlib.metadata.PackageNotFoundError:  # a package for another system
            continue
        files = [Path(str(file.locate())) for file in package.files or ()]
        seen[name] = sum(file.stat().st_size for file in files if file.is_file()) / 2**20
        for line in package.requires or ():
            needed = Requirement(line)
            if needed.marker is None or needed.marker.evaluate({"extra": ""}):
                left.append(needed.name.lower())
    return len(seen), sum(seen.values())


def table(found: dict[str, Figures], rounds: int) -> str:
    """A Markdown table with a row for each figure: both servers, our figure divided by the bare server's, and whether
    the goal is met."""
    names = list(found)
    lines = [f"| median of {rounds} | {' | '.join(names)} | ours / bare | goal |", "|---" * (len(names) + 3) + "|"]
    for what in found["ours"]:
        values = " | ".join(f"{found[name][what]:,.1f}" for name in names)
        ratio = found["ours"][what] / found["bare"][what]
        goal = GOALS.get(what)
        met = "" if goal is None else "met" if goal(found["ours"], found["bare"]) else "missed"
        lines.append(f"| {what} | {values} | {ratio:.2f} | {met} |")
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--calls", type=int, default=200, help="calls of one measurement")
    parser.add_argument("--release", metavar="PYTHON", help="of an environment with the last release")
    given = parser.parse_args()
    all_of_them = servers(given.release)
    taken: dict[str, list[Figures]] = {server.name: [] for server in all_of_them}
    upstream = [sys.executable, str(HERE / "upstream.py")]
    with (
        tempfile.TemporaryDirectory() as home,
        spawned([*upstream, "0"]) as instant,
        spawned([*upstream, "0.1"]) as slow,
    ):
        for server in all_of_them:  # one run without measuring, to fill the caches of bytecode and disk
            of_a_start(server, home, instant)
        for number in range(given.rounds):
            for server in all_of_them:
                figures = of_a_start(server, home, instant)
                figures |= of_calls(server, home, instant, slow, given.calls)
                figures |= of_http(server, home, instant, given.calls)
                taken[server.name].append(figures)
            print(f"round {number + 1} of {given.rounds}", file=sys.stderr)
    found = {
        name: {what: statistics.median(one[what] for one in rounds) for what in rounds[0]}
        for name, rounds in taken.items()
    }
    print(table(found, given.rounds))
    count, mib = installed()
    print(f"\nInstalled: {count} packages, {mib:.0f} MiB.")
    return 0 if all(goal(found["ours"], found["bare"]) for goal in GOALS.values()) else 1


if __name__ == "__main__":
    raise SystemExit(main())

"""No test sleeps so that something happens: it looks until it sees it, or hands in a clock. Exceptions say why."""

import ast
from collections.abc import Iterator
from pathlib import Path

TESTS = Path(__file__).parent

ALLOWED: dict[str, tuple[int, str]] = {
    "novita/core/network/test_broken.py": (4, "hosts and bodies are slow, and a call must have come under way"),
    "novita/core/network/test_pools.py": (1, "httpcore tells by the loop's own clock how long a connection rests"),
    "novita/core/test_waiting.py": (2, "on the virtual loop: no real second passes"),
    "server/http/test_odd_requests.py": (2, "bytes come slowly, for longer than the server may bear it"),
    "server/team/test_soak.py": (2, "a minute of load lasts a minute"),
    "server/test_crash.py": (7, "a process is killed at any moment: the moment is what is drawn"),
    "server/test_siege.py": (2, "deadlines of the server on a socket: bytes come slowly, or between two requests none"),
    "simulator/sandbox/test_really_run.py": (1, "real processes are paused for a moment in which nothing may happen"),
    "tools/gpu/test_leases.py": (1, "nothing tells that nothing was built"),
    "tools/gpu_stage.py": (1, "while the world's time jumps, sockets and threads get a moment"),
    "tools/overview/test_tasks.py": (1, "nothing tells that nobody looks any more"),
    "tools/text/test_chat_streams.py": (1, "tokens are on their way to a server that tells nobody of them"),
    "virtual_time.py": (1, "a clock that is the loop's, for the virtual loop"),
}
"""How many real sleeps stand in a file outside a loop that looks, and why."""


SLEEPS = {"time.sleep", "anyio.sleep", "asyncio.sleep"}


def sleeps(node: ast.AST, looking: bool = False) -> Iterator[ast.Call]:
    """Calls that sleep for a time, and not only for a turn of the loop, outside a `while` that looks."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
        looking = False
    if (
        isinstance(node, ast.Call)
        and not looking
        and ast.unparse(node.func) in SLEEPS
        and [*map(ast.unparse, node.args)] != ["0"]
    ):
        yield node
    for child in ast.iter_child_nodes(node):
        yield from sleeps(child, looking or isinstance(node, ast.While))


def test_real_sleeps_are_known_with_their_reasons() -> None:
    found: dict[str, list[str]] = {}
    for path in TESTS.rglob("*.py"):
        if "node_modules" in path.parts or "sleep(" not in (text := path.read_text(encoding="utf-8")):
            continue
        if told := [ast.unparse(call) for call in sleeps(ast.parse(text))]:
            found[path.relative_to(TESTS).as_posix()] = told
    assert {name: len(told) for name, told in found.items()} == {name: n for name, (n, _) in ALLOWED.items()}, found


def test_a_sleep_is_found_where_it_only_hopes() -> None:
    hopes = (
        "async def test():\n    while x:\n        await anyio.sleep(1)\n    await anyio.sleep(0)\n    time.sleep(0.3)"
    )
    assert [ast.unparse(call) for call in sleeps(ast.parse(hopes))] == ["time.sleep(0.3)"]

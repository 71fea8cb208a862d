"""The code interpreter of a sandbox: cells of code that share their state, and what they show.

A cell's answer ends with its end mark. One that ends without it is broken, however much had come.
"""

from collections.abc import Awaitable, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any, Literal

import anyio

from ..core.answers import a_count, a_text, an_object, objects
from ..core.bodies import BodyError, body_pieces
from ..core.errors import NovitaConnectionError
from ..core.json_text import Json
from .frames import BrokenStreamError, LineReader
from .hosts import INTERPRETER
from .inside import WITHOUT_END, Inside, broken_words
from .output import Output

Ending = Literal["done", "broken", "time_limit", "interrupted"]
OnOutput = Callable[[], Awaitable[None]]
KINDS = "text html markdown svg png jpeg pdf latex json javascript data chart extra".split()  # noqa: SIM905
MOST_RESULTS = 60
LARGEST_RESULTS = 128 * 2**20
SERVERS_OWN = frozenset({"UnexpectedEndOfExecution", "ContextRestarting", "WebSocketError", "ExecutionAborted"})
"""Names of errors that come from the interpreter's server and not from the code."""


@dataclass(frozen=True)
class Result:
    """Something that a cell shows, by kind: `png`, `jpeg` and `pdf` are base64. `main`: the value of its last line."""

    kinds: Mapping[str, Any]
    main: bool


@dataclass(frozen=True)
class CellError:
    """What the code raised."""

    name: str
    value: str
    traceback: str

    @property
    def of_the_code(self) -> bool:
        return self.name not in SERVERS_OWN


@dataclass
class Cell:
    """One cell, as far as it has come. `ending` is None while it runs.

    Args:
        dropped: Results beyond what is kept.
        trouble: Why it did not end by itself, in words.
    """

    code: str
    number: int | None = None
    stdout: Output = field(default_factory=Output)
    stderr: Output = field(default_factory=Output)
    results: list[Result] = field(default_factory=list[Result])
    error: CellError | None = None
    ending: Ending | None = None
    trouble: str = ""
    dropped: int = 0
    _size: int = 0

    def take(self, line: Json) -> bool:
        """Add one line. Returns True for the end mark."""
        match a_text(line.get("type")):
            case "number_of_executions":
                self.number = a_count(line.get("execution_count"))
            case "stdout":
                self.stdout.add(a_text(line.get("text")))
            case "stderr":
                self.stderr.add(a_text(line.get("text")))
            case "result":
                self._show(line)
            case "error":
                words = (a_text(line.get(name)) for name in ("name", "value", "traceback"))
                self.error = CellError(*words)
            case "end_of_execution":
                return True
            case _:
                pass  # keepalives, and anything that newer servers add
        return False

    def _show(self, line: Json) -> None:
        kinds = {kind: line[kind] for kind in KINDS if line.get(kind) is not None}
        size = sum(len(value) if isinstance(value, str) else 1000 for value in kinds.values())
        if len(self.results) >= MOST_RESULTS or self._size + size > LARGEST_RESULTS:
            self.dropped += 1
            return
        self._size += size
        self.results.append(Result(kinds, bool(line.get("is_main_result"))))

    def close(self) -> None:
        self.stdout.close()
        self.stderr.close()


async def run_cell(
    inside: Inside,
    cell: Cell,
    *,
    language: str = "",
    env: Mapping[str, str] | None = None,
    limit: float,
    on_output: OnOutput | None = None,
) -> None:
    """Run `cell.code` in the default context of its language, and fill `cell` with what comes, up to its end.

    Cancelled, or over its limit: the connection is closed, at which newer servers interrupt the code.

    Args:
        language: The interpreter's own default where empty: Python.
        limit: Seconds it may take.

    Raises:
        NovitaError: It could not be started: no such kernel, no interpreter in this template, the sandbox has gone.
    """
    body: Json = {
        "code": cell.code,
        "context_id": None,
        "language": language or None,
        "env_vars": dict(env) if env else None,
    }
    reader, ended = LineReader(), False
    try:
        with anyio.move_on_after(limit) as scope:
            async with (
                inside.open(
                    "POST", "/execute", "running the code", port=INTERPRETER, silence=limit + 30, body=body
                ) as response,
                aclosing(body_pieces(response, most=WITHOUT_END)) as pieces,
            ):
                async for piece in pieces:
                    for line in reader.feed(piece):
                        ended = cell.take(line) or ended
                    if on_output is not None:
                        await on_output()
                    if ended:
                        break
        if scope.cancelled_caught:
            cell.ending = "time_limit"
            cell.trouble = f"It took longer than {limit:g} s and was interrupted"
        elif ended:
            cell.ending = "done"
        else:
            cell.ending = "broken"
            cell.trouble = "The answer ended without its end mark: the code may not have run to its end"
    except (BrokenStreamError, BodyError) as error:
        cell.ending, cell.trouble = "broken", f"The connection to the code broke: {broken_words(error)}"
    except NovitaConnectionError as error:
        if cell.number is None and not cell.stdout.size:
            raise
        cell.ending, cell.trouble = "broken", f"The connection to the code broke: {broken_words(error)}"
    except anyio.get_cancelled_exc_class():
        cell.ending, cell.trouble = "interrupted", "It was cancelled; the interpreter was told to interrupt it"
        raise
    finally:
        cell.stdout.finish()
        cell.stderr.finish()


async def restart(inside: Inside, language: str) -> int:
    """Restart the contexts of a language and return their number. What runs there ends, and variables are lost."""
    answer = await inside.rest("GET", "/contexts", "listing the kernels", port=INTERPRETER)
    rows = objects(an_object(answer.data).get("contexts", answer.data))
    ids = [a_text(row.get("id")) for row in rows if a_text(row.get("language")) == language and row.get("id")]
    for id in ids:
        await inside.rest("POST", f"/contexts/{id}/restart", "restarting the kernel", port=INTERPRETER, as_json=False)
    return len(ids)

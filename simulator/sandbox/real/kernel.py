"""A Python kernel: it reads cells from stdin, runs them over one set of names, and writes lines of JSON.

It is a program of its own that uses only the standard library, and runs inside a machine that really runs code. An
input line is {"code", "envs"}. The output lines are those of the interpreter's answer, and then {"type": "done"}.
"""

import ast
import base64
import codecs
import contextlib
import fcntl
import io
import json
import linecache
import os
import select
import signal
import struct
import sys
import termios
import threading
import traceback
from collections.abc import Generator
from typing import Any, cast

KINDS = {
    "_repr_html_": "html",
    "_repr_markdown_": "markdown",
    "_repr_svg_": "svg",
    "_repr_latex_": "latex",
    "_repr_json_": "json",
    "_repr_javascript_": "javascript",
}
BINARY = {"_repr_png_": "png", "_repr_jpeg_": "jpeg", "_repr_pdf_": "pdf"}
MOST_ROWS = 10_000


class Interrupts:
    """Makes SIGINT raise KeyboardInterrupt while a cell runs, but never while a line is being written."""

    def __init__(self) -> None:
        self.holding, self.pending = False, False

    def heard(self, *_: object) -> None:
        if self.holding:
            self.pending = True
        else:
            raise KeyboardInterrupt

    @contextlib.contextmanager
    def held(self) -> Generator[None]:
        """No interrupt comes inside this block. Only the main thread is interrupted, so other threads just pass."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        self.holding = True
        try:
            yield
        finally:
            self.holding = False
            if self.pending:
                self.pending = False
                raise KeyboardInterrupt


class LineOutput:
    """Writes lines to a descriptor that nothing else writes to."""

    def __init__(self, interrupts: Interrupts) -> None:
        self.descriptor = os.dup(1)
        self.interrupts = interrupts
        self.lock = threading.RLock()
        self.below: list[Below] = []

    def say(self, line: dict[str, Any]) -> None:
        """Write a line of the cell, after all earlier output that did not go through Python."""
        with self.interrupts.held(), self.lock:
            for below in self.below:
                below.carry()
            self.put(line)

    def put(self, line: dict[str, Any]) -> None:
        data = memoryview(json.dumps(line, default=str).encode() + b"\n")
        while data:
            data = data[os.write(self.descriptor, data) :]


class CellStream(io.TextIOBase):
    """sys.stdout and sys.stderr of a cell."""

    def __init__(self, lines: LineOutput, kind: str) -> None:
        self.lines, self.kind, self.held = lines, kind, ""

    def writable(self) -> bool:
        return True

    def write(self, text: str, /) -> int:
        self.held += text
        if "\n" in text or len(self.held) > 8192:
            self.flush()
        return len(text)

    def flush(self) -> None:
        held, self.held = self.held, ""
        for start in range(0, len(held), 32_768):
            self.lines.say({"type": self.kind, "text": held[start : start + 32_768]})


class Below:
    """Output that does not go through Python, because a program that the cell started writes it to the descriptor.

    A thread sends it on while the cell is busy elsewhere. Whoever writes a line first sends this output on, under the
    same lock. So a line never overtakes what was written before it.
    """

    def __init__(self, lines: LineOutput, descriptor: int, kind: str) -> None:
        self.lines, self.kind = lines, kind
        self.read, write = os.pipe()
        os.set_blocking(self.read, False)
        os.dup2(write, descriptor)
        os.close(write)
        self.decoder = codecs.getincrementaldecoder("utf-8")("replace")
        lines.below.append(self)
        threading.Thread(target=self._watch, daemon=True).start()

    def _watch(self) -> None:
        while True:
            select.select([self.read], [], [])
            with self.lines.lock:
                self.carry()

    def carry(self) -> None:
        """Send on what was written until now, under the lock. What is written meanwhile waits for the next call."""
        (waiting,) = struct.unpack("i", fcntl.ioctl(self.read, termios.FIONREAD, b"\0\0\0\0"))
        while waiting > 0:
            data = os.read(self.read, min(waiting, 32_768))
            waiting -= len(data)
            if text := self.decoder.decode(data):
                self.lines.put({"type": self.kind, "text": text})


def kinds_of(value: Any) -> dict[str, Any]:
    """All forms in which a notebook could show a value."""
    found: dict[str, Any] = {}
    words = repr(value)
    found["text"] = words[1:-1] if isinstance(value, str) else words
    for method, kind in (KINDS | BINARY).items():
        call = getattr(value, method, None)
        if callable(call) and not isinstance(value, type):
            with contextlib.suppress(Exception):  # A form that fails is left out, as in a notebook.
                shown: Any = call()
                if isinstance(shown, tuple):  # with metadata
                    shown = cast("tuple[Any, ...]", shown)[0]
                if isinstance(shown, bytes):
                    shown = base64.b64encode(shown).decode("ascii")
                if shown is not None:
                    found[kind] = shown
    if type(value).__name__ == "DataFrame" and hasattr(value, "to_dict"):
        with contextlib.suppress(Exception):
            rows: Any = cast(Any, value).head(MOST_ROWS).to_dict(orient="list")
            found["data"] = json.loads(json.dumps(rows, default=str))
    return found


class CellRunner:
    def __init__(self) -> None:
        self.interrupts = Interrupts()
        self.lines = LineOutput(self.interrupts)
        self.cells = 0
        self.incoming = os.fdopen(os.dup(0), "rb")
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        Below(self.lines, 1, "stdout")
        Below(self.lines, 2, "stderr")
        sys.stdout, sys.stderr = CellStream(self.lines, "stdout"), CellStream(self.lines, "stderr")
        self.names: dict[str, Any] = {"__name__": "__main__", "display": self.display}

    def display(self, *values: Any) -> None:
        for value in values:
            self.lines.say({"type": "result", "is_main_result": False, **kinds_of(value)})

    def figures(self) -> None:
        """Show the figures of matplotlib at the end of a cell, if the cell has loaded it."""
        plots = sys.modules.get("matplotlib.pyplot")
        if plots is None:
            return
        for number in plots.get_fignums():
            out = io.BytesIO()
            figure = plots.figure(number)
            figure.savefig(out, format="png")
            picture = base64.b64encode(out.getvalue()).decode("ascii")
            self.lines.say({"type": "result", "is_main_result": False, "text": repr(figure), "png": picture})
        plots.close("all")

    def run(self, code: str, envs: dict[str, str]) -> None:
        self.cells += 1
        name = f"<cell {self.cells}>"
        linecache.cache[name] = (len(code), None, code.splitlines(keepends=True), name)
        before = {key: os.environ.get(key) for key in envs}
        os.environ.update(envs)
        try:
            tree = ast.parse(code, name)
            last = tree.body[-1] if tree.body else None
            if isinstance(last, ast.Expr):
                tree.body.pop()
            exec(compile(tree, name, "exec"), self.names)
            if isinstance(last, ast.Expr):
                value = eval(compile(ast.Expression(last.value), name, "eval"), self.names)
                if value is not None:
                    self.names["_"] = value
                    sys.stdout.flush()
                    self.lines.say({"type": "result", "is_main_result": True, **kinds_of(value)})
            self.figures()
        except BaseException as error:  # The user's code may raise anything. The answer shows it; the kernel goes on.
            sys.stdout.flush()
            told = traceback.TracebackException.from_exception(error)
            told.stack = traceback.StackSummary.from_list([row for row in told.stack if row.filename != __file__])
            words = "".join(told.format())
            self.lines.say(
                {"type": "error", "name": type(error).__name__, "value": str(error), "traceback": words[-20_000:]}
            )
        finally:
            for key, value in before.items():
                if value is None:
                    os.environ.pop(key, None)
                else:
                    os.environ[key] = value
            with contextlib.suppress(KeyboardInterrupt):
                sys.stdout.flush()
                sys.stderr.flush()

    def serve(self) -> None:
        for line in self.incoming:
            sent = json.loads(line)
            # An interrupt while no cell runs has no effect.
            try:
                signal.signal(signal.SIGINT, self.interrupts.heard)
                self.run(sent["code"], sent["envs"])
                signal.signal(signal.SIGINT, signal.SIG_IGN)
            except KeyboardInterrupt:
                signal.signal(signal.SIGINT, signal.SIG_IGN)
            self.lines.say({"type": "done"})


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.environ.setdefault("MPLBACKEND", "agg")
    CellRunner().serve()

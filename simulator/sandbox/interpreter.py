"""The code interpreter on port 49999. Its contexts keep their variables, and a cell is answered line by line."""

import asyncio
import json
import re
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, cast
from weakref import WeakKeyDictionary

from starlette.responses import JSONResponse, PlainTextResponse, Response

from .connect import Cut, Stream
from .disk import HOME, DiskError, absolute
from .door import Door
from .machine import Kernel, Line, NoKernel
from .state import SimulatedSandbox

KEEPALIVE = 5.0
LINES = "application/json"
ALIASES = {"js": "javascript", "ts": "typescript", "sh": "bash"}


@dataclass(eq=False)
class Context:
    """A language with its state. It runs one cell at a time, and the next ones wait."""

    id: str
    language: str
    cwd: str
    kernel: Kernel
    cells: int = 0
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    broken: str = ""
    """Why the running cell fails, if the context was restarted or removed meanwhile."""

    def shown(self) -> dict[str, str]:
        return {"id": self.id, "language": self.language, "cwd": self.cwd}


class Contexts:
    """The contexts of one sandbox. All callers share the default context of a language."""

    def __init__(self) -> None:
        self.all: dict[str, Context] = {}
        self.defaults: dict[str, Context] = {}
        self._making = asyncio.Lock()

    async def make(self, door: Door, language: str, cwd: str) -> Context:
        kernel = await door.machine.kernel(language, cwd)
        context = Context(door.state.world.new_id("ctx"), language, cwd, kernel)
        self.all[context.id] = context
        return context

    async def default(self, door: Door, language: str) -> Context:
        async with self._making:
            if language not in self.defaults:
                self.defaults[language] = await self.make(door, language, HOME)
        return self.defaults[language]

    def drop(self, context: Context) -> None:
        self.all.pop(context.id, None)
        self.defaults = {name: each for name, each in self.defaults.items() if each is not context}
        context.broken = "ExecutionAborted"
        context.kernel.stop()


_all: WeakKeyDictionary[SimulatedSandbox, tuple[object, Contexts]] = WeakKeyDictionary()


def contexts(door: Door) -> Contexts:
    """The contexts of this sandbox and of its present machine. A new machine does not get the old contexts."""
    machine = door.machine
    held = _all.get(door.sandbox)
    if held is None or held[0] is not machine:
        held = (machine, Contexts())
        _all[door.sandbox] = held
    return held[1]


async def respond(door: Door) -> Response:
    method, path = door.request.method, door.path
    if (method, path) == ("GET", "/health"):
        return PlainTextResponse("OK")
    if not door.allowed:
        return _error(401, "invalid access token")
    if (method, path) == ("POST", "/execute"):
        return await _execute(door)
    if path == "/contexts":
        if method == "GET":
            return JSONResponse([context.shown() for context in contexts(door).all.values()])
        if method == "POST":
            return await _create(door)
    if found := re.fullmatch(r"/contexts/([^/]+)(/restart)?", path):
        context = contexts(door).all.get(found[1])
        if context is None:
            return _error(404, f"Context {found[1]} not found")
        if found[2] and method == "POST":
            return await _restart(door, context)
        if not found[2] and method == "DELETE":
            contexts(door).drop(context)
            return PlainTextResponse("OK")
    return _error(404, "Not Found")


def _error(status: int, message: str) -> Response:
    return JSONResponse({"message": message}, status)


def _texts(body: dict[str, Any], *names: str) -> str:
    """What is wrong with these fields, which must be text or null. "" if nothing is."""
    if unknown := body.keys() - set(names):
        return f"unknown field {sorted(unknown)[0]!r}"
    wrong = [name for name in names if name != "env_vars" and not isinstance(body.get(name) or "", str)]
    return f"{wrong[0]} must be a string" if wrong else ""


async def _create(door: Door) -> Response:
    body = door.json()
    if body is None or _texts(body, "language", "cwd"):
        return _error(400, _texts(body or {}, "language", "cwd") or "the body is no JSON object")
    try:
        cwd = absolute(body.get("cwd") or HOME)
        if not (await door.machine.files.stat(cwd)).folder:
            return _error(400, f"cwd '{cwd}' is not a directory")
        context = await contexts(door).make(door, _language(body.get("language")), cwd)
    except DiskError as error:
        return _error(400, error.message)
    except NoKernel as error:
        return _error(400, str(error))
    return JSONResponse(context.shown())


def _language(name: str | None) -> str:
    found = (name or "python").lower()
    return ALIASES.get(found, found)


async def _restart(door: Door, context: Context) -> Response:
    context.broken = "ContextRestarting"
    context.kernel.stop()
    context.kernel = await door.machine.kernel(context.language, context.cwd)
    context.cells = 0
    return PlainTextResponse("OK")


async def _execute(door: Door) -> Response:
    door.state.noted("execute")
    body = door.json()
    names = ("code", "context_id", "language", "env_vars")
    if body is None or _texts(body, *names):
        return _error(400, _texts(body or {}, *names) or "the body is no JSON object")
    if not isinstance(body.get("code"), str):
        return _error(422, "code: Field required")
    if body.get("context_id") and body.get("language"):
        return _error(400, "Only one of context_id or language can be provided")
    envs: Any = body.get("env_vars") or {}
    if not isinstance(envs, dict) or not all(isinstance(value, str) for value in cast("dict[str, Any]", envs).values()):
        return _error(400, "env_vars must be an object of strings")
    try:
        if id := body.get("context_id"):
            context = contexts(door).all.get(id)
            if context is None:
                return _error(404, f"Context {id} not found")
        else:
            context = await contexts(door).default(door, _language(body.get("language")))
    except NoKernel as error:
        return _error(400, str(error))
    return Stream(_lines(door, context, body["code"], cast("dict[str, str]", envs)), LINES)


def _line(kind: str, **values: Any) -> bytes:
    return json.dumps({"type": kind, **values}, ensure_ascii=False).encode() + b"\n"


async def _lines(door: Door, context: Context, code: str, envs: dict[str, str]) -> AsyncGenerator[bytes]:
    with door.open_stream() as fault:
        async for line in door.watched(_cell(door, context, code, envs, fault)):
            yield line
            if fault == "endless":
                while True:
                    door.check_alive()
                    await asyncio.sleep(0)  # Lets the loop notice that the client has left.
                    yield _line("stdout", text="y\n" * 16_000, timestamp=_now())
            if fault == "silent":
                while True:
                    door.check_alive()
                    await asyncio.sleep(0.1)


async def _cell(door: Door, context: Context, code: str, envs: dict[str, str], fault: str) -> AsyncGenerator[bytes]:
    queue: asyncio.Queue[Line | None] = asyncio.Queue(64)
    left = False

    async def play() -> None:
        try:
            async for line in context.kernel.run(code, envs):
                if not left:
                    await queue.put(line)
        finally:
            if not left:
                await queue.put(None)

    async with context.lock:
        if context.kernel.dead:
            context.kernel = await door.machine.kernel(context.language, context.cwd)
            context.cells = 0
        context.cells += 1
        context.broken = ""
        yield _line("number_of_executions", execution_count=context.cells)
        if fault == "cut":
            raise Cut
        if fault == "garbage":
            yield b'{"type": "resu\n\xff\xfe not json\n'
            raise Cut
        playing = asyncio.ensure_future(play())
        try:
            while True:
                try:
                    line = await asyncio.wait_for(queue.get(), KEEPALIVE)
                except TimeoutError:
                    yield _line("keepalive")
                    continue
                if line is None:
                    break
                yield _stamped(line)
            await playing
            if context.broken:
                value = f"The context was ended ({context.broken})"
                yield _line("error", name=context.broken, value=value, traceback="")
            if fault != "no_end":
                yield _line("end_of_execution")
        finally:
            left = True
            while not queue.empty():
                queue.get_nowait()
            if not playing.done():
                # Newer servers interrupt the kernel when the client closes the connection.
                await context.kernel.interrupt()
                playing.cancel()
                await asyncio.wait({playing})


def _stamped(line: Line) -> bytes:
    if line["type"] in ("stdout", "stderr"):
        line = {**line, "timestamp": _now()}
    return json.dumps(line, ensure_ascii=False).encode() + b"\n"


def _now() -> str:
    return datetime.now(UTC).isoformat()

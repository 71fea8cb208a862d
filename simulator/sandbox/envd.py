"""The daemon in a sandbox: processes and files over Connect, and whole files over HTTP, also by signed address."""

import asyncio
import base64
import gzip
import hashlib
import re
import zlib
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping

from starlette.datastructures import UploadFile
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from .connect import (
    STREAM,
    Cut,
    Failure,
    Json,
    Stream,
    failure,
    fields,
    frame,
    inner,
    message_of,
    number,
    octets,
    packed,
    refusal,
    text,
    text_map,
    texts,
    trailer,
)
from .disk import HOME, DiskError, absolute
from .door import Door
from .machine import SIGNALS, Config, End, Listener, Process
from .state import SimulatedSandbox
from .watching import watchers

USERS = frozenset({"user", "root"})
LONGEST_QUIET = 3600.0
HTTP_STATUS: Mapping[str, int] = {
    "invalid_argument": 400,
    "not_found": 404,
    "already_exists": 409,
    "permission_denied": 403,
    "resource_exhausted": 507,
}


def is_signed(sandbox: SimulatedSandbox, request: Request, now: float) -> bool:
    """Whether the address has a valid signature, made with this sandbox's token, that has not expired."""
    query = request.query_params
    if sandbox.token is None:
        return False
    what = "read" if request.method == "GET" else "write"
    parts = [query.get("path", ""), what, query.get("username", ""), sandbox.token]
    if expiry := query.get("signature_expiration"):
        if not expiry.isdigit() or int(expiry) < now:
            return False
        parts.append(expiry)
    digest = hashlib.sha256(":".join(parts).encode()).digest()
    return query.get("signature") == "v1_" + base64.b64encode(digest).rstrip(b"=").decode()


async def respond(door: Door) -> Response:
    method, path = door.request.method, door.path
    if (method, path) == ("GET", "/health"):
        return Response(status_code=204)
    if path == "/files":
        return await _files(door)
    if not door.allowed:
        raise Failure("unauthenticated", "unauthenticated: invalid access token")
    if path in PLAIN:
        wanted, handler = PLAIN[path]
        return await handler(door) if method == wanted else Response("Method Not Allowed", 405)
    called = path.rpartition("/")[2]
    found = {f"/{service}/{name}" for service, name in [*UNARY, *STREAMS]}
    if path not in found or method != "POST":
        raise Failure("unimplemented", f"no method at {method} {path}")
    service = path.split("/")[1]
    door.state.noted(f"{service.rpartition('.')[2]}/{called}")
    _check_user(door)
    if (service, called) in STREAMS:
        message = message_of(door.request, door.raw, stream=True)
        return Stream(_framed(door, STREAMS[service, called](door, message)), STREAM)
    message = message_of(door.request, door.raw, stream=False)
    try:
        return JSONResponse(await UNARY[service, called](door, message))
    except DiskError as error:
        return refusal(failure(error))


def _check_user(door: Door) -> None:
    sent = door.request.headers.get("authorization", "")
    if not sent.lower().startswith("basic "):
        return
    try:
        name = base64.b64decode(sent[6:]).decode().partition(":")[0]
    except ValueError:
        raise Failure("unauthenticated", "invalid authorization") from None
    if name not in USERS and not re.match(r"\d+-", name):
        raise Failure("unauthenticated", f"invalid username: '{name}'")


async def _metrics(door: Door) -> Response:
    usage = await door.machine.usage()
    return JSONResponse(
        {
            "ts": int(door.state.world.clock.now()),
            "cpu_count": door.sandbox.template.cpu,
            "cpu_used_pct": usage.cpu_percent,
            "mem_total": door.sandbox.memory_mb * 2**20,
            "mem_used": usage.memory,
            "disk_used": usage.disk,
            "disk_total": door.sandbox.template.disk_mb * 2**20,
        }
    )


async def _envs(door: Door) -> Response:
    return JSONResponse(door.sandbox.order.envs)


async def _init(door: Door) -> Response:
    return Response(status_code=204)


PLAIN: Mapping[str, tuple[str, Callable[[Door], Awaitable[Response]]]] = {
    "/metrics": ("GET", _metrics),
    "/envs": ("GET", _envs),
    "/init": ("POST", _init),
}


# Processes


async def _framed(door: Door, messages: AsyncGenerator[Json | bytes]) -> AsyncGenerator[bytes]:
    """The messages in frames, and then the frame that ends the stream. Ordered faults happen here."""
    with door.open_stream() as fault:
        try:
            first = True
            async for message in door.watched(messages):
                yield message if isinstance(message, bytes) else frame(message)
                if first and fault:
                    async for spoilt in _spoilt(door, fault):
                        yield spoilt
                    if fault == "no_end":
                        return
                first = False
        except Failure as error:
            yield trailer(error)
        except DiskError as error:
            yield trailer(failure(error))
        else:
            yield trailer()


async def _spoilt(door: Door, fault: str) -> AsyncGenerator[bytes]:
    if fault == "cut":
        raise Cut
    if fault == "garbage":
        yield frame({})[:1] + b"\xff\xff\xff\xff not a frame at all"
        raise Cut
    while fault == "endless":
        door.check_alive()
        await asyncio.sleep(0)  # Lets the loop notice that the client has left.
        yield frame({"event": {"data": {"stdout": packed(b"y\n" * 16_000)}}})
    if fault == "silent":
        while True:
            door.check_alive()
            await asyncio.sleep(0.1)


def _environment(door: Door, own: dict[str, str]) -> dict[str, str]:
    base = {"HOME": HOME, "USER": "user", "LOGNAME": "user", "PATH": "/usr/local/bin:/usr/bin:/bin"}
    held = {name: f"novita-secret-placeholder-{secret}" for name, secret in door.sandbox.order.secrets.items()}
    return base | door.sandbox.order.envs | held | own


async def _start(door: Door, message: Json) -> AsyncGenerator[Json | bytes]:
    found = fields(message, "process", "stdin", "pty", "tag")
    process = fields(inner(found, "process"), "cmd", "args", "envs", "cwd")
    if not text(process, "cmd"):
        raise Failure("invalid_argument", "process.cmd is empty")
    size = fields(inner(inner(found, "pty"), "size"), "cols", "rows") if "pty" in found else None
    cwd = absolute(text(process, "cwd") or HOME)
    try:
        if not (await door.machine.files.stat(cwd)).folder:
            raise Failure("invalid_argument", f"cwd '{cwd}' is not a directory")
    except DiskError:
        raise Failure("invalid_argument", f"cwd '{cwd}' does not exist") from None
    config = Config(
        text(process, "cmd"),
        tuple(texts(process, "args")),
        _environment(door, text_map(process, "envs")),
        cwd,
        bool(found.get("stdin", False)),
        (number(size, "cols", 80), number(size, "rows", 24)) if size is not None else None,
    )
    shown = Config(config.cmd, config.args, text_map(process, "envs"), text(process, "cwd"))
    running = await door.machine.spawn(config, text(found, "tag") or None)
    running.shown_as = shown
    limit = _limit(door.request)
    if limit is not None:
        # The process is killed at this time, whether or not a client still listens.
        timer = asyncio.get_running_loop().call_later(limit, lambda: asyncio.ensure_future(running.driver.signal(9)))
        running.when_ended(timer.cancel)
    async for event in _events(door, running, running.first, limit):
        yield event


def _limit(request: Request) -> float | None:
    sent = request.headers.get("connect-timeout-ms", "")
    if not sent:
        return None
    if not sent.isdigit() or len(sent) > 10:
        raise Failure("invalid_argument", f"protocol error: invalid timeout: {sent!r}")
    return int(sent) / 1000


async def _attach(door: Door, message: Json) -> AsyncGenerator[Json | bytes]:
    running = _selected(door, fields(message, "process"))
    listener = running.listen()
    async for event in _events(door, running, listener, _limit(door.request)):
        yield event


async def _events(
    door: Door, running: Process, listener: Listener, limit: float | None
) -> AsyncGenerator[Json | bytes]:
    loop = asyncio.get_running_loop()
    ping = door.request.headers.get("keepalive-ping-interval", "")
    quiet = min(float(ping), LONGEST_QUIET) if ping.isdigit() and int(ping) else LONGEST_QUIET
    over = loop.time() + limit if limit is not None else None
    try:
        yield {"event": {"start": {"pid": running.pid}}}
        while True:
            patience = quiet if over is None else max(0.0, min(quiet, over - loop.time()))
            event = await listener.get(patience)
            if over is not None and loop.time() >= over:
                raise Failure("deadline_exceeded", "context deadline exceeded")
            if event is None:
                yield {"event": {"keepalive": {}}}
            elif isinstance(event, End):
                yield {"event": {"end": event.shown()}}
                return
            else:
                yield {"event": {"data": {event[0]: packed(event[1])}}}
    finally:
        running.leave(listener)


def _selected(door: Door, message: Json) -> Process:
    chosen = fields(inner(message, "process"), "pid", "tag")
    for running in door.machine.processes():
        if running.end is None and (
            ("pid" in chosen and running.pid == number(chosen, "pid"))
            or ("tag" in chosen and running.tag == text(chosen, "tag"))
        ):
            return running
    which = f"pid {chosen.get('pid')}" if "pid" in chosen else f"tag {chosen.get('tag')!r}"
    raise Failure("not_found", f"process with {which} not found")


async def _list(door: Door, message: Json) -> Json:
    fields(message)
    running = [each.shown() for each in door.machine.processes() if each.end is None]
    return {"processes": running} if running else {}


async def _send_input(door: Door, message: Json) -> Json:
    found = fields(message, "process", "input")
    sent = fields(inner(found, "input"), "stdin", "pty")
    running = _selected(door, found)
    if "stdin" in sent and not running.config.stdin:
        raise Failure("invalid_argument", "stdin of the process is not open")
    await running.driver.send(octets(sent, "stdin") or octets(sent, "pty"))
    return {}


async def _close_stdin(door: Door, message: Json) -> Json:
    await _selected(door, fields(message, "process")).driver.close_stdin()
    return {}


async def _update(door: Door, message: Json) -> Json:
    found = fields(message, "process", "pty")
    size = fields(inner(inner(found, "pty"), "size"), "cols", "rows")
    running = _selected(door, found)
    if size:
        await running.driver.resize(number(size, "cols", 80), number(size, "rows", 24))
    return {}


async def _signal(door: Door, message: Json) -> Json:
    found = fields(message, "process", "signal")
    if found.get("signal") not in SIGNALS:
        raise Failure("invalid_argument", f"invalid signal: {found.get('signal')}")
    await _selected(door, found).driver.signal(SIGNALS[str(found["signal"])])
    return {}


# Files over Connect


async def _list_dir(door: Door, message: Json) -> Json:
    found = fields(message, "path", "depth")
    path, depth = absolute(text(found, "path")), number(found, "depth", 1)
    if depth < 1:
        raise Failure("invalid_argument", "depth should be at least one")
    entries = await door.machine.files.entries(path, depth)
    return {"entries": [entry.shown() for entry in entries]} if entries else {}


async def _stat(door: Door, message: Json) -> Json:
    return {"entry": (await door.machine.files.stat(absolute(text(fields(message, "path"), "path")))).shown()}


async def _make_dir(door: Door, message: Json) -> Json:
    return {"entry": (await door.machine.files.make_folder(absolute(text(fields(message, "path"), "path")))).shown()}


async def _move(door: Door, message: Json) -> Json:
    found = fields(message, "source", "destination")
    source, target = absolute(text(found, "source")), absolute(text(found, "destination"))
    return {"entry": (await door.machine.files.move(source, target)).shown()}


async def _remove(door: Door, message: Json) -> Json:
    await door.machine.files.remove(absolute(text(fields(message, "path"), "path")))
    return {}


async def _watch(door: Door, message: Json) -> AsyncGenerator[Json | bytes]:
    found = fields(message, "path", "recursive")
    watcher = await watchers(door.sandbox).add(
        door.machine, absolute(text(found, "path")), bool(found.get("recursive"))
    )
    try:
        yield {"start": {}}
        while True:
            for event in await watcher.news():
                yield {"filesystem": event}
            await asyncio.sleep(0.1)
    finally:
        watchers(door.sandbox).remove(watcher.id)


async def _create_watcher(door: Door, message: Json) -> Json:
    found = fields(message, "path", "recursive")
    watcher = await watchers(door.sandbox).add(
        door.machine, absolute(text(found, "path")), bool(found.get("recursive"))
    )
    return {"watcherId": watcher.id}


async def _watcher_events(door: Door, message: Json) -> Json:
    events = await watchers(door.sandbox).find(text(fields(message, "watcherId"), "watcherId")).news()
    return {"events": events} if events else {}


async def _remove_watcher(door: Door, message: Json) -> Json:
    id = text(fields(message, "watcherId"), "watcherId")
    watchers(door.sandbox).find(id)
    watchers(door.sandbox).remove(id)
    return {}


_PROCESS, _FILESYSTEM = "process.Process", "filesystem.Filesystem"
UNARY: Mapping[tuple[str, str], Callable[[Door, Json], Awaitable[Json]]] = {
    (_PROCESS, "List"): _list,
    (_PROCESS, "SendInput"): _send_input,
    (_PROCESS, "CloseStdin"): _close_stdin,
    (_PROCESS, "Update"): _update,
    (_PROCESS, "SendSignal"): _signal,
    (_FILESYSTEM, "ListDir"): _list_dir,
    (_FILESYSTEM, "Stat"): _stat,
    (_FILESYSTEM, "MakeDir"): _make_dir,
    (_FILESYSTEM, "Move"): _move,
    (_FILESYSTEM, "Remove"): _remove,
    (_FILESYSTEM, "CreateWatcher"): _create_watcher,
    (_FILESYSTEM, "GetWatcherEvents"): _watcher_events,
    (_FILESYSTEM, "RemoveWatcher"): _remove_watcher,
}
STREAMS: Mapping[tuple[str, str], Callable[[Door, Json], AsyncGenerator[Json | bytes]]] = {
    (_PROCESS, "Start"): _start,
    (_PROCESS, "Connect"): _attach,
    (_FILESYSTEM, "WatchDir"): _watch,
}


# Whole files over HTTP


async def _files(door: Door) -> Response:
    request = door.request
    if not door.allowed and not is_signed(door.sandbox, request, door.state.world.clock.now()):
        return _plain_error(401, "missing or wrong access token or signature")
    door.state.noted(f"files/{request.method}")
    if request.query_params.get("username", "user") not in USERS:
        return _plain_error(401, "invalid username")
    try:
        if request.method == "GET":
            return await _download(door)
        if request.method == "POST":
            return await _upload(door)
    except DiskError as error:
        return _plain_error(HTTP_STATUS.get(error.code, 500), error.message)
    return _plain_error(405, "method not allowed")


def _plain_error(status: int, message: str) -> Response:
    return JSONResponse({"code": status, "message": message}, status)


async def _download(door: Door) -> Response:
    files = door.machine.files
    path = absolute(door.request.query_params.get("path", ""))
    entry = await files.stat(path)
    if entry.folder:
        return _plain_error(400, f"path '{path}' is a directory")
    headers = {"Accept-Ranges": "bytes", "Content-Disposition": f"inline; filename={_quoted(entry.name)}"}
    asked = re.fullmatch(r"bytes=(\d*)-(\d*)", door.request.headers.get("range", ""))
    start, end, status = 0, entry.size, 200
    if asked and any(asked.groups()):
        first, last = asked.groups()
        start = int(first) if first else max(0, entry.size - int(last))
        end = min(int(last) + 1, entry.size) if first and last else entry.size
        if start >= end:
            return Response(status_code=416, headers={"Content-Range": f"bytes */{entry.size}"})
        headers["Content-Range"], status = f"bytes {start}-{end - 1}/{entry.size}", 206
    data = await files.read(path, start, end - start)
    if status == 200 and "gzip" in door.request.headers.get("accept-encoding", ""):
        headers |= {"Content-Encoding": "gzip", "Vary": "Accept-Encoding"}
        data = gzip.compress(data, 1)
    return Response(data, status, headers, "application/octet-stream")


def _quoted(name: str) -> str:
    return '"' + re.sub(r'[^ -~]|["\\]', "_", name) + '"'


async def _upload(door: Door) -> Response:
    request, files = door.request, door.machine.files
    path = request.query_params.get("path", "")
    kind = request.headers.get("content-type", "").partition(";")[0].strip()
    sent: list[tuple[str, bytes]] = []
    if kind == "application/octet-stream":
        data = door.raw
        if request.headers.get("content-encoding") == "gzip":
            try:
                data = zlib.decompress(data, 31)
            except zlib.error:
                return _plain_error(400, "the body is not gzip")
        sent.append((path, data))
    elif kind == "multipart/form-data":
        async with request.form(max_part_size=1_000_000_000) as form:
            uploads = [value for name, value in form.multi_items() if name == "file" and isinstance(value, UploadFile)]
            if path and len(uploads) > 1:
                return _plain_error(400, "path is given, and several files")
            sent += [(path or upload.filename or "", await upload.read()) for upload in uploads]
    else:
        return _plain_error(400, f"content type {kind!r} is not taken")
    if not sent:
        return _plain_error(400, "no file in the request")
    written = [(await files.write(absolute(name), data)) for name, data in sent]
    return JSONResponse([{"name": entry.name, "path": entry.path, "type": "file"} for entry in written])

"""All routes below /_simulator: the file host, and those by which a person or another process controls the world."""

import asyncio
import json
import re
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from typing import Any, cast

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from .files import HostedFile
from .world import World

STORAGE = ("/_simulator/files/", "/_simulator/uploads/")
EXPIRED = (
    '<?xml version="1.0" encoding="UTF-8"?>\n'
    "<Error><Code>AccessDenied</Code><Message>Request has expired</Message></Error>"
)
MISSING = (
    '<?xml version="1.0" encoding="UTF-8"?>\n'
    "<Error><Code>NoSuchKey</Code><Message>The specified key does not exist.</Message></Error>"
)


def is_control(path: str) -> bool:
    """Control routes are never disturbed; the file host can be."""
    return path.startswith("/_simulator") and not path.startswith(STORAGE)


# The file host


async def storage(world: World, request: Request, body: bytes) -> Response:
    """GET and HEAD of signed links, and PUT to upload links. They need no key: one that is sent counts as leaked."""
    if "authorization" in request.headers or "x-api-key" in request.headers:
        world.leaked_keys += 1
    kind, file_id = request.scope["path"].split("/")[2:4]
    if kind == "uploads":
        if request.method != "PUT":
            return _xml(403, EXPIRED)
        world.files.uploads[file_id] = body
        return Response(status_code=200)
    file = world.files.files.get(file_id)
    if request.method not in ("GET", "HEAD") or file is None:
        return _xml(404, MISSING)
    expires = request.query_params.get("X-Expires", "")
    signed = expires.isdigit() and request.query_params.get("X-Signature") == world.files.signature(
        file_id, int(expires)
    )
    if not signed or int(expires) <= world.clock.now():
        return _xml(403, EXPIRED)
    if not isinstance(file.made, bytes):
        await asyncio.to_thread(_make, file)
        world.files.files.trim()
    return _served(file, request)


def _make(file: HostedFile) -> None:
    _ = file.data


def _served(file: HostedFile, request: Request) -> Response:
    """The whole file, or the single byte range asked for."""
    data = file.data
    headers = {"Accept-Ranges": "bytes", "ETag": f'"{file.id}"'}
    wanted = request.headers.get("range", "")
    start, end, status = 0, len(data), 200
    asked = re.fullmatch(r"bytes=(\d*)-(\d*)", wanted)
    if asked and any(asked.groups()) and request.headers.get("if-range", headers["ETag"]) == headers["ETag"]:
        first, last = asked.groups()
        if first:
            start, end = int(first), min(int(last) + 1, len(data)) if last else len(data)
        else:
            start = max(0, len(data) - int(last))
        if start >= len(data) or start >= end:
            return Response(status_code=416, headers={"Content-Range": f"bytes */{len(data)}"})
        headers["Content-Range"], status = f"bytes {start}-{end - 1}/{len(data)}", 206
    if request.method == "GET":
        file.downloads += 1
    response = Response(data[start:end], status, headers, file.content_type)
    if request.method == "HEAD":
        response.body = b""  # The header Content-Length stays the length of the file.
    return response


def _xml(status: int, text: str) -> Response:
    return Response(text, status, media_type="application/xml")


# The knobs


async def respond(world: World, request: Request, body: bytes) -> Response:
    """One control route. A wrong name or value answers 400 and says which."""
    path = request.scope["path"].removeprefix("/_simulator").strip("/")
    try:
        sent: dict[str, Any] = json.loads(body) if body else {}
        parent, _, id = path.rpartition("/")
        if one := ROUTES_OF_ONE.get((request.method, parent)):
            return JSONResponse(await one(world, id, sent))
        route = ROUTES.get((request.method, path))
        if route is None:
            return JSONResponse({"error": "no such control route", "routes": [" ".join(key) for key in ROUTES]}, 404)
        return JSONResponse(await route(world, sent))
    except (TypeError, ValueError, KeyError, AttributeError) as error:
        return JSONResponse({"error": f"{type(error).__name__}: {error}"}, 400)


async def get_state(world: World, _: dict[str, Any]) -> Any:
    return {
        "now": world.clock.now(),
        "settings": asdict(world.settings),
        "counters": {what: dict(counts) for what, counts in world.counters.items()},
        "accounts": [{"key": a.key, "balance_usd": a.micro_usd / 1e6} for a in world.accounts.values()],
        "charges": [
            {"operation": c.operation, "usd": c.usd, "account": c.account.key, "at": c.at, "note": c.note, "ref": c.ref}
            for c in world.charges
        ],
        **{name: shown(world) for name, shown in SHOWN.items()},
        "files": [
            {"name": f.name, "type": f.content_type, "downloads": f.downloads} for f in world.files.files.values()
        ],
        "leaked_keys": world.leaked_keys,
        "webhooks": world.webhooks,
        "troubles": [asdict(rule) for rule in world.troubles.rules],
        "requests": [
            {**{k: v for k, v in vars(r).items() if k != "body"}, "body": _short(r.body)}
            for r in list(world.requests)[-50:]
        ],
    }


def _short(value: Any) -> Any:
    """A body with its long texts (base64 pictures) cut."""
    if isinstance(value, str) and len(value) > 200:
        return f"{value[:60]}... ({len(value)} characters)"
    if isinstance(value, dict):
        return {k: _short(v) for k, v in cast("dict[str, Any]", value).items()}
    if isinstance(value, list):
        return [_short(item) for item in cast("list[Any]", value)]
    return value


async def post_settings(world: World, sent: dict[str, Any]) -> Any:
    world.set(**sent)
    return asdict(world.settings)


async def post_clock(world: World, sent: dict[str, Any]) -> Any:
    world.advance(float(sent["advance"]))
    return {"now": world.clock.now()}


async def post_trouble(world: World, sent: dict[str, Any]) -> Any:
    return asdict(world.trouble(**sent))


async def delete_trouble(world: World, _: dict[str, Any]) -> Any:
    world.troubles.clear()
    return {}


async def post_tasks(world: World, sent: dict[str, Any]) -> Any:
    times = int(sent.get("times", 1))
    if sent.get("never_end"):
        world.never_end_next_task(times)
    elif sent.get("fail"):
        world.fail_next_task(str(sent["fail"]), times)
    else:
        world.doomed.clear()
    return {"doomed": world.doomed}


async def post_accounts(world: World, sent: dict[str, Any]) -> Any:
    account = world.add_account(str(sent["key"]), float(sent.get("balance_usd", 100)))
    return {"key": account.key, "balance_usd": account.micro_usd / 1e6}


ROUTES: dict[tuple[str, str], Callable[[World, dict[str, Any]], Awaitable[Any]]] = {
    ("GET", ""): get_state,
    ("POST", "settings"): post_settings,
    ("POST", "clock"): post_clock,
    ("POST", "trouble"): post_trouble,
    ("DELETE", "trouble"): delete_trouble,
    ("POST", "tasks"): post_tasks,
    ("POST", "accounts"): post_accounts,
}
"""The control routes by method and path below /_simulator. Areas add theirs with `CONTROLS`: see app.py."""

ROUTES_OF_ONE: dict[tuple[str, str], Callable[[World, str, dict[str, Any]], Awaitable[Any]]] = {}
"""The control routes whose path ends with an id, by the method and the path before the id (`CONTROLS_OF_ONE`)."""

SHOWN: dict[str, Callable[[World], Any]] = {}
"""What areas add to the answer of GET /_simulator, by field name (`SHOWN`)."""

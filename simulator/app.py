"""The HTTP application: it finds the documented operation, checks key and request, and lets a handler answer.

Each area module has a table `HANDLERS` (operationId -> Handler). A module may also have:

    NEWCOMERS  area -> the handler of those of its tasks that have no handler of their own
    ROUTES     ways to an operation that a path cannot express (calls.ExtraRoute)
    SERVICES   path prefix -> what answers there outside the documented operations
    DECODERS   content type -> a function that reads such a body, or raises ValueError
    ENVELOPES  operationId -> a function that makes the error answer of a Fault
    FINDER     a function that finds an undocumented operation for a request, or returns None
    CONTROLS, CONTROLS_OF_ONE, SHOWN  what it adds to the control routes in core/control.py

A request passes these steps in order: ordered trouble, the key, whether the operation is switched off, the check of
body and query against the facts, the handler. An error is written in the envelope of the operation's group.
"""

import contextlib
import importlib
import json
import logging
import re
from collections.abc import Mapping
from functools import cache
from types import ModuleType
from typing import Any, cast

from starlette.datastructures import UploadFile
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .account.team import Teams
from .core import control
from .core.answers import envelope
from .core.calls import Call, ExtraRoute, Finder, Handler, Json, Service, Upload, invalid_request
from .core.disturb import disturb
from .core.facts import Invalid, Operation, check_body, check_query, operations
from .core.faults import Fault
from .core.world import Account, NotEnoughCredit, Received, World

logger = logging.getLogger(__name__)

MODULES = (
    "media.tasks",
    "media.images",
    "media.editing",
    "media.images_v2",
    "media.checkpoints",
    "media.training",
    "account.routes",
    "account.team",
    "media.video",
    "media.audio",
    "media.newer",
    "media.offered",
    "text.chat",
    "text.vectors",
    "text.other_dialects",
    "batches.batch_files",
    "batches.batches",
    "web.search",
    "gpu.routes_v1",
    "serverless.routes",
    "sandbox.service",  # It comes last because it looks at every path that no other module knows.
)
LONGEST_KEPT = 4_000_000
"""The world remembers a request body up to this many bytes as it was, and of a longer one only the length."""
SECRET_HEADERS = frozenset(["authorization", "x-api-key", "cookie"])
CREDIT = {
    "media": ("media", "BILLING_BALANCE_NOT_ENOUGH"),
    "llm": ("llm", "NOT_ENOUGH_BALANCE"),
    "gpu": ("gpu", "BALANCE_NOT_ENOUGH"),
    "billing": ("gpu", "BALANCE_NOT_ENOUGH"),
}
# Clients also use these paths, which are not documented.
ALSO_AT = {
    ("GET", "/v3/user/usage-based-billing"): "query_usage_based_billing",
    ("GET", "/v3/user/fixed-term-billing"): "query_fixed_term_billing",
}


@cache
def modules() -> tuple[ModuleType, ...]:
    """The modules of all areas. The simulator does not start if one of them cannot be imported."""
    return tuple(importlib.import_module(f".{name}", __package__) for name in MODULES)


@cache
def handlers() -> Mapping[str, Handler]:
    """Every handler by operationId. ValueError if an operation has two handlers or is not documented."""
    found: dict[str, Handler] = {}
    for module in modules():
        for name, handler in cast("dict[str, Handler]", module.HANDLERS).items():
            if name in found or name not in operations():
                raise ValueError(f"{module.__name__}: {name} is handled twice or not documented")
            found[name] = handler
    for module in modules():
        for area, handler in cast("dict[str, Handler]", getattr(module, "NEWCOMERS", {})).items():
            for name, operation in operations().items():
                if operation.area == area and operation.is_task:
                    found.setdefault(name, handler)
    return found


def _handler_of(operation: Operation) -> Handler:
    """The handler of a documented operation, or the area's handler for newcomers if its FINDER found the operation."""
    if operation.id in handlers():
        return handlers()[operation.id]
    newcomers: dict[str, Handler] = {}
    for module in modules():
        newcomers |= getattr(module, "NEWCOMERS", {})
    return newcomers[operation.area]


@cache
def _paths() -> tuple[dict[tuple[str, str], Operation], tuple[tuple[str, re.Pattern[str], Operation], ...]]:
    """Plain paths by (method, path), and the patterns of those with parameters."""
    plain: dict[tuple[str, str], Operation] = {}
    patterns: list[tuple[str, re.Pattern[str], Operation]] = []
    for operation in operations().values():
        for template in (operation.path, *operation.aliases):
            if template.startswith("/{"):  # Only a route of its area (ROUTES) leads here.
                continue
            if "{" not in template:
                plain[operation.method, template] = operation
                continue
            parts = re.split(r"\{(\w+)\}", template)
            pattern = "".join(
                re.escape(part) if i % 2 == 0 else f"(?P<{part}>{'.+' if operation.raw_slash(part) else '[^/]+'})"
                for i, part in enumerate(parts)
            )
            patterns.append((operation.method, re.compile(pattern), operation))
    for key, name in ALSO_AT.items():
        plain[key] = operations()[name]
    return plain, tuple(patterns)


def find(world: World, request: Request) -> tuple[Operation, dict[str, str]] | None:
    """The documented operation at this method and path, with the path parameters."""
    for module in modules():
        for route in cast("list[ExtraRoute]", getattr(module, "ROUTES", [])):
            if (parameters := route.match(world, request)) is not None:
                return operations()[route.operation_id], parameters
    plain, patterns = _paths()
    path = request.scope["path"]
    if operation := plain.get((request.method, path)):
        return operation, {}
    for method, pattern, operation in patterns:
        if method == request.method and (match := pattern.fullmatch(path)):
            return operation, match.groupdict()
    for module in modules():
        finder = cast("Finder | None", getattr(module, "FINDER", None))
        if finder is not None and (operation := finder(world, request)) is not None:
            return operation, {}
    return None


_MODEL = re.compile(rb'"model"\s*:\s*"([^"]*)"|name="model"[^\r\n]*\r\n\r\n([^\r\n]*)')


def _of_model(operation: Operation, body: bytes) -> Operation:
    """Several operations may share a route. This finds the one whose model the body names."""
    named = _MODEL.search(body)
    model = (named[1] or named[2] or b"").decode("utf-8", "replace") if named else ""
    shared = [each for each in operations().values() if (each.method, each.path) == (operation.method, operation.path)]
    return next((each for each in shared if model in each.models), operation)


def base_url(request: Request) -> str:
    return f"{request.url.scheme}://{request.headers.get('host') or request.url.netloc}"


def key_of(request: Request) -> str | None:
    """The key in the header Authorization, with or without "Bearer", or in x-api-key, which Anthropic's clients use."""
    sent = request.headers.get("authorization", "").strip()
    if sent.lower().startswith("bearer "):
        sent = sent[7:].strip()
    return sent or request.headers.get("x-api-key") or None


def account_of(world: World, operation: Operation, request: Request) -> Account:
    key = key_of(request)
    if key is not None and key in world.accounts:
        return world.accounts[key]
    if operation.public:
        return next(iter(world.accounts.values()))
    match operation.group:
        case "media":
            if key is None:
                raise Fault.named("media", "MISSING_API_KEY", "missing api-key")
            raise Fault.named("media", "INVALID_API_KEY", "invalid api-key")
        case "llm":
            raise Fault.named("llm", "INVALID_API_KEY" if key is None else "FAILED_TO_AUTH", "invalid api-key")
        case _:
            raise Fault.named("gpu", "UNAUTHORIZED", "invalid api-key")


async def read_body(operation: Operation, request: Request, raw: bytes) -> tuple[Any, dict[str, Upload], str]:
    """The parsed body (None when empty), the files of a form, the content type it is checked as."""
    taken = list(operation.request or ["application/json"])
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    kind = kind or ("application/json" if "application/json" in taken else taken[0])
    if not raw:
        return None, {}, kind
    if kind == "multipart/form-data":
        return *await _form(operation, request), kind
    if operation.request and kind in operation.request and not kind.endswith("json"):
        for module in modules():
            if decode := getattr(module, "DECODERS", {}).get(kind):
                try:
                    return decode(raw), {}, kind
                except ValueError as error:
                    raise Invalid(str(error)) from None
        raise Invalid(f"Content-Type {kind} cannot be read here")
    try:
        return json.loads(raw), {}, "application/json" if kind == "text/plain" else kind
    except ValueError as error:
        raise Invalid(f"body is not JSON: {error}") from None


async def _form(operation: Operation, request: Request) -> tuple[Json, dict[str, Upload]]:
    schema = (operation.request or {}).get("multipart/form-data", {})
    fields: Json = {}
    files: dict[str, Upload] = {}
    async with request.form(max_part_size=200_000_000) as form:
        for name, value in form.multi_items():
            kind = schema.get("properties", {}).get(name, {}).get("type")
            if isinstance(value, UploadFile):
                # If a name comes more than once, the files are kept as voices, voices.1, voices.2...
                count = sum(known.partition(".")[0] == name for known in files)
                upload = Upload(value.filename or "", value.content_type or "", await value.read())
                files[f"{name}.{count}" if count else name] = upload
                if kind == "array":
                    fields.setdefault(name, []).append(upload.filename or "file")
                else:
                    fields[name] = upload.filename or "file"
            elif kind == "array":
                fields.setdefault(name, []).append(value)
            elif kind in ("integer", "number", "boolean"):
                try:
                    fields[name] = json.loads(value)
                except ValueError:
                    fields[name] = value
            else:
                fields[name] = value
    return fields, files


class Simulator:
    """The ASGI application over one world."""

    def __init__(self, world: World) -> None:
        self.world = world
        handlers()  # Checked here, so that a wrong table stops the start and not a later request.
        for module in modules():
            control.ROUTES.update(getattr(module, "CONTROLS", {}))
            control.ROUTES_OF_ONE.update(getattr(module, "CONTROLS_OF_ONE", {}))
            control.SHOWN.update(getattr(module, "SHOWN", {}))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            raise RuntimeError(f"the simulator speaks HTTP only, not {scope['type']}")
        body = await _whole_body(receive)
        if body is None:
            return
        replay = _Replay(body, receive)
        request = Request(scope, replay)
        path: str = scope["path"]
        self.world.settle()
        if control.is_control(path):
            await (await control.respond(self.world, request, body))(scope, replay, send)
            return
        found = find(self.world, request)
        if found is not None and found[0].models:
            found = _of_model(found[0], body), found[1]
        operation = found[0] if found else None
        received = self._note(request, operation, body)
        noted = _Noted(received, self.world, send)

        async def undisturbed(scope: Scope, receive: Receive, send: Send) -> None:
            if path.startswith("/_simulator/"):
                response = await control.storage(self.world, request, body)
            elif found is None:
                response = await self._service(request, body)
            else:
                response = await self._respond(request, body, *found)
            await response(scope, receive, send)

        effect = self.world.troubles.take(operation.id if operation else None, request.method, path)
        try:
            if effect is None:
                await undisturbed(scope, replay, noted)
            else:
                await disturb(self.world.troubles, effect, undisturbed, scope, replay, noted)
        except Exception:
            logger.exception("the simulator failed at %s %s", request.method, path)
            raise
        if operation is not None and received.status is None:
            self.world.counters["refused"][operation.id] += 1

    def _note(self, request: Request, operation: Operation | None, body: bytes) -> Received:
        headers = {k: "[redacted]" if k in SECRET_HEADERS else v for k, v in request.headers.items()}
        parsed: Any = None
        if len(body) > LONGEST_KEPT:
            parsed = f"({len(body)} bytes)"
        elif body:
            with contextlib.suppress(ValueError):
                parsed = json.loads(body)
        received = Received(
            at=self.world.clock.now(),
            method=request.method,
            path=request.scope["path"],
            query=request.url.query,
            operation=operation.id if operation else None,
            headers=headers,
            body=parsed,
            size=len(body) if parsed is not None and len(body) <= LONGEST_KEPT else 0,
        )
        self.world.remember(received)
        if operation is not None:
            self.world.counters["received"][operation.id] += 1
        return received

    async def _service(self, request: Request, raw: bytes) -> Response:
        """Answer from the `SERVICES` of the areas, which lie outside the documented operations."""
        for module in modules():
            for prefix, service in cast("dict[str, Service]", getattr(module, "SERVICES", {})).items():
                if request.scope["path"].startswith(prefix):
                    return await service(self.world, request, raw)
        return PlainTextResponse("404 page not found", 404)

    async def _respond(self, request: Request, raw: bytes, operation: Operation, path: dict[str, str]) -> Response:
        try:
            if operation.path.startswith("/{"):
                # This is a customer's own service. Nothing about its requests is documented, not even a key.
                account = self.world.accounts.get(key_of(request) or "") or next(iter(self.world.accounts.values()))
                return await handlers()[operation.id](
                    Call(self.world, account, operation, {}, raw, dict(request.query_params), {}, path, request, "")
                )
            account = account_of(self.world, operation, request)
            if not self.world.offers(operation.id):
                if operation.models:  # Other models share the route, so the route itself still exists.
                    raise Fault.named("llm", "MODEL_NOT_FOUND", "model not found")
                raise Fault.named("media", "API_NOT_FOUND", "route not found")
            try:
                params = check_query(operation, request.query_params.multi_items())
                parsed, files, kind = await read_body(operation, request, raw)
                body = check_body(operation, parsed, kind)
            except Invalid as error:
                raise invalid_request(operation.group, str(error)) from None
            model = body.get("model")
            if operation.area == "llm" and model and not self.world.area(Teams).allows(account, model):
                raise Fault.named("llm", "ACCESS_DENY", f"the key may not use model {model}")
            call = Call(
                world=self.world,
                account=account,
                operation=operation,
                body=body,
                raw=raw,
                query=dict(request.query_params),
                params=params,
                path=path,
                request=request,
                base_url=base_url(request),
                files=files,
            )
            return await _handler_of(operation)(call)
        except NotEnoughCredit:
            return self._fault(operation, Fault.named(*CREDIT[operation.group], "not enough balance"))
        except Fault as fault:
            return self._fault(operation, fault)
        except Exception:
            # Somebody must notice a bug of the simulator, so it must not look like an answer of Novita.
            logger.exception("the simulator failed at %s", operation.id)
            return PlainTextResponse("the simulator itself failed; see its log", 500)

    def _fault(self, operation: Operation, fault: Fault) -> Response:
        for module in modules():
            if own := getattr(module, "ENVELOPES", {}).get(operation.id):
                return own(fault)
        return envelope(operation.group, fault)


class _Replay:
    """A `receive` that first gives the body, which was already read, once more, and then the real events."""

    def __init__(self, body: bytes, receive: Receive) -> None:
        self._body, self._receive, self._given = body, receive, False

    async def __call__(self) -> Message:
        if not self._given:
            self._given = True
            return {"type": "http.request", "body": self._body, "more_body": False}
        return await self._receive()


class _Noted:
    """A `send` that notes the status before the client can see it."""

    def __init__(self, received: Received, world: World, send: Send) -> None:
        self._received, self._world, self._send = received, world, send

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._received.status = message["status"]
            if self._received.operation is not None:
                verdict = "accepted" if message["status"] < 400 else "refused"
                self._world.counters[verdict][self._received.operation] += 1
        await self._send(message)


async def _whole_body(receive: Receive) -> bytes | None:
    """The request body; None when the client left before it was complete."""
    parts: list[bytes] = []
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        parts.append(message.get("body", b""))
        if not message.get("more_body"):
            return b"".join(parts)


def create_app(world: World) -> ASGIApp:
    """Novita over this world, as an ASGI application."""
    return Simulator(world)

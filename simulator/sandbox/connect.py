"""The Connect protocol in its JSON form: unary calls, server streams in frames, errors in the last frame."""

import asyncio
import base64
import binascii
import contextlib
import json
import struct
from collections.abc import AsyncGenerator, Mapping
from typing import Any, cast

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send

from ..core.disturb import connection_of
from .disk import DiskError

Json = dict[str, Any]
UNARY, STREAM = "application/json", "application/connect+json"
COMPRESSED, LAST = 1, 2
HEADER = struct.Struct(">BI")
STATUS: Mapping[str, int] = {
    "invalid_argument": 400,
    "unauthenticated": 401,
    "permission_denied": 403,
    "not_found": 404,
    "already_exists": 409,
    "resource_exhausted": 429,
    "unimplemented": 501,
    "internal": 500,
    "unavailable": 503,
    "deadline_exceeded": 504,
    "canceled": 499,
}


class Failure(Exception):
    """An error with one of Connect's codes."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code, self.message = code, message


class Cut(Exception):
    """Raised to drop the connection in the middle of the answer."""


def frame(message: Json, *, last: bool = False) -> bytes:
    payload = json.dumps(message, ensure_ascii=False, separators=(",", ":")).encode()
    return HEADER.pack(LAST if last else 0, len(payload)) + payload


def trailer(error: Failure | None = None) -> bytes:
    """The frame that ends a stream. An error of a stream comes in it, although the status is 200."""
    return frame({"error": {"code": error.code, "message": error.message}} if error else {}, last=True)


def refusal(error: Failure) -> Response:
    return JSONResponse({"code": error.code, "message": error.message}, STATUS.get(error.code, 500))


def failure(error: DiskError) -> Failure:
    return Failure(error.code, error.message)


def message_of(request: Request, raw: bytes, *, stream: bool) -> Json:
    """The request's one message.

    Raises:
        Failure: It is not in the JSON form.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip()
    if kind != (STREAM if stream else UNARY):
        raise Failure("unimplemented", f"content type {kind!r}: this simulator speaks {STREAM if stream else UNARY}")
    if request.headers.get("connect-protocol-version", "1") != "1":
        raise Failure("invalid_argument", "Connect-Protocol-Version must be 1")
    if stream:
        if len(raw) < HEADER.size:
            raise Failure("invalid_argument", "protocol error: incomplete envelope")
        flags, length = cast("tuple[int, int]", HEADER.unpack_from(raw))
        if flags & COMPRESSED:
            raise Failure("unimplemented", "compressed messages are not taken here")
        if len(raw) != HEADER.size + length:
            raise Failure("invalid_argument", f"protocol error: promised {length} bytes in enveloped message")
        raw = raw[HEADER.size :]
    try:
        found: Any = json.loads(raw or b"{}")
    except ValueError as error:
        raise Failure("invalid_argument", f"unmarshal message: {error}") from None
    if not isinstance(found, dict):
        raise Failure("invalid_argument", "unmarshal message: not an object")
    return cast(Json, found)


# Fields in proto3-JSON: null means unset, both spellings of a name are accepted, and bytes are in base64.


def fields(message: Json, *names: str) -> Json:
    """The fields of a message by their camelCase names. Raises Failure if a field is not one of `names`."""
    spelt = {_snake(name): name for name in names} | {name: name for name in names}
    found: Json = {}
    for key, value in message.items():
        if key not in spelt:
            raise Failure("invalid_argument", f"unmarshal message: unknown field {key!r}")
        if value is not None:
            found[spelt[key]] = value
    return found


def _snake(name: str) -> str:
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name)


def text(message: Json, name: str, default: str = "") -> str:
    found: Any = message.get(name, default)
    if not isinstance(found, str):
        raise Failure("invalid_argument", f"unmarshal message: {name} is not a string")
    return found


def number(message: Json, name: str, default: int = 0) -> int:
    """An int32, which may be given as text."""
    found: Any = message.get(name, default)
    if isinstance(found, bool) or not isinstance(found, int | str):
        raise Failure("invalid_argument", f"unmarshal message: {name} is not a number")
    try:
        return int(found)
    except ValueError:
        raise Failure("invalid_argument", f"unmarshal message: {name} is not a number") from None


def inner(message: Json, name: str) -> Json:
    found: Any = message.get(name, {})
    if not isinstance(found, dict):
        raise Failure("invalid_argument", f"unmarshal message: {name} is not an object")
    return cast(Json, found)


def texts(message: Json, name: str) -> list[str]:
    found: Any = message.get(name, [])
    if not isinstance(found, list) or not all(isinstance(one, str) for one in cast("list[Any]", found)):
        raise Failure("invalid_argument", f"unmarshal message: {name} is not a list of strings")
    return cast("list[str]", found)


def text_map(message: Json, name: str) -> dict[str, str]:
    found = inner(message, name)
    if not all(isinstance(value, str) for value in found.values()):
        raise Failure("invalid_argument", f"unmarshal message: {name} is not a map of strings")
    return cast("dict[str, str]", found)


def octets(message: Json, name: str) -> bytes:
    try:
        return base64.b64decode(text(message, name), validate=True)
    except (binascii.Error, ValueError):
        raise Failure("invalid_argument", f"unmarshal message: {name} is not base64") from None


def packed(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


class Stream(Response):
    """An answer that is sent piece by piece. It ends when its generator ends or the client leaves.

    If the generator raises Cut, the connection is dropped and the answer stays incomplete.
    """

    def __init__(self, pieces: AsyncGenerator[bytes], media_type: str) -> None:
        super().__init__(None, 200, media_type=media_type)
        del self.headers["content-length"]
        self._pieces = pieces

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        sending = asyncio.ensure_future(self._send(send))
        leaving = asyncio.ensure_future(_gone(receive))
        try:
            await asyncio.wait({sending, leaving}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (sending, leaving):
                task.cancel()
            await asyncio.wait({sending, leaving})
            await self._pieces.aclose()
        if sending.cancelled():
            return
        error = sending.exception()
        if isinstance(error, Cut):
            if (transport := connection_of(scope)) is not None:
                transport.close()
            return
        if error is not None:
            raise error
        with contextlib.suppress(OSError):
            await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _send(self, send: Send) -> None:
        async for piece in self._pieces:
            await send({"type": "http.response.body", "body": piece, "more_body": True})


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass

"""Answers in JSON: what nearly every handler gives back, and the error answers."""

from typing import Any

from starlette.responses import JSONResponse, Response

from .faults import Fault


def answer(body: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return JSONResponse(body, status, headers)


def envelope(group: str, fault: Fault) -> Response:
    """The error answer of a group: flat {code, reason, message}, with metadata except on the GPU routes."""
    body: dict[str, Any] = {"code": fault.status, "reason": fault.reason, "message": fault.message}
    if group != "gpu":
        body["metadata"] = {}
    return answer(body | fault.extra, fault.status, fault.headers)

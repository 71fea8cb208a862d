"""An answer in JSON: what nearly every handler gives back."""

from typing import Any

from starlette.responses import JSONResponse, Response


def answer(body: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return JSONResponse(body, status, headers)

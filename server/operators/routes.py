"""Routes for the operator of a server: what runs, what was spent, what went wrong, and who called what. Read only.

They need a secret that no caller has. Programs send it as a bearer token; people give it as the password that their
browser asks for.
"""

import base64
import binascii
import hmac
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from datetime import datetime
from decimal import Decimal
from typing import Any

from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response

from ...novita.core.errors import JournalError
from ...novita.journal.journal import Journal
from ...novita.journal.team.audit import AuditLog, read_audit
from ...novita.journal.team.overview import team_overview
from ..settings import Settings
from .page import POLICY, page

PATH = "/operator"
LONGEST_PAGE = 1_000
"""The most entries of the audit log in one answer."""
_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": POLICY,
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
_ASK = {"WWW-Authenticate": 'Basic realm="novita-mcp operator", charset="UTF-8"'}

Route = Callable[[Request], Awaitable[Response]]


def operator_routes(settings: Settings, journal: Callable[[], Journal | None], log: AuditLog) -> dict[str, Route]:
    """Path -> handler. Empty if the settings have no operator's secret.

    Args:
        journal: Returns the server's journal; None before the server runs.
        log: Writes this process's part of the audit log.
    """
    if not settings.operator_token:
        return {}

    def guarded(answer: Callable[[Request, Journal], Awaitable[Response]]) -> Route:
        async def route(request: Request) -> Response:
            if not _may(request.headers.get("authorization", ""), settings.operator_token):
                return JSONResponse({"error": "not_for_you"}, 401, headers=_HEADERS | _ASK)
            if (there := journal()) is None:
                return JSONResponse({"error": "not_running"}, 503, headers=_HEADERS)
            try:
                await log.write(there)
                response = await answer(request, there)
            except JournalError as error:
                return JSONResponse({"error": "no_journal", "error_description": str(error)}, 503, headers=_HEADERS)
            response.headers.update(_HEADERS)
            return response

        return route

    async def as_page(_: Request, journal: Journal) -> Response:
        overview = await team_overview(journal)
        return HTMLResponse(page(overview, await read_audit(journal, limit=50, outcome="error")))

    async def as_json(_: Request, journal: Journal) -> Response:
        return JSONResponse(_plain(asdict(await team_overview(journal))))

    async def audit(request: Request, journal: Journal) -> Response:
        asked = request.query_params
        try:
            limit = int(asked.get("limit", "100"))
            before = int(asked["before"]) if "before" in asked else None
        except ValueError:
            return JSONResponse({"error": "limit and before are whole numbers"}, 400)
        entries = await read_audit(
            journal,
            limit=min(max(limit, 1), LONGEST_PAGE),
            before=before,
            owner=asked.get("owner"),
            outcome=asked.get("outcome"),
        )
        return JSONResponse({"entries": [_plain(asdict(entry)) for entry in entries]})

    return {
        PATH: guarded(as_page),
        f"{PATH}/overview.json": guarded(as_json),
        f"{PATH}/audit.json": guarded(audit),
    }


def _may(authorization: str, secret: str) -> bool:
    """Whether the Authorization header holds the secret, as a bearer token or as the password of any user name."""
    scheme, _, given = authorization.partition(" ")
    if scheme.lower() == "basic":
        try:
            given = base64.b64decode(given, validate=True).decode("utf-8").partition(":")[2]
        except (binascii.Error, UnicodeDecodeError):
            return False
    elif scheme.lower() != "bearer":
        return False
    return hmac.compare_digest(given.strip().encode(), secret.encode())


def _plain(value: Any) -> Any:
    """A value in a form that JSON has: decimals as text, which keeps every digit, and times in ISO 8601."""
    if isinstance(value, dict):
        return {key: _plain(member) for key, member in value.items()}  # pyright: ignore[reportUnknownVariableType]
    if isinstance(value, list | tuple):
        return [_plain(member) for member in value]  # pyright: ignore[reportUnknownVariableType]
    if isinstance(value, Decimal):
        return f"{value:f}"
    return value.isoformat() if isinstance(value, datetime) else value

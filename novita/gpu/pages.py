"""Lists that come in pages: v1 numbers its pages, v2 says where the next one begins."""

import json
from typing import Any, TypeVar

from ..core.answers import Shape, id_in, next_cursor_in, read_shape, rows_in, total_in
from ..core.client import NovitaClient
from ..core.json_text import Json
from .routes import ROUTES, GpuRoute, ask

PAGE_SIZE = 100
MOST_PAGES = 20

T = TypeVar("T", bound=Shape)


async def numbered_rows(
    client: NovitaClient, operation: str | GpuRoute, kind: type[T], *names: str, page: str = "pageNum", **params: Any
) -> list[T]:
    """All rows of a v1 list. It is not known whether its pages count from 0 or 1, so repeated rows are dropped.

    Args:
        operation: A name in `ROUTES`, or a route of another table.
        names: What the list may be called in an answer.
        page: The parameter with the number of the page.
    """
    route = ROUTES[operation] if isinstance(operation, str) else operation
    found: dict[str, Json] = {}
    for number in range(MOST_PAGES):
        answer = await ask(client, route, params={"pageSize": PAGE_SIZE, page: number, **params})
        rows = rows_in(answer, route.doing, *names)
        fresh = {key: row for row in rows if (key := _key_of(row)) not in found}
        found |= fresh
        total = total_in(answer)
        enough = len(found) >= total if total is not None else len(rows) < PAGE_SIZE
        if enough or (not fresh and number > 1):
            break
    return [read_shape(kind, row, route.doing) for row in found.values()]


def _key_of(row: Json) -> str:
    return id_in(row, "id", "storageId", "jobId") or json.dumps(row, sort_keys=True)


async def linked_rows(client: NovitaClient, operation: str | GpuRoute, kind: type[T], **params: Any) -> list[T]:
    """All rows of a v2 list, page by page."""
    route = ROUTES[operation] if isinstance(operation, str) else operation
    found: list[Json] = []
    cursor: str | None = None
    for _ in range(MOST_PAGES):
        answer = await ask(client, route, params={"limit": PAGE_SIZE, "cursor": cursor, **params})
        found += rows_in(answer, route.doing, "data")
        cursor = next_cursor_in(answer)
        if cursor is None:
            break
    return [read_shape(kind, row, route.doing) for row in found]

"""Serverless resources: what one endpoint is and does. `overview/resources.py` joins this table with the others."""

import json
from collections.abc import Awaitable, Callable, Mapping

from ..kit.context import Caller
from .endpoints import get_endpoint, list_endpoints

Read = Callable[..., Awaitable[str]]


async def _endpoint(caller: Caller, id: str) -> str:
    result = await get_endpoint(caller, id)
    return json.dumps(result.model_dump(mode="json", exclude_none=True), ensure_ascii=False, indent=1)


async def endpoint_ids(caller: Caller, start: str) -> list[str]:
    """For completion: ids that begin so."""
    listed = await list_endpoints(caller)
    return [line.endpoint_id for line in listed.endpoints or () if line.endpoint_id.startswith(start)]


RESOURCES: Mapping[str, tuple[str, str, str, Read]] = {
    "novita://serverless/endpoints/{id}": (
        "Serverless endpoint",
        "One endpoint: state, workers, settings, estimated cost.",
        "application/json",
        _endpoint,
    ),
}
"""Address, or template, to name, description, MIME type and the function that reads it."""

COMPLETIONS: Mapping[str, Mapping[str, Callable[[Caller, str], Awaitable[list[str]]]]] = {
    "novita://serverless/endpoints/{id}": {"id": endpoint_ids},
}

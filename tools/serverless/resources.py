"""MCP resources about endpoints: the settings and state of one. `overview/resources.py` joins all such tables."""

from ..kit.context import Caller
from ..kit.resources import ResourceSpec, as_json
from .endpoints import get_endpoint, list_endpoints


async def _endpoint(caller: Caller, id: str) -> str:
    result = await get_endpoint(caller, id)
    return as_json(result.model_dump(mode="json", exclude_none=True))


async def endpoint_ids(caller: Caller, start: str) -> list[str]:
    """Ids of endpoints that begin with `start`, to complete what a user types."""
    listed = await list_endpoints(caller)
    return [line.endpoint_id for line in listed.endpoints or () if line.endpoint_id.startswith(start)]


SERVERLESS_RESOURCES = (
    ResourceSpec(
        "novita://serverless/endpoints/{id}",
        "Serverless endpoint",
        "One endpoint: state, workers, settings, estimated cost.",
        _endpoint,
        complete={"id": endpoint_ids},
    ),
)

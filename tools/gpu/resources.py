"""MCP resources about GPUs: products and running instances. `overview/resources.py` joins all such tables."""

from ..kit.context import Caller
from ..kit.resources import ResourceSpec, as_json
from ..kit.toolset import ToolResult
from .instances import get_gpu_instance, list_gpu_instances, list_gpu_products


def _text(result: ToolResult) -> str:
    return as_json(result.model_dump(mode="json", exclude_none=True))


async def _products(caller: Caller) -> str:
    return _text(await list_gpu_products(caller, out_of_stock=True))


async def _instances(caller: Caller) -> str:
    return _text(await list_gpu_instances(caller))


async def _instance(caller: Caller, id: str) -> str:
    # Without the access data, which holds passwords: hosts read resources without being asked to.
    return _text(await get_gpu_instance(caller, id))


async def instance_ids(caller: Caller, start: str) -> list[str]:
    """Ids of instances that begin with `start`, to complete what a user types."""
    listed = await list_gpu_instances(caller)
    return [line.instance_id for line in listed.instances if line.instance_id.startswith(start)]


GPU_RESOURCES = (
    ResourceSpec("novita://gpu/products", "GPU products", "GPUs for rent, with stock and estimated prices.", _products),
    ResourceSpec("novita://gpu/instances", "GPU instances", "What runs, what it costs, and when it stops.", _instances),
    ResourceSpec(
        "novita://gpu/instances/{id}",
        "GPU instance",
        "One instance, without passwords.",
        _instance,
        complete={"id": instance_ids},
    ),
)

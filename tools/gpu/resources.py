"""GPU resources: what can be rented, what runs. `overview/resources.py` joins this table with the others."""

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
    # Never with access: a resource is read without being asked for.
    return _text(await get_gpu_instance(caller, id))


async def instance_ids(caller: Caller, start: str) -> list[str]:
    """For completion: ids that begin so."""
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

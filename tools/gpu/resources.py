"""GPU resources: what can be rented, what runs. `overview/resources.py` joins this table with the others."""

import json
from collections.abc import Awaitable, Callable, Mapping

from ..kit.context import Caller
from ..kit.toolset import ToolResult
from .instances import get_gpu_instance, list_gpu_instances, list_gpu_products

Read = Callable[..., Awaitable[str]]


def _text(result: ToolResult) -> str:
    return json.dumps(result.model_dump(mode="json", exclude_none=True), ensure_ascii=False, indent=1)


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


RESOURCES: Mapping[str, tuple[str, str, str, Read]] = {
    "novita://gpu/products": (
        "GPU products",
        "GPUs for rent, with stock and estimated prices.",
        "application/json",
        _products,
    ),
    "novita://gpu/instances": (
        "GPU instances",
        "What runs, what it costs, and when it stops.",
        "application/json",
        _instances,
    ),
    "novita://gpu/instances/{id}": (
        "GPU instance",
        "One instance, without passwords.",
        "application/json",
        _instance,
    ),
}
"""Address, or template, to name, description, MIME type and the function that reads it."""

COMPLETIONS: Mapping[str, Mapping[str, Callable[[Caller, str], Awaitable[list[str]]]]] = {
    "novita://gpu/instances/{id}": {"id": instance_ids},
}
"""What the parameters of a template may be, given their beginning."""

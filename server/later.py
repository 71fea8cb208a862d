"""Names that start-up does not need. Each is imported when it is first read, which is when a call needs it."""

from typing import TYPE_CHECKING

from ..novita.core.lazy import lazily

if TYPE_CHECKING:
    from .. import simulator
    from ..novita.core.client import NovitaClient
    from ..novita.core.network.quick import QuickPool
    from ..novita.core.network.surroundings import served_here
    from ..novita.core.network.way import take_the_quick_road
    from ..novita.media.lookup import media_models
    from ..tools.kit.toolset import error_result
    from . import resources_and_prompts
    from .building import build_app, leases_wait
    from .config.places import played_folder
    from .sign_in.gate import gate_of

__all__ = [
    "NovitaClient",
    "QuickPool",
    "build_app",
    "error_result",
    "gate_of",
    "leases_wait",
    "media_models",
    "played_folder",
    "resources_and_prompts",
    "served_here",
    "simulator",
    "take_the_quick_road",
]

__getattr__ = lazily(
    __name__,
    {
        "NovitaClient": "..novita.core.client",
        "QuickPool": "..novita.core.network.quick",
        "build_app": ".building",
        "error_result": "..tools.kit.toolset",
        "gate_of": ".sign_in.gate",
        "leases_wait": ".building",
        "media_models": "..novita.media.lookup",
        "played_folder": ".config.places",
        "resources_and_prompts": ".",
        "served_here": "..novita.core.network.surroundings",
        "simulator": "..",
        "take_the_quick_road": "..novita.core.network.way",
    },
)

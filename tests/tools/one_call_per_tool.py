"""One good call of every tool that spends, for tests that walk them all."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from novita_mcp.simulator.core.world import World
from novita_mcp.tools import TOOLSETS

from .media_things import clip, link_to, mask, picture, recording

Json = dict[str, Any]


class Things:
    """Files to hand in, made when they are first asked for."""

    def __init__(self, folder: Path, world: World, base_url: str) -> None:
        self._folder, self._world, self._base_url = folder, world, base_url
        self._made: dict[str, str] = {}

    def picture(self) -> str:
        return self._once("thing.png", picture)

    def mask(self) -> str:
        return self._once("mask.png", mask)

    def recording(self) -> str:
        said = "the fox sleeps in the snow and dreams of summer"
        return self._once("words.mp3", lambda path: recording(path, said, self._world))

    def film(self) -> str:
        """A link: models that take films take no others."""
        path = self._once("clip.mp4", lambda path: clip(path, world=self._world))
        return link_to(path, self._world, self._base_url)

    def _once(self, name: str, make: Callable[[Path], str]) -> str:
        if name not in self._made:
            self._made[name] = make(self._folder / name)
        return self._made[name]


CALLS: Mapping[str, Callable[[Things], Json]] = {
    "generate_image": lambda _: {"prompt": "a red fox", "model": "flux-1-schnell", "count": 2, "seed": 7},
    "edit_image": lambda it: {"image": it.picture(), "prompt": "make it blue"},
    "inpaint_image": lambda it: {"image": it.picture(), "mask": it.mask()},
    "upscale_image": lambda it: {"image": it.picture()},
    "remove_background": lambda it: {"image": it.picture()},
    "replace_background": lambda it: {"image": it.picture(), "prompt": "a beach"},
    "describe_image": lambda it: {"image": it.picture()},
    "generate_video": lambda _: {"prompt": "a red fox runs", "seed": 7},
    "edit_video": lambda it: {"video": it.film(), "prompt": "make it snow"},
    "generate_speech": lambda _: {"text": "Good morning, fox."},
    "transcribe_audio": lambda it: {"audio": it.recording()},
    "clone_voice": lambda it: {"audio": it.recording(), "name": "Fox"},
    "design_voice": lambda _: {"prompt": "an old fox, hoarse and kind", "text": "Good morning."},
    "generate_music": lambda _: {"prompt": "a slow waltz", "lyrics": "[verse]\nThe fox is in the snow\n"},
    "generate_lyrics": lambda _: {"prompt": "a song about foxes"},
    "run_media_model": lambda _: {
        "model": "flux-1-schnell",
        "input": {"prompt": "a fox", "seed": 3, "steps": 4, "width": 512, "height": 512, "image_num": 1},
    },
    "chat": lambda _: {"prompt": "Say something about foxes.", "max_tokens": 200},
    "complete_text": lambda _: {"prompt": "Once upon a time a fox", "max_tokens": 100},
    "create_embeddings": lambda _: {"texts": ["a fox", "a red fox in the snow"]},
    "rerank": lambda _: {"query": "fox", "documents": ["a fox", "a dog", "snow"]},
    "create_batch": lambda _: {"rows": [{"prompt": "a"}, {"prompt": "b"}], "options": {"max_tokens": 50}},
    "search_web": lambda _: {"query": "foxes"},
    "read_web_pages": lambda _: {"urls": ["https://example.com/fox"]},
    "create_gpu_instance": lambda _: {"image": "docker.io/library/ubuntu:24.04", "name": "fox"},
    "create_endpoint": lambda _: {"image": "docker.io/library/nginx:1", "port": 80, "name": "fox"},
    "create_sandbox": lambda _: {"timeout_minutes": 20, "label": "fox"},
    "run_code": lambda _: {"code": "6 * 7"},
}
"""Of tools that can be called on an empty account."""

NEED_MORE = frozenset(
    {
        "start_gpu_instance",
        "save_gpu_volume",
        "edit_gpu_instance",
        "change_gpu_billing",
        "update_endpoint",
        "call_endpoint",
        "change_sandbox",
    }
)
"""Tools about machines, volumes, endpoints and sandboxes that must be there first: their own tests call them."""

BY_TIME = frozenset({"create_gpu_instance", "create_endpoint", "create_sandbox", "run_code", *NEED_MORE})
"""Tools that start, or make use of, what costs by the second, hour or day."""


def spending_tools() -> list[str]:
    """Every tool that says that it spends."""
    return [spec.name for toolset in TOOLSETS for spec in toolset.tools if spec.effect.spends]

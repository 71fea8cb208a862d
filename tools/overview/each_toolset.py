"""A door to every toolset and tool. Opening one imports only what its tools, or this tool, need."""

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ...novita.core.lazy import lazily
from . import begun_toolsets

if TYPE_CHECKING:
    from ..account.admin import account_admin
    from ..account.balance_and_bills import account
    from ..account.key_page import sign_in
    from ..batches.batches import batches
    from ..gpu.admin import gpu_admin
    from ..gpu.instances import gpu
    from ..kit.toolset import Toolset, ToolSpec
    from ..media.audio import audio
    from ..media.combining import videos
    from ..media.images import images
    from ..sandbox.sandboxes import sandbox
    from ..serverless.endpoints import serverless
    from ..text.chat import text
    from ..web.search import web
    from .estimates import models
    from .stopping import tasks

__all__ = [
    "ToolSpec",
    "Toolset",
    "account",
    "account_admin",
    "audio",
    "batches",
    "gpu",
    "gpu_admin",
    "images",
    "models",
    "sandbox",
    "serverless",
    "sign_in",
    "tasks",
    "text",
    "tool",
    "toolset",
    "videos",
    "web",
]

__getattr__ = lazily(
    __name__,
    {
        "ToolSpec": "..kit.toolset",
        "Toolset": "..kit.toolset",
        "account": "..account.balance_and_bills",
        "account_admin": "..account.admin",
        "audio": "..media.audio",
        "batches": "..batches.batches",
        "gpu": "..gpu.instances",
        "gpu_admin": "..gpu.admin",
        "images": "..media.images",
        "models": ".estimates",  # media_models.py begins this toolset; estimates.py adds what knows all families
        "sandbox": "..sandbox.sandboxes",
        "serverless": "..serverless.endpoints",
        "sign_in": "..account.key_page",
        "tasks": ".stopping",  # tasks.py begins this toolset; stopping.py adds what knows machines and endpoints
        "text": "..text.chat",
        "videos": "..media.combining",  # videos.py begins this toolset; combining.py adds what needs no model
        "web": "..web.search",
    },
)


def toolset(name: str) -> "Toolset":
    """The toolset of this name, a key of `TOOLSET_NAMES`."""
    return getattr(sys.modules[__name__], name)


def tool(name: str, of: str) -> "ToolSpec":
    """The tool of this name, of the toolset `of`. Nothing is imported that only other tools need."""
    doors = (begun_toolsets, sys.modules[__name__]) if of in begun_toolsets.__all__ else (sys.modules[__name__],)
    found: Iterator[ToolSpec | None] = (getattr(door, of).spec(name) for door in doors)
    return next(spec for spec in found if spec is not None)

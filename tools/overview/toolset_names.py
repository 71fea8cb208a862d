"""The names of all toolsets, in the order a host lists them, and whether each is on. Start-up reads only this."""

from collections.abc import Mapping
from typing import Literal

Switch = Literal["always", "on", "off"]

TOOLSET_NAMES: Mapping[str, Switch] = {
    "images": "on",
    "videos": "on",
    "audio": "on",
    "tasks": "always",
    "models": "always",
    "text": "on",
    "batches": "on",
    "gpu": "on",
    "gpu_admin": "off",
    "serverless": "on",
    "account": "on",
    "account_admin": "off",
    "web": "off",
}
"""`on` and `off` are what `default` means."""

TOOLSET_HOMES: Mapping[str, str] = {
    "images": ".media.images",
    "videos": ".media.videos",
    "audio": ".media.audio",
    "tasks": ".overview.tasks",
    "models": ".media.media_models",
    "text": ".text.chat",
    "batches": ".batches.batches",
    "gpu": ".gpu.instances",
    "gpu_admin": ".gpu.admin",
    "serverless": ".serverless.endpoints",
    "account": ".account.balance_and_bills",
    "account_admin": ".account.admin",
    "web": ".web.search",
}
"""The module of tools/ that holds each toolset, under the toolset's name."""

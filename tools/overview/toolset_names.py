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
    "sign_in": "off",
    "web": "off",
    "sandbox": "off",
}
"""`on` and `off` are what `default` means."""

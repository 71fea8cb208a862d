"""The names of all toolsets in the order in which a host lists them, and whether each is on by default.
Start-up reads only this module, so that it need not import the tools.
"""

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
"""Toolset -> whether the setting `default` switches it on or off."""

"""The type of an MCP resource: a row of a table. Each family has its own table; tools/overview joins them."""

import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from .context import Caller

Content = str | bytes
Complete = Callable[[Caller, str], Awaitable[list[str]]]


@dataclass(frozen=True)
class ResourceSpec:
    """One resource, or a template for many.

    Args:
        uri: The address, or an RFC 6570 template.
        read: Gets the caller and the template's parameters, and returns text, or bytes if the content is not text.
        mime: The content's type; None if `read` returns it together with the content.
        complete: Parameter -> function that returns its possible values, given their beginning.
        size: The content's size in bytes, if it is known before reading.
    """

    uri: str
    name: str
    description: str
    read: Callable[..., Awaitable[Content | tuple[Content, str]]]
    mime: str | None = "application/json"
    complete: Mapping[str, Complete] | None = None
    size: Callable[[], int] | None = None


def as_json(data: Any) -> str:
    """Data as a resource's text."""
    return json.dumps(data, ensure_ascii=False, indent=1)

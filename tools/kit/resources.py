"""What a read-only address is: a row of a table. Each family has its own table; tools/overview joins them."""

import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from .context import Caller

Content = str | bytes
Complete = Callable[[Caller, str], Awaitable[list[str]]]


@dataclass(frozen=True)
class ResourceSpec:
    """One row.

    Args:
        uri: Address, or RFC 6570 template.
        read: Called with the caller and the template's parameters; bytes for what is not text.
        mime: Of the content; None where `read` gives it back in a pair.
        complete: Parameter -> what it may be, given its beginning.
        size: Bytes of the content, where they are known before it is read.
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

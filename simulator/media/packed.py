"""Reads bodies in MessagePack. Only Fish Audio's references come in it, as they are bytes within a structure."""

from typing import Any, cast

from ..core.facts import Invalid
from ..core.faults import Fault


def unpacked(data: bytes) -> Any:
    """The value in the data.

    Raises:
        Invalid: The data is not one MessagePack value.
        Fault: The package that reads MessagePack is not installed.
    """
    try:
        from msgpack import unpackb  # pyright: ignore[reportMissingTypeStubs, reportUnknownVariableType]
    except ImportError as error:
        how = "this simulator reads application/msgpack with the extra: pip install 'novita-mcp[simulator]'"
        raise Fault(415, "UNSUPPORTED_MEDIA_TYPE", how) from error
    try:
        return cast(Any, unpackb)(data, ext_hook=_no_extension)
    except ValueError as error:
        raise Invalid(f"body is not MessagePack: {error}") from error


def _no_extension(code: int, data: bytes) -> Any:
    raise Invalid(f"body has a MessagePack extension type ({code}, {len(data)} bytes)")

"""Reads messages from hosts, answers malformed ones, and writes ours.

Messages are read even with lone surrogates, invalid UTF-8 or a byte order mark. Text that is not JSON or not a
request is answered as JSON-RPC 2.0 says. Our messages are always valid JSON in UTF-8.
"""

import json
import logging
import math
from dataclasses import replace
from typing import Any, cast

from mcp.server.context import CallNext, HandlerResult, ServerRequestContext
from mcp.shared.exceptions import MCPError
from mcp_types import (
    INTERNAL_ERROR,
    INVALID_REQUEST,
    PARSE_ERROR,
    ErrorData,
    JSONRPCError,
    JSONRPCMessage,
    JSONRPCNotification,
    JSONRPCRequest,
    JSONRPCResponse,
    jsonrpc_message_adapter,
)
from pydantic import ValidationError
from pydantic_core import PydanticSerializationError, from_json, to_json

from ...novita.core.json_text import well_formed_json
from ...novita.core.wellformed import well_formed_text_of_json

logger = logging.getLogger(__name__)


def read_message(data: bytes) -> JSONRPCMessage | bytes | None:
    """The message in a line or a body; or the bytes to answer, if it is malformed; or None, if it needs no answer.

    Blank lines need no answer, nor do malformed notifications and responses.
    """
    text = well_formed_text_of_json(data).strip()
    if not text:
        return None
    try:
        # Refuses what is nested deeper than 200: nothing we take is, and later readers would fail at it.
        value: object = from_json(text)
    except ValueError as error:
        return _refusal(None, PARSE_ERROR, f"Parse error: {error}")
    if not isinstance(value, dict):
        what = "batches are no part of MCP" if isinstance(value, list) else "a message is a JSON object"
        return _refusal(None, INVALID_REQUEST, f"Invalid request: {what}")
    return _message(cast(dict[str, Any], value))


def _message(value: dict[str, Any]) -> JSONRPCMessage | bytes | None:
    try:
        if "method" in value:
            return (JSONRPCRequest if "id" in value else JSONRPCNotification).model_validate(value, by_name=False)
        if "result" in value or "error" in value:
            return jsonrpc_message_adapter.validate_python(value, by_name=False)
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors()[:3])
        if "method" not in value or _is_notification(value):
            logger.warning("a message of the host was passed over: %s", wrong)
            return None
        return _refusal(value.get("id"), INVALID_REQUEST, f"Invalid request: {wrong}")
    return _refusal(value.get("id"), INVALID_REQUEST, "Invalid request: it names no method")


def _is_notification(value: dict[str, Any]) -> bool:
    """Whether it is a notification, which gets no answer even if its parameters are wrong."""
    return "id" not in value and isinstance(value["method"], str) and value.get("jsonrpc") == "2.0"


def _refusal(asked: object, code: int, message: str) -> bytes:
    """The answer to a malformed request. `asked` is its id, which is echoed if it is a valid one."""
    number = isinstance(asked, int | float) and not isinstance(asked, bool) and math.isfinite(asked)
    named = asked if number or isinstance(asked, str) else None
    answer = {"jsonrpc": "2.0", "id": named, "error": {"code": code, "message": message}}
    return well_formed_text_of_json(json.dumps(answer)).encode()


def written(message: JSONRPCMessage) -> bytes | None:
    """A message as JSON in UTF-8. If it cannot be written, an error for its receiver; None if no answer is awaited."""
    try:
        try:
            line = message.model_dump_json(by_alias=True, exclude_unset=True)
        except PydanticSerializationError:
            plain = well_formed_json(message.model_dump(by_alias=True, exclude_unset=True))
            line = type(message).model_validate(plain).model_dump_json(by_alias=True, exclude_unset=True)
    except (ValueError, TypeError, RecursionError):  # the errors of a value that JSON cannot hold
        logger.exception("a message to the host cannot be written")
        if not isinstance(message, JSONRPCResponse | JSONRPCError):
            return None
        return _refusal(message.id, INTERNAL_ERROR, "The answer could not be written as JSON; report it.")
    return line.encode()


async def speak_well(ctx: ServerRequestContext[Any, Any], call_next: CallNext) -> HandlerResult:
    """Middleware that repairs lone surrogates in answers, and in requests of transports that do not parse JSON."""
    try:
        return _mended(await call_next(replace(ctx, params=_mended(ctx.params))))
    except MCPError as error:
        error.error = ErrorData.model_validate(_mended(error.error.model_dump(exclude_unset=True)))
        raise


def _mended(value: Any) -> Any:
    try:
        to_json(value)
    except PydanticSerializationError:
        return well_formed_json(value)
    return value

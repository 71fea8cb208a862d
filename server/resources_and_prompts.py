"""Answers MCP requests about resources, prompts and completions from the tables in tools/. Their lists are stored data.

The SDK's own resource manager needs a function for each address at start-up. We look a resource up when it is asked
for, so that start-up imports nothing for it.
"""

import logging
from collections.abc import Iterable
from typing import Any

from mcp.server.lowlevel.helper_types import ReadResourceContents
from mcp.server.mcpserver import Context
from mcp.server.mcpserver.exceptions import ResourceError
from mcp.server.mcpserver.resources.templates import DEFAULT_RESOURCE_SECURITY
from mcp.shared.exceptions import MCPError
from mcp.shared.uri_template import UriTemplate
from mcp_types import (
    INVALID_PARAMS,
    CompleteRequestParams,
    CompleteResult,
    Completion,
    GetPromptResult,
    PromptMessage,
    ResourceTemplateReference,
    TextContent,
)

from ..novita.core.errors import NotFoundError, NovitaError
from ..novita.core.redaction import redact, without_secrets
from ..tools.kit.context import open_call
from ..tools.kit.prompts import PromptSpec
from ..tools.kit.resources import ResourceSpec
from ..tools.kit.toolset import FOR_BOTH
from ..tools.overview.prompts import PROMPTS
from ..tools.overview.resources import RESOURCES

logger = logging.getLogger(__name__)


def find(uri: str) -> tuple[ResourceSpec, dict[str, str]] | None:
    """The row for an address, and the parameters in the address. A value such as `../x`, which would lead to another
    place, matches no row."""
    for spec in RESOURCES:
        if "{" not in spec.uri:
            if spec.uri == uri:
                return spec, {}
            continue
        found = UriTemplate.parse(spec.uri).match(uri)
        if found is not None and DEFAULT_RESOURCE_SECURITY.validate(found) is None:
            return spec, {name: str(value) for name, value in found.items()}
    return None


async def read(uri: str, context: Context[Any, Any]) -> Iterable[ReadResourceContents]:
    """The content of the resource at an address.

    Raises:
        MCPError: There is no such resource, or not for this caller. ResourceError: it cannot be read now.
    """
    found = find(uri)
    if found is None:
        raise MCPError(code=INVALID_PARAMS, message="Resource not found", data={"uri": uri})
    spec, parameters = found
    try:
        content = await spec.read(open_call(context), **parameters)
    except NotFoundError as error:
        raise MCPError(code=INVALID_PARAMS, message="Resource not found", data={"uri": uri}) from error
    except NovitaError as error:
        raise ResourceError(redact(str(error))) from error
    body, mime = content if isinstance(content, tuple) else (content, spec.mime)
    return [ReadResourceContents(content=without_secrets(body), mime_type=mime)]


async def complete(params: CompleteRequestParams, context: Context[Any, Any]) -> CompleteResult:
    """Possible values for a parameter of an address or an argument of a prompt, given the beginning of the value."""
    values: list[str] = []
    ways = (
        [spec.complete for spec in RESOURCES if spec.uri == params.ref.uri]
        if isinstance(params.ref, ResourceTemplateReference)
        else [spec.complete for spec in PROMPTS if spec.name == params.ref.name]
    )
    for complete in ways:
        way = (complete or {}).get(params.argument.name)
        if way is not None:
            try:
                values = await way(open_call(context), params.argument.value)
            except NovitaError as error:  # a person who is typing cannot act on it; the call itself reports it
                logger.info("%s cannot be completed: %s", params.argument.name, error)
    shown = without_secrets(values[:100])
    return CompleteResult(completion=Completion(values=shown, total=len(values), has_more=len(values) > 100))


def get_prompt(name: str, arguments: dict[str, Any] | None) -> GetPromptResult:
    """A prompt's text.

    Raises:
        MCPError: There is no such prompt, or an argument it needs is missing.
    """
    spec = next((spec for spec in PROMPTS if spec.name == name), None)
    if spec is None:
        raise MCPError(code=INVALID_PARAMS, message=f"There is no prompt {name[:60]!r}")
    given = _checked(spec, arguments or {})
    text = TextContent(type="text", text=spec.write(given), annotations=FOR_BOTH)
    return GetPromptResult(description=spec.description, messages=[PromptMessage(role="user", content=text)])


def _checked(spec: PromptSpec, arguments: dict[str, Any]) -> dict[str, str]:
    missing = [name for name in spec.arguments if name not in spec.optional and not arguments.get(name)]
    unknown = [name for name in arguments if name not in spec.arguments]
    if missing or unknown:
        what = f"needs {', '.join(missing)}" if missing else f"has no argument {unknown[0]!r}"
        raise MCPError(code=INVALID_PARAMS, message=f"The prompt {spec.name} {what}")
    return {name: str(value) for name, value in arguments.items() if value}

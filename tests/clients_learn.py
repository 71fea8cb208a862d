"""What every client of the SDK works out anew, worked out once per test process: a third of a short test's time."""

import json
from collections.abc import Generator
from contextlib import contextmanager
from functools import cache
from typing import Any

import pytest
from jsonschema.protocols import Validator
from mcp import Client, ClientSession
from novita_mcp.tools.overview.surface import surface


@cache
def _answers() -> dict[str, dict[str, Any]]:
    return {tool.name: dict(tool.listing["outputSchema"]) for tool in surface().tools}


def knows_the_tools(client: Client) -> Client:
    """Spares a client that is connected to our server the listing before its first call.

    It lists the tools for what they answer, to check that. This is what it would be told: tests/test_surface.py holds
    the stored surface against the code, and tests of the list list it.
    """
    client.session._tool_output_schemas.update(_answers())  # pyright: ignore[reportPrivateUsage]
    return client


@contextmanager
def schemas_compiled_once() -> Generator[None]:
    """Clients check answers as ever; that a schema is one, and its compiled form, are kept for the next client."""
    compiled: dict[str, Validator] = {}
    compiles = ClientSession._output_schema_validator  # pyright: ignore[reportPrivateUsage]

    def once(session: ClientSession, name: str, output_schema: dict[str, Any]) -> Validator:
        text = json.dumps(output_schema)
        if text not in compiled:
            compiled[text] = compiles(session, name, output_schema)
        return compiled[text]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ClientSession, "_output_schema_validator", once)
        yield

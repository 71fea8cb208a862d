"""Starts the server as a host's configuration says, checks whether it answers, and repairs an entry that does not work.

It starts only what is in this user's own configurations, because anybody may have written a project's file.
"""

import copy
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import anyio
from mcp import Client, StdioServerParameters
from mcp.client.stdio import get_default_environment, stdio_client
from mcp.shared.exceptions import MCPError

from ..settings import SettingError, Settings, read_settings
from ..starting import this_program
from .hosts import KEY, Entry
from .install import Installed, read_entry_file, rewrite, with_entry

PATIENCE = 60.0
"""Seconds that a start may take; uvx may have to fetch packages first."""


@dataclass(frozen=True)
class HostStart:
    """The result of starting a host's entry. `problem` is empty if the server answered."""

    found: Installed
    tools: int = 0
    problem: str = ""


async def start_all(found: Sequence[Installed]) -> list[HostStart]:
    """Start all entries at the same time."""
    made: dict[int, HostStart] = {}

    async def start(place: int, one: Installed) -> None:
        made[place] = await _start(one)

    async with anyio.create_task_group() as group:
        for place, one in enumerate(found):
            group.start_soon(start, place, one)
    return [made[place] for place in sorted(made)]


async def _start(found: Installed) -> HostStart:
    if shutil.which(found.command) is None:
        return HostStart(found, problem=f"{found.command} is not there")
    chosen = StdioServerParameters(
        command=found.command, args=[*found.args], env={**get_default_environment(), **_given(found)}
    )
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as log:
        try:
            with anyio.fail_after(PATIENCE):
                async with Client(stdio_client(chosen, errlog=log)) as client:
                    return HostStart(found, tools=len((await client.list_tools()).tools))
        except TimeoutError:
            why = f"no answer within {PATIENCE:.0f} s"
        except (OSError, MCPError, ExceptionGroup) as error:
            why = type(error).__name__
        log.seek(0)
        said = [line.strip() for line in log.read().splitlines() if line.strip()]
        return HostStart(found, problem=said[-1][:200] if said else why)


def _given(found: Installed) -> Mapping[str, str]:
    """The entry's environment variables, without those that only the host can fill in."""
    return {name: value for name, value in found.environment if name == KEY or not value.startswith(("${", "{env:"))}


def settings_of(found: Installed) -> Settings | None:
    """The settings from the entry and the user's file together; None if they cannot be used."""
    try:
        return read_settings({**get_default_environment(), **_given(found)})
    except SettingError:
        return None


def mend_start(found: Installed) -> list[str]:
    """Change a host's entry so that it starts this installation. Key and variables stay. Returns the new command.

    Raises:
        OSError: The file cannot be written.
        SettingError: The file cannot be read or parsed.
    """
    program = this_program()
    before, config = read_entry_file(found.path)
    wanted: Entry = copy.deepcopy(config)
    found.host.put(wanted, {"command": program[0], "args": program[1:], "env": {}})
    rewrite(found.path, with_entry(found.path, before, wanted), keep=False)
    return program

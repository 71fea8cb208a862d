"""What is given up stops with all it started, in a machine that really runs it."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

import anyio
import pytest
from novita_mcp.novita.sandbox.inside import Inside
from novita_mcp.novita.sandbox.processes import Run, run_command
from novita_mcp.simulator.sandbox.state import SimulatedSandboxes

from ...walls import why_no_walls

Open = Callable[..., AbstractAsyncContextManager[Inside]]


WHY_NOT = why_no_walls()
pytestmark = pytest.mark.skipif(bool(WHY_NOT), reason=WHY_NOT)
RUNNING = "cat /proc/[0-9]*/cmdline | tr '\\0' ' ' | grep -o 'sleep 29[0-9]' | sort | uniq"


@pytest.mark.parametrize("how", ["cancel", "limit"])
async def test_a_command_given_up_is_killed_with_its_children(
    opened: Open, state: SimulatedSandboxes, how: str
) -> None:
    state.level = "isolated"
    async with opened() as inside:
        run = Run("sleep 297 & (sleep 298 | sleep 299); echo never")
        await run_command(inside, Run("true"), limit=60)  # the machine stands before any time is taken
        seen: list[str] = []

        with anyio.CancelScope() as scope:

            async def once() -> None:
                while len(seen) < 3:
                    look = Run(RUNNING)
                    await run_command(inside, look, limit=60)
                    seen[:] = look.stdout.whole().splitlines()
                if how == "cancel":
                    scope.cancel()

            await run_command(inside, run, limit=60 if how == "cancel" else 5, on_output=once)

        after = Run(RUNNING)
        await run_command(inside, after, limit=60)

    assert seen == ["sleep 297", "sleep 298", "sleep 299"]
    assert after.stdout.whole() == ""
    assert run.ending == ("killed" if how == "cancel" else "time_limit")

"""The register of addresses: bounded, forgetful, and quick to say which task is meant."""

from typing import Any, cast

import anyio
from novita_mcp.novita.core.client import NovitaClient, new_http
from novita_mcp.novita.core.errors import NovitaConnectionError
from novita_mcp.novita.core.waiting import Look, Nudge, Pace, Phase, wait_until_done
from novita_mcp.novita.media.jobs import MediaJobs
from novita_mcp.novita.media.webhooks import MOST, Webhooks


class HookStage:
    """As much of Jobs as an address needs: who was nudged, and which looks were made in the background."""

    def __init__(self, background: Any = None, *, waiting: bool, broken: bool = False) -> None:
        self.background, self._waiting, self._broken = background, waiting, broken
        self.nudged: list[tuple[str, str]] = []
        self.looked: list[str] = []

    def nudge(self, owner: str, task_id: str) -> bool:
        self.nudged.append((owner, task_id))
        return self._waiting

    async def bring(self, _: NovitaClient, task_id: str, *, budget: float) -> None:
        assert budget == 0
        self.looked.append(task_id)
        if self._broken:
            raise NovitaConnectionError("no answer")


def webhooks_on(stage: HookStage) -> tuple[Webhooks, NovitaClient]:
    return Webhooks(cast(MediaJobs, stage), stage.background, "https://mcp.example/novita/"), NovitaClient(
        new_http(), "sk-1"
    )


async def test_an_address_is_long_random_and_under_the_public_url() -> None:
    webhooks, client = webhooks_on(HookStage(waiting=True))
    made = [webhooks.open(client) for _ in range(3)]

    assert len({token for token, _ in made}) == 3
    for token, address in made:
        assert len(token) >= 40
        assert address == f"https://mcp.example/novita/webhooks/{token}"


async def test_who_waits_is_woken_and_nothing_else_is_looked_at() -> None:
    stage = HookStage(waiting=True)
    webhooks, client = webhooks_on(stage)
    token, _ = webhooks.open(client)
    webhooks.accepted(token, "task-1")
    await webhooks.called(token)

    assert stage.nudged == [(client.owner, "task-1")]
    assert stage.looked == []


async def test_a_call_that_comes_before_the_id_is_made_up_for() -> None:
    stage = HookStage(waiting=False)
    async with anyio.create_task_group() as stage.background:
        webhooks, client = webhooks_on(stage)
        token, _ = webhooks.open(client)
        await webhooks.called(token)
        assert stage.nudged == []

        webhooks.accepted(token, "task-1")
    assert stage.looked == ["task-1"]


async def test_a_look_that_fails_harms_nobody() -> None:
    stage = HookStage(waiting=False, broken=True)
    async with anyio.create_task_group() as stage.background:
        webhooks, client = webhooks_on(stage)
        token, _ = webhooks.open(client)
        webhooks.accepted(token, "task-1")
        await webhooks.called(token)
    assert stage.looked == ["task-1"]


async def test_the_register_is_bounded() -> None:
    webhooks, client = webhooks_on(HookStage(waiting=True))
    first, _ = webhooks.open(client)
    tokens = [webhooks.open(client)[0] for _ in range(MOST)]

    assert not await webhooks.knows(first)
    assert not await webhooks.called(first)
    assert all([await webhooks.knows(token) for token in tokens])
    webhooks.accepted(first, "task-1")  # forgotten: nothing happens


class StuckClock:
    """No pause ever ends."""

    def now(self) -> float:
        return 0.0

    def wall(self) -> float:
        return 0.0

    async def sleep(self, seconds: float) -> None:
        await anyio.sleep_forever()


async def test_a_nudge_makes_the_next_look_come_at_once_and_counts_once() -> None:
    nudge, looks = Nudge(), list[int]()

    async def look() -> Look[str]:
        looks.append(len(looks))
        if len(looks) < 3:
            nudge.give()
        return Look(Phase.SUCCEEDED if len(looks) == 3 else Phase.WORKING, "fox")

    with anyio.fail_after(60):
        seen = await wait_until_done(look, clock=StuckClock(), pace=Pace(), budget=100, nudge=nudge)

    assert seen is not None
    assert (seen.phase, len(looks)) == (Phase.SUCCEEDED, 3)

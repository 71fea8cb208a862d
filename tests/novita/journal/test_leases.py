"""Leases: kept in the journal, claimed once, tried until it worked, whoever created the instance."""

import sqlite3
from collections.abc import AsyncGenerator, Generator
from dataclasses import replace
from pathlib import Path

import anyio
import pytest
from novita_mcp.novita.core.backoff import RetryPolicy
from novita_mcp.novita.core.client import NovitaClient, new_http
from novita_mcp.novita.gpu.instances import InstanceOrder, create_instance, get_instance
from novita_mcp.novita.gpu.leases import INSTANCE
from novita_mcp.novita.journal.journal import Journal
from novita_mcp.novita.journal.leases import ENDERS, Leases, LeaseState, enforce_leases
from novita_mcp.simulator.core.world import DEFAULT_KEY, World, WorldSettings
from novita_mcp.simulator.serving import serve


class LeaseClock:
    """The world's time."""

    def __init__(self, world: World) -> None:
        self._world = world

    def now(self) -> float:
        return self._world.clock.now()

    def wall(self) -> float:
        return self._world.clock.now()

    async def sleep(self, seconds: float) -> None:
        self._world.advance(seconds)


@pytest.fixture
def world() -> World:
    return World(WorldSettings(task_seconds=1, speed=0))


@pytest.fixture
def url(world: World) -> Generator[str]:
    with serve(world) as running:
        yield running.url


@pytest.fixture
async def client(world: World, url: str) -> AsyncGenerator[NovitaClient]:
    async with new_http() as http:
        retries = RetryPolicy(attempts=2, first=0.01, longest=0.01)
        yield NovitaClient(http, DEFAULT_KEY, url, clock=LeaseClock(world), retries=retries)


def leases_on(path: Path, world: World) -> Leases:
    """What one process has."""
    clock = LeaseClock(world)
    return Leases(Journal(path, clock=clock), clock=clock)


async def a_running_one(client: NovitaClient, world: World, name: str = "box") -> str:
    instance_id = await create_instance(client, InstanceOrder(name=name, product_id="4090.18c100g", image="a/b:1"))
    world.advance(10)
    assert (await get_instance(client, instance_id)).running
    return instance_id


async def test_it_is_stopped_when_its_time_is_over_and_not_before(
    client: NovitaClient, world: World, tmp_path: Path
) -> None:
    leases = leases_on(tmp_path / "j", world)
    instance = await a_running_one(client, world)
    await leases.grant(client.owner, kind=INSTANCE, hours=0.1, name="box", thing_id=instance)
    leases.remember(client)
    world.advance(350)
    assert await leases.enforce() == []
    world.advance(20)
    (asked,) = await leases.enforce()
    assert (asked.done, asked.note) == (False, "asked to stop")
    assert await leases.enforce() == []  # not again at once
    world.advance(10)
    (seen,) = await leases.enforce()
    assert (seen.done, seen.note) == (True, "stopped at the end of its lease")
    world.advance(1_000)
    assert await leases.enforce() == []
    assert world.count("stop_gpu_instance") == 1
    await leases.journal.close()


async def test_several_processes_on_one_journal_act_once(client: NovitaClient, world: World, tmp_path: Path) -> None:
    processes = [leases_on(tmp_path / "j", world) for _ in range(6)]
    instance = await a_running_one(client, world)
    await processes[0].grant(client.owner, kind=INSTANCE, hours=0.01, name="box", thing_id=instance)
    world.advance(60)
    async with anyio.create_task_group() as group:
        for process in processes:
            group.start_soon(process.enforce, {client.owner: client})
    assert world.count("stop_gpu_instance") == 1
    for process in processes:
        await process.journal.close()


@pytest.mark.parametrize(
    "effect", [{"status": 500, "body": "{}"}, {"reset": "before"}, {"error": "RATE_LIMIT_EXCEEDED", "group": "gpu"}]
)
async def test_a_stop_that_fails_is_tried_again_until_it_worked(
    client: NovitaClient, world: World, tmp_path: Path, effect: dict[str, object]
) -> None:
    leases = leases_on(tmp_path / "j", world)
    instance = await a_running_one(client, world)
    await leases.grant(client.owner, kind=INSTANCE, hours=0.01, name="box", thing_id=instance)
    leases.remember(client)
    world.advance(60)
    world.trouble(effect, operation="stop_gpu_instance", times=4)
    notes: list[str] = []
    for _ in range(12):
        notes += [outcome.note for outcome in await leases.enforce()]
        world.advance(120)
    assert notes[0].startswith("failed, will be tried again")
    assert notes[-1] == "stopped at the end of its lease"
    assert (await get_instance(client, instance)).status == "exited"
    await leases.journal.close()


async def test_a_process_that_died_in_the_middle_does_not_hold_a_lease_for_ever(
    client: NovitaClient, world: World, tmp_path: Path
) -> None:
    leases = leases_on(tmp_path / "j", world)
    instance = await a_running_one(client, world)
    lease = await leases.grant(client.owner, kind=INSTANCE, hours=0.01, name="box", thing_id=instance)
    world.advance(60)
    with sqlite3.connect(tmp_path / "j") as db:  # claimed, and then nothing more
        db.execute("UPDATE kept_leases SET claimed_until = ? WHERE key = ?", (world.clock.now() + 60, lease.key))
    assert await leases.enforce({client.owner: client}) == []
    world.advance(61)
    assert len(await leases.enforce({client.owner: client})) == 1
    assert world.count("stop_gpu_instance") == 1
    await leases.journal.close()


async def test_a_new_lease_replaces_the_old_one(client: NovitaClient, world: World, tmp_path: Path) -> None:
    leases = leases_on(tmp_path / "j", world)
    instance = await a_running_one(client, world)
    await leases.grant(client.owner, kind=INSTANCE, hours=0.01, name="box", thing_id=instance)
    longer = await leases.grant(client.owner, kind=INSTANCE, hours=5, name="box", thing_id=instance)
    world.advance(600)
    assert await leases.enforce({client.owner: client}) == []
    assert [lease.key for lease in await leases.of(client.owner)] == [longer.key]
    await leases.journal.close()


async def test_a_create_without_an_answer_is_found_by_its_name(
    client: NovitaClient, world: World, tmp_path: Path
) -> None:
    leases = leases_on(tmp_path / "j", world)
    older = await a_running_one(client, world)
    world.advance(600)
    await leases.grant(client.owner, kind=INSTANCE, hours=0.01, name="box", job_key="row")
    newer = await a_running_one(client, world)
    world.advance(60)
    await leases.enforce({client.owner: client})
    world.advance(60)
    assert (await get_instance(client, newer)).status == "exited"
    assert (await get_instance(client, older)).status == "running"
    await leases.journal.close()


async def test_a_create_that_never_was_is_given_up(client: NovitaClient, world: World, tmp_path: Path) -> None:
    leases = leases_on(tmp_path / "j", world)
    await leases.grant(client.owner, kind=INSTANCE, hours=0.01, name="ghost", job_key="row")
    world.advance(60)
    (seen,) = await leases.enforce({client.owner: client})
    assert not seen.done
    world.advance(4_000)
    (seen,) = await leases.enforce({client.owner: client})
    assert (seen.done, await leases.of(client.owner)) == (True, [])
    await leases.journal.close()


async def test_leases_of_others_are_left_alone_and_stopped_ones_are_done(
    client: NovitaClient, world: World, tmp_path: Path
) -> None:
    leases = leases_on(tmp_path / "j", world)
    instance = await a_running_one(client, world)
    await leases.grant("somebody else", kind=INSTANCE, hours=0.01, name="box", thing_id=instance)
    gone = await leases.grant(client.owner, kind=INSTANCE, hours=0.01, name="box", thing_id="i-gone")
    world.advance(60)
    done, still_open = await enforce_leases(leases.journal, client, ENDERS, clock=LeaseClock(world))
    assert [(outcome.lease.key, outcome.done) for outcome in done] == [(gone.key, True)]
    assert still_open == []
    assert world.count("stop_gpu_instance") == 0
    assert {key: lease.state for key, lease in (await leases.newest(client.owner, INSTANCE)).items()} == {
        "i-gone": LeaseState.DONE
    }
    await leases.journal.close()


async def test_a_client_without_a_key_is_not_remembered(client: NovitaClient, world: World, tmp_path: Path) -> None:
    leases = leases_on(tmp_path / "j", world)
    leases.remember(replace(client, api_key=None))
    await leases.grant("anonymous", kind=INSTANCE, hours=0.01, name="box", thing_id="i")
    world.advance(60)
    assert await leases.enforce() == []
    await leases.journal.close()

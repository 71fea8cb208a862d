"""The world without HTTP: money, time, knobs."""

import pytest
from novita_mcp.simulator import World
from novita_mcp.simulator.core.world import NotEnoughCredit, WorldSettings


def test_a_charge_lowers_the_balance_exactly_and_a_refund_gives_it_back_once() -> None:
    world = World(balance_usd=1)
    account = world.accounts["sk-simulated"]
    charge = world.charge(account, 123_456, "txt2img")
    assert (account.micro_usd, account.units) == (876_544, 8765)
    world.refund(charge)
    world.refund(charge)
    assert account.micro_usd == 1_000_000
    assert charge.usd == 0


def test_an_account_that_cannot_pay_keeps_what_it_has() -> None:
    world = World(balance_usd=0.01)
    with pytest.raises(NotEnoughCredit):
        world.charge(world.accounts["sk-simulated"], 10_001, "txt2img")
    assert world.balance_usd() == 0.01
    assert world.charges == []


def test_time_can_be_moved_but_never_runs_back() -> None:
    world = World()
    before = world.clock.now()
    world.advance(3600)
    world.set(speed=100)
    assert world.clock.now() >= before + 3600


def test_a_manual_world_moves_one_step_per_look_and_not_by_the_clock() -> None:
    world = World(WorldSettings(manual=True))
    progress = world.progress(10)
    world.advance(1000)
    assert [progress.look() for _ in range(4)] == [0, 0.5, 1, 1]
    assert progress.peek() == 1


def test_without_manual_progress_follows_the_clock() -> None:
    world = World()
    progress = world.progress(1000)
    world.advance(500)
    assert 0.5 <= progress.look() < 0.6
    world.advance(500)
    assert progress.look() == 1


def test_an_area_is_made_once() -> None:
    class Area:
        def __init__(self, world: World) -> None:
            self.world = world

    world = World()
    assert world.area(Area) is world.area(Area)
    assert world.area(Area).world is world


def test_an_unknown_setting_and_an_unknown_effect_are_refused() -> None:
    world = World()
    with pytest.raises(AttributeError, match="task_secnods"):
        world.set(task_secnods=1)
    with pytest.raises(ValueError, match="exactly one"):
        world.trouble({"explode": True})
    with pytest.raises(KeyError, match="NOPE"):
        world.trouble({"error": "NOPE", "group": "media"})


def test_trouble_skips_and_counts_down() -> None:
    world = World()
    world.trouble({"empty": True}, operation="txt2img", skip=1, times=2)
    taken = [world.troubles.take("txt2img", "POST", "/v3/async/txt2img") for _ in range(5)]
    assert [effect is not None for effect in taken] == [False, True, True, False, False]
    assert world.troubles.take("img2img", "POST", "/v3/async/img2img") is None


def test_trouble_can_be_bound_to_a_path_and_a_method() -> None:
    world = World()
    world.trouble({"empty": True}, path="/v3/async/*", method="post", times=-1)
    assert world.troubles.take(None, "GET", "/v3/async/x") is None
    assert world.troubles.take(None, "POST", "/v3/sync/x") is None
    assert world.troubles.take(None, "POST", "/v3/async/x") is not None

"""Whatever is asked for in whatever order: cards and workers are conserved, and money is what the bill says."""

import random
from dataclasses import replace

import pytest
from novita_mcp.simulator import World
from novita_mcp.simulator.core.faults import Fault
from novita_mcp.simulator.gpu.market import Stock, products
from novita_mcp.simulator.gpu.order import SimulatedOrder
from novita_mcp.simulator.gpu.state import GpuState
from novita_mcp.simulator.serverless.plan import DeploymentPlan
from novita_mcp.simulator.serverless.pool import FINAL
from novita_mcp.simulator.serverless.state import ServerlessState

RENTABLE = sorted(id for id, product in products().items() if product.kind == "gpu")
SERVERLESS = sorted(id for id, product in products().items() if product.serverless_workers)


def quiet_world(balance_usd: float) -> World:
    world = World(balance_usd=balance_usd)
    world.set(speed=0, task_seconds=100)
    return world


def check_money(world: World, before: int) -> None:
    [account] = world.accounts.values()
    assert account.micro_usd >= 0
    assert before - account.micro_usd == sum(charge.micro_usd for charge in world.charges)


@pytest.mark.parametrize("seed", range(20))
def test_instances(seed: int) -> None:
    roll = random.Random(seed)
    world = quiet_world(roll.choice([5, 100, 5000]))
    [account] = world.accounts.values()
    before, state, untouched = account.micro_usd, world.area(GpuState), Stock()
    fleet = state.fleet
    refused: set[str] = set()
    for _ in range(300):
        world.advance(roll.choice([1, 30, 200, 4000]))
        world.settle()
        mine = fleet.of(account)
        what = roll.choice(["create", "create", "start", "stop", "restart", "delete", "migrate", "reclaim"])
        try:
            if what == "create":
                mode = roll.choice(["onDemand", "spot", "monthly"])
                months = int(mode == "monthly")
                order = SimulatedOrder(roll.choice(RENTABLE), "a/b", cards=roll.randint(1, 8), mode=mode, months=months)
                fleet.create(account, order, "create_gpu_instance")
            elif mine and what == "reclaim":
                chosen = roll.choice(mine)
                if chosen.mode == "spot":
                    fleet.reclaim(chosen.id, 50)
            elif mine:
                getattr(fleet, what)(roll.choice(mine))
        except Fault as fault:
            refused.add(fault.reason)
        assert min(state.stock.free.values()) >= 0
        check_money(world, before)
        taken = untouched.free - state.stock.free
        held = [each for each in fleet.of(account) if each.holds_stock]
        for id, cluster in untouched.free:
            cards = sum(each.order.cards for each in held if (each.product.id, each.cluster) == (id, cluster))
            assert taken[id, cluster] == cards
    assert refused <= {
        "INSUFFICIENT_RESOURCE",
        "MIGRATE_INSUFFICIENT_RESOURCE",
        "VALIDATOR_PARAM",
        "UNSUPPORTED_BILLING_MODE",
        "BALANCE_NOT_ENOUGH",
        "EXPIRED_OR_BALANCE_NOT_ENOUGH",
        "CONFLICT",
        "CREATE_INSTANCE_LIMIT",
        "PREPAID_INSTANCE_NOT_SUPPORT_RELEASE",
    }
    world.advance(400 * 86_400)
    for _ in range(3):
        world.settle()
        world.advance(8 * 86_400)
    world.settle()
    assert fleet.of(account) == []
    assert state.stock.free == untouched.free
    check_money(world, before)


@pytest.mark.parametrize("seed", range(20))
def test_endpoints(seed: int) -> None:
    roll = random.Random(seed)
    world = quiet_world(roll.choice([2, 100, 5000]))
    [account] = world.accounts.values()
    before, state, untouched = account.micro_usd, world.area(ServerlessState), Stock()
    jobs = 0
    for _ in range(300):
        world.advance(roll.choice([1, 10, 100, 1000]))
        world.settle()
        mine = state.of(account)
        try:
            match roll.choice(["create", "run", "run", "run", "drain", "update", "delete", "cancel"]):
                case "create" if len(mine) < 5:
                    least, policy = roll.randint(0, 2), roll.choice(["queue", "concurrency"])
                    plan = DeploymentPlan(
                        [roll.choice(SERVERLESS)], "a/b", least=least, most=roll.randint(1, 6), policy=policy
                    )
                    plan.concurrent, plan.policy_value = roll.randint(1, 3), roll.randint(1, 60)
                    state.create(account, plan)
                case "run" if mine:
                    state.begin(roll.choice(mine), None, roll.choice([1, 50, 500]))
                    jobs += 1
                case "drain" if mine and (workers := roll.choice(mine).pool.workers):
                    state.drain(account, roll.choice(workers).id, roll.random() < 0.7)
                case "update" if mine:
                    endpoint = roll.choice(mine)
                    plan = replace(endpoint.plan, most=roll.randint(2, 6), image=roll.choice(["a/b", "a/c"]))
                    state.update(endpoint, plan)
                case "delete" if mine and roll.random() < 0.2:
                    state.delete(roll.choice(mine))
                case _:
                    pass
        except Fault as fault:
            assert fault.reason in {"BALANCE_NOT_ENOUGH", "EXPIRED_OR_BALANCE_NOT_ENOUGH", "VALIDATOR_PARAM"}
        assert min(state.gpu.stock.workers.values()) >= 0
        check_money(world, before)
        for endpoint in state.of(account):
            assert len(endpoint.pool.workers) <= max(endpoint.plan.most, endpoint.pool.busy)
            assert all(len(worker.holds) <= endpoint.plan.concurrent for worker in endpoint.pool.workers)
            assert not any(work.status in FINAL for worker in endpoint.pool.workers for work in worker.holds)
    assert jobs > 0
    for endpoint in state.of(account):
        state.delete(endpoint)
    assert state.gpu.stock.workers == untouched.workers
    check_money(world, before)

"""GPU instances, as a host meets them: the whole story, and what can go wrong in it."""

import json
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from novita_mcp.novita.core.errors import error_rows
from novita_mcp.server.settings import Settings
from novita_mcp.simulator.core.world import World
from novita_mcp.simulator.core.world import WorldSettings as WorldSettings
from novita_mcp.simulator.gpu.order import SimulatedOrder
from novita_mcp.simulator.gpu.state import GpuState
from novita_mcp.tools.gpu.instances import Lease
from pydantic import TypeAdapter, ValidationError

from ..gpu_stage import Json, OpenStage, Person, Stage

IMAGE = "docker.io/pytorch/pytorch:2.7"


@pytest.fixture
def world() -> World:
    """A boot takes some seconds of a clock that only moves when somebody waits."""
    return World(WorldSettings(task_seconds=10, speed=0))


async def running(on: Stage, **changes: Any) -> str:
    """The id of a fresh instance that runs."""
    answer = await on.call(
        "create_gpu_instance", **{"image": IMAGE, "min_memory_gb": 24, "name": "trainer", "confirm": True, **changes}
    )
    assert answer["status"] == "running"
    return answer["instance_id"]


async def stopped_by_lease(on: Stage) -> Json:
    """The only instance, once its lease has ended it; the background gets its turns while we look."""
    for _ in range(50):
        line: Json = (await on.call("list_gpu_instances"))["instances"][0]
        if line["state"] == "exited" and line.get("lease", "").startswith("stopped"):
            return line
        on.world.advance(6)
    raise AssertionError("the lease did not end it")


@pytest.mark.parametrize("way", ["elicitation", "confirm"])
async def test_the_whole_story_of_an_instance(opened: OpenStage, world: World, way: str) -> None:
    person = Person() if way == "elicitation" else None
    async with opened(person) as on:
        found = await on.call("list_gpu_products", min_memory_gb=24)
        cheapest = found["products"][0]
        assert (cheapest["name"], cheapest["usd_per_hour"]) == ("RTX 3090 24GB", "0.21")

        wish: Json = {"image": IMAGE, "min_memory_gb": 24, "name": "trainer", "ports": ["8000/http"]}
        if person is None:
            question = await on.call("create_gpu_instance", **wish)
            assert question["status"] == "needs_confirmation"
            assert "$0.21 per hour ($5.04 per day)" in question["next_step"]
            assert "RTX 3090 24GB" in question["next_step"]
            assert world.count("create_gpu_instance") == 0
            wish["confirm"] = True
        made = await on.call("create_gpu_instance", **wish)
        assert made["status"] == "running"
        if person is not None:
            assert "$0.21 per hour ($5.04 per day)" in person.asked[0]
        assert world.count("create_gpu_instance") == 1
        instance = made["instance_id"]

        shown = await on.call("get_gpu_instance", instance_id=instance)
        assert "access" not in shown
        reached = (await on.call("get_gpu_instance", instance_id=instance, access=True))["access"]
        assert reached["ssh_command"].startswith("ssh root@")
        assert reached["ssh_password"]
        assert reached["ports"]["8000/http"].startswith("http://")

        yes: Json = {} if person else {"confirm": True}
        scheduled = await on.call("stop_gpu_instance", instance_id=instance, after_hours=0.1, **yes)
        assert scheduled["status"] == "scheduled"
        ends = datetime.fromisoformat(scheduled["instance"]["stops_at"]).timestamp()
        assert 350 <= ends - world.clock.now() <= 370
        world.advance(240)
        line = (await on.call("list_gpu_instances"))["instances"][0]
        assert (line["state"], line["usd_per_hour"], line["stops_at"]) == (
            "running",
            "0.21",
            scheduled["instance"]["stops_at"],
        )
        assert 0.01 < float(line["cost_so_far_usd"]) < 0.02
        assert world.count("stop_gpu_instance") == 0

    world.advance(200)  # the lease ends while nobody is there
    async with opened(person) as on:
        line = await stopped_by_lease(on)
        assert line["lease"] == "stopped at the end of its lease"
        assert "stops_at" not in line
        assert world.count("stop_gpu_instance") == 1

        gone = await on.call("delete_gpu_instance", instance_id=instance, **yes)
        assert gone["status"] == "deleted"
        assert (await on.call("list_gpu_instances"))["total"] == 0


async def test_what_a_card_costs_as_spot_stands_beside_what_it_costs_on_demand(opened: OpenStage) -> None:
    async with opened() as on:
        demand = await on.call("list_gpu_products", gpu="4090")
        spot = await on.call("list_gpu_products", gpu="4090", billing="spot")
    (one, *_), (other, *_) = demand["products"], spot["products"]
    assert one["spot_usd_per_hour"] == other["usd_per_hour"]
    assert other["on_demand_usd_per_hour"] == one["usd_per_hour"]
    assert "spot_usd_per_hour" not in other and "on_demand_usd_per_hour" not in one
    assert float(other["usd_per_hour"]) < float(one["usd_per_hour"])


async def test_a_lease_given_at_creation_counts_from_then(opened: OpenStage, world: World) -> None:
    async with opened() as on:
        instance = await running(on, stop_after_hours=1)
        line = (await on.call("get_gpu_instance", instance_id=instance))["instance"]
        ends = datetime.fromisoformat(line["stops_at"]).timestamp()
        assert 3_500 < ends - world.clock.now() <= 3_600


async def test_a_failed_boot_ends_the_wait_with_its_reason(opened: OpenStage, world: World) -> None:
    async with opened() as on:
        text = await on.refused(
            "create_gpu_instance", image="registry.invalid/a:1", gpu="4090", name="bad", confirm=True
        )
        assert "exited: IMAGE_NOT_FOUND" in text
        assert "delete_gpu_instance" in text
        job = (await on.call("list_tasks"))["tasks"][0]
        assert (job["state"], job["tool"]) == ("failed", "create_gpu_instance")


async def test_progress_tells_the_instances_own_state(opened: OpenStage, world: World) -> None:
    told: list[str] = []

    async def listen(progress: float, total: float | None, message: str | None) -> None:
        told.append(message or "")

    async with opened() as on:
        wish: Json = {"image": IMAGE, "gpu": "4090", "name": "trainer", "confirm": True}
        await on.client.call_tool("create_gpu_instance", wish, progress_callback=listen)
        assert any("trainer" in line and "accepted" in line for line in told)
        assert any("pulling the image" in line for line in told)


async def test_no_patience_names_the_instance_and_get_waits_on(opened: OpenStage, world: World) -> None:
    async with opened() as on:
        made = await on.call("create_gpu_instance", image=IMAGE, gpu="4090", wait_seconds=0, confirm=True)
        assert made["status"] == "working"
        assert made["instance"]["name"] == "pytorch-rtx-4090-24gb"
        done = await on.call("get_gpu_instance", instance_id=made["instance_id"], wait_seconds=60)
        assert done["status"] == "running"
        text = await on.refused("get_task", task_id=made["instance_id"])
        assert "get_gpu_instance" in text


async def test_a_lost_answer_is_not_sent_again_and_the_instance_is_found(opened: OpenStage, world: World) -> None:
    world.trouble({"reset": "after"}, operation="create_gpu_instance")
    wish: Json = {"image": IMAGE, "gpu": "4090", "name": "lost", "stop_after_hours": 2, "confirm": True}
    async with opened() as on:
        text = await on.refused("create_gpu_instance", **wish)
        assert "may have been billed" in text
        assert "list_gpu_instances" in text
        assert world.count("create_gpu_instance") == 1

        again = await on.refused("create_gpu_instance", **wish)
        assert "'lost'" in again and "exists already" in again and "allow_duplicate" in again
        assert world.count("create_gpu_instance") == 1

        listed = await on.call("list_gpu_instances")
        assert [(line["name"], "stops_at" in line) for line in listed["instances"]] == [("lost", True)]
        assert "unconfirmed" not in listed or not listed["unconfirmed"]
        job = (await on.call("list_tasks"))["tasks"][0]
        assert job["task_id"] == listed["instances"][0]["instance_id"]

        twice = await on.call("create_gpu_instance", **wish, options={"allow_duplicate": True})
        assert twice["status"] == "running"
        assert world.count("create_gpu_instance") == 2


async def test_a_create_that_never_arrived_shows_as_unconfirmed(opened: OpenStage, world: World) -> None:
    world.trouble({"reset": "before"}, operation="create_gpu_instance")
    async with opened() as on:
        text = await on.refused("create_gpu_instance", image=IMAGE, gpu="4090", name="maybe", confirm=True)
        assert "may have been billed" in text
        listed = await on.call("list_gpu_instances")
        assert listed["instances"] == []
        assert listed["unconfirmed"][0].startswith("maybe: sent ")
        again = await on.call("create_gpu_instance", image=IMAGE, gpu="4090", name="maybe")
        assert "got no answer" in again["next_step"]


async def test_the_lease_of_a_lost_create_is_kept(opened: OpenStage, world: World) -> None:
    world.trouble({"reset": "after"}, operation="create_gpu_instance")
    async with opened() as on:
        await on.refused(
            "create_gpu_instance", image=IMAGE, gpu="4090", name="lost", stop_after_hours=0.1, confirm=True
        )
        world.advance(400)
        await stopped_by_lease(on)
        assert world.count("stop_gpu_instance") == 1


async def test_a_yes_for_one_product_does_not_buy_another(opened: OpenStage, world: World) -> None:
    """The cheapest may be gone between the question and the answer; then there is a new question."""
    stock = world.area(GpuState).stock
    person = Person()
    answer = person.__call__

    async def sold_meanwhile(*given: Any) -> Any:
        if not person.asked:
            stock.free["3090.12c48g", "us-ca-06"] = stock.free["3090.12c48g", "eu-fr-01"] = 0
        return await answer(*given)

    async with opened(sold_meanwhile) as on:
        result = await on.client.call_tool("create_gpu_instance", {"image": IMAGE, "min_memory_gb": 24})
        if len(person.asked) > 1:  # modern: the tool ran again and asked again
            assert "RTX 4090" in person.asked[1]
        else:  # legacy: the question was for the 3090, and nothing else is bought
            assert result.is_error
        bought = [row.body["productId"] for row in world.received("create_gpu_instance") if row.status == 200]
        assert bought in ([], ["4090.18c100g"])
        assert bought == [] or len(person.asked) > 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"gpu": "H200"}, ["Nothing in stock fits", "H200 SXM 141GB", "out of stock"]),
        ({"gpu": "4090", "max_usd_per_hour": 0.1}, ["at most $0.10 per hour", "RTX 4090 24GB x1 at $0.35"]),
        ({"product_id": "4090.18c100g", "max_usd_per_hour": 0.1}, ["above the ceiling", "RTX 3090"]),
        ({"product_id": "4090.18c"}, ["No product '4090.18c'", "4090.18c100g"]),
        ({"gpu": "4090", "ports": ["70000/http"]}, ["Port 70000", "1 to 65535"]),
        ({"gpu": "4090", "ports": ["2222/tcp"]}, ["Port 2222"]),
        ({"gpu": "4090", "ports": ["8000"]}, ["8888/http"]),
        ({"gpu": "4090", "ports": [f"{port}/tcp" for port in range(1, 17)]}, ["16 ports", "At most 15"]),
        ({"gpu": "4090", "template_id": "tpl-comfyui"}, ["Both image and template_id"]),
        ({"gpu": "4090", "image": None}, ["Neither image nor template_id"]),
        ({"gpu": "4090", "region": "mars"}, ["no region 'mars'", "us-ca-06", "eu-fr-01"]),
        *[
            ({"gpu": "4090", "stop_after_hours": hours}, ["stop_after_hours", "0.01 to 8760"])
            for hours in (1e-9, -1, 8_761, 1e300)
        ],
        ({"gpu": "4090", "count": 9}, ["count", "1 to 8"]),
        ({"gpu": "4090", "disk_gb": 5}, ["10 to 1000 GB"]),
        ({"gpu": "4090", "volumes": {"nope": "/data"}}, ["no network volume 'nope'"]),
        ({"gpu": "4090", "options": {"entrypont": "x"}}, ["'entrypont'", "entrypoint"]),
        ({"gpu": "4090", "options": {"month": 1}}, ["billing=monthly"]),
        ({"template_id": "nope", "image": None}, ["list_gpu_templates"]),
        ({"gpu_name": "4090"}, ["Unknown argument 'gpu_name'"]),
    ],
)
async def test_bad_input_is_refused_before_anything_is_sent(
    opened: OpenStage, world: World, arguments: Json, words: list[str]
) -> None:
    async with opened() as on:
        given = {name: value for name, value in {"image": IMAGE, "confirm": True, **arguments}.items() if value}
        if arguments.get("stop_after_hours") == 0:
            given["stop_after_hours"] = 0
        text = await on.refused("create_gpu_instance", **given)
        for word in words:
            assert word in text
        assert world.count("create_gpu_instance") == 0


@pytest.mark.parametrize("hours", [float("nan"), float("inf"), float("-inf")])
def test_a_lease_that_is_no_number_is_refused(hours: float) -> None:
    """JSON as Python reads it has them; a client in Python sends null instead."""
    with pytest.raises(ValidationError, match=r"0\.01|8760"):
        TypeAdapter(Lease).validate_python(hours)


async def test_a_lease_of_no_time_and_an_unknown_instance_are_refused(opened: OpenStage, world: World) -> None:
    async with opened() as on:
        instance = await running(on)
        for hours in (1e-9, -2, 1e300):
            text = await on.refused("stop_gpu_instance", instance_id=instance, after_hours=hours, confirm=True)
            assert "0.01 to 8760" in text
        for tool in ("delete", "stop", "start", "restart", "get"):
            arguments: Json = {} if tool == "get" else {"confirm": True}
            text = await on.refused(f"{tool}_gpu_instance", instance_id="i-nope", **arguments)
            assert "no instance 'i-nope'" in text and instance in text
        assert world.count("delete_gpu_instance") == world.count("stop_gpu_instance") == 0


async def test_stock_that_runs_out_at_the_last_moment_names_what_is_left(opened: OpenStage, world: World) -> None:
    assert any(row.name == "INSUFFICIENT_RESOURCE" for row in error_rows())
    world.trouble({"error": "INSUFFICIENT_RESOURCE", "group": "gpu"}, operation="create_gpu_instance")
    async with opened() as on:
        text = await on.refused("create_gpu_instance", image=IMAGE, gpu="3090", name="late", confirm=True)
        assert "Nothing was billed" in text
        assert "RTX 4090 24GB x1 at $0.35" in text


async def test_too_little_credit_is_said_as_such(opened: OpenStage, world: World) -> None:
    world.add_account("sk-simulated", 0.01)
    async with opened() as on:
        text = await on.refused("create_gpu_instance", image=IMAGE, gpu="4090", confirm=True)
        assert "Nothing was billed" in text and "top up at https:" in text


async def test_stop_start_restart_and_what_they_say(opened: OpenStage, world: World) -> None:
    async with opened() as on:
        instance = await running(on)
        again = await on.call("start_gpu_instance", instance_id=instance)
        assert (again["status"], world.count("start_gpu_instance")) == ("running", 0)
        assert (await on.call("restart_gpu_instance", instance_id=instance, confirm=True))["status"] == "running"
        assert (await on.call("stop_gpu_instance", instance_id=instance, confirm=True))["status"] == "stopped"
        stopped = await on.call("stop_gpu_instance", instance_id=instance)
        assert (stopped["status"], world.count("stop_gpu_instance")) == ("stopped", 1)
        assert "only a running one" in await on.refused("restart_gpu_instance", instance_id=instance, confirm=True)
        question = await on.call("start_gpu_instance", instance_id=instance)
        assert "$0.21 per hour" in question["next_step"]
        assert (await on.call("start_gpu_instance", instance_id=instance, confirm=True))["status"] == "running"
        # Two jobs: the creation and the start, each with its hour of estimate.
        jobs = (await on.call("list_tasks"))["tasks"]
        assert [(job["tool"], job["state"], job["estimated_cost_usd"]) for job in jobs] == [
            ("start_gpu_instance", "succeeded", "0.21"),
            ("create_gpu_instance", "succeeded", "0.21"),
        ]


async def test_the_journal_learns_what_became_of_instances_nobody_waited_for(opened: OpenStage, world: World) -> None:
    async def states(on: Stage) -> dict[str, str]:
        return {job["title"]: job["state"] for job in (await on.call("list_tasks"))["tasks"]}

    async with opened() as on:
        wish: Json = {"image": IMAGE, "gpu": "4090", "wait_seconds": 0, "confirm": True}
        await on.call("create_gpu_instance", **wish, name="up")
        await on.call("create_gpu_instance", **{**wish, "image": "registry.invalid/a:1"}, name="bad")
        gone = await on.call("create_gpu_instance", **wish, name="gone")
        assert await states(on) == {"up": "working", "bad": "working", "gone": "working"}
        await on.call("delete_gpu_instance", instance_id=gone["instance_id"], confirm=True)
        world.advance(200)
        await on.call("list_gpu_instances")
        assert await states(on) == {"up": "succeeded", "bad": "failed", "gone": "cancelled"}


@pytest.mark.parametrize("operation", ["stop_gpu_instance", "delete_gpu_instance"])
@pytest.mark.parametrize("effect", [{"reset": "after"}, {"status": 500, "body": "{}"}, {"garbage": True}])
async def test_stopping_and_deleting_survive_a_lost_answer(
    opened: OpenStage, world: World, operation: str, effect: Json
) -> None:
    async with opened() as on:
        instance = await running(on)
        world.trouble(effect, operation=operation)
        answer = await on.call(operation, instance_id=instance, confirm=True)
        assert answer["status"] in ("stopped", "deleted")


async def test_a_template_brings_image_ports_command_and_jupyter(opened: OpenStage, world: World) -> None:
    async with opened() as on:
        instance = await running(on, image=None, template_id="tpl-pytorch-271", gpu="4090", ports=None)
        shown = await on.call("get_gpu_instance", instance_id=instance, access=True)
        assert shown["instance"]["image"] == "novita/pytorch:2.7.1-cuda12.8"
        assert shown["access"]["jupyter_url"].endswith("/8888")
        assert shown["ports"] == ["22/tcp"]  # Jupyter opens its own


async def test_a_cpu_product_is_rented_by_its_id(opened: OpenStage, world: World) -> None:
    async with opened() as on:
        made = await on.call("create_gpu_instance", image=IMAGE, product_id="cpu.4c8g", confirm=True)
        assert made["status"] == "running"
        assert world.received("create_gpu_instance")[-1].body["kind"] == "cpu"


async def test_volumes_bind_an_instance_to_their_region(opened: OpenStage, world: World) -> None:
    state = world.area(GpuState)
    account = world.accounts["sk-simulated"]
    volume = state.storages.create(account, "us-tx-02", "data", 10)
    async with opened() as on:
        instance = await running(on, volumes={volume.id: "/data"})
        shown = await on.call("get_gpu_instance", instance_id=instance)
        assert shown["instance"]["region"] == "us-tx-02"
        assert shown["volumes"] == [f"{volume.id} at /data"]


async def test_subscriptions_name_the_price_of_the_term(opened: OpenStage, world: World) -> None:
    world.add_account("sk-simulated", 2000)
    async with opened() as on:
        wish: Json = {"image": IMAGE, "gpu": "4090", "billing": "monthly", "options": {"month": 3}}
        question = await on.call("create_gpu_instance", **wish)
        assert "$642.60 in advance for 3 months" in question["next_step"]
        assert (await on.call("create_gpu_instance", **wish, confirm=True))["status"] == "running"
        job = (await on.call("list_tasks"))["tasks"][0]
        assert job["estimated_cost_usd"].startswith("642.6")


async def test_the_spending_cap_counts_an_hour(opened: OpenStage, world: World) -> None:
    async with opened(spend_limit_usd=Decimal("0.30")) as on:
        text = await on.refused("create_gpu_instance", image=IMAGE, gpu="4090", confirm=True)
        assert "cap" in text
        assert world.count("create_gpu_instance") == 0
        assert (await on.call("create_gpu_instance", image=IMAGE, gpu="3090", confirm=True))["status"] == "running"


async def test_secrets_stay_where_they_belong(opened: OpenStage, world: World, settings: Settings) -> None:
    async with opened() as on:
        secret = "hunter2-very-secret"
        instance = await running(on, env={"TOKEN": secret}, stop_after_hours=5)
        machine = world.area(GpuState).fleet.find(world.accounts["sk-simulated"], instance)
        hidden = (secret, machine.password, machine.web_password)
        for tool, arguments in (
            ("list_gpu_instances", {}),
            ("get_gpu_instance", {"instance_id": instance}),
            ("list_tasks", {}),
        ):
            result = await on.client.call_tool(tool, arguments)
            assert not any(word in result.model_dump_json() for word in hidden)
        assert "TOKEN" in (await on.call("get_gpu_instance", instance_id=instance))["env"]
        world.trouble(
            {"status": 400, "body": f'{{"reason": "VALIDATOR_PARAM", "message": "bad value {secret}"}}'},
            operation="create_gpu_instance",
        )
        text = await on.refused(
            "create_gpu_instance", image=IMAGE, gpu="3090", name="x", env={"TOKEN": secret}, confirm=True
        )
        assert secret not in text and "VALIDATOR_PARAM" in text
    files = list(Path(settings.journal).parent.glob("journal.sqlite3*"))
    assert files
    for file in files:
        assert not any(word.encode() in file.read_bytes() for word in hidden)


async def test_products_without_memory_in_their_name_learn_it(opened: OpenStage, world: World) -> None:
    product: Json = {"id": "4090.18c100g", "name": "RTX 4090", "cpuPerGpu": "18", "memoryPerGpu": "100"}
    product |= {"availableDeploy": True, "minRootFS": 10, "maxRootFS": 99, "regions": None}
    product |= {"price": "35000", "monthlyPrice": None, "billingMethods": None, "inventoryState": "low"}
    world.trouble({"status": 200, "body": json.dumps({"data": [product]})}, operation="list_gpu_products")
    async with opened() as on:
        found = await on.call("list_gpu_products", min_memory_gb=20)
        assert [(each["name"], each["memory_gb"], each["usd_per_hour"]) for each in found["products"]] == [
            ("RTX 4090", 24, "0.35")
        ]


@pytest.mark.parametrize("first", [0, 1])
async def test_long_lists_are_read_whole_and_cut_by_whole_items(opened: OpenStage, world: World, first: int) -> None:
    state = world.area(GpuState)
    state.first_page, state.dialect, state.fleet.limit = first, "seen", 300
    world.add_account("sk-simulated", 10_000)
    for cluster in ("us-ca-06", "eu-fr-01", "us-tx-02", "as-sgp-02"):
        state.stock.free["4090.18c100g", cluster] = 500
    for number in range(130):
        order = SimulatedOrder("4090.18c100g", IMAGE, name=f"n{number}")
        state.fleet.create(world.accounts["sk-simulated"], order, "create_gpu_instance")
    async with opened() as on:
        listed = await on.call("list_gpu_instances")
        assert (listed["total"], len(listed["instances"])) == (130, 40)
        assert "offset=40" in listed["next_step"]
        names: set[str] = set()
        for offset in range(0, 130, 40):
            page = await on.call("list_gpu_instances", offset=offset)
            names |= {line["name"] for line in page["instances"]}
        assert len(names) == 130

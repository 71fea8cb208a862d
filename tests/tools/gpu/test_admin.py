"""GPU administration through a real client, and the proof that every operation of gpu.yaml is reached or left out."""

import json

import pytest
from novita_mcp.novita.gpu.routes import LEFT_OUT, ROUTES
from novita_mcp.server.settings import Settings
from novita_mcp.simulator.core.facts import operations
from novita_mcp.simulator.core.world import DEFAULT_KEY, World
from novita_mcp.simulator.core.world import WorldSettings as WorldSettings
from novita_mcp.simulator.gpu.state import GpuState
from novita_mcp.tools import TOOLSETS

from ..gpu_stage import Json, OpenStage, Stage, stage

IMAGE = "docker.io/pytorch/pytorch:2.7"


@pytest.fixture
def world() -> World:
    made = World(WorldSettings(task_seconds=10, speed=0))
    made.add_account(DEFAULT_KEY, 5_000)
    return made


@pytest.fixture(params=["page", "seen"])
def opened(request: pytest.FixtureRequest, settings: Settings, world: World, era: str) -> OpenStage:
    """In both dialects: what the documentation page shows, and what clients meet."""
    world.area(GpuState).dialect = request.param
    return stage(settings, world, era)


async def running(on: Stage, **changes: object) -> str:
    wish: Json = {"image": IMAGE, "gpu": "4090", "confirm": True, "options": {"allow_duplicate": True}}
    return (await on.call("create_gpu_instance", **{**wish, **changes}))["instance_id"]


async def listed(on: Stage, kind: str, **arguments: object) -> list[Json]:
    return (await on.call("list_gpu_resources", kind=kind, **arguments))[kind]


async def test_every_operation_is_reached_by_a_tool_or_left_out_with_a_reason(opened: OpenStage, world: World) -> None:
    documented = {each.id for each in operations().values() if each.area == "gpu"}
    assert set(ROUTES) | set(LEFT_OUT) == documented
    assert not set(ROUTES) & set(LEFT_OUT)
    tools = {spec.name for toolset in TOOLSETS for spec in toolset.tools}
    assert {tool for route in ROUTES.values() for tool in route.tools} <= tools
    async with opened(toolsets="all") as on:
        await everything(on, world)
    assert set(ROUTES) - set(world.counters["accepted"]) == set()


async def everything(on: Stage, world: World) -> None:
    """One life of everything there is, checked along the way."""
    assert {row["id"] for row in await listed(on, "regions")} >= {"us-ca-06", "us-tx-02"}
    assert (await listed(on, "cpu_products"))[0]["usd_per_hour"] == "0.06"
    product: Json = {"id": "4090.18c100g", "name": "RTX 4090", "availableDeploy": True, "price": 1}
    world.trouble({"status": 200, "body": json.dumps({"data": [product]})}, operation="list_gpu_products")
    await on.call("list_gpu_products", min_memory_gb=24)

    await on.call("save_gpu_volume", name="data", region="california", size_gb=20, confirm=True)
    volume = (await listed(on, "volumes"))[0]
    assert (volume["name"], volume["size_gb"], volume["usd_per_month"]) == ("data", 20, "1.20")
    await on.call("save_gpu_volume", id=volume["id"], size_gb=30, confirm=True)
    volume = (await listed(on, "volumes", id=volume["id"]))[0]
    assert (volume["name"], volume["size_gb"]) == ("data", 30)

    network = (await on.call("save_gpu_network", name="inner", region="us-ca-06"))["id"]
    await on.call("save_gpu_network", id=network, name="inner2")
    world.advance(100)
    assert [row["name"] for row in await listed(on, "networks")] == ["inner2"]
    assert (await listed(on, "networks", id=network))[0]["state"] == "ready"

    made = await on.client.call_tool(
        "save_registry_login", {"name": "ghcr.io", "username": "u", "password": "p4ssw0rd-x"}
    )
    saved_login: Json = made.structured_content or {}
    login = saved_login["id"]
    shown = await on.client.call_tool("list_gpu_resources", {"kind": "registry_logins"})
    assert login in shown.model_dump_json()
    assert "p4ssw0rd-x" not in made.model_dump_json() + shown.model_dump_json()

    warmed = (await on.call("prewarm_gpu_image", image=IMAGE, region="us-ca-06"))["id"]
    await on.call("prewarm_gpu_image", id=warmed, note="ours")
    assert (await listed(on, "prewarmed_images"))[0]["note"] == "ours"
    assert "of" in (await on.call("list_gpu_resources", kind="prewarmed_images"))["quota"]

    template = (await on.call("create_gpu_template", name="t", image=IMAGE, ports=["80/http"], env={"A": "secretive"}))[
        "template_id"
    ]
    question = await on.call("update_gpu_template", template_id=template, image="a/b:2")
    assert f"image: {IMAGE} -> a/b:2" in question["next_step"]
    await on.call("update_gpu_template", template_id=template, image="a/b:2", confirm=True)
    after = await on.call("get_gpu_template", template_id=template)
    assert (after["image"], after["ports"], after["env"]) == ("a/b:2", ["80/http"], ["A"])
    names = [row["name"] for row in (await on.call("list_gpu_templates", channel="private"))["templates"]]
    assert names == ["t"]
    assert (await on.call("delete_gpu_template", template_id=template, confirm=True))["status"] == "deleted"

    options: Json = {"networkId": network, "imageAuthId": login, "allow_duplicate": True}
    instance = await running(on, name="box", volumes={volume["id"]: "/data"}, options=options)
    assert (await listed(on, "networks", id=network))[0]["instances"].keys() == {instance}
    edited = await on.call(
        "edit_gpu_instance",
        instance_id=instance,
        ports=["81/tcp"],
        add_disk_gb=5,
        web_terminal=False,
        auto_migrate=True,
        confirm=True,
    )
    assert "ports none -> 81/tcp" in edited["what"]
    shown_instance = await on.call("get_gpu_instance", instance_id=instance, access=True)
    assert (shown_instance["ports"], shown_instance["disk_gb"]) == (["81/tcp"], 65)
    assert "terminal_url" not in shown_instance["access"]
    world.advance(600)
    metrics = await on.call("get_gpu_metrics", instance_id=instance, minutes=5)
    assert metrics["gpu"]["lowest"] <= metrics["gpu"]["mean"] <= metrics["gpu"]["highest"]

    question = await on.call("upgrade_gpu_instance", instance_id=instance, command="serve")
    assert "All data on its disk is lost" in question["next_step"]
    await on.call("upgrade_gpu_instance", instance_id=instance, command="serve", confirm=True)
    changed = await on.call("get_gpu_instance", instance_id=instance)
    assert (changed["command"], changed["instance"]["image"]) == ("serve", IMAGE)
    assert changed["volumes"] == [f"{volume['id']} at /data"]
    assert (await on.call("restart_gpu_instance", instance_id=instance, confirm=True))["status"] == "running"
    assert (await on.call("migrate_gpu_instance", instance_id=instance, confirm=True))["status"] == "running"
    assert (await on.call("stop_gpu_instance", instance_id=instance, confirm=True))["status"] == "stopped"

    saved = await on.call("save_gpu_image", instance_id=instance, image="ghcr.io/me/box:1")
    assert saved["status"] == "done"
    assert [row["state"] for row in await listed(on, "jobs", id=saved["id"])] == ["success"]
    image = (await listed(on, "saved_images"))[0]
    await on.call("delete_gpu_resource", kind="saved_image", id=image["id"], confirm=True)
    begun = await on.call("save_gpu_image", instance_id=instance, image="ghcr.io/me/box:2", wait_seconds=0)
    assert begun["status"] == "working"
    await on.call("delete_gpu_resource", kind="job", id=begun["id"], confirm=True)
    text = await on.refused("list_gpu_resources", kind="jobs", id=begun["id"], wait_seconds=5)
    assert "it was stopped" in text

    assert (await on.call("start_gpu_instance", instance_id=instance, confirm=True))["status"] == "running"
    for action in ("to_monthly", "renew", "auto_renew_on", "auto_renew_off", "to_on_demand"):
        question = await on.call("change_gpu_billing", instance_id=instance, action=action)
        assert question["status"] == "needs_confirmation"
        done = await on.call("change_gpu_billing", instance_id=instance, action=action, confirm=True)
        assert done["status"] == "done"
    assert (await on.call("delete_gpu_instance", instance_id=instance, confirm=True))["status"] == "deleted"
    left: dict[str, str] = {
        "volume": volume["id"],
        "network": network,
        "registry_login": login,
        "prewarmed_image": warmed,
    }
    for kind, id in left.items():
        question = await on.call("delete_gpu_resource", kind=kind, id=id)
        assert question["status"] == "needs_confirmation"
        await on.call("delete_gpu_resource", kind=kind, id=id, confirm=True)
        assert "There is no" in await on.refused("delete_gpu_resource", kind=kind, id=id, confirm=True)


@pytest.mark.parametrize(
    ("tool", "arguments", "words"),
    [
        ("save_gpu_volume", {"name": "x", "region": "france", "size_gb": 20}, "no network volumes"),
        ("save_gpu_volume", {"name": "x", "region": "texas", "size_gb": 5}, "10 to"),
        ("save_gpu_volume", {"name": "x"}, "name, region and size_gb"),
        ("save_gpu_volume", {"id": "nope", "size_gb": 20}, "There is no network volume 'nope'"),
        ("save_gpu_network", {"name": "x", "region": "texas"}, "no private networks"),
        ("prewarm_gpu_image", {"image": "a/b"}, "image and region"),
        ("list_gpu_resources", {"kind": "volumes", "wait_seconds": 5}, "for one job"),
        ("list_gpu_resources", {"kind": "jobs", "id": "nope"}, "There is no 'nope'"),
        ("delete_gpu_resource", {"kind": "network", "id": "nope"}, "There is no 'nope'"),
        ("save_gpu_image", {"instance_id": "nope", "image": "a/b:1"}, "no instance 'nope'"),
    ],
)
async def test_bad_input_names_what_is_wrong(
    opened: OpenStage, world: World, tool: str, arguments: Json, words: str
) -> None:
    async with opened(toolsets="all") as on:
        assert words in await on.refused(tool, **arguments)
        assert all(operations()[name].method != "POST" for name in world.counters["received"])


async def test_money_acts_of_administration_are_in_the_journal(opened: OpenStage, world: World) -> None:
    async with opened(toolsets="all") as on:
        await on.call("save_gpu_volume", name="data", region="texas", size_gb=100, confirm=True)
        (job,) = (await on.call("list_tasks"))["tasks"]
        assert (job["tool"], job["state"], job["estimated_cost_usd"]) == ("save_gpu_volume", "succeeded", "6")


async def test_a_password_is_not_repeated_even_if_novita_does(opened: OpenStage, world: World) -> None:
    secret = "correct-horse"
    world.trouble({"status": 400, "body": f"bad credential {secret}"}, operation="create_registry_auth")
    async with opened(toolsets="all") as on:
        text = await on.refused("save_registry_login", name="r", username="u", password=secret)
        assert secret not in text and "400" in text

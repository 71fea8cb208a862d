"""Every tool that spends or destroys, walked: above the threshold nothing is sent without a yes, whatever is known of
the price; what destroys is asked about whatever it costs. And no tool has a road of its own.
"""

import ast
import json
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from mcp import Client
from novita_mcp.novita.core.money import say_usd
from novita_mcp.simulator.account.team import Teams
from novita_mcp.simulator.batches.state import BatchState
from novita_mcp.simulator.core.world import DEFAULT_KEY, World
from novita_mcp.simulator.serving import Running
from novita_mcp.tools import TOOLSETS

from ...building import quick
from ...conftest import Connect, text_of
from ..gpu_stage import OpenStage, Person, Stage
from ..one_call_per_tool import CALLS, Things

Json = dict[str, Any]

LISTS = ("list_models",)
"""Operations that bring live prices which a call can do without."""


UNPRICED: Mapping[str, Json] = {"generate_video": {"model": "hunyuan-video-fast"}}
"""Models whose price nobody has written down."""
TELL_NO_PRICE = ("chat", "complete_text", "create_embeddings", "rerank", "create_batch", *UNPRICED)
"""Tools whose price is not known without these lists, or of these models."""


def hide_prices(world: World) -> None:
    """No list is to be had."""
    for operation in LISTS:
        world.trouble({"status": 503}, operation=operation, times=-1)


@pytest.mark.parametrize("way", ["nobody", "decline"])
@pytest.mark.parametrize("price", ["known", "unknown"])
@pytest.mark.parametrize("name", list(CALLS))
async def test_above_the_threshold_nothing_is_sent_without_a_yes(
    name: str, price: str, way: str, connect: Connect, world: World, simulator: Running, tmp_path: Path
) -> None:
    arguments = CALLS[name](Things(tmp_path, world, simulator.url))
    if price == "unknown":
        hide_prices(world)
        arguments |= UNPRICED.get(name, {})
    person = Person("decline")
    options: Json = {} if way == "nobody" else {"client": {"elicitation_callback": person}}
    async with connect(toolsets="all", build=quick, confirm_above_usd=Decimal(0), **options) as client:
        result = await client.call_tool(name, arguments)
    assert not world.charges
    assert not [request for request in world.requests if request.method != "GET"]
    if way == "decline":
        assert result.is_error and "declined" in text_of(result)
        assert len(person.asked) == 1
        return
    answer: Json = result.structured_content or {}
    assert answer["status"] == "needs_confirmation", text_of(result)
    assert answer["model"]
    assert price == "known" or name not in TELL_NO_PRICE or answer["estimated_cost_usd"] == "unknown"
    if answer["estimated_cost_usd"] == "unknown":
        assert Decimal(answer["counted_usd"]) > 0
        assert f"counted as at most {say_usd(Decimal(answer['counted_usd']))}" in answer["next_step"]
    else:
        assert Decimal(answer["estimated_cost_usd"]) > 0


FREE_MODELS = {"chat": "chat/completions", "create_embeddings": "embeddings", "rerank": "rerank"}


@pytest.mark.parametrize("name", FREE_MODELS)
async def test_what_is_known_to_cost_nothing_is_not_asked_about(name: str, connect: Connect, world: World) -> None:
    """A price of zero is a price."""
    row: Json = {"id": "x/free", "endpoints": [FREE_MODELS[name]], "input_token_price_per_m": 0}
    listed = json.dumps({"data": [row | {"output_token_price_per_m": 0}]})
    world.trouble({"status": 200, "body": listed}, operation="list_models", times=-1)
    person = Person("decline")
    async with connect(confirm_above_usd=Decimal(0), client={"elicitation_callback": person}) as client:
        await client.call_tool(name, {**CALLS[name](Things(Path(), world, "")), "model": "x/free"})
    assert person.asked == []
    assert [request for request in world.requests if request.method == "POST"]


# Machines and endpoints: what spends and what destroys, of the toolsets gpu, gpu_admin and serverless

OF_MACHINES = ("gpu", "gpu_admin", "serverless")
IMAGE = "docker.io/library/ubuntu:24.04"
CPU = "cpu-of-no-price"
PRICELESS: dict[str, Json] = {
    "list_gpu_products": {"data": []},
    "list_cpu_products": {"data": [{"id": CPU, "name": "CPU", "availableDeploy": True}]},
    "gpus_v2_list_products": {"data": [{"id": "worker-of-no-price", "name": "RTX 4090 24GB"}]},
}
"""What Novita lists where it tells no price."""


@dataclass(frozen=True)
class Machines:
    """Ids of what an account has."""

    running: str
    stopped: str
    monthly: str
    volume: str
    template: str
    web: str
    jobs: str


async def furnish(on: Stage) -> Machines:
    """One of everything that can be changed or lost."""
    wish: Json = {"image": IMAGE, "gpu": "4090", "confirm": True}
    running = await on.call("create_gpu_instance", **wish, name="running")
    stopped = await on.call("create_gpu_instance", **wish, name="stopped")
    await on.call("stop_gpu_instance", instance_id=stopped["instance_id"], confirm=True)
    monthly = await on.call("create_gpu_instance", **wish, name="monthly", billing="monthly")
    volume = await on.call("save_gpu_volume", name="data", region="texas", size_gb=100, confirm=True)
    template = await on.call("create_gpu_template", name="mine", image=IMAGE)
    pool: Json = {"image": IMAGE, "gpu": "4090", "min_workers": 1, "confirm": True}
    web = await on.call("create_endpoint", **pool, name="web", port=80)
    jobs = await on.call("create_endpoint", **pool, name="jobs", takes_jobs=True)
    return Machines(
        running=running["instance_id"],
        stopped=stopped["instance_id"],
        monthly=monthly["instance_id"],
        volume=volume["id"],
        template=template["template_id"],
        web=web["endpoint_id"],
        jobs=jobs["endpoint_id"],
    )


def calls_about(it: Machines) -> dict[str, list[tuple[str, Json]]]:
    """Calls of tools, by what is known of their price."""
    machine: Json = {"instance_id": it.running}
    more: Json = {"endpoint_id": it.web, "min_workers": 2, "max_workers": 2}
    calls: list[tuple[str, Json]] = [
        ("call_endpoint", {"endpoint_id": it.web}),
        ("call_endpoint", {"endpoint_id": it.jobs, "body": {"n": 1}}),
    ]
    return {
        "known": [
            ("create_gpu_instance", {"image": IMAGE, "gpu": "4090", "name": "new"}),
            ("create_gpu_instance", {"image": IMAGE, "gpu": "4090", "name": "running"}),
            ("create_gpu_instance", {"image": IMAGE, "gpu": "4090", "name": "term", "billing": "monthly"}),
            ("start_gpu_instance", {"instance_id": it.stopped}),
            ("save_gpu_volume", {"name": "more", "region": "texas", "size_gb": 50}),
            ("save_gpu_volume", {"id": it.volume, "size_gb": 150}),
            ("edit_gpu_instance", {**machine, "add_disk_gb": 100, "ports": ["81/tcp"]}),
            ("change_gpu_billing", {**machine, "action": "to_monthly", "months": 3}),
            ("change_gpu_billing", {"instance_id": it.monthly, "action": "renew"}),
            ("create_endpoint", {"image": IMAGE, "port": 80, "name": "new"}),
            ("create_endpoint", {"image": IMAGE, "port": 80, "name": "web"}),
            ("update_endpoint", more),
            *calls,
        ],
        "unknown": [
            ("create_gpu_instance", {"image": IMAGE, "product_id": CPU, "name": "new"}),
            ("start_gpu_instance", {"instance_id": it.stopped}),
            ("change_gpu_billing", {**machine, "action": "to_monthly"}),
            ("change_gpu_billing", {"instance_id": it.monthly, "action": "renew"}),
            ("create_endpoint", {"image": IMAGE, "takes_jobs": True, "name": "new"}),
            ("update_endpoint", more),
            *calls,
        ],
        "zero": [
            ("save_gpu_volume", {"id": it.volume, "name": "other"}),
            ("edit_gpu_instance", {**machine, "web_terminal": False}),
            ("change_gpu_billing", {"instance_id": it.monthly, "action": "to_on_demand"}),
            ("change_gpu_billing", {"instance_id": it.monthly, "action": "auto_renew_on"}),
            ("stop_gpu_instance", machine),
            ("stop_gpu_instance", {**machine, "after_hours": 2}),
            ("restart_gpu_instance", machine),
            ("delete_gpu_instance", machine),
            ("delete_gpu_template", {"template_id": it.template}),
            ("delete_gpu_resource", {"kind": "volume", "id": it.volume}),
            ("upgrade_gpu_instance", {**machine, "image": "a/b:2"}),
            ("migrate_gpu_instance", machine),
            ("update_gpu_template", {"template_id": it.template, "image": "a/b:2"}),
            ("update_endpoint", {"endpoint_id": it.web, "max_workers": 2}),
            ("delete_endpoint", {"endpoint_id": it.jobs}),
        ],
    }


def test_every_tool_of_machines_that_spends_or_destroys_is_called_here() -> None:
    nothing = Machines("", "", "", "", "", "", "")
    called = {name for calls in calls_about(nothing).values() for name, _ in calls}
    ours = [spec for toolset in TOOLSETS if toolset.name in OF_MACHINES for spec in toolset.tools]
    assert called == {spec.name for spec in ours if spec.effect.spends or spec.effect.destructive}


@pytest.mark.parametrize("threshold", [Decimal(0), Decimal(1_000_000)], ids=["above", "below"])
@pytest.mark.parametrize("way", ["nobody", "decline"])
@pytest.mark.parametrize("price", ["known", "unknown", "zero"])
async def test_of_machines_nothing_is_sent_without_a_yes_whatever_it_costs(
    price: str, way: str, threshold: Decimal, opened: OpenStage, world: World, tmp_path: Path
) -> None:
    world.add_account(DEFAULT_KEY, 5_000)
    async with opened(toolsets="all") as on:
        there = await furnish(on)
    if price == "unknown":
        for operation, listed in PRICELESS.items():
            world.trouble({"status": 200, "body": json.dumps(listed)}, operation=operation, times=-1)
    world.requests.clear()
    person = Person("decline")
    # A journal of its own, which has noted no price.
    settings: Json = {"toolsets": "all", "confirm_above_usd": threshold, "journal": str(tmp_path / "fresh.sqlite3")}
    async with opened(None if way == "nobody" else person, **settings) as on:
        for name, arguments in calls_about(there)[price]:
            if (name, price) == ("call_endpoint", "known") and threshold:
                continue  # what is cheap is sent: the calls' own tests show it
            person.asked.clear()
            if way == "decline":
                assert "declined" in await on.refused(name, **arguments), name
                assert len(person.asked) == 1, name
                continue
            answer = await on.call(name, **arguments)
            assert answer["status"] == "needs_confirmation", (name, answer)
            assert answer["model"], name
            if price == "unknown":
                assert answer["estimated_cost_usd"] == "unknown", name
                assert Decimal(answer["counted_usd"]) > 0
                assert f"counted as at most {say_usd(Decimal(answer['counted_usd']))}" in answer["next_step"]
            else:
                assert (Decimal(answer["estimated_cost_usd"]) > 0) == (price == "known"), name
    assert [request.path for request in world.requests if request.method != "GET"] == []


# What else destroys


async def _running_batch(client: Client, world: World) -> Json:
    world.area(BatchState).knobs.seconds = 1_000
    made = await client.call_tool("create_batch", {"rows": [{"prompt": "a"}], "confirm": True})
    return {"batch_id": (made.structured_content or {})["batch_id"]}


async def _file(client: Client, world: World) -> Json:
    await _running_batch(client, world)
    return {"file_id": next(iter(world.area(BatchState).files))}


async def _key(client: Client, world: World) -> Json:
    return {"key": "default", "only": ["deepseek/deepseek-v3.2"]}


async def _member(client: Client, world: World) -> Json:
    members = world.area(Teams).of(world.accounts[DEFAULT_KEY]).members
    return {"member_id": list(members)[1], "kind": "monthly", "limit_usd": "12"}


async def _sandbox(client: Client, world: World) -> Json:
    made = await client.call_tool("create_sandbox", {})
    return {"sandbox_id": (made.structured_content or {})["sandbox_id"]}


async def _machine(client: Client, world: World) -> Json:
    world.add_account(DEFAULT_KEY, 5_000)
    await client.call_tool("create_gpu_instance", {"image": IMAGE, "gpu": "4090", "name": "runs", "confirm": True})
    return {}


DESTROY: Mapping[str, Callable[[Client, World], Awaitable[Json]]] = {
    "cancel_batch": _running_batch,
    "delete_file": _file,
    "set_key_models": _key,
    "update_budget": _member,
    "delete_sandbox": _sandbox,
    "stop_everything": _machine,
}


def test_every_tool_that_destroys_is_called_here() -> None:
    ours = [spec for toolset in TOOLSETS if toolset.name not in OF_MACHINES for spec in toolset.tools]
    assert {spec.name for spec in ours if spec.effect.destructive} == set(DESTROY)


def test_whatever_may_be_asked_about_has_fields_for_model_and_price() -> None:
    """A question's answer is read by programs too: no tool tells its price in words alone."""
    asking = [
        tool
        for toolset in TOOLSETS
        for spec in toolset.tools
        if "confirm" in (tool := spec.build()).taken["properties"]
    ]
    assert len(asking) > 40
    for tool in asking:
        fields = set((tool.output_schema or {})["properties"])
        assert fields >= {"status", "model", "estimated_cost_usd", "next_step"}, tool.name


def changing(world: World) -> int:
    return sum(request.method != "GET" for request in world.requests)


@pytest.mark.parametrize("way", ["nobody", "decline", "accept"])
@pytest.mark.parametrize("name", DESTROY)
async def test_what_destroys_is_asked_about_whatever_it_costs(
    name: str, way: str, connect: Connect, world: World
) -> None:
    person = Person(way)
    options: Json = {} if way == "nobody" else {"client": {"elicitation_callback": person}}
    async with connect(toolsets="all", build=quick, confirm_above_usd=Decimal(100), **options) as client:
        arguments = await DESTROY[name](client, world)
        before = changing(world)
        result = await client.call_tool(name, arguments)
        if way == "accept":
            assert not result.is_error, text_of(result)
            assert len(person.asked) == 1
            assert changing(world) == before + 1
            return
        assert changing(world) == before
        if way == "decline":
            assert result.is_error and "declined" in text_of(result)
            return
        answer: Json = result.structured_content or {}
        assert (answer["status"], answer["estimated_cost_usd"]) == ("needs_confirmation", "0")
        assert answer["model"]
        assert "confirm=true" in answer["next_step"]
        done = await client.call_tool(name, {**arguments, "confirm": True})
        assert not done.is_error, text_of(done)
        assert changing(world) == before + 1


async def test_a_yes_beforehand_does_not_skip_the_look_at_what_is_deleted(connect: Connect, world: World) -> None:
    async with connect(toolsets="all", build=quick) as client:
        refused = await client.call_tool("delete_file", {"file_id": "file-nowhere", "confirm": True})
    assert refused.is_error
    assert changing(world) == 0


# One road

TOOLS = Path(__file__).parents[3] / "tools"
PIPELINE: Mapping[str, set[str]] = {
    "need_yes": {"kit/asking.py", "kit/purchase.py"},
    "confirm_above_usd": {"kit/context.py", "kit/purchase.py"},
    "handoff.job": {"kit/context.py", "kit/mcp_tasks/extension.py"},
    "hand_over(": {"kit/context.py", "kit/purchase.py", "kit/same_call.py"},
    "Call again without dry_run": {"kit/purchase.py"},
    "The user declined": {"kit/asking.py"},
    "SpendRefusedError": {"kit/asking.py"},
    "NotConfirmed": {"kit/asking.py", "kit/toolset.py"},
    "NeedsAnswer": {"kit/asking.py", "kit/toolset.py"},
    "elicit_form": {"kit/asking.py"},
}
"""What only the pipeline may do, and where: ask, hold against the threshold, hand over, word a dry run and a no."""


def _branches_on_dry_run(tree: ast.AST) -> Iterator[int]:
    for node in ast.walk(tree):
        if isinstance(node, ast.If | ast.IfExp | ast.While | ast.Assert):
            for inner in ast.walk(node.test):
                if "dry_run" in (getattr(inner, "id", ""), getattr(inner, "attr", "")):
                    yield node.lineno
        elif isinstance(node, ast.Match | ast.BoolOp):
            held = [node.subject] if isinstance(node, ast.Match) else node.values
            if any("dry_run" in (getattr(one, "id", ""), getattr(one, "attr", "")) for one in held):
                yield node.lineno


def own_roads(file: str, source: str) -> list[str]:
    """What a module of tools/ does by itself that is the pipeline's."""
    found = [word for word, homes in PIPELINE.items() if word in source and file not in homes]
    if file == "kit/purchase.py":
        return found
    return found + [f"branches on dry_run in line {line}" for line in _branches_on_dry_run(ast.parse(source))]


def test_no_tool_has_a_road_of_its_own() -> None:
    sources = {file.relative_to(TOOLS).as_posix(): file.read_text(encoding="utf-8") for file in TOOLS.rglob("*.py")}
    assert len(sources) > 60
    assert {file: found for file, source in sources.items() if (found := own_roads(file, source))} == {}
    for word, homes in PIPELINE.items():
        assert all(word in sources[home] for home in homes), f"{word} is no longer there"


def test_there_is_one_question_one_threshold_check_and_one_refusal() -> None:
    road = (TOOLS / "kit" / "purchase.py").read_text(encoding="utf-8")
    asking = (TOOLS / "kit" / "asking.py").read_text(encoding="utf-8")
    assert road.count("settings.confirm_above_usd") == 1
    assert asking.count("SpendRefusedError(") == 1
    assert asking.count("is not known; counted as at most") == 1


@pytest.mark.parametrize(
    "source",
    [
        "if dry_run:\n    pass",
        "x = 1 if wish.dry_run else 2",
        "dry_run and show()",
        "match dry_run:\n    case True:\n        pass",
        "await need_yes(caller, question, confirm=confirm)",
        "if price > caller.app.settings.confirm_above_usd:\n        pass",
        "caller.hand_over(KIND, id)",
    ],
)
def test_a_road_of_its_own_is_seen(source: str) -> None:
    assert own_roads("gpu/tool.py", f"async def f():\n    {source.replace(chr(10), chr(10) + '    ')}")

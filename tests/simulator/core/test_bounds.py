"""A world keeps to its bounds, however long it runs, and its totals stay exact."""

from collections.abc import Iterator

import pytest
from novita_mcp.simulator import World, serve
from novita_mcp.simulator.core.bounds import Bounds, Kept
from novita_mcp.simulator.core.world import WorldSettings
from novita_mcp.simulator.media.tasks import TaskStore

from ..sim_api import Api

SMALL = Bounds(
    requests=30,
    request_bytes=20_000,
    charges=40,
    tasks=20,
    files=15,
    file_bytes=400_000,
    upload_bytes=10_000,
    records=10,
)
PICTURE = {"prompt": "a fox", "size": "1024*1024"}


@pytest.fixture
def api() -> Iterator[Api]:
    world = World(WorldSettings(task_seconds=0, old_models=True), bounds=SMALL)
    with serve(world) as running:
        client = Api(running.url, world)
        yield client
        client.close()


def test_a_long_run_is_as_large_as_a_short_one(api: Api) -> None:
    """0.1.0 grew from 116 to 1,380 MiB in twelve minutes of pictures: every task, file and body was kept."""
    hook = {"url": f"{api.url}/nobody"}
    for n in range(60):
        task = api.good("qwen_image_txt2img", PICTURE | {"prompt": f"fox {n} {'x' * 900}"})["task_id"]
        (picture,) = api.pictures(api.good("get_task_result", task_id=task))
        assert picture.size == (1024, 1024)
        api.world.delivered({"url": hook["url"], "task_id": task, "status": 200})
    world, tasks = api.world, api.world.area(TaskStore).tasks

    assert len(tasks) == SMALL.tasks
    assert 0 < len(world.files.files) <= SMALL.files
    assert 0 < world.files.files.bytes <= SMALL.file_bytes
    held = {output.file.id: output.file.size for each in tasks.values() for output in each.outputs}
    assert sum(held.values()) == world.files.files.bytes  # what was dropped is held by no task either
    assert len(world.requests) <= SMALL.requests
    assert sum(request.size for request in world.requests) <= SMALL.request_bytes
    assert len(world.charges) <= SMALL.charges + 1
    assert len(world.webhooks) == SMALL.records
    assert world.count("qwen_image_txt2img") == 60
    assert sum(charge.micro_usd for charge in world.charges) == round((100 - world.balance_usd()) * 1e6)


def test_what_has_not_ended_is_not_dropped(api: Api) -> None:
    api.world.never_end_next_task()
    first = api.good("qwen_image_txt2img", PICTURE)["task_id"]
    for _ in range(SMALL.tasks + 5):
        last = api.good("qwen_image_txt2img", PICTURE)["task_id"]

    tasks = api.world.area(TaskStore).tasks
    assert first in tasks
    assert last in tasks  # pyright: ignore[reportPossiblyUnboundVariable]
    assert len(tasks) == SMALL.tasks


def test_a_dropped_file_answers_as_one_that_was_cleaned_up(api: Api) -> None:
    result = api.finished("qwen_image_txt2img", PICTURE)
    for _ in range(SMALL.files):
        api.finished("qwen_image_txt2img", PICTURE)

    assert api.bare.get(result["images"][0]["image_url"]).status_code == 404


def test_uploads_are_kept_within_bytes(api: Api) -> None:
    for _ in range(30):
        upload, link = api.world.files.upload_link(api.url)
        assert api.bare.put(link, content=b"x" * 1000).status_code == 200

    assert upload in api.world.files.uploads  # pyright: ignore[reportPossiblyUnboundVariable]
    assert api.world.files.uploads.bytes == SMALL.upload_bytes


def test_summed_charges_agree_with_the_balance_and_can_be_given_back() -> None:
    world = World(bounds=SMALL)
    account = next(iter(world.accounts.values()))
    charges = [world.charge(account, 100 + n, "qwen_image_txt2img", ref=f"t{n}") for n in range(200)]
    for charge in (charges[0], charges[0], charges[199]):
        world.refund(charge)

    assert len(world.charges) <= SMALL.charges + 1
    paid = sum(100 + n for n in range(1, 199))
    assert sum(charge.micro_usd for charge in world.charges if not charge.refunded) == paid
    assert world.balance_usd() == 100 - paid / 1e6


def test_machines_and_terms_keep_their_names_in_the_books() -> None:
    world = World(bounds=SMALL)
    account = next(iter(world.accounts.values()))
    for n in range(200):
        world.charge(account, 10, "create_gpu_instance", "RTX", ref=f"i{n % 4}")
    world.charge(account, 10, "create_gpu_instance", "RTX", ref="i0", months=1)

    by_machine = {ref: sum(c.micro_usd for c in world.charges if c.ref == ref and not c.months) for ref in ("i0", "i3")}
    assert by_machine == {"i0": 500, "i3": 500}
    assert [charge.micro_usd for charge in world.charges if charge.months] == [10]


def test_the_newest_entry_stays_though_it_is_too_large_alone() -> None:
    kept: Kept[str, bytes] = Kept(10, most_bytes=5, size=len)
    kept["a"], kept["b"] = b"12345", b"1234567"

    assert list(kept) == ["b"]
    assert kept.bytes == 7

"""One yes stops everything that goes on costing; what cannot be stopped is told, and stops nothing else."""

from novita_mcp.simulator.core.world import DEFAULT_KEY, World

from ..gpu_stage import OpenStage, Person

IMAGE = "docker.io/library/ubuntu:24.04"


async def test_all_machines_and_kept_workers_are_stopped_after_one_question(opened: OpenStage, world: World) -> None:
    world.add_account(DEFAULT_KEY, 5_000)
    person = Person()
    async with opened(person) as on:
        one = await on.call("create_gpu_instance", image=IMAGE, gpu="4090", name="one", stop_after_hours=5)
        two = await on.call("create_gpu_instance", image=IMAGE, gpu="4090", name="two")
        paid = await on.call("create_gpu_instance", image=IMAGE, gpu="4090", name="paid", billing="monthly")
        pool = await on.call("create_endpoint", image=IMAGE, gpu="4090", port=80, name="pool", min_workers=1)
        person.asked.clear()

        answer = await on.call("stop_everything")

        assert len(person.asked) == 1
        for thing in (one["instance_id"], two["instance_id"], pool["endpoint_id"], "per hour now"):
            assert thing in person.asked[0]
        assert paid["instance_id"] not in person.asked[0]
        assert answer["status"] == "succeeded"
        stopped = {line["id"] for line in answer["stopped"]}
        assert stopped == {one["instance_id"], two["instance_id"], pool["endpoint_id"]}
        assert [line["id"] for line in answer["left"] if line["kind"] == "instance"] == [paid["instance_id"]]
        world.advance(300)
        lines = (await on.call("list_gpu_instances"))["instances"]
        assert {line["name"]: line["state"] for line in lines} == {"one": "exited", "two": "exited", "paid": "running"}
        assert not any("stops_at" in line for line in lines)
        now = await on.call("get_endpoint", endpoint_id=pool["endpoint_id"])
        assert now["endpoint"]["min_workers"] == 0

        person.asked.clear()
        again = await on.call("stop_everything")
        assert (again["status"], person.asked) == ("succeeded", [])


async def test_one_that_cannot_be_stopped_stops_no_other(opened: OpenStage, world: World) -> None:
    world.add_account(DEFAULT_KEY, 5_000)
    async with opened(Person()) as on:
        for name in ("one", "two"):
            await on.call("create_gpu_instance", image=IMAGE, gpu="4090", name=name)
        world.trouble({"status": 400}, operation="stop_gpu_instance", times=1)
        answer = await on.call("stop_everything")
        assert answer["status"] == "incomplete"
        assert len(answer["failed"]) == len(answer["stopped"]) == 1
        assert "stop_everything again" in answer["next_step"]
        again = await on.call("stop_everything")
        assert [line["id"] for line in again["stopped"]] == [answer["failed"][0]["id"]]


async def test_who_says_no_stops_nothing(opened: OpenStage, world: World) -> None:
    world.add_account(DEFAULT_KEY, 5_000)
    async with opened() as on:
        made = await on.call("create_gpu_instance", image=IMAGE, gpu="4090", name="one", confirm=True)
    async with opened(Person("decline")) as on:
        assert "declined" in await on.refused("stop_everything")
        line = await on.call("get_gpu_instance", instance_id=made["instance_id"])
        assert line["instance"]["state"] == "running"

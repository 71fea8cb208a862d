"""Serverless endpoints: deployment over the clock, settings and their ranges, workers that follow the load, money."""

from collections.abc import Iterator
from typing import Any

import pytest

from ..gpu_client import RTX_4090, Gpu, Json, endpoint, opened


@pytest.fixture
def gpu() -> Iterator[Gpu]:
    with opened() as client:
        yield client


def deploy(gpu: Gpu, *, workers: Json | None = None, **changes: Any) -> str:
    return gpu.good("create_serverless_endpoint", {"endpoint": endpoint(workers=workers, **changes)})["id"]


def deploy_async(gpu: Gpu, *, policy: Json | None = None, **workers: int) -> str:
    """An async endpoint that serves; one second of work per second asked for."""
    config = {"max_replicas": 3, "idle_timeout": 60, "max_concurrent_per_worker": 1, **workers}
    body: Json = {"type": "async", "name": "jobs", "product_id": RTX_4090, "image": "a/b", "worker_config": config}
    body["policy"] = policy or {"type": "queue", "value": 30}
    id = gpu.good("gpus_v2_create_endpoint", body)["id"]
    gpu.world.advance(50)
    return id


def shown(gpu: Gpu, id: str) -> Json:
    return gpu.good("get_serverless_endpoint", id=id)["endpoint"]


def run(gpu: Gpu, id: str, **input: Any) -> str:
    return gpu.good("run_async_job", {"input": input}, endpoint_name=id)["id"]


def status(gpu: Gpu, id: str, job: str) -> str:
    return gpu.good("get_async_job_status", endpoint_name=id, job_id=job)["status"]


def workers(gpu: Gpu, id: str) -> int:
    return gpu.good("get_async_endpoint_stats", endpoint_name=id)["total_workers"]


def test_an_endpoint_deploys_until_it_serves_and_then_its_workers_come_up(gpu: Gpu) -> None:
    id = deploy(gpu, workers={"minNum": 1})
    seen: list[tuple[str, str]] = []
    for _ in range(14):
        now = shown(gpu, id)
        worker = now["workers"][0]["state"]["state"] if now["workers"] else ""
        if (step := (now["state"]["state"], worker)) not in seen:
            seen.append(step)
        gpu.world.advance(10)
    assert seen == [("pending", ""), ("creating", ""), ("serving", "creating"), ("serving", "running")]
    assert shown(gpu, id)["workers"][0]["healthy"] is True


def test_in_a_manual_world_looking_is_enough() -> None:
    with opened() as gpu:
        gpu.world.set(manual=True)
        id = deploy(gpu, workers={"minNum": 1})
        states = [shown(gpu, id) for _ in range(4)]
        assert [each["state"]["state"] for each in states] == ["pending", "creating", "serving", "serving"]
        assert states[3]["workers"][0]["state"]["state"] == "running"


def test_numbers_come_as_text_where_recorded(gpu: Gpu) -> None:
    id = deploy(gpu)
    one, [listed] = shown(gpu, id), gpu.good("list_serverless_endpoints")["endpoints"]
    assert (one["workerConfig"]["freeTimeout"], one["workerConfig"]["maxConcurrent"]) == ("60", "1")
    assert (one["policy"]["value"], one["workers"]) == ("30", None)
    assert (one["ports"][0]["port"], listed["ports"][0]["port"]) == (8000, "8000")


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"products": [{"id": "none"}]}, "SERVERLESS_PRODUCT_NOT_FOUND"),
        ({"products": [{"id": "3090.12c48g"}]}, "SERVERLESS_PRODUCT_NOT_FOUND"),
        ({"workers": {"minNum": 4}}, "VALIDATOR_PARAM"),
        ({"workers": {"maxNum": 11}}, "VALIDATOR_PARAM"),
        ({"workers": {"maxNum": 0}}, "VALIDATOR_PARAM"),
        ({"workers": {"freeTimeout": 0}}, "VALIDATOR_PARAM"),
        ({"workers": {"freeTimeout": "soon"}}, "VALIDATOR_PARAM"),
        ({"workers": {"gpuNum": 9}}, "VALIDATOR_PARAM"),
        ({"workers": {"cudaVersion": "1.0"}}, "VALIDATOR_PARAM"),
        ({"policy": {"type": "queue", "value": 301}}, "VALIDATOR_PARAM"),
        ({"rootfsSize": 5}, "VALIDATOR_PARAM"),
        ({"ports": [{"port": "2222"}]}, "VALIDATOR_PARAM"),
        ({"ports": [{"port": 80}, {"port": 81}]}, "VALIDATOR_PARAM"),
        ({"appName": "Not OK"}, "VALIDATOR_PARAM"),
        ({"image": {"image": "a", "authId": "ra-x"}}, "RESOURCE_NOT_FOUND"),
        ({"volumeMounts": [{"type": "network", "id": "ns-x"}]}, "NETWORK_STORAGE_NOT_FOUND"),
    ],
)
def test_a_wrong_plan_is_refused_by_name(gpu: Gpu, changes: Json, name: str) -> None:
    assert gpu.refused("create_serverless_endpoint", {"endpoint": endpoint(**changes)}) == (400, name)
    assert gpu.good("list_serverless_endpoints")["total"] == 0


def test_the_limits_are_those_that_bind(gpu: Gpu) -> None:
    limits = gpu.good("get_serverless_endpoint_limits")
    deploy(gpu, workers={"maxNum": limits["maxWorkerNum"], "freeTimeout": str(limits["maxFreeTimeout"])})


def test_an_app_name_is_taken_once(gpu: Gpu) -> None:
    deploy(gpu, appName="mine")
    again = {"endpoint": endpoint(appName="mine")}
    assert gpu.refused("create_serverless_endpoint", again) == (400, "SERVERLESS_APP_NAME_IS_EXIST")


def test_an_account_without_money_deploys_nothing(gpu: Gpu) -> None:
    gpu.world.add_account("sk-simulated", 0.2)
    assert gpu.refused("create_serverless_endpoint", {"endpoint": endpoint()}) == (400, "BALANCE_NOT_ENOUGH")


def test_an_image_nobody_has_fails_the_deployment_with_the_reason(gpu: Gpu) -> None:
    id = deploy(gpu, workers={"minNum": 1}, image={"image": "x.invalid/a"})
    gpu.world.advance(50)
    state = shown(gpu, id)["state"]
    assert (state["state"], state["error"]) == ("failed", "IMAGE_NOT_FOUND")
    assert shown(gpu, id)["workers"] is None


def test_an_update_keeps_what_the_page_lacks_and_empties_what_is_left_out(gpu: Gpu) -> None:
    id = deploy(gpu, appName="mine", envs=[{"key": "A", "value": "1"}])
    gpu.world.advance(50)
    wanted = endpoint(workers={"maxNum": 5, "freeTimeout": "120"}, policy={"type": "concurrency", "value": "4"})
    for name in ("products", "rootfsSize", "name", "healthy"):
        del wanted[name]
    gpu.good("update_serverless_endpoint", {"id": id, **wanted, "workers": None})
    now = shown(gpu, id)
    assert (now["name"], now["appName"], now["rootfsSize"]) == ("service", "mine", 100)
    assert (now["workerConfig"]["maxNum"], now["policy"]["value"]) == (5, "4")
    assert (now["envs"], now["healthy"]) == ([], None)
    renamed = {"id": id, **wanted, "appName": "other"}
    assert gpu.refused("update_serverless_endpoint", renamed) == (400, "VALIDATOR_PARAM")


def test_a_v2_update_keeps_what_is_left_out(gpu: Gpu) -> None:
    id = deploy(gpu, workers={"maxNum": 7})
    gpu.good("gpus_v2_update_endpoint", {"worker_config": {"min_replicas": 2}}, endpoint_id=id)
    config = gpu.good("gpus_v2_get_endpoint", endpoint_id=id)["worker_config"]
    assert (config["min_replicas"], config["max_replicas"]) == (2, 7)


def test_a_new_image_replaces_the_workers(gpu: Gpu) -> None:
    id = deploy(gpu, workers={"minNum": 1})
    gpu.world.advance(150)
    [old] = shown(gpu, id)["workers"]
    gpu.good("gpus_v2_update_endpoint", {"image": "a/c"}, endpoint_id=id)
    now = shown(gpu, id)
    assert now["state"]["state"] == "updating"
    assert [each["id"] for each in now["workers"]] != [old["id"]]
    gpu.world.advance(150)
    assert shown(gpu, id)["state"]["state"] == "serving"


def test_deleting_takes_either_name_of_the_id(gpu: Gpu) -> None:
    gpu.good("delete_serverless_endpoint", {"name": deploy(gpu)})
    gpu.good("delete_serverless_endpoint", {"id": deploy(gpu)})
    assert gpu.good("list_serverless_endpoints")["total"] == 0
    missing = gpu.refused("delete_serverless_endpoint", {"id": "ep-none"})
    assert missing == (400, "SERVERLESS_ENDPOINT_NOT_FOUND")
    assert gpu.refused("gpus_v2_get_endpoint", endpoint_id="no") == (404, "SERVERLESS_ENDPOINT_NOT_FOUND")


def test_async_endpoints_run_on_two_products_only(gpu: Gpu) -> None:
    body = {"type": "async", "name": "x", "image": "a", "worker_config": {"max_replicas": 1}}
    refused = gpu.refused("gpus_v2_create_endpoint", {**body, "product_id": "5090.16c92g"})
    assert refused == (400, "VALIDATOR_PARAM")


def test_a_running_worker_costs_its_listed_price_to_the_micro_dollar(gpu: Gpu) -> None:
    """0.5 USD an hour, from state running (70 s after serving, 120 s after the create) on."""
    deploy(gpu, workers={"minNum": 2, "gpuNum": 2})
    gpu.world.advance(120)
    assert gpu.spent() == 0
    gpu.world.advance(3600)
    assert gpu.spent() == 2 * 2 * 500_000


def test_without_load_and_minimum_nothing_runs_and_nothing_is_charged(gpu: Gpu) -> None:
    deploy(gpu)
    gpu.world.advance(86_400)
    assert gpu.spent() == 0


def test_jobs_wait_for_a_worker_run_and_complete(gpu: Gpu) -> None:
    id = deploy_async(gpu)
    job = run(gpu, id, prompt="hi", _seconds=50, _progress=True)
    assert status(gpu, id, job) == "PENDING"
    gpu.world.advance(70)
    assert status(gpu, id, job) == "IN_PROGRESS"
    gpu.world.advance(25)
    assert gpu.good("get_async_job_status", endpoint_name=id, job_id=job)["output"] == {"progress": 0.5}
    gpu.world.advance(25)
    done = gpu.good("get_async_job_status", endpoint_name=id, job_id=job)
    assert (done["status"], done["output"]["echo"]["prompt"]) == ("COMPLETED", "hi")


def test_workers_follow_the_load_up_and_down(gpu: Gpu) -> None:
    id = deploy_async(gpu)
    jobs = [run(gpu, id, _seconds=200) for _ in range(6)]
    counts: list[int] = []
    for _ in range(100):
        gpu.world.advance(10)
        counts.append(workers(gpu, id))
    assert max(counts) == 3
    assert counts == sorted(counts[: counts.index(3)]) + counts[counts.index(3) :]
    assert counts[-1] == 0
    assert {status(gpu, id, job) for job in jobs} == {"COMPLETED"}


def test_one_long_leap_of_the_clock_ends_like_many_small_ones() -> None:
    ends: list[tuple[int, list[float]]] = []
    for steps in (1, 600):
        with opened() as gpu:
            id = deploy_async(gpu, max_concurrent_per_worker=2)
            begun = gpu.world.clock.now()
            jobs = [run(gpu, id, _seconds=100 + n) for n in range(9)]
            for _ in range(steps):
                gpu.world.advance(3000 // steps)
                status(gpu, id, jobs[0])
            works = [gpu.serverless.all[id].jobs[job] for job in jobs]
            ends.append((gpu.spent() // 10, [round(work.ended - begun, 3) for work in works]))
    assert ends[0] == ends[1]


def test_the_concurrency_policy_counts_requests(gpu: Gpu) -> None:
    id = deploy_async(gpu, policy={"type": "concurrency", "value": 2})
    for _ in range(4):
        run(gpu, id, _seconds=500)
    assert workers(gpu, id) == 2


def test_a_worker_takes_as_many_requests_as_the_plan_says(gpu: Gpu) -> None:
    id = deploy_async(gpu, max_replicas=1, max_concurrent_per_worker=2)
    jobs = [run(gpu, id, _seconds=500) for _ in range(3)]
    gpu.world.advance(100)
    assert [status(gpu, id, job) for job in jobs] == ["IN_PROGRESS", "IN_PROGRESS", "PENDING"]


def test_a_drained_worker_takes_nothing_new_and_goes(gpu: Gpu) -> None:
    id = deploy_async(gpu, min_replicas=1, max_replicas=1)
    gpu.world.advance(100)
    job = run(gpu, id, _seconds=50)
    [worker] = shown(gpu, id)["workers"]
    gpu.good("drain_serverless_worker", {"workerID": worker["id"], "drain": True})
    second = run(gpu, id, _seconds=50)
    assert status(gpu, id, second) == "PENDING"
    gpu.world.advance(60)
    assert status(gpu, id, job) == "COMPLETED"
    assert worker["id"] not in [each["id"] for each in shown(gpu, id)["workers"]]
    missing = gpu.refused("drain_serverless_worker", {"workerID": worker["id"], "drain": True})
    assert missing == (400, "SERVERLESS_WORKER_NOT_FOUND")


def test_serverless_stock_bounds_the_workers(gpu: Gpu) -> None:
    gpu.state.stock.workers[RTX_4090] = 1
    id = deploy_async(gpu, min_replicas=3)
    assert workers(gpu, id) == 1
    gpu.good("gpus_v2_delete_endpoint", endpoint_id=id)
    assert gpu.state.stock.workers[RTX_4090] == 1


def test_in_arrears_workers_finish_what_they_hold_and_go(gpu: Gpu) -> None:
    id = deploy_async(gpu, min_replicas=1)
    gpu.world.advance(100)
    job = run(gpu, id, _seconds=100)
    gpu.world.add_account("sk-simulated", 0.0001)
    gpu.world.advance(90)
    assert (status(gpu, id, job), workers(gpu, id)) == ("IN_PROGRESS", 1)
    assert gpu.world.accounts["sk-simulated"].micro_usd == 0
    gpu.world.advance(10)
    assert (status(gpu, id, job), workers(gpu, id)) == ("COMPLETED", 0)
    refused = gpu.refused("run_async_job", {"input": 1}, endpoint_name=id)
    assert refused == (400, "BALANCE_NOT_ENOUGH")
    change = gpu.refused("gpus_v2_update_endpoint", {"name": "x"}, endpoint_id=id)
    assert change == (400, "EXPIRED_OR_BALANCE_NOT_ENOUGH")
    gpu.good("gpus_v2_delete_endpoint", endpoint_id=id)


def test_another_account_sees_none_of_it(gpu: Gpu) -> None:
    id = deploy_async(gpu)
    gpu.world.add_account("sk-other")
    other = Gpu(gpu.url, gpu.world, "sk-other")
    assert other.good("list_serverless_endpoints")["total"] == 0
    assert other.refused("get_serverless_endpoint", id=id) == (400, "SERVERLESS_ENDPOINT_NOT_FOUND")
    assert other.refused("run_async_job", {"input": 1}, endpoint_name=id) == (403, "FORBIDDEN")
    other.close()

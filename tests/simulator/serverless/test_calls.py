"""Calling what is deployed: the async gateway's rules, and a sync endpoint's own address."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from ..gpu_client import RTX_4090, Gpu, Json, endpoint, opened

LIMIT = 4 * 1024 * 1024


@pytest.fixture
def gpu() -> Iterator[Gpu]:
    with opened() as client:
        yield client


@pytest.fixture
def jobs(gpu: Gpu) -> str:
    """An async endpoint with one worker that runs."""
    body: Json = {"type": "async", "name": "jobs", "product_id": RTX_4090, "image": "a/b", "app_name": "app"}
    config = {"min_replicas": 1, "max_replicas": 1, "request_timeout": 1000}
    id = gpu.good("gpus_v2_create_endpoint", {**body, "worker_config": config})["id"]
    gpu.world.advance(120)
    return id


def run(gpu: Gpu, name: str, input: Any) -> str:
    return gpu.good("run_async_job", {"input": input}, endpoint_name=name)["id"]


def job(gpu: Gpu, name: str, id: str) -> Json:
    return gpu.good("get_async_job_status", endpoint_name=name, job_id=id)


def test_the_gateway_knows_an_endpoint_by_three_names(gpu: Gpu, jobs: str) -> None:
    for name in (jobs, f"{jobs}-app", "jobs"):
        run(gpu, name, {})
    assert gpu.refused("run_async_job", {"input": {}}, endpoint_name="nobody") == (404, "SERVERLESS_ENDPOINT_NOT_FOUND")


def test_the_gateway_also_answers_under_its_own_host_name(gpu: Gpu, jobs: str) -> None:
    headers = {"Host": "async-public.serverless.novita.ai"}
    answer = gpu.http.post(f"/v1/{jobs}/run", json={"input": 1}, headers=headers)
    assert answer.json()["status"] == "PENDING"


def test_a_body_above_four_mebibytes_is_refused_and_one_below_is_not(gpu: Gpu, jobs: str) -> None:
    run(gpu, jobs, "x" * (LIMIT - 100))
    answer = gpu.ask("run_async_job", {"input": "x" * LIMIT}, endpoint_name=jobs)
    assert answer.status_code == 413


def test_an_output_above_four_mebibytes_fails_the_job(gpu: Gpu, jobs: str) -> None:
    large, fits = run(gpu, jobs, {"_bytes": LIMIT}), run(gpu, jobs, {"_bytes": LIMIT - 100})
    gpu.world.advance(200)
    assert job(gpu, jobs, large)["status"] == "FAILED"
    assert "4 MiB" in job(gpu, jobs, large)["error"]
    assert len(job(gpu, jobs, fits)["output"]["data"]) == LIMIT - 100


def test_a_result_is_kept_six_hours(gpu: Gpu, jobs: str) -> None:
    id = run(gpu, jobs, {"_seconds": 10})
    gpu.world.advance(10 + 6 * 3600 - 1)
    assert job(gpu, jobs, id)["status"] == "COMPLETED"
    gpu.world.advance(1)
    assert gpu.refused("get_async_job_status", endpoint_name=jobs, job_id=id) == (404, "JOB_NOT_FOUND")


def test_a_job_can_fail_or_time_out(gpu: Gpu, jobs: str) -> None:
    failing, slow = run(gpu, jobs, {"_error": "out of memory"}), run(gpu, jobs, {"_seconds": 5000})
    gpu.world.advance(50)
    assert job(gpu, jobs, failing) == {"id": failing, "status": "FAILED", "error": "out of memory"}
    gpu.world.advance(1000)
    assert job(gpu, jobs, slow)["status"] == "TIMED_OUT"


def test_waiting_and_running_jobs_can_be_cancelled_by_post_or_get(gpu: Gpu, jobs: str) -> None:
    running, waiting = run(gpu, jobs, {"_seconds": 500}), run(gpu, jobs, {})
    assert gpu.http.get(f"/v1/{jobs}/cancel/{running}").json()["status"] == "CANCELLED"
    assert job(gpu, jobs, waiting)["status"] == "IN_PROGRESS"
    gpu.good("cancel_async_job", endpoint_name=jobs, job_id=waiting)
    done = run(gpu, jobs, {})
    gpu.world.advance(50)
    assert gpu.refused("cancel_async_job", endpoint_name=jobs, job_id=done) == (400, "CONFLICT")
    assert [job(gpu, jobs, id)["status"] for id in (running, waiting, done)] == ["CANCELLED"] * 2 + ["COMPLETED"]


def test_purging_drops_what_waits_and_leaves_what_runs(gpu: Gpu, jobs: str) -> None:
    running, waiting = run(gpu, jobs, {}), [run(gpu, jobs, {}) for _ in range(3)]
    stats = gpu.good("get_async_endpoint_stats", endpoint_name=jobs)
    assert (stats["pending"], stats["in_progress"], stats["busy_workers"]) == (3, 1, 1)
    assert gpu.good("purge_async_queue", endpoint_name=jobs) == {"removed": 3}
    assert {job(gpu, jobs, id)["status"] for id in waiting} == {"CANCELLED"}
    assert job(gpu, jobs, running)["status"] == "IN_PROGRESS"


def test_a_body_without_input_is_refused(gpu: Gpu, jobs: str) -> None:
    assert gpu.refused("run_async_job", {"prompt": "x"}, endpoint_name=jobs) == (400, "VALIDATOR_PARAM")


def test_jobs_advance_by_looking_in_a_manual_world() -> None:
    with opened() as gpu:
        gpu.world.set(manual=True)
        body: Json = {"type": "async", "name": "j", "product_id": RTX_4090, "image": "a/b"}
        id = gpu.good("gpus_v2_create_endpoint", {**body, "worker_config": {"max_replicas": 1}})["id"]
        for _ in range(3):
            gpu.good("gpus_v2_get_endpoint", endpoint_id=id)
        queued = run(gpu, id, "hi")
        assert [job(gpu, id, queued)["status"] for _ in range(2)] == ["IN_PROGRESS", "COMPLETED"]


# sync


@pytest.fixture
def url(gpu: Gpu) -> str:
    """The URL of a sync endpoint, in a world whose clock runs a thousand times as fast as ours."""
    plan = endpoint(workers={"requestTimeout": 500}, appName="shop")
    id = gpu.good("create_serverless_endpoint", {"endpoint": plan})["id"]
    gpu.world.advance(50)
    gpu.world.set(speed=1000)
    return gpu.good("get_serverless_endpoint", id=id)["endpoint"]["url"]


def test_an_endpoint_is_called_at_its_url_on_this_server(gpu: Gpu, url: str) -> None:
    assert url.startswith(f"{gpu.url}/")
    answer = httpx.patch(f"{url}/v1/things?x=1", json={"a": [1]}).json()
    assert (answer["method"], answer["path"], answer["query"]) == ("PATCH", "/v1/things", {"x": "1"})
    assert answer["body"] == {"a": [1]}
    assert gpu.world.count("invoke_sync_endpoint") == 1


def test_any_media_type_goes_through_untouched(url: str) -> None:
    sent = bytes(range(256))
    answer = httpx.put(f"{url}/up?_raw=1", content=sent, headers={"content-type": "image/png"})
    assert (answer.content, answer.headers["content-type"]) == (sent, "image/png")
    assert httpx.get(f"{url}/teapot?_status=418").status_code == 418
    assert len(httpx.get(f"{url}/big?_bytes=100000").content) == 100_000


def test_the_health_path_answers_200(url: str) -> None:
    assert httpx.get(f"{url}/health").json() == {"status": "ok"}


def test_a_host_name_that_begins_with_the_slug_reaches_it_too(gpu: Gpu, url: str) -> None:
    slug = url.rsplit("/", 1)[1]
    assert slug.startswith("shop-")
    answer = gpu.http.get("/a/b", headers={"Host": f"{slug}.localhost"})
    assert answer.json()["path"] == "/a/b"


def test_a_call_that_takes_too_long_is_a_504_in_plain_text(url: str) -> None:
    answer = httpx.get(f"{url}/slow?_seconds=99999", timeout=30)
    assert (answer.status_code, answer.headers["content-type"]) == (504, "text/plain; charset=utf-8")


def test_a_deployment_that_failed_answers_503(gpu: Gpu) -> None:
    plan = endpoint(image={"image": "x.invalid/a"})
    id = gpu.good("create_serverless_endpoint", {"endpoint": plan})["id"]
    gpu.world.advance(50)
    url = gpu.good("get_serverless_endpoint", id=id)["endpoint"]["url"]
    assert httpx.get(f"{url}/").status_code == 503


def test_a_deleted_endpoint_is_an_unknown_path(gpu: Gpu, url: str) -> None:
    id = gpu.good("list_serverless_endpoints")["endpoints"][0]["id"]
    gpu.good("delete_serverless_endpoint", {"id": id})
    assert (httpx.get(f"{url}/").status_code, httpx.get(f"{url}/").text) == (404, "404 page not found")


def test_an_async_endpoint_has_no_url_of_its_own(gpu: Gpu, jobs: str) -> None:
    assert gpu.good("gpus_v2_get_endpoint", endpoint_id=jobs)["url"] == ""

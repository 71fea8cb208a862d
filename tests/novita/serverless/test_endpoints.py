"""Endpoints: every spelling that answers come in, requests as documented, and calls that never leave the endpoint."""

import base64
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from typing import Any
from urllib.parse import quote, urlsplit

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from novita_mcp.novita.core.answers import read_shape
from novita_mcp.novita.core.client import NovitaClient, new_http
from novita_mcp.novita.core.errors import InputError, NotFoundError
from novita_mcp.novita.core.waiting import Phase
from novita_mcp.novita.gpu.routes import GpuRoute
from novita_mcp.novita.serverless.endpoints import OPERATIONS, change, creation, get_endpoint, list_endpoints
from novita_mcp.novita.serverless.gateway import MOST_REQUEST, call_service, job_request, look_at_job, service_call
from novita_mcp.novita.serverless.plans import EndpointPlan, check_port, merged_env
from novita_mcp.novita.serverless.shapes import Endpoint, EndpointGoal, EndpointLimits, EndpointMount, judge
from novita_mcp.tools.serverless.endpoints import serverless

from ..media.documented import book, resolved

Json = dict[str, Any]

V1: Json = {
    "id": "ep-1",
    "name": "chat",
    "appName": "chat-app",
    "state": {"state": "serving", "error": "", "message": ""},
    "url": "https://chat-app-1.serverless.novita.ai",
    "workerConfig": {"minNum": 1, "maxNum": 3, "freeTimeout": "60", "maxConcurrent": "7", "gpuNum": 2},
    "policy": {"type": "queue", "value": "10"},
    "image": {"image": "a/b:1", "authId": "login", "command": "serve"},
    "rootfsSize": 100,
    "volumeMounts": [{"type": "network", "id": "v", "mountPath": "/data"}],
    "envs": [{"key": "A", "value": "1"}],
    "ports": [{"port": "8000"}],
    "workers": None,
    "products": [{"id": "p"}],
    "healthy": {"path": "/health", "initialDelay": 10},
    "clusterID": "us",
}
V2: Json = {
    "id": "ep-1",
    "type": "sync",
    "name": "chat",
    "app_name": "chat-app",
    "region_id": "us",
    "url": "https://chat-app-1.serverless.novita.ai",
    "status": {"status": "serving"},
    "product_id": "p",
    "image": "a/b:1",
    "registry_auth_id": "login",
    "command": "serve",
    "policy": {"type": "queue", "value": 10},
    "ports": [8000],
    "envs": [{"key": "A", "value": "1"}],
    "volumes": [{"type": "network", "id": "v", "mount_point": "/data"}],
    "health_check": {"path": "/health", "port": 8000},
    "worker_config": {
        "min_replicas": 1,
        "max_replicas": 3,
        "idle_timeout": 60,
        "max_concurrent_per_worker": 7,
        "gpu_num": 2,
        "rootfs_size_gb": 100,
    },
}
OLD: Json = {**V1, "workerConfig": [V1["workerConfig"]], "policy": [V1["policy"]], "image": [V1["image"]]} | {
    "healthy": [V1["healthy"]],
    "ports": V1["ports"][0],
    "state": "serving",
}


def endpoint(**changes: Any) -> Endpoint:
    return read_shape(Endpoint, {**V1, **changes}, "x")


# reading


def test_both_generations_and_older_pages_read_the_same() -> None:
    plans = [EndpointPlan.of(read_shape(Endpoint, raw, "x")) for raw in (V1, V2, OLD)]
    assert plans[0] == plans[1] == plans[2]
    assert plans[0].env == {"A": "1"}
    assert (plans[0].idle_seconds, plans[0].concurrency, plans[0].port) == (60, 7, 8000)


def test_values_of_variables_are_not_shown_by_accident() -> None:
    read = endpoint(envs=[{"key": "TOKEN", "value": "keep-this-secret"}])
    assert "keep-this-secret" not in f"{read!r} {read} {EndpointPlan.of(read)!r}"


def test_an_update_is_checked_for_what_it_changes_alone() -> None:
    """What Novita serves it has taken, whatever the limits say now."""
    odd = replace(EndpointPlan.of(endpoint()), image="", port=2222, scale_by="by the moon", max_workers=0, gpus=-3)
    limits = EndpointLimits()
    replace(odd, name="new").check(limits, before=odd)
    with pytest.raises(InputError, match="max_workers"):
        replace(odd, min_workers=3).check(limits, before=odd)
    with pytest.raises(InputError, match="2223"):
        replace(odd, port=2223).check(limits, before=odd)
    with pytest.raises(InputError, match="No container image"):
        odd.check(limits)


@pytest.mark.parametrize(
    ("state", "least", "workers", "phase"),
    [
        ("pending", 0, None, Phase.WORKING),
        ("a word nobody knows", 0, None, Phase.WORKING),
        ("serving", 0, None, Phase.SUCCEEDED),
        ("serving", 1, None, Phase.WORKING),
        ("serving", 1, [{"id": "w", "state": {"state": "creating"}, "healthy": False}], Phase.WORKING),
        ("serving", 1, [{"id": "w", "state": {"state": "running"}, "healthy": False}], Phase.WORKING),
        ("serving", 1, [{"id": "w", "state": {"state": "running"}, "healthy": True}], Phase.SUCCEEDED),
        ("serving", 1, [{"id": "w", "status": "running"}], Phase.SUCCEEDED),
        ("Running", 0, [], Phase.SUCCEEDED),
        ("failed", 0, None, Phase.FAILED),
        ("stopped", 0, None, Phase.FAILED),
        ({"state": "creating", "message": "pulling the image"}, 0, None, Phase.WORKING),
        ({"state": "pending", "error": "IMAGE_NOT_FOUND", "message": "no such image"}, 0, None, Phase.FAILED),
    ],
)
def test_what_the_states_mean(state: Any, least: int, workers: Any, phase: Phase) -> None:
    seen = judge(
        endpoint(state=state, workerConfig={"minNum": least, "maxNum": 2}, workers=workers), EndpointGoal.SERVING
    )
    assert seen.phase is phase
    if phase is Phase.FAILED:
        assert seen.reason


def routed(answers: Mapping[str, Any]) -> tuple[NovitaClient, list[str]]:
    """A client whose answers are given by path; a number is a status."""
    asked: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.path)
        found = answers.get(request.url.path, 404)
        if isinstance(found, int):
            return httpx.Response(found, json={"reason": "SERVERLESS_ENDPOINT_NOT_FOUND", "message": "none"})
        return httpx.Response(200, json=found)

    return NovitaClient(httpx.AsyncClient(transport=httpx.MockTransport(answer)), "sk-test"), asked


V1_LIST, V1_ONE = "/gpu-instance/openapi/v1/endpoints", "/gpu-instance/openapi/v1/endpoint"


async def test_the_list_joins_what_both_generations_know() -> None:
    asynchronous = {**V1, "id": "ep-2", "url": ""}
    client, _ = routed(
        {
            V1_LIST: {"endpoints": [V1, asynchronous], "total": 2},
            "/gpus/v2/endpoints": {"data": [{"id": "ep-2", "type": "async"}, {"id": "ep-3", "type": "async"}]},
        }
    )
    found = {each.id: each for each in await list_endpoints(client)}
    assert {name: each.type for name, each in found.items()} == {"ep-1": "sync", "ep-2": "async", "ep-3": "async"}
    assert [name for name, each in found.items() if each.by_v2] == ["ep-3"]


async def test_a_first_page_of_zero_or_one_gives_each_endpoint_once() -> None:
    client, asked = routed({V1_LIST: {"endpoints": [V1], "total": 7}, "/gpus/v2/endpoints": {"data": None}})
    assert [each.id for each in await list_endpoints(client)] == ["ep-1"]
    assert asked.count(V1_LIST) == 3


async def test_what_only_the_second_generation_knows_is_read_there() -> None:
    client, _ = routed({f"/gpus/v2/endpoints/{V2['id']}": {**V2, "type": "async"}})
    read = await get_endpoint(client, "ep-1")
    assert (read.type, read.by_v2) == ("async", True)
    with pytest.raises(NotFoundError):
        await get_endpoint(client, "ep-9")


@pytest.mark.parametrize("wrapped", [True, False])
async def test_a_record_may_be_wrapped_or_bare(wrapped: bool) -> None:
    client, _ = routed({V1_ONE: {"endpoint": V1} if wrapped else V1})
    assert (await get_endpoint(client, "ep-1")).name == "chat"


# requests


@cache
def documented(operation: str) -> Any:
    """Checks a body against the documentation's schema."""
    body = next(iter(book("serverless")["operations"][operation]["request"].values()))
    return Draft202012Validator(resolved("serverless", body))


plans = st.builds(
    EndpointPlan,
    image=st.just("a/b:1"),
    name=st.just("chat"),
    app_name=st.sampled_from(["", "chat-app"]),
    product_ids=st.just(("p",)),
    registry_auth_id=st.sampled_from(["", "login"]),
    command=st.sampled_from(["", "serve"]),
    env=st.dictionaries(st.sampled_from("AB"), st.text(max_size=3)),
    port=st.just(8000),
    health_path=st.just("/health"),
    region=st.sampled_from(["", "us"]),
    request_timeout=st.sampled_from([None, 60]),
    cuda_version=st.sampled_from(["", "12.8"]),
    volumes=st.sampled_from([(), (EndpointMount(type="network", id="v", mount_path="/data"),)]),
    kind=st.sampled_from(["sync", "async"]),
    scale_by=st.sampled_from(["queue", "concurrency"]),
)


@given(plans)
def test_requests_are_as_documented(plan: EndpointPlan) -> None:
    operation = "gpus_v2_create_endpoint" if plan.kind == "async" else "create_serverless_endpoint"
    documented(operation).validate(creation(plan)[1])
    operation = "gpus_v2_update_endpoint" if plan.kind == "async" else "update_serverless_endpoint"
    documented(operation).validate(change(endpoint(), plan)[1])


def test_an_update_sends_back_everything_that_is_there() -> None:
    body = change(endpoint(), EndpointPlan.of(endpoint()))[1]
    assert body["id"] == "ep-1"
    assert body["volumeMounts"] == V1["volumeMounts"]
    assert (body["envs"], body["image"], body["clusterID"]) == (V1["envs"], V1["image"], "us")
    assert (body["products"], body["rootfsSize"], body["appName"]) == (V1["products"], 100, "chat-app")
    assert body["healthy"] == {"path": "/health"}
    assert EndpointPlan.of(endpoint(**body)) == EndpointPlan.of(endpoint())


def test_differences_name_settings_and_never_values_of_variables() -> None:
    before = EndpointPlan(image="a", env={"A": "old-secret", "B": "same", "C": "gone"})
    after = before.changed(max_workers=2, env={"A": "new-secret", "B": "same", "D": "more"})
    lines = before.differences(after)
    assert lines == ["env A: another value", "env C: removed", "env D: new", "max_workers: 1 -> 2"]
    assert before.differences(before) == []


def test_variables_are_merged_and_an_empty_one_goes() -> None:
    assert merged_env({"A": "1", "B": "2", "E": ""}, {"B": "", "C": "3"}) == {"A": "1", "E": "", "C": "3"}
    assert merged_env({"A": "1"}, None) is None


@given(st.integers(-10, 70_000))
def test_ports_in_range_pass_and_others_do_not(port: int) -> None:
    if 1 <= port <= 65_535 and port not in (2222, 2223, 2224):
        check_port(port, needed=True)
    else:
        with pytest.raises(InputError, match=str(port)):
            check_port(port, needed=True)


def test_limits_novita_does_not_tell_refuse_nothing() -> None:
    EndpointPlan(image="a", port=80, max_workers=500, min_workers=200).check(EndpointLimits())
    with pytest.raises(InputError, match="max_workers 500"):
        EndpointPlan(image="a", port=80, max_workers=500).check(
            read_shape(EndpointLimits, {"minWorkerNum": 0, "maxWorkerNum": 9}, "x")
        )


def test_a_job_of_exactly_four_mebibytes_passes() -> None:
    rest = MOST_REQUEST - len(b'{"input":{"x":""}}')
    assert job_request(NovitaClient(new_http(), "sk-test"), {"x": "y" * rest})
    with pytest.raises(InputError, match="4 MiB"):
        job_request(NovitaClient(new_http(), "sk-test"), {"x": "y" * (rest + 1)})
    with pytest.raises(InputError, match="4 MiB"):
        job_request(NovitaClient(new_http(), "sk-test"), {"x": "ü" * (rest // 2 + 1)})


# calling


BASES = (
    "https://chat.serverless.novita.ai",
    "https://chat.serverless.novita.ai/base",
    "http://127.0.0.1:9/_endpoints/x",
)
PARTS = (
    "/",
    "//",
    "..",
    ".",
    "%2e",
    "%2f",
    "%5c",
    "\\",
    "@",
    ":",
    "?",
    "#",
    " ",
    "\n",
    "a",
    "base",
    "evil.com",
    "http:",
)
nasty = st.lists(st.sampled_from(PARTS), max_size=8).map("".join)


@given(base=st.sampled_from(BASES), path=nasty | nasty.map(lambda text: f"https://chat.serverless.novita.ai{text}"))
def test_whatever_the_path_a_request_goes_to_the_endpoint_or_nowhere(base: str, path: str) -> None:
    client = NovitaClient(new_http(), "sk-the-key-of-novita")
    try:
        call = service_call(client, endpoint(url=base), path=path, method=None, headers=None, body=None)
    except InputError:
        return
    sent = httpx.URL(client.url(call.path, host=call.origin))  # the client's own reading of it
    home = urlsplit(base)
    assert (sent.scheme, sent.host) == (home.scheme, home.hostname)
    assert (sent.port or home.port) == home.port
    assert sent.path.startswith(home.path + "/")
    assert not {"..", "."} & set(sent.path.split("/"))  # as whoever decodes it once would read it
    assert not sent.userinfo
    assert "sk-the-key-of-novita" not in str(call)


HOME = "https://chat-app-1.serverless.novita.ai"


@pytest.mark.parametrize(
    "other",
    [
        "https://evil.com/v1",
        "http://chat-app-1.serverless.novita.ai/v1",
        "ws://chat-app-1.serverless.novita.ai/v1",
        f"{HOME}:8443/v1",
        f"{HOME}.evil.com/v1",
        f"{HOME}@evil.com/v1",
        "//evil.com/v1",
    ],
)
def test_a_full_address_counts_only_with_the_whole_origin_of_the_endpoint(other: str) -> None:
    client = NovitaClient(new_http(), "sk-test")
    with pytest.raises(InputError, match="does not belong to endpoint"):
        service_call(client, endpoint(), path=other, method=None, headers=None, body=None)
    same = service_call(client, endpoint(), path=f"{HOME.upper()}:443/v1?a=b", method=None, headers=None, body=None)
    assert (same.origin, same.path) == (HOME, "/v1?a=b")


@pytest.mark.parametrize("url", ["", "ftp://chat.novita.ai", "https://user@chat.novita.ai", "https://", "file:///x"])
def test_an_address_that_cannot_be_called_is_not(url: str) -> None:
    client = NovitaClient(new_http(), "sk-test")
    with pytest.raises(InputError, match="no address"):
        service_call(client, endpoint(url=url), path="/", method=None, headers=None, body=None)


@pytest.mark.parametrize("key", ["sk-the-key-of-novita", "Nov.ita~7/key+with=%41'letters"])
def test_the_key_goes_to_no_endpoint_in_any_place_or_spelling(key: str) -> None:
    """What runs behind an endpoint is anybody's code."""
    client = NovitaClient(new_http(), key)
    packed = base64.b64encode(f"Bearer {key}.".encode()).decode()
    for spelling in (key, quote(key, safe=""), packed):
        with pytest.raises(InputError, match="The path holds the Novita API key"):
            service_call(client, endpoint(), path=f"/x?k={spelling}", method=None, headers=None, body=None)
        with pytest.raises(InputError, match="The header X-A holds the Novita API key"):
            service_call(client, endpoint(), path="/x", method=None, headers={"X-A": f"a {spelling}"}, body=None)
        for body in ({"a": [{"b": f"it is {spelling}!"}]}, {spelling: 1}):
            with pytest.raises(InputError, match="The body holds the Novita API key"):
                service_call(client, endpoint(), path="/x", method=None, headers=None, body=body)
            with pytest.raises(InputError, match="The body holds the Novita API key"):
                job_request(client, body)
    fine = service_call(client, endpoint(), path="/x?k=another", method=None, headers={"X-A": "b"}, body={"a": 1})
    assert fine.path == "/x?k=another"


async def test_neither_the_key_nor_cookies_go_to_a_service() -> None:
    seen: list[httpx.Headers] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request.headers)
        return httpx.Response(200, headers={"Set-Cookie": "spy=1; Domain=.novita.ai"}, json={})

    http = new_http()
    http._transport = httpx.MockTransport(answer)  # pyright: ignore[reportPrivateUsage]  # the real pool, but for its sockets
    client = NovitaClient(http, "sk-the-key-of-novita")
    call = service_call(client, endpoint(), path="/x", method=None, headers={"X-A": "b"}, body={"a": 1})
    reply = await call_service(client, call, within=5)
    await call_service(client, call, within=5)
    await client.read("GET", "/v3/user", doing="reading")
    assert reply.json() == {}
    assert [headers.get("authorization") for headers in seen] == [None, None, "Bearer sk-the-key-of-novita"]
    assert not any("cookie" in headers for headers in seen)
    assert (seen[0]["host"], seen[0]["x-a"]) == ("chat-app-1.serverless.novita.ai", "b")


@pytest.mark.parametrize(
    ("status", "phase"),
    [
        ("PENDING", Phase.WORKING),
        ("IN_PROGRESS", Phase.WORKING),
        ("A_NEW_ONE", Phase.WORKING),
        ("COMPLETED", Phase.SUCCEEDED),
        ("FAILED", Phase.FAILED),
        ("TIMED_OUT", Phase.FAILED),
        ("CANCELLED", Phase.CANCELLED),
    ],
)
async def test_what_the_statuses_of_a_job_mean(status: str, phase: Phase) -> None:
    client, _ = routed({"/v1/ep-1/status/j": {"status": status, "error": {"kind": "oom"}}})
    seen = await look_at_job(client, "ep-1", "j")
    assert seen.phase is phase
    assert ("oom" in seen.reason) is (phase is Phase.FAILED)


# the table


def test_every_documented_operation_has_its_tools_or_a_reason() -> None:
    documented = book("serverless")["operations"]
    assert set(OPERATIONS) == set(documented)
    tools = {spec.name for spec in serverless.tools}
    for name, found in OPERATIONS.items():
        if isinstance(found, GpuRoute):
            assert (found.method, found.path) == (documented[name]["method"], documented[name]["path"]), name
            assert set(found.tools) <= tools, name
            assert found.tools, name
        else:
            assert len(found) > 20, name

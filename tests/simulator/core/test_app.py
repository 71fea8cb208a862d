"""Routing, keys, envelopes, money and the control routes, over real HTTP."""

import httpx
import pytest
from novita_mcp.simulator.app import handlers
from novita_mcp.simulator.core.facts import operations

from ..sim_api import Api, Json

SEEDREAM: Json = {"prompt": "a red fox", "size": "512x512"}


def test_every_documented_operation_is_handled() -> None:
    assert operations().keys() - handlers().keys() == set()


@pytest.mark.parametrize(
    ("operation", "status", "reason"),
    [
        ("query_models", 403, "INVALID_API_KEY"),
        ("list_models", 401, "FAILED_TO_AUTH"),
        ("list_gpu_instances", 401, "UNAUTHORIZED"),
        ("get_user_balance", 401, "UNAUTHORIZED"),
    ],
)
def test_a_wrong_key_is_refused_in_the_words_of_its_area(api: Api, operation: str, status: int, reason: str) -> None:
    answer = httpx.get(api.url + operations()[operation].path, headers={"Authorization": "Bearer sk-wrong"})
    assert (answer.status_code, answer.json()["reason"], answer.json()["code"]) == (status, reason, status)
    assert ("metadata" in answer.json()) == (operations()[operation].group != "gpu")


@pytest.mark.parametrize(
    ("operation", "status", "reason"),
    [("query_models", 400, "MISSING_API_KEY"), ("list_models", 403, "INVALID_API_KEY")],
)
def test_a_missing_key_has_its_own_answer(api: Api, operation: str, status: int, reason: str) -> None:
    answer = httpx.get(api.url + operations()[operation].path)
    assert (answer.status_code, answer.json()["reason"]) == (status, reason)


def test_the_bare_key_without_bearer_is_taken_as_the_javascript_sdk_sends_it(api: Api) -> None:
    assert httpx.get(f"{api.url}/v3/user", headers={"Authorization": "sk-simulated"}).status_code == 200


@pytest.mark.parametrize(("method", "path"), [("GET", "/v3/nope"), ("DELETE", "/v3/model"), ("GET", "/v3/model/")])
def test_an_unrouted_path_or_method_gets_the_plain_text_of_the_gateway(api: Api, method: str, path: str) -> None:
    answer = api.http.request(method, path)
    assert (answer.status_code, answer.text) == (404, "404 page not found")
    assert answer.headers["content-type"].startswith("text/plain")


def test_a_wrong_request_names_the_field_costs_nothing_and_is_counted(api: Api) -> None:
    status, reason, message = api.refused("seedream_3_0_txt2img", SEEDREAM | {"guidance_scale": 11})
    assert (status, reason) == (400, "INVALID_REQUEST_BODY")
    assert message.startswith("guidance_scale:")
    assert api.world.balance_usd() == 100
    assert [api.world.count("seedream_3_0_txt2img", what) for what in ("received", "accepted", "refused")] == [1, 0, 1]


def test_gpu_routes_say_it_in_their_own_words(api: Api) -> None:
    answer = api.ask("start_gpu_instance", {"instance": "x"})
    assert answer.status_code == 400
    assert answer.json().keys() == {"code", "reason", "message"}
    assert answer.json()["reason"] == "VALIDATOR_PARAM"


@pytest.mark.parametrize("content", [b"{", b"[1]", b'"text"', b"\xff\xfe"])
def test_a_body_that_is_no_json_object_is_refused(api: Api, content: bytes) -> None:
    answer = api.http.post("/v3/seedream-4.0", content=content, headers={"Content-Type": "application/json"})
    assert (answer.status_code, answer.json()["reason"]) == (400, "INVALID_REQUEST_BODY")


def test_the_balance_falls_and_an_empty_account_is_told_so(api: Api) -> None:
    api.world.add_account("sk-simulated", 0.04)
    api.good("seedream_3_0_txt2img", SEEDREAM)
    assert api.good("get_user_balance")["availableBalance"] == "100"
    assert api.refused("seedream_3_0_txt2img", SEEDREAM)[:2] == (400, "BILLING_BALANCE_NOT_ENOUGH")
    assert api.world.balance_usd() == pytest.approx(0.01)  # pyright: ignore[reportUnknownMemberType]


def test_what_arrived_is_remembered_without_the_key(api: Api) -> None:
    api.good("seedream_3_0_txt2img", SEEDREAM)
    (request,) = api.world.received("seedream_3_0_txt2img")
    assert request.body == SEEDREAM
    assert request.status == 200
    assert "sk-simulated" not in str(request)


def test_switched_off_models_answer_in_the_old_world_only(api: Api) -> None:
    """As one third party met it on 2026-10-09: 404 "route not found"."""
    api.world.set(old_models=True)
    assert api.refused("txt2img", {})[:2] == (400, "INVALID_REQUEST_BODY")
    api.world.set(old_models=False)
    assert api.refused("txt2img", {}) == (404, "API_NOT_FOUND", "route not found")
    assert api.refused("merge_face", {})[:2] == (400, "INVALID_REQUEST_BODY")  # unlisted is not switched off


def test_what_has_lived_can_be_switched_off(api: Api) -> None:
    body = {"model": "ming-image-0.1-design", "prompt": "a poster"}
    api.good("ming_image_design", body)
    api.world.switched_off.add("ming_image_design")
    assert api.refused("ming_image_design", body) == (404, "MODEL_NOT_FOUND", "model not found")
    assert len(api.world.charges) == 1


# Control routes


def test_state_tells_what_happened(api: Api) -> None:
    api.good("seedream_3_0_txt2img", SEEDREAM)
    state = httpx.get(f"{api.url}/_simulator").json()
    assert state["counters"]["accepted"] == {"seedream_3_0_txt2img": 1}
    assert [charge["usd"] for charge in state["charges"]] == [0.03]
    assert state["accounts"] == [{"key": "sk-simulated", "balance_usd": 99.97}]
    assert state["settings"]["manual"] is True


def test_knobs_can_be_turned_from_another_process(api: Api) -> None:
    def post(route: str, body: Json) -> Json:
        answer = httpx.post(f"{api.url}/_simulator/{route}", json=body)
        assert answer.status_code == 200, answer.text
        return answer.json()

    assert post("settings", {"task_seconds": 9, "speed": 3})["task_seconds"] == 9
    before = post("clock", {"advance": 0})["now"]
    assert post("clock", {"advance": 1000})["now"] >= before + 1000
    post("accounts", {"key": "sk-poor", "balance_usd": 0})
    poor = Api(api.url, api.world, "sk-poor")
    assert poor.refused("seedream_3_0_txt2img", SEEDREAM)[1] == "BILLING_BALANCE_NOT_ENOUGH"
    poor.close()
    post("trouble", {"operation": "query_models", "effect": {"error": "RATE_LIMIT_EXCEEDED", "retry_after": 7}})
    assert api.ask("query_models").headers["retry-after"] == "7"
    post("tasks", {"fail": "out of paint"})
    task_id = api.good("z_image_turbo", {"prompt": "x"})["task_id"]
    for _ in range(3):
        result = api.good("get_task_result", task_id=task_id)
    assert result["task"]["reason"] == "out of paint"  # pyright: ignore[reportPossiblyUnboundVariable]
    other = api.good("z_image_turbo", {"prompt": "x"})["task_id"]
    post(f"tasks/{other}", {"status": "TASK_STATUS_SUCCEED"})
    assert len(api.good("get_task_result", task_id=other)["images"]) == 1


def test_a_wrong_knob_is_refused_with_the_reason(api: Api) -> None:
    for route, body, said in (
        ("settings", {"task_secnods": 1}, "task_secnods"),
        ("trouble", {"effect": {"explode": True}}, "exactly one"),
        ("trouble", {"effect": {"error": "NOPE"}}, "NOPE"),
        ("tasks/none", {"status": "TASK_STATUS_FAILED"}, "none"),
    ):
        answer = httpx.post(f"{api.url}/_simulator/{route}", json=body)
        assert answer.status_code == 400
        assert said in answer.json()["error"]
    assert httpx.get(f"{api.url}/_simulator/nothing").status_code == 404

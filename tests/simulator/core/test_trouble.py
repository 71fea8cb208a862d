"""Every effect, seen from the client's side of a real socket."""

from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from novita_mcp.simulator.core.facts import error_rows

from ..sim_api import Api, Json

BODY: Json = {"prompt": "x", "size": "512x512"}
ROWS = [(row["group"], row["name"], row["http_status"]) for row in error_rows() if row["name"]]


def test_every_row_of_the_error_tables_can_be_ordered(api: Api) -> None:
    for group, name, status in ROWS:
        api.world.trouble({"error": name, "group": group, "retry_after": 3}, operation="query_models")
        answer = api.ask("query_models")
        assert (answer.status_code, answer.json()["reason"], answer.json()["code"]) == (status, name, status)
        assert answer.headers["retry-after"] == "3"
    assert len(ROWS) == 96
    assert api.ask("query_models").status_code == 200


def test_an_answer_can_be_anything(api: Api) -> None:
    effect = {"status": 418, "body": "short", "content_type": "text/teapot", "headers": {"X-Pot": "1"}}
    api.world.trouble(effect, operation="query_models", times=3)
    answer = api.ask("query_models")
    assert (answer.status_code, answer.text, answer.headers["x-pot"]) == (418, "short", "1")
    assert answer.headers["content-type"].startswith("text/teapot")


@pytest.mark.parametrize(
    ("effect", "kind", "start"),
    [
        ({"garbage": True}, "application/json", '{"task_id": "'),
        ({"html": True}, "text/html", "<!DOCTYPE html>"),
        ({"empty": True}, "application/json", ""),
    ],
)
def test_nonsense_comes_as_200_before_anything_was_done(api: Api, effect: Json, kind: str, start: str) -> None:
    api.world.trouble(effect, operation="seedream_3_0_txt2img")
    answer = api.ask("seedream_3_0_txt2img", BODY)
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith(kind)
    assert answer.text.startswith(start)
    assert api.world.charges == []


def test_nonsense_can_come_after_the_request_took_effect(api: Api) -> None:
    api.world.trouble({"garbage": True, "handled": True}, operation="seedream_3_0_txt2img")
    with pytest.raises(ValueError, match="Unterminated string"):
        api.ask("seedream_3_0_txt2img", BODY).json()
    assert len(api.world.charges) == 1


@pytest.mark.parametrize(("when", "charged"), [("before", 0), ("after", 1)])
def test_a_reset_connection_may_or_may_not_have_cost_money(api: Api, when: str, charged: int) -> None:
    api.world.trouble({"reset": when}, operation="seedream_3_0_txt2img")
    with pytest.raises(httpx.ReadError):
        api.ask("seedream_3_0_txt2img", BODY)
    assert len(api.world.charges) == charged
    assert api.world.count("seedream_3_0_txt2img") == 1
    assert api.ask("seedream_3_0_txt2img", BODY).status_code == 200


@pytest.mark.parametrize("sent", [0, 10])
def test_a_cut_answer_declares_its_full_length(api: Api, sent: int) -> None:
    api.world.trouble({"cut": sent}, operation="query_models")
    got = b""
    with api.http.stream("GET", "/v3/model") as answer, pytest.raises(httpx.RemoteProtocolError):
        assert int(answer.headers["content-length"]) > 1000
        for part in answer.iter_raw():
            got += part
    assert len(got) == sent


def test_a_delay_ends_in_the_usual_answer(api: Api) -> None:
    api.world.trouble({"delay": 0.05}, operation="query_models")
    assert api.ask("query_models").status_code == 200


def test_a_held_call_ends_in_the_usual_answer_once_it_is_let_go(api: Api) -> None:
    api.world.trouble({"held": True}, operation="query_models", times=-1)
    with ThreadPoolExecutor() as pool:
        asked = [pool.submit(api.ask, "query_models") for _ in range(2)]
        assert api.http.get("/v3/user").status_code == 200, "only these are held"
        while api.world.count("query_models") < 2:
            assert not any(each.done() for each in asked)
        httpx.delete(f"{api.url}/_simulator/trouble")
        assert [each.result(timeout=60).status_code for each in asked] == [200, 200]


def test_a_hanging_call_ends_only_by_the_client(api: Api) -> None:
    api.world.trouble({"hang": True}, operation="query_models")
    with pytest.raises(httpx.ReadTimeout):
        api.http.get("/v3/model", timeout=0.05)
    assert api.ask("query_models").status_code == 200


def test_a_server_stops_though_a_call_hangs(api: Api) -> None:
    """The fixture's end would wait for ever otherwise."""
    api.world.trouble({"hang": True}, path="/v3/*")
    with pytest.raises(httpx.ReadTimeout):
        api.http.get("/v3/model", timeout=0.02)


def test_unknown_paths_and_downloads_can_be_disturbed_too(api: Api) -> None:
    api.world.trouble({"status": 502}, path="/nowhere")
    assert api.http.get("/nowhere").status_code == 502
    link = api.good("seedream_3_0_txt2img", BODY)["image_urls"][0]
    api.world.trouble({"cut": 100}, path="/_simulator/files/*")
    with pytest.raises(httpx.RemoteProtocolError):
        api.bare.get(link)
    assert api.download(link).size == (512, 512)


def test_trouble_can_be_cleared(api: Api) -> None:
    httpx.post(f"{api.url}/_simulator/trouble", json={"effect": {"status": 500}, "times": -1})
    assert api.ask("query_models").status_code == 500
    httpx.delete(f"{api.url}/_simulator/trouble")
    assert api.ask("query_models").status_code == 200

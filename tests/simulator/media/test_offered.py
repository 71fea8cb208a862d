"""The list of media models, prices by SKU and notices, as Novita's own pages read them; and new models."""

import json
from typing import Any

import pytest

from ..sim_api import Api

LIST = "/v1/product/multimodal-model/list"


def listed(api: Api, **query: str) -> dict[str, Any]:
    answer = api.bare.get(f"{api.url}{LIST}", params=query).json()
    assert answer["total"] == len(answer["configs"])
    return {row["fusionConfig"]["name"]: row["modelConfig"] for row in answer["configs"]}


def prices(api: Api, *skus: str) -> dict[str, dict[str, Any]]:
    sent = {"businessType": "model_api", "productIds": list(skus)}
    return {
        row["productId"]: row
        for row in api.bare.post(f"{api.url}/v1/product/batch-price", json=sent).json()["products"]
    }


def test_the_list_has_what_lives_with_its_route_and_body(api: Api) -> None:
    rows = listed(api, returnSchema="true")

    assert "qwen-image-txt2img" not in rows  # retired
    assert "seedream-4.0" not in rows  # unlisted
    config = rows["kling-v3.0-4k-t2v"]["config"]
    assert (config["category"], config["async"]) == ("video_gen", True)
    post = json.loads(config["openapiSchema"])["paths"]["/v3/async/kling-v3.0-4k-t2v"]["post"]
    fields = post["requestBody"]["content"]["application/json"]["schema"]["properties"]
    assert {"prompt", "duration", "sound"} <= fields.keys()
    assert "$ref" not in config["openapiSchema"]


def test_schemas_come_only_where_they_are_asked_for_and_names_narrow_the_list(api: Api) -> None:
    rows = listed(api, fusion_product_names="minimax-speech-2.8-hd")

    assert list(rows) == ["minimax-speech-2.8-hd"]
    assert "openapiSchema" not in rows["minimax-speech-2.8-hd"]["config"]


def test_a_price_is_picked_by_the_body_and_told_by_its_sku(api: Api) -> None:
    """The two examples that the facts have of billing expressions and SKUs."""
    rows = listed(api)
    kling, speech = rows["kling-v3.0-4k-t2v"], rows["minimax-speech-2.8-hd"]

    assert kling["config"]["billingExpr"] == "sku * int(body.duration)"
    assert kling["skuMappings"] == [
        {"skuCode": "KLING_V30_4K_T2V_NA", "celExpr": "!body.sound"},
        {"skuCode": "KLING_V30_4K_T2V_A", "celExpr": "body.sound"},
    ]
    assert json.loads(speech["config"]["priceConfig"])["table"]["priceUnit"] == "1M_characters"
    told = prices(api, "KLING_V30_4K_T2V_NA", "KLING_V30_4K_T2V_A", "MINIMAX_SPEECH_2_8_HD", "NOBODY")
    assert {sku: row["basePrice0"] for sku, row in told.items()} == {
        "KLING_V30_4K_T2V_NA": "4200",
        "KLING_V30_4K_T2V_A": "6300",
        "MINIMAX_SPEECH_2_8_HD": "1000000",
    }


def test_what_only_a_maker_says_is_no_price_of_novitas(api: Api) -> None:
    assert listed(api)["minimax-voice-design"]["skuMappings"] == []


def test_a_list_price_is_what_a_call_is_charged(api: Api) -> None:
    api.good("kling_v3_0_4k_t2v", {"prompt": "a fox", "duration": 5, "sound": False})

    (charge,) = api.world.charges
    assert charge.micro_usd == 5 * 4200 * 100


def test_a_model_that_is_switched_off_leaves_the_list_and_keeps_its_price(api: Api) -> None:
    api.world.switched_off.add("kling_v3_0_4k_t2v")

    assert "kling-v3.0-4k-t2v" not in listed(api)
    assert prices(api, "KLING_V30_4K_T2V_A")


def test_the_notices_say_what_goes_when_and_what_comes_instead(api: Api) -> None:
    text = api.bare.get(f"{api.url}/docs/llms-full.txt").text

    assert text == api.bare.get(f"{api.url}/llms-full.txt").text
    (notice,) = [part for part in text.split("# Changelog ") if part.startswith("22-06-26")]
    assert "2026-07-07" in notice
    assert "| GLM Image Generation | Seedream 5.0 lite |" in notice
    assert text.index("# Changelog 01-09-26") < text.index("# Changelog 22-06-26")


@pytest.mark.parametrize("path", [LIST, "/v1/product/batch-price", "/docs/llms-full.txt"])
def test_a_key_that_is_sent_to_another_host_is_counted(api: Api, path: str) -> None:
    api.bare.request("POST" if "price" in path else "GET", f"{api.url}{path}", headers={"Authorization": "Bearer sk-x"})

    assert api.world.leaked_keys == 1


def test_a_model_that_is_new_is_listed_priced_and_answers(api: Api) -> None:
    schema = {
        "type": "object",
        "required": ["prompt"],
        "properties": {"prompt": {"type": "string"}, "seed": {"type": "integer"}},
    }
    added = {"add": {"name": "nova-image-1", "schema": schema, "usd": "0.05"}}
    api.bare.post(f"{api.url}/_simulator/models", json=added).raise_for_status()

    row = listed(api, returnSchema="true")["nova-image-1"]
    assert json.loads(row["config"]["openapiSchema"])["paths"].keys() == {"/v3/async/nova-image-1"}
    (sku,) = (each["skuCode"] for each in row["skuMappings"])
    assert prices(api, sku)[sku]["basePrice0"] == "500"
    wrong = api.http.post("/v3/async/nova-image-1", json={"seed": 7})
    assert (wrong.status_code, wrong.json()["reason"]) == (400, "INVALID_REQUEST_BODY")
    task = api.http.post("/v3/async/nova-image-1", json={"prompt": "a fox", "seed": 7}).json()["task_id"]
    looks = [api.good("get_task_result", task_id=task) for _ in range(3)]
    assert len(api.pictures(looks[-1])) == 1
    assert [charge.usd for charge in api.world.charges] == [0.05]
    assert api.world.count("nova-image-1") == 2


def test_a_new_film_is_as_long_as_it_was_asked_for_and_paid_by_the_second(api: Api) -> None:
    fields = {"prompt": {"type": "string"}, "duration": {"type": "integer"}}
    film = {"name": "nova-film-1", "category": "video_gen", "usd": "0.1", "unit": "second"}
    added = {"add": {**film, "schema": {"type": "object", "properties": fields}}}
    api.bare.post(f"{api.url}/_simulator/models", json=added).raise_for_status()

    assert listed(api)["nova-film-1"]["config"]["billingExpr"] == "sku * int(body.duration)"
    api.http.post("/v3/async/nova-film-1", json={"prompt": "a fox", "duration": 2})
    assert [charge.usd for charge in api.world.charges] == [0.2]

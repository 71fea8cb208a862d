"""The library of checkpoints, training, and the second generation of picture tasks."""

from typing import Any

import pytest

from ..sim_api import Api, Json, as_base64, photo
from .drawing_requests import difference


def test_the_library_is_read_to_its_end_page_by_page(api: Api) -> None:
    seen: list[int] = []
    cursor = "c_0"
    while cursor:
        query: Json = {"pagination.limit": 50, "pagination.cursor": cursor}
        page = api.good("query_models", **query)
        seen += [model["id"] for model in page["models"]]
        cursor = page["pagination"]["next_cursor"]
    assert len(seen) == len(set(seen)) > 200
    query = {"pagination.limit": 100, "pagination.cursor": f"c_{len(seen) - 3}"}
    tail = api.good("query_models", **query)
    assert [model["id"] for model in tail["models"]] == seen[-3:]


@pytest.mark.parametrize(
    ("query", "field", "value"),
    [
        ({"filter.types": "lora"}, "type", {"name": "lora", "display_name": "Lora"}),
        ({"filter.type": "vae"}, "type", {"name": "vae", "display_name": "Vae"}),
        ({"filter[types]": "vae", "pagination[limit]": 2}, "type", {"name": "vae", "display_name": "Vae"}),
        ({"filter.is_sdxl": "true"}, "is_sdxl", True),
        ({"filter.is_inpainting": "true"}, "base_model_type", "Inpainting"),
        ({"filter.query": "sdxl_vae"}, "sd_name", "sdxl_vae.safetensors"),
    ],
)
def test_the_library_can_be_filtered(api: Api, query: Json, field: str, value: Any) -> None:
    models = api.good("query_models", **query)["models"]
    assert models
    assert all(model[field] == value for model in models)


def test_a_lora_is_trained_from_uploaded_pictures_and_then_found(api: Api) -> None:
    target = api.good("create_training_image_upload_url", {"file_extension": "png"})
    body: Json = {
        "name": "my fox",
        "base_model": "stable-diffusion-xl-base-1.0",
        "width": 512,
        "height": 512,
        "image_dataset_items": [{"assets_id": target["assets_id"], "caption": "a fox"}],
        "components": [],
    }
    assert api.refused("create_style_training", body)[1] == "INVALID_REQUEST_BODY"
    assert api.bare.put(target["upload_url"], content=b"picture").status_code == 200
    task_id = api.good("create_style_training", body)["task_id"]
    looks = [api.good("get_style_training", task_id=task_id) for _ in range(4)]
    assert [look["task_status"] for look in looks] == ["QUEUING", "TRAINING", "SUCCESS", "SUCCESS"]
    assert [[model["model_status"] for model in look["models"]] for look in looks] == [
        [],
        [],
        ["DEPLOYING"],
        ["SERVING"],
    ]
    name = looks[3]["models"][0]["model_name"]
    assert [m["sd_name"] for m in api.good("query_models", **{"filter.visibility": "private"})["models"]] == [name]
    assert api.good("list_training_tasks")["tasks"][0]["task_name"] == "my fox"
    assert api.refused("get_subject_training", task_id=task_id)[1] == "TASK_NOT_FOUND"
    assert api.world.leaked_keys == 0


def test_v2_tasks_are_wrapped_and_polled_at_their_own_address(api: Api) -> None:
    body: Json = {
        "prompt": "x",
        "negative_prompt": "",
        "sampler_name": "Euler",
        "batch_size": 2,
        "n_iter": 1,
        "steps": 20,
        "cfg_scale": 7,
        "seed": -1,
        "width": 128,
        "height": 192,
        "model_name": "m",
        "restore_faces": False,
        "restore_faces_model": "",
    }
    answer = api.good("txt2img_v2", body)
    assert answer["code"] == 0
    looks = [api.good("get_progress_v2", task_id=answer["data"]["task_id"])["data"] for _ in range(3)]
    assert [look["status"] for look in looks] == [0, 1, 2]
    assert looks[0]["imgs"] is None
    assert [api.download(link).size for link in looks[2]["imgs"]] == [(128, 192)] * 2
    assert api.good("get_progress_v2", task_id="none")["code"] == 3


def test_v2_edits_come_from_their_input(api: Api) -> None:
    given = as_base64(photo((100, 80)))
    answer = api.good("upscale_v2", {"image": given, "upscaling_resize": 3})
    looks = [api.good("get_progress_v2", task_id=answer["data"]["task_id"])["data"] for _ in range(3)]
    assert difference(api.download(looks[2]["imgs"][0]).resize((100, 80)), photo((100, 80))) < 5
    assert api.refused("upscale_v2", {"image": as_base64(photo((1000, 800))), "upscaling_resize": 3})[0] == 400

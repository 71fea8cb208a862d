"""Pictures over real HTTP: an answer has what was asked for, and an edited picture is made from its input."""

from typing import Any

import pytest
from novita_mcp.simulator.core.world import World
from novita_mcp.simulator.media import pixels
from PIL import Image, ImageStat

from ..sim_api import Api, Json, as_base64, from_base64, photo
from .drawing_requests import SD, difference


def colour(picture: Image.Image, box: tuple[int, int, int, int]) -> list[float]:
    return ImageStat.Stat(picture.convert("RGB").crop(box)).mean


# Tasks


def test_a_task_moves_through_its_states_and_ends_with_links(api: Api) -> None:
    task_id = api.good("txt2img", {"request": SD})["task_id"]
    looks = [api.good("get_task_result", task_id=task_id) for _ in range(4)]
    assert [look["task"]["status"].removeprefix("TASK_STATUS_") for look in looks] == [
        "QUEUED", "PROCESSING", "SUCCEED", "SUCCEED"
    ]  # fmt: skip
    assert [look["task"]["progress_percent"] for look in looks] == [0, 50, 100, 100]
    assert looks[0]["images"] == looks[0]["videos"] == looks[0]["audios"] == []
    assert [picture.size for picture in api.pictures(looks[2])] == [(256, 320), (256, 320)]


def test_documented_oddities_of_results(api: Api) -> None:
    result = api.finished("txt2img", {"request": SD})
    assert result["extra"]["seed"] == "7"
    assert result["images"][0]["image_url_ttl"] == "3600"
    assert result["images"][0]["nsfw_detection_result"] is None
    assert isinstance(result["extra"]["debug_info"]["submit_time_ms"], str)
    qwen = api.finished("qwen_image_txt2img", {"prompt": "x"})
    assert qwen["images"][0]["image_url_ttl"] == "0"
    assert qwen["task"]["task_type"] == "QWEN_IMAGE_TEXT_TO_IMAGE"
    assert qwen["extra"]["has_nsfw_contents"] == []
    flux = {"prompt": "x", "seed": 1, "steps": 4, "width": 64, "height": 64, "image_num": 1}
    assert api.good("flux_1_schnell", flux)["images"][0]["image_url_ttl"] == 3600


def test_same_words_and_seed_give_the_same_picture_others_another(api: Api) -> None:
    def first(**change: Any) -> bytes:
        picture = api.pictures(api.finished("txt2img", {"request": SD | change}))[0]
        return picture.tobytes()

    assert first() == first()
    assert len({first(), first(seed=8), first(prompt="a blue sea"), first(model_name="other")}) == 4


def test_a_failed_task_is_http_200_with_a_reason_and_costs_nothing(api: Api) -> None:
    api.world.fail_next_task("failed to exec task")
    result = api.finished("txt2img", {"request": SD})
    assert (result["task"]["status"], result["task"]["reason"]) == ("TASK_STATUS_FAILED", "failed to exec task")
    assert result["images"] == []
    assert api.world.balance_usd() == 100
    assert api.finished("txt2img", {"request": SD})["task"]["status"] == "TASK_STATUS_SUCCEED"


def test_a_task_may_never_end(api: Api) -> None:
    api.world.never_end_next_task()
    assert api.finished("txt2img", {"request": SD})["task"]["status"] == "TASK_STATUS_PROCESSING"


def test_another_account_does_not_see_the_task(api: Api) -> None:
    task_id = api.good("txt2img", {"request": SD})["task_id"]
    api.world.add_account("sk-other")
    other = Api(api.url, api.world, "sk-other")
    assert other.refused("get_task_result", task_id=task_id)[:2] == (404, "TASK_NOT_FOUND")
    other.close()


def test_by_the_clock_a_task_takes_task_seconds(api: Api) -> None:
    api.world.set(manual=False, task_seconds=100)
    task_id = api.good("txt2img", {"request": SD})["task_id"]
    seen: list[str] = []
    for _ in range(3):
        seen.append(api.good("get_task_result", task_id=task_id)["task"]["status"])
        api.world.advance(50)
    assert seen == ["TASK_STATUS_QUEUED", "TASK_STATUS_PROCESSING", "TASK_STATUS_SUCCEED"]


def test_the_surcharge_for_nsfw_detection_is_the_documented_one(api: Api) -> None:
    result = api.finished("txt2img", {"request": SD, "extra": {"enable_nsfw_detection": True}})
    assert result["images"][0]["nsfw_detection_result"]["valid"] is True
    assert [charge.usd for charge in api.world.charges] == [
        0.005
    ]  # 2 * (0.001, the least for a picture this small, + 0.0015)


def test_flux_schnell_costs_what_its_formula_says(api: Api) -> None:
    body = {"prompt": "x", "seed": 1, "steps": 8, "width": 1024, "height": 512, "image_num": 3}
    answer = api.good("flux_1_schnell", body)
    assert [api.download(image["image_url"]).size for image in answer["images"]] == [(1024, 512)] * 3
    assert [charge.usd for charge in api.world.charges] == [0.009]


# What is asked for is what comes


@pytest.mark.parametrize(
    ("operation", "body", "size", "kind"),
    [
        ("txt2img", {"request": SD, "extra": {"response_image_type": "webp"}}, (256, 320), "WEBP"),
        (
            "txt2img",
            {"request": SD | {"hires_fix": {"target_width": 512, "target_height": 640, "strength": 0.5}}},
            (512, 640),
            "PNG",
        ),
        ("qwen_image_txt2img", {"prompt": "x", "size": "1024*768"}, (1024, 768), "JPEG"),
        ("z_image_turbo_lora", {"prompt": "x", "size": "256*1536"}, (256, 1536), "JPEG"),
        ("hunyuan_image_3", {"prompt": "x"}, (1024, 1024), "JPEG"),
        ("glm_image", {"prompt": "x", "size": "1280x1024"}, (1280, 1024), "PNG"),
        ("flux_1_kontext_dev", {"prompt": "x", "size": "512*256", "output_format": "png"}, (512, 256), "PNG"),
        ("flux_1_kontext_pro", {"prompt": "x", "aspect_ratio": "16:9"}, (1360, 768), "JPEG"),
        ("flux_1_kontext_max", {"prompt": "x", "aspect_ratio": "9:21"}, (672, 1568), "JPEG"),
        ("flux_2_pro", {"prompt": "x", "size": "640*480"}, (640, 480), "JPEG"),
    ],
)
def test_tasks_make_the_size_and_kind_asked_for(
    api: Api, operation: str, body: Json, size: tuple[int, int], kind: str
) -> None:
    for picture in api.pictures(api.finished(operation, body)):
        assert (picture.size, picture.format) == (size, kind)


@pytest.mark.parametrize(
    ("operation", "body", "field", "size"),
    [
        ("seedream_3_0_txt2img", {"prompt": "x", "size": "1024x512"}, "image_urls", (1024, 512)),
        ("seedream_4_0", {"prompt": "x", "size": "1K"}, "images", (1024, 1024)),
        ("seedream_4_5", {"prompt": "x", "size": "2560x1440"}, "images", (2560, 1440)),
        ("seedream_5_0_lite", {"prompt": "x"}, "images", (2048, 2048)),
        ("gemini_2_5_flash_image_text_to_image", {"prompt": "x", "aspect_ratio": "4:3"}, "image_urls", (1184, 880)),
    ],
)
def test_synchronous_models_answer_with_links(
    api: Api, operation: str, body: Json, field: str, size: tuple[int, int]
) -> None:
    (link,) = api.good(operation, body)[field]
    assert api.download(link).size == size


def test_seedream_3_can_answer_with_base64(api: Api) -> None:
    answer = api.good("seedream_3_0_txt2img", {"prompt": "x", "size": "512x512", "response_format": "b64_json"})
    assert from_base64(answer["binary_data_base64"][0]).size == (512, 512)


def test_a_series_is_as_long_as_the_prompt_and_the_limit_say(api: Api) -> None:
    body = {"prompt": "4 postcards", "size": "1K", "sequential_image_generation": "auto"}
    assert len(api.good("seedream_4_0", body)["images"]) == 4
    assert len(api.good("seedream_4_0", body | {"max_images": 2})["images"]) == 2
    assert len(api.good("seedream_4_0", body | {"sequential_image_generation": "disabled"})["images"]) == 1


@pytest.mark.parametrize(
    ("operation", "body"),
    [
        ("qwen_image_txt2img", {"prompt": "x", "size": "128*512"}),
        ("qwen_image_txt2img", {"prompt": "x", "size": "512x512"}),
        ("seedream_3_0_txt2img", {"prompt": "x", "size": "256x256"}),
        ("seedream_4_0", {"prompt": "x", "size": "512x512"}),
        ("seedream_4_5", {"prompt": "x", "size": "1K"}),
        ("glm_image", {"prompt": "x", "size": "1025x1024"}),
        (
            "txt2img",
            {"request": SD | {"enable_transparent_background": True}, "extra": {"response_image_type": "jpeg"}},
        ),
        ("gemini_2_5_flash_image_edit", {"prompt": "x"}),
    ],
)
def test_what_the_documentation_rules_out_is_refused_and_free(api: Api, operation: str, body: Json) -> None:
    assert api.refused(operation, body)[:2] == (400, "INVALID_REQUEST_BODY")
    assert api.world.charges == []


# From pictures


def test_img2img_stays_near_its_input_when_weak_and_leaves_it_when_strong(api: Api) -> None:
    given = photo((256, 320))
    request = SD | {"image_base64": as_base64(given), "image_num": 1}
    weak, strong = (
        api.pictures(api.finished("img2img", {"request": request | {"strength": strength}}))[0]
        for strength in (0.05, 1)
    )
    assert difference(weak, given) < 20 < difference(strong, given)


def test_inpainting_changes_the_white_part_of_the_mask_only(api: Api) -> None:
    given, mask = photo((200, 200)), Image.new("L", (200, 200), 0)
    mask.paste(255, (100, 0, 200, 200))
    request = {name: value for name, value in SD.items() if name not in ("width", "height")}
    request |= {"image_base64": as_base64(given), "mask_image_base64": as_base64(mask)}
    out = api.pictures(api.finished("inpainting", {"request": request}))[0]
    left, right = (0, 0, 100, 200), (100, 0, 200, 200)
    assert difference(out.crop(left), given.crop(left)) == 0
    assert difference(out.crop(right), given.crop(right)) > 10
    turned = request | {"inpainting_mask_invert": 1}
    out = api.pictures(api.finished("inpainting", {"request": turned}))[0]
    assert difference(out.crop(right), given.crop(right)) == 0
    small = as_base64(Image.new("L", (100, 100)))
    assert api.refused("inpainting", {"request": request | {"mask_image_base64": small}})[1] == "INVALID_IMAGE_SIZE"


def test_upscaling_gives_the_new_size(api: Api) -> None:
    request = {"model_name": "4x-UltraSharp", "image_base64": as_base64(photo()), "scale_factor": 2.5}
    out = api.pictures(api.finished("upscale", {"request": request}))[0]
    assert out.size == (800, 600)
    assert difference(out.resize((320, 240)), photo()) < 5


def test_remove_background_keeps_the_subject_and_clears_the_ground(api: Api) -> None:
    answer = api.good("remove_background", {"image_file": as_base64(photo())})
    out = from_base64(answer["image_file"])
    assert (answer["image_type"], out.mode, out.size) == ("png", "RGBA", (320, 240))
    alpha = out.getchannel("A")
    assert alpha.getpixel((2, 2)) == 0
    assert alpha.getpixel((160, 120)) == 255
    assert out.convert("RGB").getpixel((160, 120)) == (255, 0, 0)


def test_replace_background_keeps_the_subject_on_a_new_ground(api: Api) -> None:
    answer = api.good("replace_background", {"image_file": as_base64(photo()), "prompt": "green hills"})
    out = from_base64(answer["image_file"])
    assert colour(out, (150, 110, 170, 130)) == [255, 0, 0]
    assert colour(out, (0, 0, 40, 40)) != [255, 255, 255]


def test_cleanup_takes_away_what_the_mask_marks(api: Api) -> None:
    mask = Image.new("L", (320, 240), 0)
    mask.paste(255, (70, 50, 250, 190))
    answer = api.good("cleanup", {"image_file": as_base64(photo()), "mask_file": as_base64(mask)})
    out = from_base64(answer["image_file"])
    assert min(colour(out, (150, 110, 170, 130))) > 200
    assert colour(out, (0, 0, 40, 40)) == [255, 255, 255]


def test_outpainting_keeps_the_picture_where_it_was_put(api: Api) -> None:
    body: Json = {"image_file": as_base64(photo()), "prompt": "hills", "width": 520, "height": 440}
    answer = api.good("outpainting", body | {"center_x": 50, "center_y": -20})
    out = from_base64(answer["image_file"])
    assert out.size == (520, 440)
    assert difference(out.crop((150, 80, 470, 320)), photo()) == 0
    small = body | {"width": 320, "center_x": 0, "center_y": 0}
    assert api.refused("outpainting", small)[1] == "INVALID_IMAGE_SIZE"


def test_merge_face_needs_faces(api: Api) -> None:
    face, plain = as_base64(photo(colour="blue")), as_base64(Image.new("RGB", (64, 64), "white"))
    out = from_base64(api.good("merge_face", {"face_image_file": face, "image_file": as_base64(photo())})["image_file"])
    assert colour(out, (155, 100, 165, 110))[2] > 200
    assert api.refused("merge_face", {"face_image_file": plain, "image_file": face})[:2] == (
        400, "IMAGE_NO_FACE_DETECTED"
    )  # fmt: skip


@pytest.mark.parametrize("operation", ["reimagine", "remove_text"])
def test_editors_answer_in_the_kind_asked_for(api: Api, operation: str) -> None:
    body = {"image_file": as_base64(photo()), "extra": {"response_image_type": "webp"}}
    answer = api.good(operation, body)
    assert (answer["image_type"], from_base64(answer["image_file"]).format) == ("webp", "WEBP")


def test_a_description_tells_shape_and_colour(api: Api) -> None:
    prompt = api.good("image_to_prompt", {"image_file": as_base64(photo((100, 200)))})["prompt"]
    assert "portrait" in prompt
    assert "red" in prompt


def test_an_earlier_result_can_be_edited_by_its_link(api: Api) -> None:
    link = api.finished("qwen_image_txt2img", {"prompt": "x", "size": "512*256"})["images"][0]["image_url"]
    cut = api.pictures(api.finished("image_remove_background", {"image": link}))[0]
    assert (cut.size, cut.mode) == ((512, 256), "RGBA")
    big = api.pictures(api.finished("image_upscaler", {"image": link, "resolution": "2k"}))[0]
    assert big.size == (2048, 1024)
    erased = api.pictures(api.finished("image_eraser", {"image": link, "output_format": "png"}))[0]
    assert (erased.size, erased.format) == ((512, 256), "PNG")
    edited = api.pictures(api.finished("qwen_image_edit", {"prompt": "at night", "image": link}))[0]
    assert edited.size == (512, 256)
    assert api.refused("image_upscaler", {"image": as_base64(photo())})[1] == "INVALID_REQUEST_BODY"


def test_replace_background_also_runs_as_a_task(api: Api) -> None:
    result = api.finished("replace_background_async", {"image_file": as_base64(photo()), "prompt": "sea"})
    assert colour(api.pictures(result)[0], (150, 110, 170, 130)) == [255, 0, 0]


@pytest.mark.parametrize(
    ("image", "reason"),
    [
        ("bm90IGEgcGljdHVyZQ==", "INVALID_IMAGE_FORMAT"),
        ("not base64!", "INVALID_IMAGE_FORMAT"),
        ("data:image/png;base64," + as_base64(photo()), "INVALID_REQUEST_BODY"),
        (as_base64(Image.new("RGB", (1100, 20))), "IMAGE_EXCEEDS_MAX_RESOLUTION"),
    ],
)
def test_inputs_that_are_no_fit_are_refused_by_their_documented_names(api: Api, image: str, reason: str) -> None:
    assert api.refused("reimagine", {"image_file": image})[:2] == (400, reason)
    assert api.world.charges == []


# Drawing


def test_a_named_colour_is_seen_in_the_picture() -> None:
    red, blue = (
        ImageStat.Stat(pixels.paint(f"all {name}", 3, (128, 128)).crop((0, 0, 128, 100))).mean
        for name in ("red", "blue")
    )
    assert red[0] > red[2]
    assert blue[2] > blue[0]


def test_any_words_and_any_shape_can_be_painted() -> None:
    for words, size in (("", (64, 64)), ("狐狸 🦊 " * 50, (640, 64)), ("x\ny", (1, 1)), ("wide", (2000, 16))):
        assert pixels.paint(words, 0, size).size == size


def test_two_worlds_share_nothing() -> None:
    one, other = World(), World()
    one.fail_next_task()
    one.trouble({"empty": True})
    assert other.doomed == []
    assert other.troubles.rules == []

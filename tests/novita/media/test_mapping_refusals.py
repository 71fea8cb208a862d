"""What the mapping refuses, and how it says so: before anything is sent, with the right name or value beside."""

import pytest
from novita_mcp.novita.core.errors import InputError
from novita_mcp.novita.media.lookup import media_model
from novita_mcp.novita.media.mapping import MediaPlan, plan, plan_native

from .documented import Json

FOX = {"prompt": "a red fox"}


# Refusals ---------------------------------------------------------------------------------------------------------


def refusal(model: str, arguments: dict[str, object], options: Json | None = None) -> str:
    with pytest.raises(InputError) as caught:
        plan(media_model(model), {**FOX, **arguments}, options)
    assert caught.value.billed == "no"
    return str(caught.value)


def test_an_argument_a_model_cannot_honour_names_models_that_can() -> None:
    told = refusal("qwen-image-txt2img", {"count": 3})
    assert "`count`" in told and "qwen-image-txt2img" in told and "flux-1-schnell" in told


def test_an_argument_nobody_knows_is_refused() -> None:
    assert "`colour`" in refusal("qwen-image-txt2img", {"colour": "red"})


def test_a_size_for_a_model_of_ratios_says_what_it_takes() -> None:
    told = refusal("kling-v3.0-std-t2v", {"size": "1280x720"})
    assert "`size`" in told and "aspect_ratio" in told


@pytest.mark.parametrize(
    ("model", "arguments", "words"),
    [
        ("kling-v3.0-std-t2v", {"duration": 20}, ["`duration`", "3 to 15", "20"]),
        ("kling-v2.1-t2v-master", {"duration": 7}, ["`duration`", "5 or 10"]),
        ("qwen-image-txt2img", {"size": "4000x4000"}, ["`size`", "256 to 1536"]),
        ("qwen-image-txt2img", {"size": "big"}, ["`size`", "1024x768"]),
        ("qwen-image-txt2img", {"aspect_ratio": "wide"}, ["`aspect_ratio`", "16:9"]),
        ("wan2.6-t2v", {"aspect_ratio": "21:9"}, ["`aspect_ratio`", "1280x720"]),
        ("flux-1-schnell", {"prompt": "x" * 2000}, ["`prompt`", "1 to 1024 characters", "2000"]),
        ("flux-1-schnell", {"prompt": " "}, ["`prompt`", "empty"]),
        ("flux-1-schnell", {"seed": "many"}, ["`seed`", "whole number"]),
        ("seedream-4.0", {"images": ["https://a.example/1"] * 11}, ["`images`", "10"]),
        ("wan-2.2-t2v", {"resolution": "1080p", "duration": 8}, ["1080P", "5 s"]),
        (
            "kling-v1.6-i2v",
            {"image": "https://a.example/1", "end_image": "https://a.example/2"},
            ["`end_image`", "1080p"],
        ),
        ("vidu-q1-startend2video", {"end_image": "https://a.example/2"}, ["needs `image`"]),
        ("txt2img", {}, ["needs `checkpoint`", "search_checkpoints"]),
        ("wan2.7-i2v", {}, ["needs `image` or `video`"]),
    ],
)
def test_a_wrong_value_is_answered_with_the_right_ones(
    model: str, arguments: dict[str, object], words: list[str]
) -> None:
    told = refusal(model, arguments)
    assert [word for word in words if word not in told] == []


def test_a_long_wrong_value_is_not_repeated() -> None:
    assert "x" * 100 not in refusal("kling-v3.0-std-t2v", {"duration": "x" * 5000})


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"stepps": 30}, ["stepps", "request.steps"]),
        ({"hires_fix": {"target_width": 1, "target_height": 1, "strenght": 1}}, ["hires_fix.strenght", "strength"]),
        ({"cfg_scale": 7}, ["V2", "request.guidance_scale"]),
        ({"batch_size": 2}, ["V2", "request.image_num"]),
        ({"n_iter": 2}, ["V2", "gone"]),
        ({"denoising_strength": 0.4}, ["V2", "strength"]),
        ({"enable_hr": True}, ["V2", "hires_fix"]),
        ({"controlnet_units": []}, ["V2", "img2img"]),
        ({"steps": 400}, ["request.steps", "1 to 100", "400"]),
    ],
)
def test_a_wrong_option_is_answered_with_the_right_name(options: Json, words: list[str]) -> None:
    told = refusal("txt2img", {"checkpoint": "x.safetensors"}, options)
    assert [word for word in words if word not in told] == []


def test_an_option_with_two_homes_must_say_which() -> None:
    model = media_model("minimax-speech-2.8-hd")
    assert plan(model, {"text": "hello"}, {"pitch": 3}).body["voice_setting"]["pitch"] == 3  # a common argument
    bare = model.model_copy(update={"arguments": {k: v for k, v in model.arguments.items() if k != "pitch"}})
    with pytest.raises(InputError, match=r"voice_modify\.pitch or voice_setting\.pitch"):
        plan(bare, {"text": "hello"}, {"pitch": 3})


def test_an_argument_and_an_option_for_one_field_must_agree() -> None:
    assert "both set" in refusal("wan-t2v", {"size": "1280x720"}, {"width": 832})
    assert plan(media_model("wan-t2v"), {**FOX, "size": "1280x720"}, {"width": 1280}).body["width"] == 1280


def test_the_v2_way_to_name_a_lora_in_the_prompt_is_caught() -> None:
    assert "loras" in refusal("txt2img", {"prompt": "fox <lora:fur:0.8>", "checkpoint": "x"})


# Native input -----------------------------------------------------------------------------------------------------


def test_native_input_goes_as_it_is() -> None:
    native = {"prompt": "a fox", "size": "1024*1024"}
    made: MediaPlan = plan_native(media_model("qwen-image-txt2img"), native)
    assert made.body == native and made.path == "/v3/async/qwen-image-txt2img"
    watermarked = plan_native(media_model("seedream-4.0"), {"prompt": "a fox"})
    assert watermarked.body == {"prompt": "a fox"}  # no constants


@pytest.mark.parametrize(
    ("model", "native", "words"),
    [
        ("txt2img", {"prompt": "x"}, ["request.prompt"]),
        ("flux-1-schnell", {"prompt": "x", "cfg_scale": 3}, ["V2", "guidance_scale"]),
        ("img2img", {"request": {"controlnet": {"units": [{"module": "canny"}]}}}, ["V2", "preprocessor"]),
        ("img2img", {"request": {"init_images": ["AA"]}}, ["V2", "image_base64"]),
        ("qwen-image-txt2img", {"promt": "x"}, ["promt", "prompt"]),
        ("qwen-image-txt2img", {"prompt": "x", "size": "1024x1024"}, ["`size`"]),
        ("qwen-image-txt2img", {"prompt": "x", "size": "2048*2048"}, ["256 to 1536"]),
        ("flux-1-schnell", {"prompt": "x"}, ["needs"]),
        (
            "wan2.7-i2v",
            {"image_url": "https://a.example", "first_clip_url": "https://a.example"},
            ["do not go together"],
        ),
    ],
)
def test_wrong_native_input_is_refused_in_words(model: str, native: Json, words: list[str]) -> None:
    with pytest.raises(InputError) as caught:
        plan_native(media_model(model), native)
    assert [word for word in words if word not in str(caught.value)] == []


def test_a_file_is_never_repeated_in_an_error() -> None:
    with pytest.raises(InputError) as caught:
        plan_native(media_model("seedream-4.0"), {"prompt": "x", "images": "data:image/png;base64,SECRETSECRET"})
    assert "SECRET" not in str(caught.value)

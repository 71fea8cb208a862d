"""From common arguments to native bodies, judged by the documented schemas and not by the catalogue's own."""

import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from novita_mcp.novita.core.errors import InputError
from novita_mcp.novita.core.json_paths import MISSING, get_path
from novita_mcp.novita.media.catalog_entry import Argument
from novita_mcp.novita.media.lookup import MediaModel, media_model, media_models, option_paths
from novita_mcp.novita.media.mapping import plan
from novita_mcp.novita.media.values import Frame, fit_image, parse_ratio

from .documented import Json, request_schema

every_model = pytest.mark.parametrize("model", media_models(), ids=lambda model: model.id)
few = settings(derandomize=True, deadline=None, max_examples=12, database=None)


def objections(model: MediaModel, body: Json) -> list[str]:
    """What the documentation has against a body."""
    return [error.message for error in Draft202012Validator(request_schema(model.operation)).iter_errors(body)]  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]


# What a caller may say --------------------------------------------------------------------------------------------

FILES = {
    "url": "https://files.example/a.png",
    "data_uri": "data:image/png;base64,iVBORw0KGgo=",
    "base64": "iVBORw0KGgo=",
    "asset_id": "asset-1",
}


def legal(model: MediaModel, name: str, argument: Argument) -> list[object]:
    """Values the documentation allows, in the common spelling and in spellings that people use for them."""
    if argument.send:
        files = [FILES[form] for form in argument.send]
        if argument.as_ != "list":
            return list(files)
        least = max(1, (model.field(argument.paths[0].partition("[")[0]) or {}).get("minItems", 1))
        return [[file] * least for file in files]
    if argument.values:
        return list(argument.values)
    if argument.as_ in ("size", "width_height"):
        return [f"{w}x{h}" for w, h in sizes(model)]
    if argument.as_ == "ratio":
        frame = Frame.of(model)
        assert frame is not None
        return ["1:1", "16:9"] if not frame.only else [f"{w}:{h}" for w, h in sizes(model)]
    if argument.as_ == "resolution":
        frame = Frame.of(model)
        assert frame is not None
        default = frame.default or frame.only[0]
        return list(frame.words) or [f"{min(default)}p"]
    if argument.as_ == "language":
        return ["English", "english", "en"]
    return plain(model.field(argument.paths[0]) or {}, name)


def sizes(model: MediaModel) -> list[tuple[int, int]]:
    frame = Frame.of(model)
    assert frame is not None
    return list(frame.only or frame.recommended) or [frame.default or (1024, 1024)]


def plain(schema: Json, name: str) -> list[object]:
    if "enum" in schema:
        values = [value for value in schema["enum"] if value is not None]
        return [*values, *(value.upper() for value in values if isinstance(value, str)), *(str(v) for v in values)]
    kinds = [schema.get("type", "string")] if isinstance(schema.get("type", "string"), str) else schema["type"]
    if "boolean" in kinds:
        return [True, False, "true"]
    if "integer" in kinds or "number" in kinds:
        low, high = schema.get("minimum", schema.get("exclusiveMinimum", 0) + 1), schema.get("maximum", 44100)
        return [value for value in (low, str(high), float(high)) if name != "seed" or value != -1]
    return ["some words"]


def base(model: MediaModel) -> dict[str, object]:
    """The least a model needs: what its documented body requires, by common name."""
    given_: dict[str, object] = {}
    for name, argument in model.arguments.items():
        needed = {"prompt", "text", "image", "images", "video", "audio", "checkpoint", "mask", "name", "language"}
        if name in needed and name not in SPARE.get(model.id, ()):
            given_[name] = legal(model, name, argument)[0]
    if "end_image" in model.arguments and model.does[0] == "first_last_frame":
        given_["end_image"] = legal(model, "end_image", model.arguments["end_image"])[0]
    if model.id == "outpainting":
        given_["size"] = "1024x1024"
    return given_


SPARE = {"wan2.7-i2v": ("video",), "minimax-music-lyrics": ("lyrics",)}
"""Arguments that exclude another one of the base."""

NATIVE_ONLY: dict[str, Json] = {
    "vidu-q2-template2video": {"template": "subject_3"},
    "moss-tts": {"stream": True},
    "sora-2-text2video": {"professional": True},
    "sora-2-img2video": {"professional": True},
}
"""What the documentation wants beyond the common vocabulary."""

TOGETHER: dict[tuple[str, str], dict[str, object]] = {
    ("kling-v1.6-i2v", "end_image"): {"resolution": "1080p"},
    ("vidu-2.0-img2video", "duration"): {"resolution": "720p"},
    ("vidu-2.0-startend2video", "duration"): {"resolution": "720p"},
    ("wan-2.2-i2v", "resolution"): {"duration": 5},
    ("minimax-music", "instrumental"): {"prompt": "calm"},
}


MEANS: dict[str, str] = {
    "webhook_url": "url callback_url",
    "prompt": "prompt text",
    "negative_prompt": "negative_prompt",
    "count": "image_num num_images sample_count batch_size n sampleCount",
    "seed": "seed",
    "size": "size width height",
    "checkpoint": "model_name model",
    "format": "format output_format response_format response_image_format response_image_type response_video_type "
    "response_audio_type",
    "image": "image images image_base64 image_base64s image_file image_url image_urls img_url init_images start_image "
    "face_image_base64 url data bytesBase64Encoded",
    "images": "images image image_base64s image_urls face_image_file key_image reference_image_url "
    "reference_image_url_2 reference_image_url_3 url data",
    "end_image": "end_image end_image_url images last_frame_url last_image last_image_base64 last_image_url",
    "mask": "mask mask_file mask_image_base64",
    "video": "video video_url first_clip_url reference_urls video_assets_id url",
    "audio": "audio audio_url driving_audio_url file voices",
    "strength": "strength denoising_strength",
    "scale": "scale_factor upscaling_resize",
    "resolution": "resolution mode imageSize",
    "aspect_ratio": "aspect_ratio ratio aspectRatio",
    "duration": "duration duration_seconds durationSeconds",
    "sound": "sound audio generate_audio generateAudio",
    "fps": "fps frames_per_second",
    "language": "language language_boost output_language",
    "voice": "voice voice_id reference_id",
    "camera_fixed": "camera_fixed",
    "text": "text texts input preview_text",
    "transcript": "text texts",
    "name": "title voice_name voice_id",
    "speed": "speed",
    "volume": "vol volume",
    "pitch": "pitch",
    "emotion": "emotion",
    "sample_rate": "sample_rate audio_sample_rate",
    "lyrics": "lyrics",
    "instrumental": "is_instrumental",
}
"""The common vocabulary, and every name the documentation has for each word of it."""


# The promise ------------------------------------------------------------------------------------------------------


@every_model
def test_the_least_a_model_needs_gives_a_documented_body(model: MediaModel) -> None:
    made = plan(model, base(model), NATIVE_ONLY.get(model.id))
    assert objections(model, made.body) == []


@every_model
def test_an_argument_goes_to_a_field_that_means_it(model: MediaModel) -> None:
    for name, argument in model.arguments.items():
        for path in argument.paths:
            leaf = re.sub(r"\[[^]]*\]", "", path).rpartition(".")[2]
            assert leaf in MEANS[name].split(), (name, path)


@every_model
def test_each_argument_arrives_as_it_was_meant(model: MediaModel) -> None:
    for name, argument in model.arguments.items():
        if name in SPARE.get(model.id, ()):
            continue
        for value in legal(model, name, argument):
            asked = {**base(model), **TOGETHER.get((model.id, name), {}), name: value}
            if name == "aspect_ratio":
                asked.pop("size", None)
            made = plan(model, asked, NATIVE_ONLY.get(model.id), image_size=(400, 300))
            assert objections(model, made.body) == [], (name, value)
            if argument.as_ == "value" and not argument.values and isinstance(argument.to, str):
                sent = [found for found in everywhere(made.body, argument.to) if found is not MISSING]
                assert any(same(one, value) for one in sent), (name, value, sent)


@every_model
def test_a_common_argument_may_stand_among_the_options(model: MediaModel) -> None:
    """A tool does not carry every word of the common vocabulary."""
    for name, argument in model.arguments.items():
        if argument.send or name in SPARE.get(model.id, ()) or name in ("seed", "checkpoint"):
            continue
        homes = option_paths(model, name)
        if homes and not set(homes) & set(argument.paths):
            continue  # a native field of that name means something else
        value = legal(model, name, argument)[0]
        asked = {**base(model), **TOGETHER.get((model.id, name), {})}
        if name == "aspect_ratio":
            asked.pop("size", None)
        native = dict(NATIVE_ONLY.get(model.id, {}))
        settings: dict[str, Any] = {"image_size": (400, 300), "random_seed": lambda: 7}
        given = plan(model, {**asked, name: value}, native, **settings)
        asked.pop(name, None)
        assert plan(model, asked, {**native, name: value}, **settings).body == given.body, name


def everywhere(body: Json, path: str) -> list[Any]:
    """What stands at a path, in whichever item of its list."""
    path = path.replace("[*]", "[0]")
    return [get_path(body, path.replace("[]", f"[{item}]")) for item in range(4)]


def same(sent: Any, value: object) -> bool:
    if isinstance(sent, list):  # a field that takes several
        sent = sent[0]  # pyright: ignore[reportUnknownVariableType]
    if isinstance(sent, int | float) and not isinstance(sent, bool):
        return float(sent) == float(str(value))
    return str(sent).casefold() == str(value).casefold()  # pyright: ignore[reportUnknownArgumentType]


@few
@given(data=st.data())
def test_any_arguments_together_give_a_documented_body_or_a_reason(data: st.DataObject) -> None:
    done = 0
    for model in media_models():
        names = data.draw(st.sets(st.sampled_from(sorted(model.arguments))), label=model.id)
        asked = base(model)
        for name in sorted(names - set(SPARE.get(model.id, ()))):
            asked[name] = data.draw(st.sampled_from(legal(model, name, model.arguments[name])))
        try:
            made = plan(model, asked, NATIVE_ONLY.get(model.id))
        except InputError as error:
            assert model.id in str(error) or "both set" in str(error)
        else:
            done += 1
            assert objections(model, made.body) == []
    assert done > len(media_models()) * 0.6


def anything() -> st.SearchStrategy[Any]:
    simple = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20)
    return simple | st.lists(simple, max_size=3) | st.dictionaries(st.text(max_size=5), simple, max_size=2)


@few
@given(data=st.data())
def test_nonsense_is_refused_in_words_or_makes_a_documented_body(data: st.DataObject) -> None:
    model = data.draw(st.sampled_from(media_models()))
    names = data.draw(st.sets(st.sampled_from([*model.arguments, "shape", "duratoin"]), max_size=4))
    asked = base(model) | {name: data.draw(anything()) for name in sorted(names)}
    options = data.draw(st.dictionaries(st.sampled_from([*model.fields, "steps", "x"]), anything(), max_size=2))
    try:
        made = plan(model, asked, options)
    except InputError as error:
        assert len(str(error)) < 2_500
    else:
        assert objections(model, made.body) == []


# Dialects ---------------------------------------------------------------------------------------------------------

FOX = {"prompt": "a red fox"}


def body(model: str, arguments: dict[str, object], options: Json | None = None) -> Json:
    return plan(media_model(model), {**FOX, **arguments}, options, random_seed=lambda: 7).body


def test_dialect_nested_in_extra_and_request() -> None:
    asked: dict[str, object] = {
        "checkpoint": "x.safetensors",
        "count": 2,
        "size": "512*768",
        "format": "JPG",
        "seed": 5,
    }
    assert body("txt2img", {**asked, "negative_prompt": "text"}, {"steps": 30, "request.clip_skip": 2}) == {
        "extra": {"response_image_type": "jpeg"},
        "request": {
            "prompt": "a red fox",
            "negative_prompt": "text",
            "model_name": "x.safetensors",
            "image_num": 2,
            "width": 512,
            "height": 768,
            "seed": 5,
            "steps": 30,
            "clip_skip": 2,
            "guidance_scale": 7.5,
            "sampler_name": "DPM++ 2M Karras",
        },
    }


def test_dialect_flat_and_asynchronous() -> None:
    assert body("qwen-image-txt2img", {"size": "1328x800"}) == {"prompt": "a red fox", "size": "1328*800"}


def test_dialect_synchronous_with_images_a_required_seed_or_base64() -> None:
    assert body("flux-1-schnell", {"count": 3}) == {
        "prompt": "a red fox",
        "image_num": 3,
        "steps": 4,
        "width": 1024,
        "height": 1024,
        "seed": 7,
    }
    pictures = ["https://files.example/1.png", "data:image/png;base64,AA=="]
    assert body("seedream-4.0", {"images": pictures, "resolution": "4k"}) == {
        "prompt": "a red fox",
        "images": pictures,
        "size": "4K",
        "watermark": False,
    }
    cut = plan(media_model("remove-background"), {"image": "AA==", "format": "webp"})
    assert cut.body == {"image_file": "AA==", "extra": {"response_image_type": "webp"}}


def test_dialect_input_and_parameters() -> None:
    asked: dict[str, object] = {
        "aspect_ratio": "9:16",
        "resolution": "720p",
        "duration": "10",
        "sound": False,
        "seed": 3,
    }
    assert body("wan2.6-t2v", asked) == {
        "input": {"prompt": "a red fox"},
        "parameters": {"size": "720*1280", "duration": 10, "audio": False, "seed": 3},
    }


def test_dialect_frames_in_one_list() -> None:
    made = body(
        "vidu-q1-startend2video", {"end_image": "https://files.example/2.png", "image": "https://files.example/1.png"}
    )
    assert made["images"] == ["https://files.example/1.png", "https://files.example/2.png"]


def test_dialect_roles_in_a_list_of_objects() -> None:
    made = body(
        "wan2.7-r2v", {"images": ["https://a.example/1", "https://a.example/2"], "video": "https://a.example/v"}
    )
    assert [item["type"] for item in made["media"]] == ["reference_image", "reference_image", "reference_video"]


def test_dialect_one_field_per_form() -> None:
    by_link = body("veo-3.1-generate-img2video", {"image": "https://files.example/1.png"})
    by_value = body("veo-3.1-generate-img2video", {"image": "AAAA"})
    assert ("image_url" in by_link, "image_base64" in by_value) == (True, True)


def test_the_picture_comes_before_its_references() -> None:
    made = body("flux-2-dev", {"images": ["https://a.example/2"], "image": "https://a.example/1"})
    assert made["images"] == ["https://a.example/1", "https://a.example/2"]


# Values -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "arguments", "path", "native"),
    [
        ("minimax-hailuo-02", {"resolution": "768p"}, "resolution", "768P"),
        ("seedance-v1-pro-t2v", {"resolution": "720P"}, "resolution", "720p"),
        ("seedance-v1-pro-t2v", {"resolution": "720"}, "resolution", "720p"),
        ("seedance-v1-pro-t2v", {"aspect_ratio": "16x9"}, "aspect_ratio", "16:9"),
        ("seedance-v1-pro-t2v", {"aspect_ratio": " 9 / 16 "}, "aspect_ratio", "9:16"),
        ("kling-v2.1-t2v-master", {"duration": 10}, "duration", "10"),
        ("kling-v2.1-t2v-master", {"duration": 10.0}, "duration", "10"),
        ("kling-v3.0-std-t2v", {"duration": "12"}, "duration", 12),
        ("kling-v3.0-std-t2v", {"duration": 12.0}, "duration", 12),
        ("kling-v2.1-i2v", {"image": "AA", "resolution": "1080P"}, "mode", "Professional"),
        ("seedance-v1.5-pro-t2v", {"aspect_ratio": "adaptive"}, "ratio", "adaptive"),
        (
            "heygen-video-translate",
            {"prompt": None, "video": "https://a.example/v", "language": "de"},
            "output_language",
            "German",
        ),
    ],
)
def test_a_value_takes_the_models_own_spelling(
    model: str, arguments: dict[str, object], path: str, native: object
) -> None:
    sent = get_path(body(model, arguments), path)
    assert (sent, type(sent)) == (native, type(native))


@pytest.mark.parametrize(
    ("model", "ratio", "size"),
    [
        ("seedream-4.0", "16:9", "2560x1440"),  # recommended by its page
        ("seedream-3-0-txt2img", "21:9", "1512x648"),
        ("glm-image", "9:16", "960x1728"),
        ("wan2.6-t2v", "4:3", "1632*1248"),
        ("qwen-image-txt2img", "1:1", "1024*1024"),
        ("qwen-image-txt2img", "3:2", "1248*832"),
    ],
)
def test_a_ratio_becomes_a_size_the_model_knows(model: str, ratio: str, size: str) -> None:
    made = body(model, {"aspect_ratio": ratio})
    assert (made.get("size") or made["parameters"]["size"]) == size


COMPUTED = [model for model in media_models() if (frame := Frame.of(model)) and not frame.only]


@few
@given(model=st.sampled_from(COMPUTED), wide=st.integers(1, 32), high=st.integers(1, 32))
def test_a_computed_size_has_the_ratio_and_keeps_the_bounds(model: MediaModel, wide: int, high: int) -> None:
    frame = Frame.of(model)
    assert frame is not None
    if frame.default is None:
        return
    try:
        width, height = frame.fit(None, f"{wide}:{high}", None)
    except ValueError:
        assert max(wide / high, high / wide) > 1.5
        return
    assert isinstance(width, int) and isinstance(height, int)
    frame.check(width, height)
    assert abs(width / height / (wide / high) - 1) < 0.04


@few
@given(width=st.integers(64, 6000), height=st.integers(64, 6000))
def test_a_size_after_the_picture_keeps_its_shape(width: int, height: int) -> None:
    frame = Frame.of(media_model("img2img"))
    assert frame is not None
    if max(width / height, height / width) > 8:
        return
    wide, high = fit_image(frame, (width, height), "same", None)
    assert min(wide, high) >= 128 and max(wide, high) <= 2048
    assert abs(wide / high / (width / height) - 1) < 0.1


def test_a_larger_canvas_holds_the_picture() -> None:
    asked = {"image": "AA==", "prompt": "sky", "aspect_ratio": "16:9"}
    made = plan(media_model("outpainting"), asked, image_size=(800, 1000)).body
    assert (made["width"], made["height"]) == (1792, 1008)  # Novita: both sides must exceed the picture's
    with pytest.raises(InputError, match="size"):
        plan(media_model("outpainting"), {"image": "AA==", "prompt": "sky"})


@pytest.mark.parametrize("seed", [-1, None, "-1"])
def test_any_seed_is_left_to_the_model_unless_it_wants_one(seed: object) -> None:
    loose = plan(media_model("z-image-turbo"), {**FOX, "seed": seed}, random_seed=lambda: 7)
    strict = plan(media_model("flux-1-schnell"), {**FOX, "seed": seed}, random_seed=lambda: 7)
    assert (loose.seed, "seed" in loose.body) == (None, False)
    assert (strict.seed, strict.body["seed"]) == (7, 7)


def test_a_chosen_seed_is_reported() -> None:
    assert plan(media_model("txt2img"), {**FOX, "checkpoint": "x", "seed": "42"}).seed == 42


def test_a_constant_gives_way_to_the_caller() -> None:
    assert body("seedream-4.0", {}, {"watermark": True})["watermark"] is True
    mix = [{"voice_id": "a", "weight": 50}, {"voice_id": "b", "weight": 50}]
    spoken = plan(media_model("minimax-speech-2.8-hd"), {"text": "hello"}, {"timber_weights": mix}).body
    assert "voice_setting" not in spoken


def test_a_song_without_lyrics_has_them_written_or_is_instrumental() -> None:
    music = media_model("minimax-music")
    written = plan(music, {"prompt": "calm piano"}).body
    sung = plan(music, {"prompt": "calm piano", "lyrics": "[Verse]\nla"}).body
    played = plan(music, {"prompt": "calm piano", "instrumental": True}).body
    assert [made.get("lyrics_optimizer") for made in (written, sung, played)] == [True, None, None]


def test_file_parts_of_a_multipart_request_are_named() -> None:
    made = plan(media_model("fish-audio-voice-cloning"), {"audio": "data:audio/wav;base64,AA==", "name": "Ann"})
    assert made.files == ("voices", "cover_image")
    assert made.body["visibility"] == "private"


def test_the_given_input_is_not_changed() -> None:
    inner = {"target_width": 1024, "target_height": 1024, "strength": 0.5}
    options: Json = {"hires_fix": inner}
    plan(media_model("txt2img"), {**FOX, "checkpoint": "x"}, options)
    assert options == {"hires_fix": inner} and inner == {"target_width": 1024, "target_height": 1024, "strength": 0.5}


def test_a_ratio_that_is_none_is_refused() -> None:
    for text in ("0:1", "16-9", "", None, 1.5):
        with pytest.raises(ValueError, match="16:9"):
            parse_ratio(text)

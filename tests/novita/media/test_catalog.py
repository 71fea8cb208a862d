"""The catalogue: complete, true to the documentation, and able to pick a model."""

import re
import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any, cast

import pytest
from novita_mcp.novita.core.errors import InputError, UnknownModelError
from novita_mcp.novita.core.schema_errors import leaf_problem
from novita_mcp.novita.files.kinds import MEDIA_TYPES
from novita_mcp.novita.media import lookup
from novita_mcp.novita.media.catalogue import Catalog, doubtful, shipped
from novita_mcp.novita.media.lookup import (
    Capability,
    MediaModel,
    able,
    able_to,
    alternatives,
    chain,
    choose,
    complaints,
    media_model,
    media_models,
    not_models,
)
from novita_mcp.novita.media.mapping import plan

from .documented import Json, answer_schemas, operations, request_schema

every_model = pytest.mark.parametrize("model", media_models(), ids=lambda model: model.id)


# Complete and true ------------------------------------------------------------------------------------------------


def test_every_documented_operation_is_a_model_or_listed_with_a_reason() -> None:
    models = {model.operation for model in media_models()}
    assert models | set(not_models()) == set(operations())
    assert not models & set(not_models())
    assert all(not_models().values())


def test_ids_are_unique_in_every_spelling() -> None:
    assert len({model.id.casefold() for model in media_models()}) == len(media_models())
    for model in media_models():
        assert media_model(model.id) is model


@every_model
def test_an_entry_repeats_the_documented_route(model: MediaModel) -> None:
    facts = operations()[model.operation]
    assert (model.method, model.path, model.mode) == (facts["method"], facts["path"], facts["task"])
    assert (model.encoding == "multipart") == (next(iter(facts["request"])) == "multipart/form-data")
    assert ("retired" in facts and model.state != "retired") is False
    assert model.source and model.checked


PROSE = ("description", "x-recommended")


_OPEN = {"x-known-values": "examples"}
"""The facts' word for the values of an open list, and JSON schema's."""


def bare(schema: Any) -> Any:
    if isinstance(schema, list):
        return [bare(item) for item in schema]  # pyright: ignore[reportUnknownVariableType]
    if not isinstance(schema, dict):
        return schema
    node = cast("Json", schema)
    return {
        _OPEN.get(key, key): {name: bare(part) for name, part in value.items()} if key == "properties" else bare(value)
        for key, value in node.items()
        if key not in PROSE
    }


@every_model
def test_the_input_of_an_entry_is_the_documented_body(model: MediaModel) -> None:
    assert bare(model.input) == bare(request_schema(model.operation))


@every_model
def test_an_entry_names_only_fields_its_input_has(model: MediaModel) -> None:
    named = [path for argument in model.arguments.values() for path in (*argument.paths, *argument.also)]
    named += [path for rule in model.rules for path in (*rule.when, *rule.need)]
    named += [path for row in model.price for path in (*row.when, *row.times) if not path.startswith("@")]
    named += list(model.constants)
    named += [part.type_in for part in model.answer if part.type_in]
    if model.input.get("additionalProperties") is not True:
        assert [path for path in named if model.field(path) is None] == []
    for name, argument in model.arguments.items():
        assert argument.paths or (argument.as_ in ("ratio", "resolution") and "size" in model.arguments), name


@every_model
def test_constants_and_rows_of_values_are_legal(model: MediaModel) -> None:
    for path, value in model.constants.items():
        assert leaf_problem(model.field(path) or {}, value) is None, path
    for argument in model.arguments.values():
        for value in argument.values.values():
            assert leaf_problem(model.field(argument.paths[0]) or {}, value) is None
        for path, value in argument.also.items():
            assert leaf_problem(model.field(path) or {}, value) is None


@every_model
def test_limits_name_file_types_we_can_tell(model: MediaModel) -> None:
    for name in model.media_arguments():
        limits = model.arguments[name].limits
        assert set(limits.formats if limits else ()) <= set(MEDIA_TYPES)


def values_at(schema: Json, path: str) -> bool:
    """Whether a documented answer has a field at a path."""
    for step in path.replace("[]", ".[]").split("."):
        schema = schema.get("items", {}) if step == "[]" else schema.get("properties", {}).get(step)  # type: ignore[assignment]
        if not schema:
            return False
    return True


# The documented answer names no field for the file: what stands there is upstream practice.
UNDOCUMENTED_ANSWERS = {"minimax-music"}


@every_model
def test_a_file_is_looked_for_where_the_documented_answer_has_it(model: MediaModel) -> None:
    answers = answer_schemas(model.operation)
    if model.mode == "async":
        form = "task_v2" if model.path.startswith("/v2/") else "task"
        assert [part.form for part in model.answer] == [form]
        return
    documented = answers.get("application/json")
    if documented is None:
        assert [part.form for part in model.answer] == ["bytes"]
        assert all(kind.startswith("audio/") for kind in answers)
    else:
        top = {part.at for part in model.answer if values_at(documented, part.at.removesuffix("[]"))}
        assert top, f"none of {[part.at for part in model.answer]} is documented"
    assert all(part.kind for part in model.answer)


@every_model
def test_a_model_makes_what_the_documentation_says(model: MediaModel) -> None:
    documented = operations()[model.operation]["artifact"]
    assert model.makes == documented or model.makes == "voice"


def test_only_what_the_pages_document_has_a_webhook() -> None:
    """Documented on four image pages, four video pages, txt2speech and the unified endpoint."""
    assert {model.id for model in media_models() if "webhook_url" in model.arguments} == {
        *("txt2img", "img2img", "inpainting", "upscale"),
        *("txt2video", "img2video", "wan-t2v", "wan-i2v"),
        *("txt2speech", "unified-video"),
    }


# Picking ----------------------------------------------------------------------------------------------------------


NOTICED = {
    *("glm-tts", "glm-asr", "glm-tts-voice-clone", "glm-image", "hunyuan-image-3"),  # 7 July 2026
    *("upscale", "remove-background", "replace-background", "inpainting", "remove-text", "cleanup", "img2prompt"),
    *("kling-2.5-turbo-t2v", "kling-2.5-turbo-i2v", "kling-o1-t2v", "kling-o1-i2v", "kling-o1-ref2v"),
    *("kling-o1-video-edit", "kling-v2.6-pro-t2v", "kling-v2.6-pro-i2v", "kling-v2.6-pro-motion-control"),
    *("pixverse-v4.5-t2v", "pixverse-v4.5-i2v", "vidu-q2-text2video", "vidu-q2-reference2video"),
    *("vidu-q2-pro-img2video", "vidu-q2-turbo-img2video", "vidu-q2-pro-multiframe", "vidu-q2-turbo-multiframe"),
    *("vidu-q3-pro-t2v", "vidu-q3-pro-i2v", "vidu-q3-turbo-t2v", "vidu-q3-turbo-i2v", "vidu-q3-turbo-f2v"),  # 22 July
    *("flux-1-kontext-dev", "flux-1-kontext-pro", "flux-1-kontext-max", "flux-2-dev", "flux-2-flex", "flux-2-pro"),
    *("z-image-turbo", "z-image-turbo-lora", "image-eraser", "image-upscaler", "image-remove-background"),
    *("wan-t2v", "wan-i2v", "wan-2.2-t2v", "wan-2.2-i2v", "seedance-v1.5-pro-t2v", "seedance-v1.5-pro-i2v"),
    "minimax-speech-2.6-hd",  # 19 August
    *("qwen-image-txt2img", "qwen-image-edit", "wan-2.5-t2v-preview", "wan-2.5-i2v-preview", "wan2.6-t2v"),
    *("wan2.6-i2v", "wan2.6-v2v", "wan2.7-t2v", "wan2.7-i2v", "minimax-hailuo-2.3-t2v", "minimax-music"),
    *("minimax-music-lyrics", "moss-tts"),  # 30 September
}
"""What Novita's four notices of summer 2026 switch off, typed again from them."""


def test_what_the_notices_name_is_retired() -> None:
    assert {name for name in NOTICED if media_model(name).state != "retired"} == set()
    assert {name for name in NOTICED if not media_model(name).life.date.startswith("2026-")} == set()


def test_a_chain_holds_living_models_that_have_the_capability() -> None:
    for capability in Capability:
        for model in chain(capability):
            assert capability in model.does, (capability, model.id)
            assert model.live, (capability, model.id)
        assert not {model.id for model in chain(capability)} & {model.id for model in doubtful(capability)}
        assert {m.id for m in chain(capability)} == {m.id for m in media_models() if m.live and capability in m.does}


def test_a_chain_goes_by_the_evidence_of_life() -> None:
    for capability in Capability:
        sure = [model.life.confidence for model in chain(capability) if model.state == "live"]
        assert sure == sorted(sure, key=("high", "medium", "low").index), capability
        assert [m.state for m in chain(capability)] == sorted(m.state for m in chain(capability)), capability


@pytest.mark.parametrize("capability", Capability)
def test_nothing_begins_with_what_is_gone_while_something_lives(capability: Capability) -> None:
    base = shipped()
    living = {model.id for model in base.models if model.state in ("live", "unlisted") and capability in model.does}
    assert set(base.chains[capability]) <= living, "as it is carried"
    gone = [model.id for model in base.models if model.id not in living and capability in model.does]
    turned = Catalog(base.models, {**base.chains, capability: (*gone, *base.chains[capability])})
    assert turned.living[capability] == chain(capability), "and were it carried otherwise"
    if not living:
        # "unknown" is less doubtful than "retired", a medium confidence that it went less than a high one.
        assert doubtful(capability)[0].doubt == min(model.doubt for model in doubtful(capability))


def test_every_model_says_its_state_with_a_date_and_the_evidence() -> None:
    for model in media_models():
        assert model.life.evidence or model.life.note, model.id
        assert model.life.date or model.id.endswith("-v2"), model.id
        if model.life.replacement:
            assert model.life.replacement != model.id
        assert model.state_note


@pytest.mark.parametrize(
    ("name", "id_"),
    [
        ("QWEN-Image-txt2img", "qwen-image-txt2img"),
        ("qwen_image_txt2img", "qwen-image-txt2img"),
        ("seedream-4-0", "seedream-4.0"),
        ("flux-schnell", "flux-1-schnell"),
        ("minimax_speech_2_8_hd", "minimax-speech-2.8-hd"),
        ("minimax_speech_2_8_hd_async", "minimax-speech-2.8-hd-async"),
        ("speech-2.8-turbo", "minimax-speech-2.8-turbo"),
    ],
)
def test_a_model_is_found_by_id_operation_or_alias(name: str, id_: str) -> None:
    assert media_model(name).id == id_


def test_an_unknown_model_is_answered_with_the_nearest_ones() -> None:
    with pytest.raises(UnknownModelError, match=r"seedream-4\.5"):
        media_model("seedrem-4.5")


def test_a_misspelt_name_of_what_is_gone_is_answered_with_what_lives() -> None:
    for gone in (model for model in media_models() if model.state == "retired" and alternatives(model)):
        with pytest.raises(UnknownModelError) as unknown:
            media_model(f"{gone.id}x")
        named = [
            model for model in media_models() if re.search(rf"\b{re.escape(model.id)}[,. ]", unknown.value.next_step)
        ]
        assert named
        assert all(model.live for model in named), unknown.value.next_step


@pytest.mark.parametrize("capability", Capability)
def test_no_refusal_names_what_is_gone_while_something_lives(capability: Capability) -> None:
    with pytest.raises(InputError) as refusal:
        choose(capability, {"prompt": "x", "duration": 7777, "size": "3x3"})
    named = [model for model in media_models() if re.search(rf"\b{re.escape(model.id)}[,:]", refusal.value.next_step)]
    assert named
    assert all(model.live for model in named) or not chain(capability)


def test_a_route_that_is_no_model_is_explained() -> None:
    with pytest.raises(UnknownModelError, match="video-merge-face"):
        media_model("upload_video_asset")


@pytest.mark.parametrize(
    ("arguments", "id_"),
    [
        ({}, "ming-image-0.1-design"),
        ({"aspect_ratio": "16:9"}, "ming-image-0.1-design"),
        ({"size": "1024x1024"}, "ming-image-0.1-design"),
        ({"size": "1536x1024"}, "seedream-4.0"),  # of Ming it would be no more than a shape
        ({"seed": 7}, "flux-1-schnell"),
        ({"seed": -1}, "ming-image-0.1-design"),
        ({"count": 1}, "ming-image-0.1-design"),
        ({"count": 3}, "flux-1-schnell"),
        ({"size": "4096x4096"}, "seedream-4.5"),
        ({"negative_prompt": "text", "checkpoint": "some.safetensors"}, "txt2img"),
    ],
)
def test_the_default_follows_the_arguments(arguments: dict[str, object], id_: str) -> None:
    assert choose(Capability.TEXT_TO_IMAGE, {"prompt": "a fox", **arguments}).id == id_


def test_a_file_that_is_only_here_goes_to_a_model_that_takes_files() -> None:
    arguments = {"prompt": "it runs", "image": "fox.png"}
    assert choose("image_to_video", arguments).id == "kling-v3.0-std-i2v"
    here = choose("image_to_video", arguments, forms={"image": ("data_uri", "base64")})
    assert {"data_uri", "base64"} & set(here.arguments["image"].send)


def test_a_rule_of_a_model_counts_when_one_is_picked() -> None:
    """Hailuo makes 1080P for 6 s only; whoever asks for 10 s gets another model."""
    order = ("minimax-hailuo-02", "seedance-v1-lite-t2v")
    six = choose("text_to_video", {"prompt": "x", "resolution": "1080p", "duration": 6}, preferred=order)
    ten = choose("text_to_video", {"prompt": "x", "resolution": "1080p", "duration": 10}, preferred=order)
    assert (six.id, ten.id) == order


def test_a_model_that_would_miss_something_is_passed_over() -> None:
    """txt2img needs a checkpoint; it is taken only by those who bring one."""
    order = ("txt2img", "qwen-image-txt2img")
    assert choose("text_to_image", {"prompt": "x"}, preferred=order).id == "qwen-image-txt2img"
    assert choose("text_to_image", {"prompt": "x", "checkpoint": "y"}, preferred=order).id == "txt2img"


def test_the_first_that_can_is_taken_without_a_look_at_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[str] = []

    def noted(model: MediaModel, *arguments: Any, **more: Any) -> dict[str, str]:
        looked.append(model.id)
        return complaints(model, *arguments, **more)

    monkeypatch.setattr(lookup, "complaints", noted)
    chosen = choose("text_to_image", {"prompt": "a fox"})
    assert looked == [chosen.id]
    assert len(able_to([Capability.TEXT_TO_IMAGE])) > 5


def test_a_fixed_property_can_be_asked_for_but_not_changed() -> None:
    video_01 = media_model("minimax-video-01")
    assert able(video_01, {"prompt": "x", "duration": 6, "resolution": "720P", "fps": 25}) == []
    assert able(video_01, {"prompt": "x", "duration": 10, "sound": True}) == ["duration", "sound"]


def test_nothing_retired_or_unconfirmed_is_picked_or_offered_unasked() -> None:
    for model in media_models():
        assert all(other.live for other in alternatives(model, 50))
    picked = choose("extend_video", {"video": "https://files.example/a.mp4"}, preferred=("wan2.7-i2v",))
    assert picked.state == "retired"  # named, and the only one
    with pytest.raises(InputError):
        choose("extend_video", {"video": "https://files.example/a.mp4"}, preferred=())


def test_a_retired_model_has_living_alternatives() -> None:
    others = alternatives(media_model("wan2.6-t2v"))
    assert len(others) == 3
    assert all(Capability.TEXT_TO_VIDEO in other.does for other in others)


def test_what_no_model_can_do_is_explained_on_the_nearest() -> None:
    with pytest.raises(InputError, match=r"kling-v3\.0-std-t2v.*: `duration` must be 3 to 15"):
        choose("text_to_video", {"prompt": "x", "duration": 600})


# Documented --------------------------------------------------------------------------------------------------------

ROOT = Path(__file__).resolve().parents[3]


def test_the_entry_in_the_guide_needs_no_code() -> None:
    """docs/models.md: a model is one entry."""
    page = (ROOT / "docs" / "models.md").read_text(encoding="utf-8")
    entry = MediaModel.model_validate_json(page.partition("```json")[2].partition("```")[0])
    made = plan(entry, {"prompt": "a fox", "aspect_ratio": "3:2", "count": 3, "seed": 4})
    assert made.body == {
        "prompt": "a fox",
        "size": "1248*832",
        "parameters": {"n": 3, "seed": 4, "watermark": False},
    }
    assert made.estimate.usd == Decimal("0.06")
    assert able(entry, {"negative_prompt": "text"}) == ["negative_prompt"]


def test_the_table_of_operations_is_fresh() -> None:
    script = ROOT / "scripts" / "media_table.py"
    done = subprocess.run([sys.executable, script, "--check"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr


# Cheap ------------------------------------------------------------------------------------------------------------


def test_importing_reads_no_table_and_loads_no_schema_library() -> None:
    code = (
        "import sys; seen = []\n"
        "sys.addaudithook(lambda event, args: seen.append(str(args[0])) if event == 'open' else None)\n"
        "import novita_mcp.novita.media.lookup, novita_mcp.novita.media.mapping, novita_mcp.novita.media.pricing\n"
        "print([name for name in seen if name.endswith('.json')], 'jsonschema' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "[] False"

"""What a call will cost: exact, with its source, and honest where nobody knows."""

from collections.abc import Mapping
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from novita_mcp.novita.core.costs import Caps, Cost, Family, ceiling
from novita_mcp.novita.core.schema_errors import leaf_problem
from novita_mcp.novita.media.catalog_entry import MediaModel
from novita_mcp.novita.media.lookup import media_model, media_models
from novita_mcp.novita.media.mapping import plan, price_of
from novita_mcp.novita.media.price_rows import price_line
from novita_mcp.novita.media.pricing import LONGEST_MADE, estimate
from novita_mcp.tools.kit.asking import price_words

few = settings(derandomize=True, deadline=None, max_examples=40, database=None)


def price(model: str, arguments: dict[str, object], options: dict[str, Any] | None = None) -> Cost:
    return plan(media_model(model), arguments, options).estimate


TEXT: dict[str, object] = {"prompt": "x"}
FRAME = {"image": "https://files.example/a.png", "prompt": "x"}


@pytest.mark.parametrize(
    ("model", "arguments", "options", "usd", "basis"),
    [
        ("flux-1-schnell", TEXT, {}, "0.003", "documented"),
        ("flux-1-schnell", {**TEXT, "count": 3, "size": "512x512"}, {"steps": 8}, "0.0045", "documented"),
        ("kling-v3.0-std-t2v", TEXT, {}, "0.42", "documented"),
        ("kling-v3.0-std-t2v", {**TEXT, "duration": 10, "sound": True}, {}, "1.26", "documented"),
        ("kling-v3.0-std-i2v", FRAME, {}, "0.42", "documented"),
        ("kling-v3.0-pro-i2v", {**FRAME, "duration": 15, "sound": True}, {}, "2.52", "documented"),
        ("kling-v3.0-4k-t2v", {**TEXT, "duration": 15, "sound": True}, {}, "9.45", "third_party"),
        ("kling-v2.1-t2v-master", {**TEXT, "duration": 10}, {}, "2.34", "documented"),
        ("kling-v2.6-pro-t2v", TEXT, {}, "0.70", "maker"),  # sound is on unless told otherwise
        ("kling-2.5-turbo-t2v", TEXT, {}, "0.35", "documented"),
        ("wan2.6-t2v", {**TEXT, "duration": 15}, {}, "2.1435", "third_party"),  # 1080P unless told otherwise
        ("wan2.6-v2v", {**TEXT, "video": "https://files.example/a.mp4"}, {}, "2.25", "maker"),  # input and output
        ("wan2.7-r2v", {**TEXT, "images": ["https://files.example/a.png"]}, {}, "0.7145", "third_party"),  # no clip
        ("flux-2-pro", {**TEXT, "size": "1024x1024"}, {}, "0.03", "maker"),
        ("flux-2-pro", {**TEXT, "size": "1536x1024"}, {}, "0.045", "maker"),  # a second megapixel
        ("flux-2-pro", {**FRAME, "size": "1024x1024"}, {}, "0.045", "maker"),  # to edit is dearer
        ("seedance-v1.5-pro-t2v", {**TEXT, "duration": 4}, {}, "0.208", "documented"),
        ("seedance-v1.5-pro-t2v", {**TEXT, "duration": 4}, {"service_tier": "flex"}, "0.104", "documented"),
        ("seedance-v1-lite-t2v", TEXT, {"resolution": "1080p"}, "0.44", "maker"),
        ("seedream-5.0-lite", TEXT, {}, "0.035", "third_party"),
        ("seedream-5.0-lite", TEXT, {"sequential_image_generation": "auto"}, "0.525", "third_party"),
        (
            "seedream-4.0",
            TEXT,
            {"sequential_image_generation": "auto", "max_images": 4},
            "0.12",
            "maker",
        ),
        ("minimax-speech-2.8-hd", {"text": "x" * 500}, {}, "0.05", "documented"),
        ("minimax-speech-2.8-turbo-async", {"text": "x" * 50_000}, {}, "3", "documented"),
        ("fish-audio-text-to-speech", {"text": "x" * 1000}, {}, "0.015", "documented"),
        ("fish-audio-text-to-speech", {"text": "狐" * 1000}, {}, "0.045", "documented"),  # its maker counts bytes
        ("minimax-voice-design", {"prompt": "calm", "text": "hello"}, {}, "3", "maker"),
        ("qwen-image-edit", {"prompt": "x", "image": "AA=="}, {}, "0.045", "maker"),
        ("vidu-2.0-img2video", {"image": "https://files.example/a.png"}, {}, "0.5", "maker"),  # at its dearest size
    ],
)
def test_a_listed_price_is_reckoned_exactly(
    model: str, arguments: dict[str, object], options: dict[str, Any], usd: str, basis: str
) -> None:
    found = price(model, arguments, options)
    assert (found.usd, found.basis) == (Decimal(usd), basis)
    assert ("Novita's may differ" in found.note) is (basis != "documented")
    assert Caps().counted(found) == Decimal(usd) * (1 if basis == "documented" else Decimal("1.5"))


def test_what_is_not_novitas_price_is_never_told_as_such() -> None:
    kling, seedream = price("kling-v3.0-std-t2v", TEXT), price("seedream-4.0", TEXT)
    assert price_words(kling, Caps().counted(kling)).startswith("It costs $0.42: ")
    said = price_words(seedream, Caps().counted(seedream))
    assert said.startswith("It costs about $0.03 (the maker's price; Novita's may differ), counted as $0.045: ")
    assert price_line(media_model("seedream-4.0")) == ("about $0.03 per image (the maker's price; Novita's may differ)")
    assert price_line(media_model("kling-v3.0-std-t2v")) == (
        "$0.084 per second with sound false; $0.126 per second with sound true"
    )
    assert price_line(media_model("flux-1-schnell")) == "$0.0030 per image at 1024x1024, 4 steps"
    for model in media_models():
        if model.price and model.price[0].basis != "documented":
            assert price_line(model).startswith("about $"), model.id
            assert "Novita's may differ" in price_line(model), model.id
        assert "at most" not in price_line(model)


def test_pictures_of_a_series_are_told_one_by_one() -> None:
    found = price("seedream-5.0-lite", TEXT, {"sequential_image_generation": "auto"})
    assert found.note.startswith("15 x $0.035 per image, ")


def test_how_long_a_motion_becomes_is_counted_at_its_longest() -> None:
    """dear_calls of the price facts: pro, 30 s of reference, 5.04 USD."""
    motion: dict[str, object] = {"image": "https://files.example/a.png", "video": "https://files.example/a.mp4"}
    for orientation, tier, usd in (("video", "pro", "5.04"), ("video", "std", "3.78"), ("image", "std", "0.63")):
        options = {"character_orientation": orientation, "model_name": f"kling-v3-0-{tier}"}
        assert price("kling-v3.0-motion-control", motion, options).usd == Decimal(usd)


def test_a_voice_is_paid_for_with_the_sample_it_says() -> None:
    cloned: dict[str, object] = {"audio": "https://files.example/a.mp3"}
    assert price("minimax-voice-cloning", cloned).usd == Decimal("1.41")
    assert price("minimax-voice-cloning", {**cloned, "text": "x" * 1000}).usd == Decimal("1.51")


def test_that_a_maker_takes_nothing_is_no_price() -> None:
    found = price("fish-audio-voice-cloning", {"audio": "AA==", "name": "Fox"})
    assert (found.usd, found.basis) == (Decimal("0.10"), "third_party")


def test_an_unlisted_price_is_unknown() -> None:
    found = price("moss-tts", {"text": "x"})
    assert (found.usd, found.basis) == (None, "unknown")
    assert "moss-tts" in found.note


def test_what_has_no_price_still_counts_how_many_it_buys() -> None:
    unpriced = media_model("flux-1-kontext-dev").model_copy(update={"price": ()})
    assert plan(unpriced, {"prompt": "x", "count": 3}).estimate.things == 3
    assert price("hunyuan-image-3", {"prompt": "x"}).things == 1


def test_frames_that_nobody_has_counted_are_those_of_half_a_minute() -> None:
    found = price("video-merge-face", {"image": "AA==", "video": "asset-1"})
    assert (found.usd, found.basis) == (Decimal("0.45"), "documented")
    assert "for a clip of 30 s, since its length is not known" in found.note
    clip = estimate(
        media_model("video-merge-face"), {"request": {"video_assets_id": "asset-1"}}, lengths={"asset-1": 10}
    )
    assert clip.usd == Decimal("0.15")


CLIP = "https://files.example/a.mp4"
PORTRAIT: dict[str, object] = {"image": "https://files.example/a.png", "video": CLIP}


@pytest.mark.parametrize(
    ("model", "arguments", "options", "seconds", "usd"),
    [
        ("kling-v3.0-motion-control", PORTRAIT, {}, 4.02, "0.504"),
        ("kling-v3.0-motion-control", PORTRAIT, {}, 4.3, "0.63"),  # a second that has begun
        ("kling-v3.0-motion-control", PORTRAIT, {"character_orientation": "image"}, 12, "0.63"),
        ("kling-v2.6-pro-motion-control", PORTRAIT, {}, 8, "0.896"),
        ("kling-o1-video-edit", {**TEXT, "video": CLIP}, {}, 5, "0.84"),
        # Charged by the request: 5 s in, and 10 s where no length is asked for.
        ("wan2.7-videoedit", {**TEXT, "video": CLIP}, {}, 5, "2.1435"),
        ("wan2.7-videoedit", {**TEXT, "video": CLIP}, {"duration": 2}, 5, "1.0003"),
        ("wan2.6-v2v", {**TEXT, "video": CLIP}, {}, 3, "1.2"),
        ("heygen-video-translate", {"video": CLIP, "language": "French"}, {}, 90, "6.003"),
    ],
)
def test_a_clip_is_counted_as_long_as_it_is(
    model: str, arguments: dict[str, object], options: dict[str, Any], seconds: float, usd: str
) -> None:
    entry = media_model(model)
    made = plan(entry, arguments, options, lengths={CLIP: seconds})
    assert made.estimate.usd == Decimal(usd), made.estimate.note
    assert "not known" not in made.estimate.note
    longest = plan(entry, arguments, options).estimate
    assert longest.usd is not None
    assert longest.usd >= Decimal(usd)


def test_several_clips_are_counted_each() -> None:
    body = {"input": {"prompt": "x", "reference_urls": ["a", "b"]}, "parameters": {"duration": 5}}
    known = estimate(media_model("wan2.6-v2v"), body, lengths={"a": 3, "b": 4})
    assert known.usd == Decimal("0.15") * (5 + 3 + 4)
    assert estimate(media_model("wan2.6-v2v"), body, lengths={"a": 3}).usd == Decimal("0.15") * (5 + 3 + 10)


def test_parts_in_a_row_are_counted_together() -> None:
    frames = [{"key_image": "x", "duration": 2}, {"key_image": "y"}]
    found = estimate(media_model("vidu-q2-pro-multiframe"), {"start_image": "z", "image_settings": frames})
    assert found.usd == Decimal("0.04908") * 7


def test_no_video_counts_as_longer_than_any_that_is_made() -> None:
    """A clip of which nobody knows anything counts sixteen seconds of its kind, one made from a clip thirty."""
    longest = [
        int(number)
        for model in media_models()
        if model.makes == "video" and "duration" in model.arguments and "video" not in model.arguments
        for path in model.arguments["duration"].paths
        for number in [*(model.field(path) or {}).get("enum", ()), (model.field(path) or {}).get("maximum", 0)]
    ]
    assert max(longest) == LONGEST_MADE
    for model in media_models():
        counted = Caps().counted(estimate(model, {}))
        assert model.makes != "video" or model.id == "heygen-video-translate" or counted <= Decimal("10.08"), model.id


def test_a_price_per_unit_nobody_can_count_beforehand_is_told_as_such() -> None:
    found = price("glm-asr", {"audio": "AA=="})
    assert (found.usd, found.basis) == (None, "third_party")
    assert "$0.021 per 1M tokens" in found.note


@few
@given(width=st.integers(64, 2048), height=st.integers(64, 2048), steps=st.integers(1, 100), count=st.integers(1, 8))
def test_the_flux_formula_is_exact(width: int, height: int, steps: int, count: int) -> None:
    """Novita's page: 0.003 * (width * height * steps) / (1024 * 1024 * 4) USD per image."""
    body = {"width": width, "height": height, "steps": steps, "image_num": count}
    usd = estimate(media_model("flux-1-schnell"), body).usd
    assert usd is not None
    assert usd * 1024 * 1024 * 4 == Decimal("0.003") * width * height * steps * count


@few
@given(width=st.integers(128, 2048), height=st.integers(128, 2048), steps=st.integers(1, 100), count=st.integers(1, 8))
def test_the_classic_formulas_are_exact(width: int, height: int, steps: int, count: int) -> None:
    """Novita's own calculator: max(round(width*height*steps*1.44e-6)/10000, 0.001) USD per image, and its like."""

    def each(factor: str, last: int, least: str) -> Decimal:
        whole = (Decimal(factor) * width * height * last).quantize(Decimal(1), ROUND_HALF_UP)
        return max(whole / 10_000, Decimal(least))

    sides = {"width": width, "height": height, "steps": steps, "image_num": count}
    assert estimate(media_model("txt2img"), {"request": sides}).usd == each("1.44e-6", steps, "0.001") * count
    assert estimate(media_model("img2img"), {"request": sides}).usd == each("1.44e-6", steps, "0.001") * count
    masked = {"request": {"steps": steps, "image_num": count}}
    painted = estimate(media_model("inpainting"), masked, picture=(width, height))
    assert painted.usd == each("4e-6", steps, "0.0015") * count
    larger = {"request": {"scale_factor": 2}}
    assert estimate(media_model("upscale"), larger, picture=(width, height)).usd == each("4e-5", 2, "0.0015")
    assert estimate(media_model("upscale"), larger).usd is None  # of a picture whose size nobody knows
    clip = {"prompts": [{"frames": 16, "prompt": "x"}, {"frames": 16, "prompt": "y"}], "steps": steps}
    assert estimate(media_model("txt2video"), clip).usd == max(Decimal("4.8e-5") * 32 * steps, Decimal("0.0015"))


def test_scores_of_what_is_indecent_cost_extra() -> None:
    request = {"width": 1024, "height": 1024, "steps": 20, "image_num": 2}
    body = {"request": request, "extra": {"enable_nsfw_detection": True}}
    assert estimate(media_model("txt2img"), body).usd == Decimal("0.009")


def test_every_price_is_a_decimal_with_a_source_and_holds_for_values_the_model_takes() -> None:
    rows = [(model, row) for model in media_models() for row in model.price]
    assert len(rows) > 250
    for model, row in rows:
        assert Decimal(row.usd) >= 0, model.id
        assert row.source, model.id
        assert row.seen, model.id
        for path, values in row.when.items():
            if model.id == "unified-video":
                continue  # its fields depend on the model it is told
            assert model.field(path) is not None, (model.id, path)
            if isinstance(values, bool):
                continue
            assert [value for value in values if leaf_problem(model.field(path) or {}, value)] == [], model.id
        for path in row.times:
            assert path.startswith("@") or model.field(path) is not None, (model.id, path)


FAMILY_OF: Mapping[str, tuple[Family, int]] = {
    "image": ("picture", 1),
    "megapixel": ("picture", 1),
    "second": ("second_of_video", 1),
    "1M_characters": ("thousand_characters", 1_000),
    "voice": ("voice", 1),
    "song": ("minute_of_sound", 1),
}
"""Units of prices, and how many of a family's unit they are."""


def test_no_price_that_was_seen_is_above_the_ceiling_of_its_kind() -> None:
    seen: set[str] = set()
    for model in media_models():
        for row in model.price:
            if row.per in FAMILY_OF and not row.times:
                family, units = FAMILY_OF[row.per]
                assert Decimal(row.usd) / units <= ceiling(family), (model.id, row.words)
                seen.add(family)
    assert seen == {family for family, _ in FAMILY_OF.values()}


def _usual(model: MediaModel) -> dict[str, object]:
    """What everybody gives, without files."""
    given: dict[str, object] = {"prompt": "a fox", "text": "The fox is quick."}
    return {name: value for name, value in given.items() if name in model.arguments}


def test_hardly_anything_that_lives_is_estimated_as_unknown() -> None:
    living = [model for model in media_models() if model.live]
    unknown = [model.id for model in living if price_of(model, _usual(model)).usd is None]
    assert len(living) > 45
    assert len(unknown) < 0.05 * len(living), unknown

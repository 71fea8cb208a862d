"""What a call will cost: exact, with its source, and honest where nobody knows."""

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from novita_mcp.novita.core.costs import Cost
from novita_mcp.novita.media.lookup import media_model, media_models
from novita_mcp.novita.media.mapping import plan
from novita_mcp.novita.media.pricing import estimate

few = settings(derandomize=True, deadline=None, max_examples=40, database=None)


def price(model: str, arguments: dict[str, object], options: dict[str, Any] | None = None) -> Cost:
    return plan(media_model(model), arguments, options).estimate


@pytest.mark.parametrize(
    ("model", "arguments", "options", "usd", "basis"),
    [
        ("flux-1-schnell", {"prompt": "x"}, {}, "0.003", "documented"),
        ("flux-1-schnell", {"prompt": "x", "count": 3, "size": "512x512"}, {"steps": 8}, "0.0045", "documented"),
        ("kling-v3.0-std-t2v", {"prompt": "x"}, {}, "0.42", "third_party"),
        ("kling-v3.0-std-t2v", {"prompt": "x", "duration": 10, "sound": True}, {}, "1.26", "third_party"),
        ("kling-v2.1-t2v-master", {"prompt": "x", "duration": 10}, {}, "2.34", "third_party"),
        ("kling-2.5-turbo-t2v", {"prompt": "x"}, {}, "0.35", "third_party"),
        ("seedance-v1.5-pro-t2v", {"prompt": "x", "duration": 4}, {}, "0.208", "third_party"),
        ("seedance-v1.5-pro-t2v", {"prompt": "x", "duration": 4}, {"service_tier": "flex"}, "0.104", "third_party"),
        ("minimax-speech-2.8-hd", {"text": "x" * 500}, {}, "0.05", "third_party"),
        ("fish-audio-text-to-speech", {"text": "x" * 1000}, {}, "0.015", "third_party"),
        ("qwen-image-edit", {"prompt": "x", "image": "AA=="}, {}, "0.02", "third_party"),
    ],
)
def test_a_listed_price_is_reckoned_exactly(
    model: str, arguments: dict[str, object], options: dict[str, Any], usd: str, basis: str
) -> None:
    found = price(model, arguments, options)
    assert (found.usd, found.basis) == (Decimal(usd), basis)
    assert "documentation" in found.note if basis == "documented" else "third party" in found.note


def test_an_unlisted_price_is_unknown() -> None:
    found = price("qwen-image-txt2img", {"prompt": "x"})
    assert (found.usd, found.basis) == (None, "unknown")
    assert "qwen-image-txt2img" in found.note


def test_what_has_no_price_still_counts_how_many_it_buys() -> None:
    assert price("flux-1-kontext-dev", {"prompt": "x", "count": 3}).things == 3
    assert price("qwen-image-txt2img", {"prompt": "x"}).things == 1


def test_a_price_per_unit_nobody_can_count_beforehand_is_told_as_such() -> None:
    found = price("video-merge-face", {"image": "AA==", "video": "asset-1"})
    assert (found.usd, found.basis) == (None, "documented")
    assert "0.0005 USD per frame" in found.note


def test_a_known_surcharge_is_told_where_the_price_is_not() -> None:
    found = price("txt2img", {"prompt": "x", "checkpoint": "y"}, {"enable_nsfw_detection": True})
    assert found.usd is None
    assert "0.0015 USD per image on top" in found.note


@few
@given(width=st.integers(64, 2048), height=st.integers(64, 2048), steps=st.integers(1, 100), count=st.integers(1, 8))
def test_the_flux_formula_is_exact(width: int, height: int, steps: int, count: int) -> None:
    """Novita's page: 0.003 * (width * height * steps) / (1024 * 1024 * 4) USD per image."""
    body = {"width": width, "height": height, "steps": steps, "image_num": count}
    usd = estimate(media_model("flux-1-schnell"), body).usd
    assert usd is not None
    assert usd * 1024 * 1024 * 4 == Decimal("0.003") * width * height * steps * count


def test_every_price_is_a_decimal_with_a_source() -> None:
    rows = [(model.id, row) for model in media_models() for row in model.price]
    assert len(rows) > 30
    for id_, row in rows:
        assert Decimal(row.usd) > 0, id_
        assert row.basis in ("documented", "third_party")

"""Language models: every spelling of the live list, prices, the choice of a model, and what a request may hold."""

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from novita_mcp.novita.core.errors import InputError, UnknownModelError
from novita_mcp.novita.text.chat_messages import conversation, media_kinds
from novita_mcp.novita.text.language_models import DEFAULT_MODELS, choose_model, count_tokens, find_model, read_model
from novita_mcp.novita.text.request_checks import check_schema, native_tools, parse_answer, with_options
from novita_mcp.simulator.text import tokens
from novita_mcp.simulator.text.language_models import models as simulated

LISTED = [read_model(model.listing()) for model in simulated().values()]


def test_prices_are_read_from_the_decimal_text_else_from_the_count_of_ten_thousandths() -> None:
    told = read_model({"id": "a/b", "pricing": {"prompt": {"price_per_m": 2690, "price_per_m_decimal": "0.2690"}}})
    counted = read_model({"id": "a/b", "input_token_price_per_m": 2690, "output_token_price_per_m": 4000})
    assert told.bands[0].input == counted.bands[0].input == Decimal("0.269")
    assert counted.price(1_000_000, 500_000) == Decimal("0.469")
    assert read_model({"id": "a/b"}).price(10, 10) is None


def test_a_tiered_model_costs_by_the_length_of_its_prompt_and_cached_tokens_less() -> None:
    tiered = find_model(LISTED, "qwen/qwen3-max")
    assert tiered.price(1_000, 0) == Decimal("0.000845")
    assert tiered.price(40_000, 0) == Decimal("0.056")
    cached = find_model(LISTED, "deepseek/deepseek-v3.2")
    whole, half = cached.price(1_000, 0), cached.price(1_000, 0, 500)
    assert whole is not None
    assert half is not None
    assert half < whole


@pytest.mark.parametrize("model", LISTED, ids=lambda model: model.id)
def test_our_price_is_the_one_that_is_charged(model: Any) -> None:
    own = simulated()[model.id]
    paid_in, paid_out = own.prices(5_000)
    price = model.price(5_000, 700)
    assert price is not None
    assert abs(price * 1_000_000 - tokens.cost((5_000, paid_in), (700, paid_out))) < 1


@pytest.mark.parametrize("row", [{}, {"id": None}, {"pricing": 3}, {"features": "x"}, {"context_size": "big"}])
def test_a_row_in_disorder_is_still_a_row(row: dict[str, Any]) -> None:
    assert read_model({"id": "a/b", **row}).bands


def test_an_unknown_model_is_answered_with_the_nearest() -> None:
    assert find_model(LISTED, "DeepSeek/DeepSeek-V3.2").id == "deepseek/deepseek-v3.2"
    assert find_model(LISTED, "kimi-k2.5").id == "moonshotai/kimi-k2.5"
    with pytest.raises(UnknownModelError) as wrong:
        find_model(LISTED, "gemma-3-27b")
    assert "google/gemma-3-27b-it" in wrong.value.next_step


def test_every_default_is_on_the_documented_list_and_serves_its_purpose() -> None:
    ids = {model.id for model in LISTED}
    for need, names in DEFAULT_MODELS.items():
        assert set(names) <= ids
        for name in names if need in ("image", "video", "audio") else ():
            assert find_model(LISTED, name).has(need)


def test_a_default_that_left_the_list_is_passed_over() -> None:
    fewer = [model for model in LISTED if model.id != DEFAULT_MODELS["text"][0]]
    assert choose_model(fewer, None, endpoint="chat/completions")[0] == DEFAULT_MODELS["text"][1]
    bare = [model for model in LISTED if model.id == "mistralai/mistral-nemo"]
    with pytest.raises(InputError, match="None of the usual models") as none:
        choose_model(bare, None, endpoint="chat/completions")
    assert "mistralai/mistral-nemo" in none.value.next_step


@given(st.text(max_size=300))
def test_tokens_are_rather_counted_too_many(text: str) -> None:
    assert count_tokens(text) >= len(text) / 3


def test_options_are_told_from_what_is_ours_and_what_is_given_twice() -> None:
    assert with_options("chat", {"model": "m"}, {"top_p": 0.5})["top_p"] == 0.5
    with pytest.raises(InputError, match="given twice"):
        with_options("chat", {"temperature": 0.1}, {"temperature": 0.2})
    with pytest.raises(InputError) as unknown:
        with_options("completion", {}, {"bestof": 2})
    assert "best_of" in unknown.value.next_step


@pytest.mark.parametrize(
    ("option", "text", "value"),
    [
        ("top_p", "0.9", 0.9),
        ("top_k", " 40 ", 40),
        ("seed", "5", 5),
        ("logprobs", "true", True),
        ("logit_bias", '{"1": 2}', {"1": 2}),
        ("stop", "5", "5"),
        ("top_p", "much", "much"),
        ("top_k", "4.5", "4.5"),
    ],
)
def test_an_option_that_came_as_text_is_read_as_its_schema_means_it(option: str, text: str, value: Any) -> None:
    assert with_options("chat", {}, {option: text})[option] == value
    if value != text:
        assert with_options("chat", {option: value}, {option: text})[option] == value


def test_tools_come_bare_or_wrapped() -> None:
    bare: dict[str, Any] = {"name": "f", "parameters": {"type": "object", "properties": {}}}
    assert native_tools([bare]) == native_tools([{"type": "function", "function": bare}])


@pytest.mark.parametrize("schema", [[], {"type": 3}, {"type": "array"}, {"type": "object", "properties": []}])
def test_what_is_no_schema_of_an_object_is_refused(schema: Any) -> None:
    with pytest.raises(InputError):
        check_schema(schema, "response_schema")


def test_an_answer_is_parsed_out_of_a_fence_and_judged() -> None:
    schema: dict[str, Any] = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
    assert parse_answer('```json\n{"n": 1}\n```', schema) == ({"n": 1}, "")
    assert parse_answer("no", schema)[1] == "The answer is no JSON"
    assert "n" in parse_answer('{"n": "x"}', schema)[1]


def test_parts_are_understood_in_both_spellings() -> None:
    content: list[Any] = [
        "words",
        {"type": "image_url", "image_url": {"url": "https://example.com/a.png", "detail": "low"}},
        {"type": "video", "url": "task:1/0"},
        {"type": "input_audio", "input_audio": {"data": "A" * 200, "format": "wav"}},
    ]
    (message,) = conversation(None, [{"role": "user", "content": content}], None, None)
    assert media_kinds([message]) == ["image", "video", "audio"]
    assert message["content"][3]["url"].startswith("data:audio/wav;base64,")
    with pytest.raises(InputError, match="images need a prompt"):
        conversation(None, None, "Be kind.", ["a.png"])


def test_a_row_of_other_types_is_read_as_far_as_it_can_be() -> None:
    row = {
        "id": "m",
        "pricing": {"prompt": {"price_per_m_decimal": "NaN", "price_per_m": "2690"}, "completion": {"price_per_m": -1}},
        "context_size": "131072",
        "max_output_tokens": float("inf"),
        "features": [None, {"x": 1}, "reasoning"],
        "endpoints": None,
        "tiered_billing_configs": [None, 7],
    }
    model = read_model(row)
    assert (model.bands[0].input, model.bands[0].output) == (Decimal("0.269"), None)
    assert (model.context, model.max_output, model.features) == (131_072, None, ("reasoning",))

"""Answers of any shape: whatever JSON stands in whatever field, it is read, and what is told of it can be sent on."""

import json
from dataclasses import asdict
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from novita_mcp.novita.text.generations import Choice, Generation
from novita_mcp.novita.text.thoughts import part_calls, part_thoughts, read_channels

Json = dict[str, Any]
PIECES = st.sampled_from(["{", "}", '"', "\ud83d", "\ude00", "<think>", "</think>", "```", "x", " ", "\n", "1", "null"])
TEXTS = st.one_of(st.lists(PIECES, max_size=6).map("".join), st.text(max_size=8))
LEAVES = st.one_of(st.none(), st.booleans(), st.integers(-3, 10**20), st.floats(), TEXTS)
ANYTHING = st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3))


def fields(**named: st.SearchStrategy[Any]) -> st.SearchStrategy[Json]:
    """Objects with some of these fields, each of its own kind or of any."""
    return st.fixed_dictionaries({}, optional={name: inner | ANYTHING for name, inner in named.items()})


FUNCTIONS = fields(name=TEXTS, arguments=TEXTS)
CALLS = fields(index=st.integers(0, 3), id=TEXTS, function=FUNCTIONS, name=TEXTS, arguments=TEXTS)
PARTS = fields(type=st.sampled_from(["text", "refusal", "thinking", "image_url"]), text=TEXTS, refusal=TEXTS)
DELTAS = fields(
    content=TEXTS | st.lists(PARTS, max_size=3),
    reasoning=TEXTS,
    reasoning_content=TEXTS,
    reasoning_details=st.lists(PARTS, max_size=2),
    thinking=TEXTS,
    refusal=TEXTS,
    audio=ANYTHING,
    tool_calls=st.lists(CALLS, max_size=3),
    function_call=FUNCTIONS,
)
CHOICES = fields(
    index=st.integers(0, 2), delta=DELTAS, message=DELTAS, text=TEXTS, finish_reason=TEXTS, logprobs=ANYTHING
)
USAGES = fields(
    prompt_tokens=st.integers(), completion_tokens=st.integers(), total_tokens=TEXTS, prompt_tokens_details=ANYTHING
)
CHUNKS = fields(id=TEXTS, model=TEXTS, choices=st.lists(CHOICES, max_size=3), usage=USAGES)


@settings(deadline=None, max_examples=300, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(CHUNKS, max_size=4))
def test_any_chunks_can_be_read_and_what_they_say_can_be_sent_on(chunks: list[Json]) -> None:
    made = Generation(3, ending="done")
    for chunk in chunks:
        made.take(chunk)
        assert made.text.encode() is not None
    made.finish()
    told = asdict(made) | {"usage": asdict(made.usage)}
    json.dumps(told, ensure_ascii=False).encode()
    for choice in made.choices.values():
        assert len({call.id for call in choice.calls}) == len(choice.calls)
        for call in choice.calls:
            json.dumps(call.parsed(), ensure_ascii=False, allow_nan=False).encode()
    assert made.usage.prompt >= 0
    assert made.usage.completion >= 0


@given(st.text(max_size=20), st.lists(st.integers(0, 40), max_size=5))
def test_text_and_thoughts_come_out_as_they_went_in_however_they_are_cut(text: str, cuts: list[int]) -> None:
    whole = json.dumps(text)
    units = text.encode("utf-16-le", "surrogatepass")
    places = sorted({2 * cut for cut in cuts if 2 * cut < len(units)})
    pieces = [
        units[start:stop].decode("utf-16-le", "surrogatepass")
        for start, stop in zip([0, *places], [*places, len(units)], strict=True)
    ]
    choice = Choice()
    for piece in pieces:
        choice.take({"delta": {"content": piece, "reasoning": piece}})
    choice.tidy()
    assert choice.text == json.loads(whole)
    assert choice.reasoning == choice.text


def test_thoughts_are_parted_only_where_they_are_written_as_thoughts() -> None:
    cases = {
        "<think>a</think>b": ("b", "a"),
        " <thinking>a</thinking>\n\nb": ("b", "a"),
        "<think>a</think><think>b</think>c": ("c", "a\nb"),
        "a</think>b": ("b", "a"),
        "</think>b": ("b", ""),
        "<think>a": ("", "a"),
        "<think></think>b": ("b", ""),
        "a `</think>` b": ("a `</think>` b", ""),
        "Use <think>a</think> so": ("Use <think>a</think> so", ""),
        "```\n</think>\n```": ("```\n</think>\n```", ""),
        "[THINK]a[/THINK]b": ("b", "a"),
        "◁think▷a◁/think▷b": ("b", "a"),
        "<seed:think>a</seed:think>b": ("b", "a"),
        "b": ("b", ""),
    }
    assert {text: part_thoughts(text) for text in cases} == cases
    assert part_thoughts("more </think> b", known=True) == ("more </think> b", "")


@pytest.mark.parametrize(
    "text",
    [
        "The mark <|channel|>final<|message|> begins it",
        "<|channel|>final of the cup",
        "<|channel|>analysis<|message|>a<|end|>and then plain words",
        "<|channel|>ana",
        "<|start|>once upon a time",
        "`<|channel|>analysis<|message|>a<|end|>`",
    ],
)
def test_what_only_looks_like_harmony_stays_as_it_is(text: str) -> None:
    assert read_channels(text) is None


MARKS = ["<|start|>assistant", "<|channel|>", "final", "analysis", "<|message|>", "<|end|>", "x", " ", "\n"]


@given(st.lists(st.sampled_from(MARKS), max_size=12))
def test_no_word_is_lost_with_the_marks(pieces: list[str]) -> None:
    found = read_channels("".join(pieces))
    assert found is None or (found.text + found.thoughts).count("x") == pieces.count("x")


@pytest.mark.parametrize(
    "text",
    [
        'Write <tool_call>{"name": "f", "arguments": {}}</tool_call> to call it',
        "<tool_call>{name: f}</tool_call>",
        '<tool_call>{"arguments": {}}</tool_call>',
        '<tool_call>{"name": "f", "arguments": {}}',
    ],
)
def test_what_only_looks_like_a_call_stays_as_it_is(text: str) -> None:
    assert part_calls(text) == (text, [])

"""The results of the text tools, and how long texts become files of which the first part is shown."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from pydantic import BaseModel, Field

from ...novita.core.money import show_price
from ...novita.core.words import counted
from ...novita.text.generations import Choice, Generation, ToolCall
from ...novita.text.request_checks import parse_answer
from ..kit.dry_run import shortened
from ..kit.saved_files import SavedFile, SavedFiles
from ..kit.toolset import CountedUsd, ToolResult

LONGEST_TEXT = 16_000
"""The most characters of an answer that are shown. A longer answer is saved as a file, too."""

LONGEST_REASONING = 2_000
LONGEST_EXTRA = 4_000
TextStatus = Literal["succeeded", "incomplete", "needs_confirmation", "dry_run"]


class FunctionCall(BaseModel):
    """A function that the model wants called. The caller answers with a message of role `tool` that names its id."""

    id: str = Field(description="Give it back as tool_call_id.")
    name: str = Field(description="Which function.")
    arguments: dict[str, Any] | None = Field(default=None, description="Parsed arguments.")
    raw_arguments: str | None = Field(default=None, description="As they came, where they are no JSON object.")


class TokenUsage(BaseModel):
    """The tokens that a call used."""

    prompt: int = Field(description="Read.")
    completion: int = Field(description="Made, reasoning included.")
    reasoning: int | None = Field(default=None, description="Made while thinking.")
    cached: int | None = Field(default=None, description="Read from the prompt cache, cheaper.")
    counted_by: Literal["novita", "estimate"] = Field(description="Who counted.")


class OtherAnswer(BaseModel):
    """One more answer to the same prompt (options.n)."""

    text: str = Field(description="The answer, shortened where it is long.")
    finish_reason: str | None = Field(default=None, description="Why it stopped.")


class TextResult(ToolResult):
    """A language model's answer."""

    status: TextStatus = Field(description="incomplete: it broke off or does not fit the schema; trouble says why.")
    text: str | None = Field(default=None, description="The answer; a long one is cut here and whole in files.")
    parsed: dict[str, Any] | None = Field(default=None, description="The object, where response_schema was given.")
    reasoning: str | None = Field(default=None, description="How it thought, apart from the answer.")
    tool_calls: tuple[FunctionCall, ...] | None = Field(default=None, description="Functions it wants called.")
    finish_reason: str | None = Field(default=None, description="stop, length or tool_calls.")
    trouble: str | None = Field(default=None, description="What went wrong on the way.")
    model: str | None = Field(default=None, description="Model that answered.")
    remark: str | None = Field(default=None, description="What differs from what was asked for.")
    usage: TokenUsage | None = Field(default=None, description="Tokens.")
    cost_usd: str | None = Field(default=None, description="By the live price list, in USD, or 'unknown'.")
    estimated_cost_usd: str | None = Field(default=None, description="The most it may cost, before it was sent.")
    counted_usd: CountedUsd = None
    other_answers: tuple[OtherAnswer, ...] | None = Field(default=None, description="With options.n above 1.")
    logprobs: list[dict[str, Any]] | None = Field(default=None, description="Log probabilities; many are in files.")
    files: tuple[SavedFile, ...] | None = Field(default=None, description="What was saved.")
    next_step: str | None = Field(default=None, description="What to do now.")
    request: dict[str, Any] | None = Field(default=None, description="With dry_run: what would be sent.")

    def headline(self) -> str:
        match self.status:
            case "succeeded":
                return self.remark or ""
            case "incomplete":
                return f"{f'{self.remark} ' if self.remark else ''}This answer is incomplete."
            case _:
                return "Nothing was sent yet."


def function_calls(calls: Sequence[ToolCall]) -> tuple[FunctionCall, ...] | None:
    """The model's tool calls with their arguments parsed. None if there are none."""
    made: list[FunctionCall] = []
    for call in calls:
        arguments = call.parsed()
        raw = shortened(call.arguments, LONGEST_EXTRA) if arguments is None else None
        made.append(FunctionCall(id=call.id, name=call.name, arguments=arguments, raw_arguments=raw))
    return tuple(made) or None


async def keep_long(saved: SavedFiles, made: Generation, *, always: bool, suffix: str) -> None:
    """Save an answer that is too long to show, or any answer if the caller asked for a file."""
    first = made.first
    if first.text and (always or len(first.text) > LONGEST_TEXT):
        await saved.put("the answer", first.text, suffix)
    if len(first.reasoning) > LONGEST_REASONING:
        await saved.put("the reasoning", first.reasoning, ".txt")
    if sum(len(choice.text) for choice in made.others) > LONGEST_TEXT:
        every = sorted(made.choices.items())
        lines = (json.dumps({"index": index, "text": each.text}, ensure_ascii=False) for index, each in every)
        await saved.put("all answers", "\n".join(lines) + "\n", ".jsonl", kind="file")
    if first.logprobs and _logprobs(first) is None:
        await saved.put("the log probabilities", json.dumps(first.logprobs), ".json", kind="file")


def _logprobs(choice: Choice) -> list[dict[str, Any]] | None:
    """The log probabilities if they are few enough to show."""
    if not choice.logprobs or len(json.dumps(choice.logprobs)) > LONGEST_EXTRA:
        return None
    return choice.logprobs


def text_result(made: Generation, *, cost: Any, files: Sequence[SavedFile], max_tokens: int | None) -> TextResult:
    """A model's generation as a tool's result."""
    first, usage = made.first, made.usage
    share = LONGEST_TEXT // (1 + len(made.others))
    trouble = [made.trouble] if made.trouble else []
    if made.spoilt:
        trouble.append(
            f"{counted(made.spoilt, 'unreadable piece')} of the stream left out; a few letters may be missing"
        )
    if first.left_out and first.says_something:
        trouble.append(f"What cannot be shown as text was left out: {', '.join(first.left_out)}")
    return TextResult(
        status="succeeded" if made.whole else "incomplete",
        text=shortened(first.text, share) or None,
        reasoning=shortened(first.reasoning, LONGEST_REASONING) or None,
        tool_calls=function_calls(first.calls),
        finish_reason=first.finish_reason,
        trouble=". ".join(trouble) or None,
        model=made.model or None,
        usage=TokenUsage(
            prompt=usage.prompt,
            completion=usage.completion,
            reasoning=usage.reasoning or None,
            cached=usage.cached or None,
            counted_by="novita" if usage.exact else "estimate",
        ),
        cost_usd=show_price(cost),
        other_answers=tuple(
            OtherAnswer(text=shortened(each.text, share), finish_reason=each.finish_reason) for each in made.others
        )
        or None,
        logprobs=_logprobs(first),
        files=tuple(files) or None,
        next_step=_next_step(made, max_tokens),
    )


def _next_step(made: Generation, max_tokens: int | None) -> str | None:
    first = made.first
    if first.finish_reason == "length" and made.ending in ("done", "empty", "broken_call"):
        return f"It was cut at max_tokens{f' ({max_tokens})' if max_tokens else ''}: call again with more."
    if made.ending == "refused":
        return "It was paid for. Ask in other words, or another model."
    if made.ending == "broken_call":
        return "It was paid for. Ask again, or another model."
    if made.ending == "empty":
        return "It was paid for. Ask again, with thinking=false or another model."
    if not made.whole:
        return "What is here was paid for. Ask again, or ask the model to go on from where this ends."
    if first.calls:
        return "Call the functions, then send messages with this turn and one role tool message for each call."
    return None


def with_object(result: TextResult, made: Generation, schema: Mapping[str, Any] | None) -> TextResult:
    """The result with the parsed object in it, if one was asked for and the answer is complete."""
    if schema is None or not made.whole or made.first.calls:
        return result
    cut = made.first.finish_reason == "length"
    found, problem = parse_answer(made.first.text, dict(schema))
    if cut and (problem or found is None):
        return result.model_copy(update={"status": "incomplete", "trouble": "The answer was cut by its length"})
    if problem:
        step = "Ask again, or with another model; the answer was paid for."
        return result.model_copy(update={"status": "incomplete", "trouble": problem, "next_step": step})
    # The object holds all that the text says, so the text need not be repeated.
    fits = found is not None and len(made.first.text) <= len(result.text or "")
    return result.model_copy(update={"parsed": found, "text": None} if fits else {})

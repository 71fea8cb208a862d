"""Asks the user before expensive or destructive acts.

If the client can show a dialog, it asks; otherwise the tool's answer says to call again with confirm=true. A client
of the modern protocol answers a dialog by calling the whole tool again, so nothing may be sent before the yes.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any

from mcp.shared.exceptions import MCPError
from mcp_types import ElicitRequest, ElicitRequestFormParams, ElicitResult, InputRequiredResult
from mcp_types.version import MODERN_PROTOCOL_VERSIONS

from ...novita.core.costs import DIFFERS, Cost
from ...novita.core.errors import SpendRefusedError
from ...novita.core.money import say_usd, show_price, show_usd
from ...novita.core.redaction import without_secrets
from .context import Caller

FORM: dict[str, Any] = {
    "type": "object",
    "properties": {"yes": {"type": "boolean", "title": "Go ahead"}},
    "required": ["yes"],
}
"""The question's form. Its box is not ticked beforehand, so that nobody agrees by accident."""


class NeedsAnswer(Exception):  # no "Error" in its name: the wrapper turns it into a question
    """The client must put a question to the user, and call again with the answer."""

    def __init__(self, request: InputRequiredResult) -> None:
        super().__init__("a question is open")
        self.request = request


class NotConfirmed(Exception):
    """The client cannot ask the user, so the tool's first answer shows price and effect instead."""

    def __init__(self, question: "Question") -> None:
        super().__init__(question.text)
        self.question = question


@dataclass(frozen=True)
class Question:
    """What the user is asked to agree to.

    Args:
        effect: What will happen, in one or two sentences.
        model: The model, product or thing it is about.
        counted: What it counts as under the caps, in USD; a yes pays for no more than this.
        about: Identifies what the yes is for, if that may change between question and answer (a product, for one).
            An answer to a question about something else does not count.
        hint: Tells the model how to agree by a second call; people are not shown it.
    """

    effect: str
    model: str
    cost: Cost
    counted: Decimal
    about: str = ""
    hint: str = ""

    @property
    def text(self) -> str:
        """Effect and price, as people may read them."""
        return without_secrets(f"{self.effect} {price_words(self.cost, self.counted)}".strip())

    @property
    def fields(self) -> dict[str, Any]:
        """The same for programs, as fields of an answer."""
        return {"model": self.model, **cost_fields(self.cost, self.counted)}


def price_words(cost: Cost, counted: Decimal) -> str:
    """The sentence that states a price; empty if the act is free."""
    if not cost.known:
        return f"The price is not known; counted as at most {say_usd(counted)}."
    if cost.words or counted == 0:
        return cost.words
    why = f": {cost.note}" if cost.note else "."
    if cost.usd is not None and cost.basis in DIFFERS:
        sums = f"{say_usd(cost.usd)} ({DIFFERS[cost.basis]}), counted as {say_usd(counted)}"
        return f"It costs about {sums}{why}"
    return f"It costs {'' if cost.basis == 'documented' else 'about '}{say_usd(counted)}{why}"


def cost_fields(cost: Cost, counted: Decimal) -> dict[str, Any]:
    """A price as fields of an answer: the estimate, or "unknown" with what it counts as."""
    fields: dict[str, Any] = {"estimated_cost_usd": cost.shown or show_price(cost.usd)}
    return fields if cost.usd == counted else {**fields, "counted_usd": show_usd(counted)}


def dearer_than_agreed(model: str, now: Decimal, agreed: Decimal) -> SpendRefusedError:
    """The error for a price that has risen above the one the user agreed to."""
    what = f"{model} would take its place at {say_usd(now)}, more than the {say_usd(agreed)} that were agreed to"
    return _refused(what, "Call again to hear the new price.")


def _refused(what: str, next_step: str) -> SpendRefusedError:
    return SpendRefusedError(what, next_step=next_step)


async def need_yes(caller: Caller, question: Question, *, confirm: bool) -> bool:
    """Return once the act is approved at this price. The result is whether a person was asked, which takes time.

    Args:
        confirm: The user agreed beforehand. That does not cover more than the price they were shown last.

    Raises:
        SpendRefusedError: The user said no; that is final for this call.
        NeedsAnswer, NotConfirmed: Turned into the right answer by the tool wrapper.
    """
    shown = caller.quoted(question.about)
    if confirm and (shown is None or question.counted <= shown):
        return False
    context = caller.context
    modern = context.protocol_version in MODERN_PROTOCOL_VERSIONS
    if modern and (answer := _answer_to(question, context.input_responses or {})) is not None:
        _refuse_no(answer)
        return False
    caller.quote(question.about, question.counted)
    capabilities = context.client_capabilities
    elicitation = capabilities.elicitation if capabilities is not None else None
    if elicitation is None or (elicitation.form is None and elicitation.url is not None):
        raise NotConfirmed(question)
    if modern:
        form = ElicitRequestFormParams(message=question.text, requested_schema=FORM)
        raise NeedsAnswer(InputRequiredResult(input_requests={_key(question): ElicitRequest(params=form)}))
    try:
        answer = await context.session.elicit_form(question.text, FORM, context.request_id)
    except (MCPError, ValueError) as error:  # the client declared dialogs but failed to show one
        raise NotConfirmed(question) from error
    _refuse_no(answer)
    return True


def _key(question: Question) -> str:
    """The key of the question in a modern client's answer. It includes the price that a yes agrees to."""
    return f"{_stem(question)}{question.counted.normalize():f}"


def _stem(question: Question) -> str:
    return f"{f'confirm {question.about}'.strip()} up to $"


def _answer_to(question: Question, answers: Mapping[str, Any]) -> Any:
    """The answer to this question at this price or a higher one.

    A yes to a lower price does not count; a no to any price does.
    """
    stem = _stem(question)
    for key, answer in answers.items():
        if not key.startswith(stem):
            continue
        try:
            agreed = Decimal(key.removeprefix(stem))
        except InvalidOperation:
            continue
        if agreed >= question.counted or not _is_yes(answer):
            return answer
    return None


def _is_yes(answer: object) -> bool:
    """Whether an answer is the boolean true; words and numbers that look like a yes do not count."""
    return isinstance(answer, ElicitResult) and answer.action == "accept" and (answer.content or {}).get("yes") is True


def _refuse_no(answer: object) -> None:
    if not _is_yes(answer):
        raise _refused("The user declined", "Do not try again unless the user asks for it.")

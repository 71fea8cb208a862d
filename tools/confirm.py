"""Asking before dear or destructive acts: a dialog where the client has one, else a second call with confirm=true.

Call it before anything is sent: a modern client answers by calling the whole tool again.
"""

from mcp.shared.exceptions import MCPError
from mcp_types import ElicitRequest, ElicitRequestFormParams, ElicitResult, InputRequiredResult
from mcp_types.version import MODERN_PROTOCOL_VERSIONS
from pydantic import BaseModel, Field

from ..novita.errors import SpendRefusedError
from ..novita.redaction import without_secrets
from .context import Caller


class Approval(BaseModel):
    """The question's form."""

    yes: bool = Field(default=True, title="Go ahead")


class NeedsAnswer(Exception):  # a detour, not an error
    """The client must put a question to the user, and call again with the answer."""

    def __init__(self, request: InputRequiredResult) -> None:
        super().__init__("a question is open")
        self.request = request


class NotConfirmed(Exception):
    """Nobody can be asked: the first answer shows price and effect."""

    def __init__(self, question: str, estimate: str | None = None) -> None:
        super().__init__(question)
        self.question, self.estimate = question, estimate


async def need_yes(
    caller: Caller, question: str, *, confirm: bool, about: str = "", estimate: str | None = None
) -> None:
    """Return if the act is approved; `question` names price and effect in one or two sentences.

    Args:
        about: What the yes is for, where that may change between question and answer (a product and its price):
            an answer to another question does not count.
        estimate: The price as `estimated_cost_usd` of the first of two answers; only where the tool's result has it.

    Raises:
        SpendRefusedError: The user said no; that is final for this call.
        NeedsAnswer, NotConfirmed: Turned into the right answer by the tool wrapper.
    """
    if confirm:
        return
    question = without_secrets(question)
    context = caller.context
    capabilities = context.client_capabilities
    elicitation = capabilities.elicitation if capabilities is not None else None
    if elicitation is None or (elicitation.form is None and elicitation.url is not None):
        raise NotConfirmed(question, estimate)
    if context.protocol_version in MODERN_PROTOCOL_VERSIONS:
        key = f"confirm {about}".strip()
        answer = (context.input_responses or {}).get(key)
        if answer is None:
            form = ElicitRequestFormParams(message=question, requested_schema=_SCHEMA)
            raise NeedsAnswer(InputRequiredResult(input_requests={key: ElicitRequest(params=form)}))
        agreed = isinstance(answer, ElicitResult) and answer.action == "accept" and (answer.content or {}).get("yes")
    else:
        try:
            outcome = await context.elicit(question, Approval)
        except (MCPError, ValueError) as error:  # it said it could ask, and could not
            raise NotConfirmed(question, estimate) from error
        agreed = outcome.action == "accept" and outcome.data.yes
    if not agreed:
        raise SpendRefusedError("The user declined", next_step="Do not try again unless the user asks for it.")


_SCHEMA = {
    "type": "object",
    "properties": {"yes": {"type": "boolean", "title": "Go ahead", "default": True}},
    "required": ["yes"],
}

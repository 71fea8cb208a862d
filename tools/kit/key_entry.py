"""Leads callers who signed in, and whose Novita key is missing or refused, to the page where they enter it.

Some hosts can open the page themselves (URL-mode elicitation). In other hosts the answer shows the link.
"""

from mcp_types import (
    ElicitRequest,
    ElicitRequestURLParams,
    ElicitResult,
    InputRequiredResult,
)
from mcp_types.version import MODERN_PROTOCOL_VERSIONS

from ...novita.core.errors import AuthenticationError, MissingKeyError, NovitaError
from .context import Caller

_ASKED = "novita key"
_REFUSED_KEY = 401


def where_to_enter_a_key(caller: Caller, error: NovitaError) -> str | InputRequiredResult | None:
    """The text to answer with, or the page to open, if a call failed because of the key kept for a signed-in person.
    None if it failed for another reason, or if the caller sends a key of its own.
    """
    who = caller.signed_in
    refused = isinstance(error, AuthenticationError) and error.status == _REFUSED_KEY
    if who is None or not (refused or isinstance(error, MissingKeyError)):
        return None
    what = "Novita refuses the key that is kept for you" if refused else "No Novita key is kept for you yet"
    if who.key_page is None:
        return "Novita refuses the team's key. Nothing was billed. Tell whoever runs this server."
    context = caller.context
    answer = (context.input_responses or {}).get(_ASKED)
    if isinstance(answer, ElicitResult) and answer.action != "accept":
        return f"{what}, and the user declined to enter one. Nothing was billed. Do not ask again unless the user asks."
    link = who.key_page()
    capabilities = context.client_capabilities
    elicitation = capabilities.elicitation if capabilities is not None else None
    opens = elicitation is not None and elicitation.url is not None
    if opens and answer is None and context.protocol_version in MODERN_PROTOCOL_VERSIONS:
        asked = ElicitRequestURLParams(message=f"{what}: enter it on this page, once.", url=link)
        return InputRequiredResult(input_requests={_ASKED: ElicitRequest(params=asked)})
    return (
        f"{what}. Nothing was billed. Have the user open this link within ten minutes, enter the key there and never "
        f"here, then call again: {link}"
    )

"""The type of an MCP prompt: a row of a table. Families have their own tables; tools/overview joins them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from .context import Caller
from .resources import Complete


@dataclass(frozen=True)
class PromptSpec:
    """One prompt.

    Args:
        arguments: Name -> description. All are text; those in `optional` may be left out.
        write: Makes the prompt's text from the arguments.
        complete: Argument -> function that returns its possible values, given their beginning.
    """

    name: str
    title: str
    description: str
    arguments: Mapping[str, str]
    write: Callable[[Mapping[str, str]], str]
    optional: frozenset[str] = frozenset()
    complete: Mapping[str, Complete] | None = None


RULES = (
    "\n\nKnow before you begin: status working means that the job goes on and is already paid for: call get_task (of a "
    "batch get_batch) with its id until it is done, and never ask for the same thing again. Status needs_confirmation "
    "means that nothing was sent: tell me the price and wait for my yes. An estimate may be unknown, which does not "
    "mean free; tell me so."
)
"""The end of every prompt that spends money. It repeats the rules that matter most, since a model may never have read
the server's instructions.
"""


def one_of(*words: str) -> Complete:
    """A completer for an argument with a few possible words: it offers those that begin with the typed text."""

    async def complete(_: Caller, start: str) -> list[str]:
        return [word for word in words if word.casefold().startswith(start.casefold())]

    return complete

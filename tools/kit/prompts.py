"""What a prompt is: a row of a table. Families have their own tables; tools/overview joins them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from .context import Caller
from .resources import Complete


@dataclass(frozen=True)
class PromptSpec:
    """One prompt.

    Args:
        arguments: Name -> description; all are text, those in `optional` may be left out.
        write: Makes the text from the arguments.
        complete: Argument -> what it may be, given its beginning.
    """

    name: str
    title: str
    description: str
    arguments: Mapping[str, str]
    write: Callable[[Mapping[str, str]], str]
    optional: frozenset[str] = frozenset()
    complete: Mapping[str, Complete] | None = None


def one_of(*words: str) -> Complete:
    """Completes to those of a few words that begin so."""

    async def complete(_: Caller, start: str) -> list[str]:
        return [word for word in words if word.casefold().startswith(start.casefold())]

    return complete

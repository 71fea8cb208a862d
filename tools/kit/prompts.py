"""What a prompt is: a row of a table. Families have their own tables; tools/overview joins them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class PromptSpec:
    """One prompt.

    Args:
        arguments: Name -> description; all are text, those in `optional` may be left out.
        write: Makes the text from the arguments.
    """

    name: str
    title: str
    description: str
    arguments: Mapping[str, str]
    write: Callable[[Mapping[str, str]], str]
    optional: frozenset[str] = frozenset()

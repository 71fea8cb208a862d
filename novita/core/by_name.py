"""Finds machines, volumes, templates and other things by their name, if people give that in place of an id."""

from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

from .errors import InputError


class Named(Protocol):
    """An item of a list that has an id and a name."""

    @property
    def id(self) -> str: ...
    @property
    def name(self) -> str: ...


T = TypeVar("T", bound=Named)


def the_one(wanted: str, things: Sequence[T], what: str, label: Callable[[T], str]) -> T | None:
    """The thing with that id, or the only one with that name: spelt exactly so, or else differing only in case.

    Args:
        things: All there are, of one account.
        what: What errors call several of them ("instances").

    Raises:
        InputError: Several have that name.
    """
    wanted = wanted.strip()
    if not wanted:
        return None  # an empty text must not match things without a name
    for same in (
        [each for each in things if each.id == wanted],
        [each for each in things if each.name == wanted],
        [each for each in things if each.name.casefold() == wanted.casefold()],
    ):
        if len(same) > 1:
            shown = "; ".join(label(each) for each in same[:10])
            raise InputError(f"{len(same)} {what} are called {wanted[:80]!r}", next_step=f"Give an id: {shown}.")
        if same:
            return same[0]
    return None

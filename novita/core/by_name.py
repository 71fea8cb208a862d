"""What people call by its name where an id is asked for: machines, volumes, templates and the rest, in one way."""

from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

from .errors import InputError


class Named(Protocol):
    """Something with an id and a name, as a list has it."""

    @property
    def id(self) -> str: ...
    @property
    def name(self) -> str: ...


T = TypeVar("T", bound=Named)


def the_one(wanted: str, things: Sequence[T], what: str, label: Callable[[T], str]) -> T | None:
    """The thing of that id, or the only one of that name: in the same spelling, else in another case.

    Args:
        things: All there are, of one account.
        what: What errors call several of them ("instances").

    Raises:
        InputError: Several have that name.
    """
    wanted = wanted.strip()
    if not wanted:
        return None  # it is nobody's name, also where things have none
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

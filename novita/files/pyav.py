"""PyAV, which reads films and sounds.

It is installed with this package; a lean bundle, or a system that it has no wheel for, goes without: then files are
saved all the same, and what needs it says so.
"""

from importlib.util import find_spec

from ..core.errors import InputError

NOT_HERE = "PyAV is not installed here (pip install av)"


def is_here() -> bool:
    """Whether films and sounds can be read; it is not imported for that."""
    try:
        return find_spec("av") is not None
    except ValueError:  # it stands among the loaded modules as one that is not to be had
        return False


def must_be_here(doing: str, otherwise: str) -> None:
    """Refuse what cannot be done without it.

    Args:
        doing: What needs it, as the subject of a sentence.
        otherwise: What can be done instead.

    Raises:
        InputError: It is not here.
    """
    if not is_here():
        raise InputError(
            f"{doing} needs PyAV, which is not installed here", next_step=f"{otherwise}, or: pip install av"
        )

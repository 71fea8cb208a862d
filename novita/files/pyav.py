"""PyAV, which reads films and sounds.

It is installed with this package, except in the lean bundle and on systems for which PyAV has no wheel. There files
are saved as usual, and calls that need PyAV are refused with a text that says so.
"""

from importlib.util import find_spec

from ..core.errors import InputError

NOT_HERE = "PyAV is not installed here (pip install av)"


def is_here() -> bool:
    """Whether films and sounds can be read here. Asking does not import PyAV."""
    try:
        return find_spec("av") is not None
    except ValueError:  # sys.modules has an entry for it that marks it as missing
        return False


def must_be_here(doing: str, otherwise: str) -> None:
    """Refuse a call that needs PyAV if PyAV is missing.

    Args:
        doing: The work that needs PyAV, as the subject of a sentence.
        otherwise: What the caller can do instead.

    Raises:
        InputError: PyAV is not installed.
    """
    if not is_here():
        raise InputError(
            f"{doing} needs PyAV, which is not installed here", next_step=f"{otherwise}, or: pip install av"
        )

"""Imports names when they are first read, so that start-up does not load the modules behind them.

This is the only place that delays imports. A module that offers such names (a "door") lists them twice:

    if TYPE_CHECKING:
        from .core.client import NovitaClient

    __getattr__ = lazily(__name__, {"NovitaClient": ".core.client"})

The first is for type checkers and the layout test; the second imports at run time. A test compares the two.
"""

import importlib
import sys
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from typing import Any


def lazily(module: str, homes: Mapping[str, str]) -> Callable[[str], Any]:
    """A module's `__getattr__`.

    Args:
        module: The module's own `__name__`.
        homes: Name -> the module it comes from, as in `from .home import name`; the name may be a module there.
    """

    def read(name: str) -> Any:
        if name not in homes:
            raise AttributeError(f"module {module!r} has no attribute {name!r}")
        here = sys.modules[module]
        home = importlib.import_module(homes[name], here.__package__)
        found = vars(home)[name] if name in vars(home) else importlib.import_module(f"{home.__name__}.{name}")
        setattr(here, name, found)  # from now on it is read without this function
        return found

    return read


def build_types_at_first_use() -> None:
    """Let pydantic build the validator of a type when it is first used, and not when its module is imported.

    Of the hundreds of types of the SDK a server uses a few, and a call uses some of ours. Call this before they are
    imported.
    """
    from pydantic import BaseModel, ConfigDict

    BaseModel.model_config = ConfigDict(defer_build=True)


@contextmanager
def without(module: str) -> Generator[None]:
    """Import as if this module were not installed, because whatever imports it in passing can do without.

    Nothing happens if it is loaded already. Afterwards it can be imported as ever.
    """
    hidden = module not in sys.modules
    if hidden:
        sys.modules[module] = None  # pyright: ignore[reportArgumentType]  # how Python is told that there is none
    try:
        yield
    finally:
        if hidden:
            sys.modules.pop(module, None)

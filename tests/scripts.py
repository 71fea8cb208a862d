"""The files of scripts/ as modules, for tests that call their functions."""

import sys
from collections.abc import Generator
from contextlib import contextmanager
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

SCRIPTS = Path(__file__).parents[1] / "scripts"


def script(name: str) -> ModuleType:
    """The module scripts/`name`.py, run anew. It finds what it shares with the other scripts, as it does when run."""
    spec = spec_from_file_location(name, SCRIPTS / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = module_from_spec(spec)
    with _on_the_path():
        spec.loader.exec_module(module)
    return module


@contextmanager
def _on_the_path() -> Generator[None]:
    before = sys.path
    sys.path = [str(SCRIPTS), *before]
    try:
        yield
    finally:
        sys.path = before

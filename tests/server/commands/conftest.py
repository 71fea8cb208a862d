"""What tests of commands share."""

import logging
import sys
from collections.abc import Generator

import pytest


@pytest.fixture(autouse=True)
def no_width_of_whoever_runs_the_tests(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lines are as long as they are, unless a test says how wide the screen is."""
    monkeypatch.delenv("COLUMNS", raising=False)


@pytest.fixture(autouse=True)
def logs_as_they_were(monkeypatch: pytest.MonkeyPatch) -> Generator[None]:
    """A command that serves sets up the logs of its process: here that is the process of all later tests."""
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    handlers, level = logging.root.handlers[:], logging.root.level
    yield
    logging.root.handlers[:] = handlers
    logging.root.setLevel(level)

"""What tests of commands share."""

import pytest


@pytest.fixture(autouse=True)
def no_width_of_whoever_runs_the_tests(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lines are as long as they are, unless a test says how wide the screen is."""
    monkeypatch.delenv("COLUMNS", raising=False)

"""Real crews are optional for a person and required in CI."""

import importlib.util
import os

import pytest


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip what needs crewai where it is not installed; in CI its absence is a failure."""
    if item.get_closest_marker("crewai") and importlib.util.find_spec("crewai") is None:
        said = "crewai is not installed; `make real` installs it and runs this"
        if os.environ.get("CI") == "true":
            pytest.fail(said, pytrace=False)
        pytest.skip(said)

"""What `serve:` of a job file says about the executions of a crew reaches its server."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from batchcrew.app.wiring import Crews, _served_crew
from batchcrew.config.crews import ServeSettings
from batchcrew.server import CrewOptions


def served(folder: Path, ledger: Path | None, **settings: Any) -> CrewOptions:
    (folder / "crew.py").write_text("")
    crews = Crews(settings={}, folder=folder, ledger=ledger)
    server = _served_crew("c", ServeSettings(target="crew.py:crew", **settings), crews, print).server
    assert server.options.crew is not None
    return server.options.crew


def test_defaults(tmp_path: Path) -> None:
    crew = served(tmp_path, tmp_path / "l" / "x.db")
    assert (crew.isolation, crew.memory, crew.artifacts) == ("thread", "isolated", tmp_path / "l" / "artifacts")


def test_each_setting(tmp_path: Path) -> None:
    crew = served(tmp_path, tmp_path / "x.db", isolation="process", memory=False, artifacts="kept")
    assert (crew.isolation, crew.memory, crew.artifacts) == ("process", "off", tmp_path / "kept")
    assert served(tmp_path, tmp_path / "x.db", memory="shared").memory == "shared"


def test_a_check_keeps_nothing(tmp_path: Path) -> None:
    assert served(tmp_path, None, artifacts="kept").artifacts is None


def test_a_process_alone_shares_no_memory() -> None:
    with pytest.raises(ValidationError, match="exclude each other"):
        ServeSettings(target="crew.py:crew", isolation="process", memory="shared")

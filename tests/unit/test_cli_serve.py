"""Each option of `batchcrew serve` reaches its setting of the server."""

from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from batchcrew.base.errors import UsageError
from batchcrew.cli import batchcrew, serve
from batchcrew.server import ServeOptions


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """Calls the command; the options with which it would serve."""
    monkeypatch.chdir(tmp_path)
    taken: list[ServeOptions] = []
    monkeypatch.setattr(serve, "_serve", taken.append)
    monkeypatch.setattr(serve, "call", lambda nothing: nothing)

    def call(*arguments: str, **variables: str) -> ServeOptions:
        ended = CliRunner().invoke(batchcrew, ["serve", *arguments], env=variables, catch_exceptions=False)
        assert ended.exit_code == 0, ended.output
        return taken.pop()

    return call


def test_crews_by_default(given: Any, tmp_path: Path) -> None:
    options = given("my_project.crew:TravelCrew")
    crew = options.crew
    assert (crew.target.name, crew.target.folder) == ("my_project.crew:TravelCrew", str(tmp_path))
    assert (crew.workers, crew.threads, crew.max_queue) == (2, 4, 1000)
    assert (crew.execution_timeout, crew.stop_timeout) == (1800.0, 10.0)
    assert (crew.isolation, crew.memory, crew.artifacts) == ("thread", "isolated", tmp_path / "results" / "artifacts")
    assert (crew.keep_seconds, crew.keep_count, options.webhook_allow) == (30 * 86400.0, 100_000, ())
    assert options.state == Path("results/served-my-project.crew-TravelCrew.db")
    assert (options.host, options.port, options.dialect, options.idempotency) == ("127.0.0.1", 8000, "guide", True)


def test_each_option_of_crews(given: Any) -> None:
    options = given(
        "a.b:c", "--workers", "3", "--threads", "5", "--max-queue", "7", "--execution-timeout", "2m", "--stop-timeout",
        "1s", "--keep", "1h", "--keep-count", "9", "--webhook-allow", "https://a/*", "--webhook-allow", "https://b/*",
        "--state", ":memory:", "--dialect", "live", "--no-idempotency", "--host", "::1", "--port", "1",
        "--http-error-rate", "10%", "--drop-rate", "20%",
    )  # fmt: skip
    crew = options.crew
    assert (crew.workers, crew.threads, crew.max_queue) == (3, 5, 7)
    assert (crew.execution_timeout, crew.stop_timeout) == (120.0, 1.0)
    assert (crew.keep_seconds, crew.keep_count) == (3600.0, 9)
    assert options.webhook_allow == ("https://a/*", "https://b/*")
    assert options.state is None
    assert (options.host, options.port, options.dialect, options.idempotency) == ("::1", 1, "live", False)
    assert (options.http_error_rate, options.drop_rate) == (0.1, 0.2)


def test_what_executions_share(given: Any, tmp_path: Path) -> None:
    crew = given("a.b:c", "--isolation", "process", "--memory", "off", "--artifacts", "kept").crew
    assert (crew.isolation, crew.memory, crew.artifacts, crew.places) == ("process", "off", tmp_path / "kept", 2)
    assert given("a.b:c", "--state", "s/x.db").crew.artifacts == tmp_path / "s" / "artifacts"
    assert given("a.b:c", "--state", ":memory:").crew.artifacts == tmp_path / "results" / "artifacts"


def test_inputs_that_kickoffs_need_not_name(given: Any) -> None:
    options = given("a.b:c", "--input", "tone=a=b c", "--input", "current_year", "--input", "empty=")
    assert options.crew.inputs == {"tone": "a=b c", "current_year": None, "empty": ""}


@pytest.mark.parametrize("wrong", [("bad name=1",), ("=1",), ("a=1", "a=2")])
def test_an_input_that_is_not_valid_is_refused(given: Any, wrong: tuple[str, ...]) -> None:
    options = [part for text in wrong for part in ("--input", text)]
    with pytest.raises(UsageError, match="--input"):
        given("a.b:c", *options)


def test_variables(given: Any) -> None:
    options = given(
        "a.b:c", BATCHCREW_WORKERS="6", BATCHCREW_WEBHOOK_ALLOW="http://x/* http://y/*", BATCHCREW_SERVE_TOKEN="t"
    )
    assert (options.crew.workers, options.webhook_allow) == (6, ("http://x/*", "http://y/*"))
    assert options.token == "t"


def test_the_demo_crew_is_kept_in_memory_and_has_no_workers(given: Any) -> None:
    options = given("--fail-rate", "0.5", "--seed", "1")
    assert (options.crew, options.state, options.fail_rate, options.seed) == (None, None, 0.5, 1)


@pytest.mark.parametrize(("target", "name"), [(".", "crew"), ("../x y", "x-y"), ("a/b.py:C", "a-b.py-C")])
def test_the_state_is_named_after_the_target(given: Any, tmp_path: Path, target: str, name: str) -> None:
    folder = tmp_path / target.partition("/b.py")[0]
    (folder / "p").mkdir(parents=True, exist_ok=True)
    (folder / "pyproject.toml").write_text('[project]\nname = "p"\n[tool.crewai]\n')
    (folder / "p" / "crew.py").write_text("@CrewBase\nclass Planner:\n    pass\n")
    (folder / "b.py").touch()
    assert given(target).state == Path(f"results/served-{name}.db")

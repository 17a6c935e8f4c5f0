"""What follows from the declaration of a setting: its option, its default as written, the expected value."""

from typing import Annotated, Literal

import click
import pytest

from batchcrew.cli import batchcrew
from batchcrew.config.crews import CrewSettings, DemoCrew, RemoteCrew, ServedCrew, ServeSettings, crew_type
from batchcrew.config.declarations import DefaultText, Example, HasOption, Settings, declared
from batchcrew.config.settings import RunSettings, settings_with_option
from batchcrew.config.values import PositiveDuration, RateText
from batchcrew.crew import crew_address


class Sample(Settings):
    """Settings of a test."""

    pause: Annotated[PositiveDuration | None, HasOption(), Example("5s")] = None
    """Wait
    a little.

    And more
    about it."""
    mode: Annotated[Literal["one", "two"], HasOption()] = "one"
    """Which of two."""
    strict: Annotated[bool, HasOption(expected="yes or no")] = True
    """Whether it is strict."""
    rates: Annotated[tuple[str, ...], DefaultText("a list")] = ("x",)
    """Several."""
    most: Annotated[int | None, HasOption(), Example("3")] = None
    """At most this many."""
    rate: RateText
    """Required."""
    run: RunSettings = RunSettings()
    """A section."""


def test_a_setting_is_described_by_its_declaration() -> None:
    pause, mode, strict, rates, most, rate, run = declared(Sample)
    assert (pause.summary, pause.details) == ("Wait a little.", "And more about it.")
    assert (pause.default, pause.example, pause.expected) == (
        "none",
        "5s",
        "a duration above 0 such as 90s, 30m or 1h30m",
    )
    assert (mode.default, mode.choices, mode.expected) == ("one", ("one", "two"), "one or two")
    assert (strict.default, strict.expected) == ("true", "yes or no")
    assert (rates.default, rates.is_described, rates.option) == ("a list", True, None)
    assert (most.default, most.is_number, most.expected) == ("none", True, "a whole number")
    assert (rate.default, rate.expected) == ("", "e.g. 2/s, 60/m or 500/h")
    assert (run.default, run.section) == ("", RunSettings)


@pytest.mark.parametrize("name", ["run", "tick", "check"])
def test_a_command_has_the_options_that_are_declared(name: str) -> None:
    command = batchcrew.get_command(click.Context(batchcrew), name)
    assert command is not None
    options = {option.name: option for option in command.params if isinstance(option, click.Option)}
    assert {"concurrency", "on_change"} <= set(settings_with_option())
    for setting in settings_with_option().values():
        option = options[setting.name]
        assert option.envvar == f"BATCHCREW_{setting.name.upper()}"
        assert option.help == f"{setting.summary} Default: the job file's value, else {setting.default}."


@pytest.mark.parametrize(
    ("crew", "keys", "location"),
    [
        (RemoteCrew(url="HTTPS://Crew.example/"), {"url": "https://crew.example"}, "https://crew.example"),
        (DemoCrew(), {"url": "embedded"}, "embedded"),
        (ServedCrew(serve=ServeSettings(target="m:Crew")), {"serve": "m:Crew", "url": None}, "serve:m:Crew"),
    ],
)
def test_a_crew_has_the_type_of_its_keys_and_one_address(
    crew: CrewSettings, keys: dict[str, object], location: str
) -> None:
    assert crew_type(keys) is type(crew)
    assert crew_address(crew) == location


def test_a_crew_at_a_former_address_keeps_its_other_settings() -> None:
    served = ServedCrew(serve=ServeSettings(target="m:Crew"), concurrency=3, keepalive=0.0)
    assert RemoteCrew.at("https://a.example", served) == RemoteCrew(
        url="https://a.example", concurrency=3, keepalive=0.0
    )

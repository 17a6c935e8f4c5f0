"""The help of commands: options in groups, examples that work, and the manual page."""

import shlex
import shutil
import subprocess
from datetime import date
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from batchcrew.cli import COMMANDS, batchcrew
from batchcrew.cli.commands import GROUPS as COMMAND_GROUPS
from batchcrew.cli.commands import grouped_commands
from batchcrew.cli.completing import ARGUMENTS
from batchcrew.cli.examples import EXAMPLES
from batchcrew.cli.help import GROUPS, OWN_HEADING, SectionedGroup, grouped_options
from batchcrew.cli.manual import manual
from batchcrew.config.settings import settings_with_option


def command_of(name: str) -> click.Command:
    command = batchcrew.get_command(click.Context(batchcrew), name)
    assert command is not None
    return command


def test_every_command_is_in_one_group() -> None:
    named = [name for names in COMMAND_GROUPS.values() for name in names]
    assert sorted(named) == sorted(COMMANDS)
    assert "Others" not in grouped_commands()


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_is_shown_once(name: str) -> None:
    command = command_of(name)
    shown = [option.name for options in grouped_options(command).values() for option in options]
    assert sorted(map(str, shown)) == sorted(
        str(each.name) for each in command.params if isinstance(each, click.Option)
    )


def test_every_setting_of_a_run_is_in_a_group() -> None:
    (own,) = (options for heading, options in grouped_options(command_of("run")).items() if heading == OWN_HEADING)
    assert not {option.name for option in own} & set(settings_with_option())


def test_the_groups_name_options_that_exist() -> None:
    known = {parameter.name for name in COMMANDS for parameter in command_of(name).params}
    assert {name for names in GROUPS.values() for name in names} <= known


def test_a_command_with_few_options_has_one_heading() -> None:
    assert [*grouped_options(command_of("show"))] == [OWN_HEADING]
    help_text = CliRunner().invoke(batchcrew, ["run", "--help"]).output
    headings = [line for line in help_text.splitlines() if line.endswith(":") and not line.startswith(" ")]
    assert headings == [
        "Options:",
        "Job file and crew:",
        "Limits and settings of the run:",
        "Paying again:",
        "Webhooks:",
        "Ledger and batch:",
        "Output:",
        "Examples:",
    ]


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_examples_that_parse(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for file in ("leads.yaml", "inbox.csv", "started.csv", "results.xlsx"):
        (tmp_path / file).write_text("x\n", encoding="utf-8")
    parent = click.Context(batchcrew, **batchcrew.context_settings)
    assert EXAMPLES.get(name)
    for line, meaning in EXAMPLES[name]:
        words = shlex.split(line.split(" | ")[0].split(" > ")[0])
        assert words[0] == name
        command_of(name).make_context(name, words[1:], parent)  # an unknown option or argument is an error
        assert meaning.endswith(".")


def test_the_arguments_that_are_completed_without_their_command_are_those_of_the_command() -> None:
    for name, arguments in ARGUMENTS.items():
        own = [parameter.name for parameter in command_of(name).params if isinstance(parameter, click.Argument)]
        assert own[: len(arguments)] == [*arguments], name


# the manual page -----------------------------------------------------------------------------------------------------


assert isinstance(batchcrew, SectionedGroup)
PROGRAM = batchcrew


def page() -> str:
    return manual(PROGRAM, version="1.2.3", day=date(2026, 11, 28))


def test_the_manual_page_has_every_command_and_option() -> None:
    text = page()
    for name in COMMANDS:
        assert f'.SH "BATCHCREW {name.upper()}"' in text
        for parameter in command_of(name).params:
            if isinstance(parameter, click.Option):
                assert parameter.opts[-1].replace("-", "\\-") in text
    assert text.isascii()


def test_the_manual_page_begins_no_line_with_a_request_by_accident() -> None:
    known = {"TH", "SH", "SS", "PP", "TP", "B", "I", "nh"}
    requests = {line[1:].split(" ")[0] for line in page().splitlines() if line.startswith((".", "'"))}
    assert requests == known


@pytest.mark.parametrize(
    "check",
    [["mandoc", "-T", "lint", "-W", "warning"], ["groff", "-man", "-ww", "-T", "utf8", "-z"]],
    ids=lambda it: it[0],
)
def test_the_manual_page_is_rendered_without_warnings(check: list[str], tmp_path: Path) -> None:
    if shutil.which(check[0]) is None:
        pytest.skip(f"{check[0]} is not installed")
    (tmp_path / "batchcrew.1").write_text(page(), encoding="utf-8")
    ended = subprocess.run([*check, "batchcrew.1"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert ended.stdout + ended.stderr == ""

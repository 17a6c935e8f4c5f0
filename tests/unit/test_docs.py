"""Documentation that follows from the code: help texts, settings, exit codes; and links that lead somewhere.

`BATCHCREW_WRITE_DOCS=1 pytest tests/unit/test_docs.py` writes again: docs/commands.md, the tables of settings in
docs/job-file.md, the section `run:` of jobs/reference.yaml, and jobs/batchcrew.schema.json.
"""

import os
import re
import shlex
import shutil
import subprocess
import textwrap
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from batchcrew.cli import COMMANDS, batchcrew
from batchcrew.config.accept import AcceptSettings
from batchcrew.config.crews import REMOTE_ONLY, AuthSettings, CrewSettings, RemoteCrew, ServedCrew, ServeSettings
from batchcrew.config.declarations import Setting, Settings, declared
from batchcrew.config.human import HumanSettings
from batchcrew.config.limits import FailureLimit
from batchcrew.config.settings import BreakerSettings, PollSettings, RetrySettings, RunSettings
from batchcrew.config.webhooks import WebhookSettings
from batchcrew.crew import spellings
from batchcrew.jobfile import load_jobfile
from batchcrew.jobfile.rows.formats import ROWS_SUFFIXES
from batchcrew.model.exit_codes import MEANINGS, SHORT_MEANINGS, ExitCode
from batchcrew.reports.export.formats import EXPORT_FORMATS

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
HEAD = """# The commands

Every option has an environment variable. Results go to stdout, everything else to stderr. Shells complete commands,
options and names, and `batchcrew man` prints this page as a manual page ([results.md](results.md#completion)).
"""


def help_of(*words: str) -> str:
    result = CliRunner().invoke(batchcrew, [*words, "--help"], prog_name="batchcrew", terminal_width=80)
    assert result.exit_code == 0
    return result.output


def commands_page() -> str:
    parts = [HEAD, f"```\n{help_of()}```\n"]
    parts += [f"## {name}\n\n```\n{help_of(name)}```\n" for name in COMMANDS]
    return "\n".join(parts)


def check_generated(page: Path, text: str) -> None:
    """Compare a generated file with its expected text, after writing it if that is requested."""
    if os.environ.get("BATCHCREW_WRITE_DOCS"):
        page.write_text(text, encoding="utf-8")
    assert page.read_text(encoding="utf-8") == text, "run BATCHCREW_WRITE_DOCS=1 pytest tests/unit/test_docs.py"


def test_the_commands_page_is_the_commands_help() -> None:
    check_generated(ROOT / "docs" / "commands.md", commands_page())


def test_the_schema_is_that_of_the_settings() -> None:
    check_generated(ROOT / "jobs" / "batchcrew.schema.json", CliRunner().invoke(batchcrew, ["schema"]).output)


def settings_of(table: str) -> list[Setting]:
    """Return the settings of a table in docs/job-file.md."""
    if table == "crew":
        kinds = {setting.name: setting for kind in (RemoteCrew, ServedCrew) for setting in declared(kind)}
        return [kinds["url"], kinds["serve"], *declared(CrewSettings), *(kinds[name] for name in REMOTE_ONLY)]
    tables: dict[str, type[Settings]] = {
        "auth": AuthSettings,
        "serve": ServeSettings,
        "accept": AcceptSettings,
        "webhooks": WebhookSettings,
        "run": RunSettings,
        "retry": RetrySettings,
        "breaker": BreakerSettings,
        "poll": PollSettings,
        "human": HumanSettings,
        "stop_after_failures": FailureLimit,
    }
    return list(declared(tables[table]))


def table_text(table: str) -> str:
    of = {
        "serve": " of `serve`",
        "accept": " of `accept`",
        "webhooks": " of `webhooks`",
        "stop_after_failures": " of `stop_after_failures`",
    }.get(table, "")
    prefix = f"{table}." if table in {"auth", "retry", "breaker", "poll", "human"} else ""
    lines = [f"| key{of} | default | meaning |", "|---|---|---|"]
    for setting in settings_of(table):
        default = setting.default if setting.is_described or not setting.default else f"`{setting.default}`"
        meaning = f"{setting.summary} {setting.details}".strip()
        lines.append(f"| `{prefix}{setting.name}` | {default} | {meaning} |".replace("|  |", "| |"))
    return "\n".join(lines)


def test_the_tables_of_settings_are_their_declarations() -> None:
    page = ROOT / "docs" / "job-file.md"
    pattern = re.compile(r"(<!-- settings: (\w+) -->\n).*?(\n<!-- end of settings -->)", re.DOTALL)
    text = page.read_text(encoding="utf-8")
    assert len(pattern.findall(text)) == 11
    check_generated(page, pattern.sub(lambda match: match[1] + table_text(match[2]) + match[3], text))


def reference_lines(model: type[Settings], indent: str) -> Iterator[str]:
    """Yield the lines of settings in jobs/reference.yaml: each with its summary above it."""
    for setting in declared(model):
        width = 120 - len(indent) - 2
        yield from (f"{indent}# {line}" for line in textwrap.wrap(setting.summary, width, break_on_hyphens=False))
        if setting.section is None:
            yield f"{indent}{setting.name}: {setting.example}"
        else:
            yield f"{indent}{setting.name}:"
            yield from reference_lines(setting.section, indent + "  ")


def test_the_reference_job_file_shows_every_setting_of_a_run() -> None:
    page = ROOT / "jobs" / "reference.yaml"
    text = page.read_text(encoding="utf-8")
    lines = "\n".join(reference_lines(RunSettings, "  "))
    section = re.compile(r"^(run:[^\n]*\n)(?:(?:  [^\n]*)?\n)*?(?=\n\S)", re.MULTILINE)
    assert section.search(text)
    check_generated(page, section.sub(lambda match: f"{match[1]}{lines}\n", text))


def test_the_ledgers_page_has_every_export_format() -> None:
    assert f"`batchcrew export BATCH -f {'|'.join(EXPORT_FORMATS)} " in (ROOT / "docs" / "ledger.md").read_text("utf-8")


@pytest.mark.parametrize("name", ["docs/job-file.md", "jobs/reference.yaml"])
def test_every_suffix_of_rows_files_is_documented(name: str) -> None:
    page = (ROOT / name).read_text("utf-8")
    assert [suffix for suffix in ROWS_SUFFIXES if suffix not in page] == []


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_has_its_variable_and_a_help_text(name: str) -> None:
    command = batchcrew.get_command(click.Context(batchcrew), name)
    assert command is not None
    for parameter in command.params:
        if isinstance(parameter, click.Option):
            assert parameter.help
            assert str(parameter.envvar).startswith("BATCHCREW_")


def test_the_readme_has_every_exit_code() -> None:
    for code in ExitCode:
        assert f"\n| {int(code)} | {MEANINGS[code]} |\n" in README
        assert f"{int(code)} {SHORT_MEANINGS[code]}" in " ".join(help_of().split())


def test_the_readmes_job_file_loads(tmp_path: Path) -> None:
    match = re.search(r"```yaml\n(.*?)```", README, re.DOTALL)
    assert match is not None
    (tmp_path / "jobs.yaml").write_text(match[1], encoding="utf-8")
    (tmp_path / "leads.csv").write_text("email,hobby,age,country\na@example.com,Go,35,JP\n", encoding="utf-8")
    environ = {"CREW_URL": "https://crew.example.com", "CREW_TOKEN": "t"}
    jobfile = load_jobfile(tmp_path / "jobs.yaml", environ=environ, today=date(2026, 11, 24))
    assert jobfile.batch == "leads-2026-11-24"


PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").glob("*.md"))]


def anchors_of(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub makes them."""
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading).strip().lower().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target, anchor in re.findall(r"\]\(([^)#:]*)(?:#([^)]+))?\)", page.read_text(encoding="utf-8")):
        linked = page.parent / target if target else page
        assert linked.exists(), target
        assert not anchor or anchor in anchors_of(linked), f"{target}#{anchor}"


def commands_of(page: Path) -> list[list[str]]:
    """Return the words of every batchcrew command in the blocks of a page, without the program."""
    blocks = re.findall(r"^```\n(.*?)^```", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    lines = [line for block in blocks for line in block.splitlines() if line.startswith("batchcrew ")]
    return [shlex.split(line, comments=True)[1:] for line in lines]


def test_every_command_of_the_page_of_complaints_parses(tmp_path: Path) -> None:
    (tmp_path / "jobs.yaml").write_text("jobs: []\n", encoding="utf-8")
    commands = commands_of(ROOT / "docs" / "why.md")
    assert len(commands) > 10
    parent = click.Context(batchcrew, **batchcrew.context_settings)
    for name, *words in commands:
        command = batchcrew.get_command(parent, name)
        assert command is not None, name
        given = [str(tmp_path / word) if word == "jobs.yaml" else word for word in words]
        command.make_context(name, given, parent)  # an unknown option or argument is an error


DEVELOPERS_PAGES = [ROOT / "CONTRIBUTING.md", ROOT / "docs" / "architecture.md"]


@pytest.mark.parametrize("page", DEVELOPERS_PAGES, ids=lambda page: page.name)
def test_every_file_that_the_developers_pages_name_exists(page: Path) -> None:
    named = re.findall(r"`((?:batchcrew|benchmarks|docs|jobs|tests)/[\w./]*)`", page.read_text(encoding="utf-8"))
    assert len(named) > 10
    for name in named:
        assert (ROOT / name).exists(), name


def test_the_readme_is_short_and_links_the_glossary() -> None:
    assert "(docs/glossary.md)" in README
    assert README.count("\n") < 150


def test_no_file_names_a_registry_or_a_place_outside() -> None:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode:
        pytest.skip("not a git checkout")
    hosts = ["pypi." + "org", "files." + "pythonhosted", "registry." + "npmjs", "deb." + "debian", "../" + "shared"]
    for name in listed.stdout.split():
        text = (ROOT / name).read_text(encoding="utf-8", errors="replace")
        for host in hosts:
            assert host not in text, name


@pytest.mark.parametrize(("name", "least"), [("reliability.md", 40), ("identity.md", 10)])
def test_every_test_that_the_promises_name_exists(name: str, least: int) -> None:
    page = (ROOT / "docs" / name).read_text(encoding="utf-8")
    named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", page)
    assert len(named) > least
    for file, test in named:
        assert re.search(rf"^(async )?def {test}\(", (ROOT / file).read_text(encoding="utf-8"), re.MULTILINE), test


def test_every_answer_that_is_understood_names_its_contract_test() -> None:
    page = (ROOT / "docs" / "crew-api.md").read_text(encoding="utf-8")
    lines = [line for line in page.splitlines() if line.startswith("| ") and not line.startswith("| source |")]
    assert len(lines) >= 55
    for line in lines:
        assert len(line.split(" | ")) == 4, line
        named = re.findall(r"`(tests/(?:contract|integration|unit)/\w+\.py)::(\w+)`", line.rsplit(" | ", 1)[1])
        assert named, line
        for file, test in named:
            assert re.search(rf"^(async )?def {test}\(", (ROOT / file).read_text(encoding="utf-8"), re.MULTILINE), test


def test_the_page_of_answers_has_every_name_of_the_spellings() -> None:
    page = (ROOT / "docs" / "crew-api.md").read_text(encoding="utf-8")
    tables = (spellings.KICKOFF_ID, spellings.OTHER_ID, spellings.RESULT, spellings.FAILURE_TEXT, spellings.INPUTS)
    names = [name for table in tables for name in table if isinstance(name, str)]
    words = [word for word in spellings.STATUS_WORDS if "human" not in word]
    missing = [name for name in (*names, *words, *spellings.ENDED_WITHOUT_RESULT) if f"`{name}`" not in page]
    assert missing == []


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")
def test_systemd_takes_the_units(tmp_path: Path) -> None:
    units = []
    for kind in ("service", "timer"):
        text = (ROOT / "docs" / "systemd" / f"batchcrew@.{kind}").read_text(encoding="utf-8")
        unit = tmp_path / f"batchcrew@leads.{kind}"
        unit.write_text(text.replace("%h/.local/bin/batchcrew", "/bin/true"), encoding="utf-8")
        units.append(str(unit))
    ended = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *units], capture_output=True, text=True, check=False
    )
    assert (ended.returncode, ended.stderr) == (0, "")

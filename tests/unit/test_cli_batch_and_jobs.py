"""How `retry` and `keep` take their arguments BATCH and JOBS apart, with `--batch` and its variable."""

from collections.abc import Mapping, Sequence

import click
import pytest
from click.testing import CliRunner

from batchcrew.cli.options import batch_and_jobs, batch_option


@click.command()
@click.argument("batch", required=False)
@click.argument("jobs", nargs=-1)
@batch_option
def command(batch: str | None, jobs: tuple[str, ...], *, named_batch: str | None) -> None:
    name, jobs = batch_and_jobs(batch, jobs, named_batch)
    click.echo(" ".join((name, *jobs)), nl=False)


@pytest.mark.parametrize(
    ("arguments", "environment", "found"),
    [
        (["b"], {}, "b"),
        (["b", "j1", "j2"], {}, "b j1 j2"),
        (["--batch", "b"], {}, "b"),
        (["--batch", "b", "j1", "j2"], {}, "b j1 j2"),
        ([], {"BATCHCREW_BATCH": "b"}, "b"),
        (["other", "j1"], {"BATCHCREW_BATCH": "b"}, "other j1"),
        (["--batch", "b", "j1"], {"BATCHCREW_BATCH": "c"}, "b j1"),
    ],
)
def test_the_option_makes_every_argument_a_job(
    arguments: Sequence[str], environment: Mapping[str, str], found: str
) -> None:
    assert CliRunner(env=environment).invoke(command, arguments).output == found


def test_a_batch_is_required() -> None:
    result = CliRunner(env={"BATCHCREW_BATCH": None}).invoke(command, [])
    assert "missing BATCH" in str(result.exception)

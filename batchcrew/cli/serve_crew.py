"""The options of `batchcrew serve` for crews."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from batchcrew.base.errors import UsageError
from batchcrew.base.quantities import parse_duration
from batchcrew.base.serving import check_input_name
from batchcrew.base.text import one_line
from batchcrew.server import CrewOptions, parse_target
from batchcrew.server.interpreters import interpreter

DEFAULT_FOLDER = Path("results")
IN_MEMORY = Path(":memory:")


def crew_options(target: str, options: dict[str, Any]) -> CrewOptions:
    """Return what to serve, and print which interpreter the workers run under.

    Raises:
        UsageError: the target, an option or the interpreter is not valid.
    """
    made = CrewOptions(
        target=parse_target(target, Path.cwd()),
        workers=options["workers"],
        threads=options["threads"],
        inputs=_inputs(options["supplied"]),
        max_queue=options["max_queue"],
        execution_timeout=_duration("execution_timeout", options),
        stop_timeout=_duration("stop_timeout", options),
        keep_seconds=_duration("keep", options),
        keep_count=options["keep_count"],
        isolation=options["isolation"],
        memory=options["memory"],
        artifacts=_artifacts(options),
    )
    named: Path | None = options["python"]
    python = interpreter(Path(made.target.folder), None if named is None else Path.cwd() / named)
    if python.warning:
        click.echo(f"warning: {one_line(python.warning)}", err=True)
    elif python.python:
        click.echo(f"workers run under {one_line(str(python))}", err=True)
    return replace(made, command=python.command, environment=python.environment)


def _artifacts(options: dict[str, Any]) -> Path:
    if options["artifacts_folder"] is not None:
        return Path(options["artifacts_folder"]).absolute()
    kept = options["state"] not in {None, IN_MEMORY}
    return (options["state"].parent if kept else DEFAULT_FOLDER).absolute() / "artifacts"


def _inputs(texts: tuple[str, ...]) -> dict[str, str | None]:
    """Return the values of `--input`; None for a name without `=`."""
    parts = [text.partition("=") for text in texts]
    found = {name.strip(): value if equals else None for name, equals, value in parts}
    if len(found) < len(parts):
        raise UsageError("--input names an input twice; keep one")
    try:
        return {check_input_name(name): value for name, value in found.items()}
    except ValueError as error:
        raise UsageError(f"--input: {error}") from error


def _duration(name: str, options: dict[str, Any]) -> float:
    try:
        return parse_duration(options[name])
    except ValueError as error:
        raise UsageError(f"--{name.replace('_', '-')}: {error}") from error

"""`batchcrew schema`."""

import click
import orjson

from batchcrew.jobfile import json_schema


@click.command()
def command() -> None:
    """The job file's JSON Schema on stdout.

    Point an editor to it with a first line such as
    `# yaml-language-server: $schema=batchcrew.schema.json`.
    """
    click.echo(orjson.dumps(json_schema(), option=orjson.OPT_INDENT_2))

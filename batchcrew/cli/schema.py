"""`batchcrew schema`."""

import click
import orjson

from batchcrew.jobfile import json_schema


@click.command()
def command() -> None:
    """Print the JSON Schema of job files on stdout.

    Point your editor to it with a first line such as
    `# yaml-language-server: $schema=batchcrew.schema.json`.
    """
    click.echo(orjson.dumps(json_schema(), option=orjson.OPT_INDENT_2).decode())

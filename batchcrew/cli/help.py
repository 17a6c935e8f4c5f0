"""The help of a command: its options in groups, and its examples. Imports nothing heavy."""

from collections.abc import Mapping
from typing import Any

import click

from batchcrew.cli.examples import EXAMPLES
from batchcrew.cli.program import NAME

GROUPS: dict[str, tuple[str, ...]] = {
    "Job file and crew": (
        "crew_url",
        "token_file",
        "encoding",
        "delimiter",
        "sheet",
        "date",
        "allow_outside",
        "take_over",
    ),
    "Limits and settings of the run": (
        "concurrency",
        "max_concurrency",
        "rate",
        "timeout",
        "max_runtime",
        "delivery",
        "stop_after_failures",
        "canary",
        "max_kickoffs",
        "max_cost",
        "limit",
    ),
    "Paying again": ("on_change", "rerun_changed", "accept_changes", "retry_failed"),
    "Webhooks": ("webhook_listen", "webhook_url"),
    "Demo crew": (
        "execution_time",
        "fail_rate",
        "human_rate",
        "max_running",
        "seed",
        "webhook_secret",
        "webhook_drop_rate",
        "webhook_double_rate",
        "webhook_delay_rate",
        "webhook_forge_rate",
    ),
    "Real crews": (
        "python",
        "workers",
        "threads",
        "isolation",
        "memory",
        "artifacts_folder",
        "supplied",
        "max_queue",
        "execution_timeout",
        "stop_timeout",
        "webhook_allow",
        "keep",
        "keep_count",
    ),
    "Faults on purpose": ("http_error_rate", "drop_rate", "no_idempotency"),
    "Ledger and batch": ("ledger", "named_batch"),
    "Output": ("with_page", "monitor", "metrics_file", "quiet", "verbose", "log_format", "as_json"),
}
"""The options under each heading, by the name of their parameter. Those of no group are under `Options`."""
FEW_OPTIONS = 6
"""A command with fewer options shows them under one heading."""
OWN_HEADING = "Options"


def grouped_options(command: click.Command) -> dict[str, list[click.Parameter]]:
    """Return the options of a command by their heading; those of the command alone come first."""
    options = [parameter for parameter in command.params if isinstance(parameter, click.Option)]
    headings = {name: heading for heading, names in GROUPS.items() for name in names}
    if not any(parameter.name == "jobfile" for parameter in command.params):
        headings = {name: heading for name, heading in headings.items() if name not in GROUPS["Job file and crew"]}
    if len(options) < FEW_OPTIONS:
        headings = {}
    groups: dict[str, list[click.Parameter]] = {heading: [] for heading in (OWN_HEADING, *GROUPS)}
    for option in options:
        groups[headings.get(option.name or "", OWN_HEADING)].append(option)
    return {heading: found for heading, found in groups.items() if found}


class SectionedGroup(click.Group):
    """A group that lists its commands under headings, without importing them."""

    def sections(self) -> Mapping[str, Mapping[str, str]]:
        """Return the one-line summary of each command, by its heading and name."""
        raise NotImplementedError

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        sections = self.sections()
        width = max(len(name) for commands in sections.values() for name in commands)
        for heading, commands in sections.items():
            with formatter.section(heading):
                formatter.write_dl([(f"{name:{width}}", summary) for name, summary in commands.items()])


class HelpfulCommand(click.Command):
    """A command whose help groups its options, and ends with examples."""

    @classmethod
    def of(cls, name: str, command: click.Command) -> "HelpfulCommand":
        """Return a command of the same behaviour."""
        its: dict[str, Any] = {
            attribute: getattr(command, attribute)
            for attribute in (
                "callback",
                "params",
                "help",
                "epilog",
                "short_help",
                "options_metavar",
                "context_settings",
                "add_help_option",
                "no_args_is_help",
                "hidden",
                "deprecated",
            )
        }
        return cls(name, **its)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        groups = grouped_options(self)
        help_option = self.get_help_option(ctx)
        if help_option is not None:
            groups = {OWN_HEADING: [], **groups}
            groups[OWN_HEADING].append(help_option)
        for heading, options in groups.items():
            records = [record for option in options if (record := option.get_help_record(ctx)) is not None]
            with formatter.section(heading):
                formatter.write_dl(records)
        self.format_examples(ctx, formatter)

    def format_examples(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write each example with its effect; its command is not broken, so that it can be copied."""
        program = ctx.find_root().info_name or NAME
        examples = EXAMPLES.get(self.name or "", ())
        if not examples:
            return
        with formatter.section("Examples"):
            for line, meaning in examples:
                formatter.write(f"{'':{formatter.current_indent}}{program} {line}\n")
                with formatter.indentation():
                    formatter.write_text(meaning)

"""Write the manual page: every command with its options and examples, as roff for `man`.

It has the texts of the help, which come from the commands themselves.
"""

import re
from collections.abc import Iterator
from datetime import date

import click

from batchcrew.cli.examples import EXAMPLES
from batchcrew.cli.help import OWN_HEADING, SectionedGroup, grouped_options
from batchcrew.cli.program import NAME
from batchcrew.model.exit_codes import MEANINGS

_INTRODUCTION = """\
Reads jobs from a job file or a table, kicks off a deployed CrewAI crew for each of them, watches every execution until
it ends, and records everything in a SQLite ledger. Whatever interrupts it: the same command, called again, resumes the
batch without losing a job or paying for one twice.

Results go to stdout, everything else to stderr. Every option has an environment variable."""


def manual(group: SectionedGroup, *, version: str, day: date) -> str:
    """Return the manual page.

    Args:
        group: the program, with all its commands.
        day: on which the page is written.
    """
    parent = click.Context(group, info_name=NAME)
    lines = [
        f'.TH {NAME.upper()} 1 {day.isoformat()} "{_quoted(f"{NAME} {version}")}" "User Commands"',
        ".nh",  # names of variables are copied
        ".SH NAME",
        f"{NAME} \\- {_escaped(_first_line(group))}",
        ".SH SYNOPSIS",
        f".B {NAME}\n.I COMMAND\n[\\fIOPTIONS\\fR] [\\fIARGUMENTS\\fR]",
        ".SH DESCRIPTION",
        *[*_paragraphs(_INTRODUCTION)][1:],
        ".SH COMMANDS",
    ]
    for heading, commands in group.sections().items():
        lines.append(f'.SS "{_quoted(heading)}"')
        for name, summary in commands.items():
            lines += _entry(f"\\fB{_escaped(name)}\\fR", summary)
    for name in group.list_commands(parent):
        command = group.get_command(parent, name)
        if command is not None:
            lines += _command(click.Context(command, info_name=name, parent=parent), command)
    lines.append(".SH EXIT STATUS")
    for code, meaning in MEANINGS.items():
        lines += _entry(f"\\fB{int(code)}\\fR", meaning)
    return "\n".join(lines) + "\n"


def _command(context: click.Context, command: click.Command) -> Iterator[str]:
    """Yield the section of a command."""
    yield f'.SH "{_quoted(f"{NAME} {context.info_name}".upper())}"'
    usage = " ".join(command.collect_usage_pieces(context))
    yield f"\\fB{NAME} {_escaped(context.info_name or '')}\\fR {_escaped(usage)}"
    yield from _paragraphs(command.help or "")
    for heading, options in grouped_options(command).items():
        yield f'.PP\n.B "{_quoted(heading)}"' if heading != OWN_HEADING else ".PP\n.B Options"
        for option in options:
            record = option.get_help_record(context)
            if record is not None:
                yield from _entry(f"\\fB{_escaped(record[0])}\\fR", record[1])
    examples = EXAMPLES.get(context.info_name or "", ())
    if examples:
        yield ".PP\n.B Examples"
    for line, meaning in examples:
        yield from _entry(f"\\fB{_escaped(f'{NAME} {line}')}\\fR", meaning)


def _entry(term: str, text: str) -> Iterator[str]:
    yield ".TP"
    yield term
    yield _escaped(" ".join(text.split()))


def _paragraphs(text: str) -> Iterator[str]:
    """Yield a text of several paragraphs, each after a macro that begins one."""
    for paragraph in re.split(r"\n\s*\n", text.strip()):
        yield ".PP"
        yield _escaped(" ".join(paragraph.split()))


def _first_line(group: click.Group) -> str:
    text = " ".join((group.help or "").split("\n\n")[0].split()).rstrip(".")
    return text[:1].lower() + text[1:]


def _escaped(text: str) -> str:
    """Return a text as roff prints it: backslashes, hyphens that are copied, and no request at a line's start."""
    plain = text.replace("\\", "\\e").replace("-", "\\-").replace("`", "\\(ga")
    plain = "".join(character if character.isascii() else f"\\[u{ord(character):04X}]" for character in plain)
    return f"\\&{plain}" if plain[:1] in {".", "'"} else plain


def _quoted(text: str) -> str:
    """Return a text for an argument of a request."""
    return _escaped(text).replace('"', "\\(dq")

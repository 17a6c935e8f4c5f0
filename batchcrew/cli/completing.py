"""Complete command lines: the scripts for the shells, and the names of batches and jobs that they request.

Whatever goes wrong, a shell gets no completions and no message: it would be printed into the line that is typed.
"""

import asyncio
import contextlib
import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
from click.shell_completion import (
    BashComplete,
    CompletionItem,
    FishComplete,
    ShellComplete,
    ZshComplete,
    split_arg_string,
)

from batchcrew.cli.program import NAME

SHELLS = ("bash", "zsh", "fish")
MOST_NAMES = 200
"""Maximum number of jobs that are offered to a shell; type more letters to see others."""
MOST_SECONDS = 1.0
"""Time after which a ledger that does not answer is ignored."""
VARIABLE = "_BATCHCREW_COMPLETE"
_BATCHES = frozenset({"batch", "named_batch", "other"})
_JOBS = frozenset({"job", "jobs", "job_id"})
ARGUMENTS: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("run", "tick", "check", "adopt"), ("jobfile",)),
    **dict.fromkeys(("show", "attach", "answer"), ("batch", "job")),
    **dict.fromkeys(("retry", "cancel", "keep", "recheck"), ("batch", "jobs")),
    **dict.fromkeys(
        ("status", "pause", "unpause", "set", "stop", "failures", "runs", "export", "inbox", "judge", "delete"),
        ("batch",),
    ),
}
"""The first arguments of commands: these are completed without importing the command, which takes longest."""
_REPEATED = frozenset({"jobs"})
_SPECIAL = re.compile(r"([^\w@%+=:,./-])", re.ASCII)
_BASH = """\
%(complete_func)s() {
    local IFS=$'\\n' line="${COMP_LINE:0:COMP_POINT}" response completion kind value word prefix
    response=$(%(complete_var)s=bash_complete COMP_WORDS="$line" "$1" 2>/dev/null) || return 0
    word="${line##*[[:space:]]}"
    prefix="${word%%"${word##*[@:=]}"}"  # bash completes only what is after such a character, or from an @ on
    [[ -n "$prefix" && "$COMP_WORDBREAKS" == *"${prefix: -1}"* ]] || prefix=""
    prefix="${prefix%%@}"
    for completion in $response; do
        kind="${completion%%%%,*}" value="${completion#*,}"
        case "$kind" in
            dir) COMPREPLY=(); compopt -o dirnames ;;
            file) COMPREPLY=(); compopt -o default ;;
            plain) COMPREPLY+=("${value#"$prefix"}"); [[ "$value" == *= ]] && compopt -o nospace ;;
        esac
    done
    return 0
}
complete -o nosort -F %(complete_func)s %(prog_name)s
"""


class _Bash(BashComplete):
    """Reads the line itself: bash breaks words at `@` and `:`, which ids of jobs have."""

    source_template = _BASH

    def source(self) -> str:
        return self.source_template % self.source_vars()

    def get_completion_args(self) -> tuple[list[str], str]:
        line = os.environ["COMP_WORDS"]
        words = split_arg_string(line)
        return (words[1:], "") if line[-1:].isspace() else (words[1:-1], words[-1])

    def format_completion(self, item: CompletionItem[str]) -> str:
        return f"{item.type},{_SPECIAL.sub(lambda match: chr(92) + match[0], item.value)}"


class _Fish(FishComplete):
    def format_completion(self, item: CompletionItem[str]) -> str:
        return f"{item.type},{item.value}"


_CLASSES: dict[str, type[ShellComplete]] = {"bash": _Bash, "zsh": ZshComplete, "fish": _Fish}


def script(shell: str) -> str:
    """Return the script that a shell reads."""
    text = _CLASSES[shell](click.Command(NAME), {}, NAME, VARIABLE).source()
    if shell == "fish":
        return text.replace(f" {NAME});", f" {NAME} 2>/dev/null);").replace('string split ","', 'string split -m 1 ","')
    return text.replace(f" {NAME})}}", f" {NAME} 2>/dev/null)}}")


def answer_shell(group: click.Group, instruction: str) -> int:
    """Print the answer to a shell's request: its script, or completions of the line that it passes in the
    environment."""
    shell, _, what = instruction.partition("_")
    if shell not in _CLASSES:
        return 0
    if what == "source":
        click.echo(script(shell), nl=False)
        return 0
    # Exception: a shell shows whatever is printed here in the middle of the line that is typed
    with contextlib.suppress(Exception), open(os.devnull, "w") as nowhere, contextlib.redirect_stderr(nowhere):  # noqa: PTH123
        complete = _CLASSES[shell](group, {}, NAME, VARIABLE)
        args, incomplete = complete.get_completion_args()
        found = _of_arguments(args, incomplete)
        items = complete.get_completions(args, incomplete) if found is None else found
        text = "\n".join(complete.format_completion(item) for item in items)
        sys.stdout.write(text + "\n" if text else "")
    return 0


def completions(name: str, values: Mapping[str, Any], incomplete: str) -> list[CompletionItem[str]]:
    """Return the completions of an argument or an option.

    Args:
        name: of the parameter.
        values: what the line already has, by the name of the parameter.
    """
    ledger, batch = values.get("ledger"), values.get("batch") or values.get("named_batch")
    if name in _BATCHES:
        return _names(_read(ledger), incomplete)
    if name in _JOBS and batch:
        return _names(_read(ledger, str(batch), incomplete), incomplete)
    if name == "settings":
        from batchcrew.config.settings import CHANGEABLE  # noqa: PLC0415 - it imports pydantic

        return _names([f"{setting}=" for setting in CHANGEABLE], incomplete)
    return []


def _of_arguments(words: list[str], incomplete: str) -> list[CompletionItem[str]] | None:
    """Return the completions of a command's first arguments; None where the command itself must decide."""
    if not words or words[0] not in ARGUMENTS or incomplete.startswith("-"):
        return None
    command, *given = words
    values: dict[str, Any] = {}
    if len(given) >= 2 and given[0] == "--ledger":
        values["ledger"] = given[1]
        del given[:2]
    names = ARGUMENTS[command]
    if any(word.startswith("-") for word in given):
        return None
    if len(given) >= len(names) and names[-1] not in _REPEATED:
        return None
    values |= dict(zip(names, given, strict=False))
    name = names[min(len(given), len(names) - 1)]
    if name == "jobfile":
        return [CompletionItem(incomplete, type="file")]
    return completions(name, values, incomplete)


def _names(names: list[str], incomplete: str) -> list[CompletionItem[str]]:
    """Return the names that fit, without those that could act on a terminal or break a shell's line."""
    return [CompletionItem(name) for name in names if name.startswith(incomplete) and name.isprintable()]


def _read(ledger: Any, batch: str | None = None, prefix: str = "") -> list[str]:
    """Return the names of batches, or of a batch's jobs that begin with `prefix`, from the ledger that is found."""
    from batchcrew.app.ledger_location import Search, find_ledger  # noqa: PLC0415 - imported where it is needed
    from batchcrew.base.clock import SystemClock  # noqa: PLC0415
    from batchcrew.base.quantities import DEFAULT_LEDGER  # noqa: PLC0415
    from batchcrew.ledger import LedgerReader  # noqa: PLC0415

    path = Path(ledger) if ledger is not None else Path(DEFAULT_LEDGER)
    if path == Path(DEFAULT_LEDGER):
        path = find_ledger(Search.here()) or path

    async def names() -> list[str]:
        async with asyncio.timeout(MOST_SECONDS), LedgerReader(path, clock=SystemClock(), any_schema=True) as reader:
            return await reader.batch_names() if batch is None else await reader.job_names(batch, prefix, MOST_NAMES)

    return asyncio.run(names())

"""Serve each project of a folder of checkouts, run rows with an offline model, and print a table of what came of it.

    .venv/bin/python tests/real/projects_table.py --from DIR [--only NAME] [--changes FILE] [--seconds 90]

Each folder in DIR is a project. It is copied, served as it is, and run with three rows whose inputs have markers; so
it shows which outputs belong to their rows, and which rows have seen another one's. The model server counts tokens.
FILE is JSON: what to change for a project, by its name, as the operator would do it (keys of `Change`).
"""

import argparse
import contextlib
import json
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from counting_model import MARKER, CountingModel
from real_stage import TOKEN, environment

KEYS = (
    "ANTHROPIC_API_KEY", "COHERE_API_KEY", "EXA_API_KEY", "GEMINI_API_KEY", "GOOGLE_API_KEY", "GROQ_API_KEY",
    "NVIDIA_API_KEY", "SERPER_API_KEY", "TAVILY_API_KEY", "BROWSERLESS_API_KEY", "AZURE_API_KEY",
)  # fmt: skip
SKIPPED = (".git", ".venv", "node_modules", "__pycache__")
MODEL = {"LLM_API_KEY": "x", "LLM_MODEL": "openai/gpt-4o"}
HEADER = ("project", "target", "changed how", "rows", "succeeded", "own", "tokens", "counted", "remark")


@dataclass(frozen=True)
class Change:
    """What is done to a project before it is served."""

    how: str = ""
    """For the table."""
    target: str = ""
    """Relative to the project; empty: its folder."""
    env: dict[str, str] = field(default_factory=dict)
    inputs: dict[str, Any] = field(default_factory=dict)
    """Inputs that all rows have in common; `ROW` in a text becomes the row's marker."""
    edit: dict[str, list[list[str]]] = field(default_factory=dict)
    """By file: pairs of a text and what replaces it."""
    delete: tuple[str, ...] = ()
    options: tuple[str, ...] = ()
    """Of `batchcrew serve`."""


@dataclass
class Line:
    """A line of the table."""

    name: str
    target: str = ""
    how: str = ""
    rows: int = 0
    succeeded: int = 0
    own: str = ""
    tokens: int = 0
    counted: int = 0
    remark: str = ""

    def cells(self) -> tuple[str, ...]:
        values = (self.name, self.target, self.how or "unchanged", self.rows, self.succeeded, self.own, self.tokens)
        return tuple(" ".join(str(one).split()).replace("|", "/")[:160] for one in (*values, self.counted, self.remark))


class Server:
    """`batchcrew serve` with a time limit, after which it is killed."""

    def __init__(self, folder: Path, project: Path, change: Change, variables: dict[str, str], seconds: float) -> None:
        self.said = folder / "serve.err"
        target = f"{project}/{change.target}" if change.target else str(project)
        options = ("--port", "0", "--workers", "1", "--threads", "3", "--state", ":memory:", "--python", sys.executable)
        with self.said.open("w") as errors:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "batchcrew", "serve", target, *options, *change.options],
                cwd=folder,
                env=environment(**variables),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )
        self.timer = threading.Timer(seconds, self.process.kill)
        self.timer.start()
        assert self.process.stdout is not None
        self.url = self.process.stdout.readline().strip()

    def call(self, path: str, body: Any = None) -> Any:
        """Return the JSON of an answer, also of an error."""
        data = None if body is None else json.dumps(body).encode()
        headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}
        try:
            with urllib.request.urlopen(urllib.request.Request(self.url + path, data, headers), timeout=60) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            with error:
                return json.load(error)

    def close(self) -> None:
        self.timer.cancel()
        self.process.terminate()
        try:
            self.process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            self.process.kill()
        self.process.communicate()


@contextlib.contextmanager
def serving(project: Path, change: Change, model: CountingModel, seconds: float) -> Iterator[tuple[Server, Path]]:
    """Serve a copy of the project."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as temporary:
        folder = Path(temporary)
        copy = folder / project.name
        shutil.copytree(project, copy, symlinks=True, ignore=shutil.ignore_patterns(*SKIPPED))
        for name in change.delete:
            (copy / name).unlink(missing_ok=True)
        for name, pairs in change.edit.items():
            text = (copy / name).read_text()
            for old, new in pairs:
                assert old in text, f"{name} has no {old!r}"
                text = text.replace(old, new)
            (copy / name).write_text(text)
        variables = {**dict.fromkeys(KEYS, "x"), **MODEL, **model.variables(), "LLM_BASE_URL": model.url}
        variables |= {"HOME": str(folder), **change.env}
        server = Server(folder, copy, change, variables, seconds)
        try:
            yield server, copy
        finally:
            server.close()


def value(name: str, kind: str, marker: str, number: int) -> Any:
    """Return an input that shows its row."""
    numbers = {"integer": number, "number": float(number), "boolean": True, "array": [f"{name} {marker}"], "object": {}}
    return numbers.get(kind, f"{name} {marker}")


def rows_of(server: Server, change: Change, count: int) -> dict[str, dict[str, Any]]:
    """Return the inputs of each row by its marker."""
    listed = server.call("/inputs")
    names = [*listed.get("inputs", ()), *listed.get("optional_inputs", ())] or ["topic"]
    kickoff = server.call("/openapi.json")["components"]["schemas"]["Kickoff"]
    typed = kickoff["properties"]["inputs"].get("properties", {})
    kinds = {name: str(typed.get(name, {}).get("type", "string")) for name in names}
    rows = {}
    for number in range(1, count + 1):
        marker = f"ROW{number}X"
        given = {name: value(name, kinds[name], marker, number) for name in names}
        common = json.loads(json.dumps(change.inputs).replace("ROW", marker))
        rows[marker] = {**given, **common}
    return rows


def tried(project: Path, change: Change, *, count: int, seconds: float) -> Line:
    """Serve a project and run its rows."""
    line = Line(project.name, change.target or ".", change.how, rows=count)
    begun = time.monotonic()
    with CountingModel().running() as model, serving(project, change, model, seconds) as (server, _):
        if not server.url:
            late = time.monotonic() - begun > seconds
            line.remark = f"not ready after {seconds:g} s" if late else _last(server.said.read_text())
            return line
        try:
            ended = _ended(server, change, count)
        except (OSError, ValueError) as error:
            line.remark = f"no end within {seconds:g} s ({error})"
            return line
        _judge(line, ended)
        line.counted = sum(counts["total_tokens"] for counts in model.rows.values())
        mixed = [marker for marker in model.rows if " " in marker]
        if mixed:
            line.remark += f" prompts with several rows: {', '.join(mixed)}"
        warned = [one for one in server.said.read_text().splitlines() if one.startswith("batchcrew: warning")]
        line.remark = (line.remark + " " + " ".join(warned[:1])).strip()
    return line


def _ended(server: Server, change: Change, count: int) -> dict[str, Any]:
    rows = rows_of(server, change, count)
    answers = {marker: server.call("/kickoff", {"inputs": inputs}) for marker, inputs in rows.items()}
    ended: dict[str, Any] = {}
    while len(ended) < len(answers):
        for marker, answer in answers.items():
            if "kickoff_id" not in answer:
                ended[marker] = {"status": "refused", "error": str(answer)}
            elif marker not in ended:
                status = server.call(f"/status/{answer['kickoff_id']}")
                if status.get("status") not in {"pending", "running", "started"}:
                    ended[marker] = status
        time.sleep(0.2)
    return ended


def _judge(line: Line, ended: dict[str, Any]) -> None:
    own = 0
    for marker, status in ended.items():
        line.tokens += int((status.get("token_usage") or {}).get("total_tokens", 0))
        if status.get("status") != "completed":
            line.remark = line.remark or str(status.get("error") or status)
            continue
        line.succeeded += 1
        seen = set(MARKER.findall(json.dumps([status.get("result"), status.get("result_json")])))
        own += seen == {marker}
        if seen - {marker}:
            line.remark += f" {marker} has seen {', '.join(sorted(seen - {marker}))}"
        elif not seen:
            line.remark = line.remark or "the output does not name its inputs, or there are none"
    line.own = f"{own}/{line.succeeded}"


def _last(text: str) -> str:
    lines = [one for one in text.splitlines() if one.strip()]
    return next((one for one in lines if one.lower().startswith("error")), lines[-1] if lines else "ended silently")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--from", dest="folder", type=Path, required=True, help="folder of projects")
    parser.add_argument("--only", action="append", help="name of a project; may be repeated")
    parser.add_argument("--changes", type=Path, help="JSON file with changes by project")
    parser.add_argument("--rows", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=90.0, help="time limit for a project")
    parser.add_argument("--at-once", type=int, default=1)
    options = parser.parse_args()
    changes = json.loads(options.changes.read_text()) if options.changes else {}
    names = options.only or sorted(one.name for one in options.folder.iterdir() if one.is_dir())

    def one(name: str) -> Line:
        change = Change(**changes.get(name, {}))
        try:
            return tried(options.folder / name, change, count=options.rows, seconds=options.seconds)
        except Exception as error:  # noqa: BLE001 - a project that cannot be tried is a line of the table
            return Line(name, remark=f"not tried: {error!r}")

    print(f"| {' | '.join(HEADER)} |\n|{'---|' * len(HEADER)}", flush=True)
    with ThreadPoolExecutor(options.at_once) as pool:
        for line in pool.map(one, names):
            print(f"| {' | '.join(line.cells())} |", flush=True)


if __name__ == "__main__":
    main()

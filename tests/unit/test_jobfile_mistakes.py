"""Every mistake is one plain sentence with file:line:column, and all mistakes of a file come at once."""

from datetime import date
from pathlib import Path
from typing import Any

import pytest
from mistakes import Expected, fits

from batchcrew.base.errors import JobFileError
from batchcrew.jobfile import JobFileOptions, Problems, load_jobfile
from batchcrew.jobfile.rows.formats import BARE_SUFFIXES, ROWS_SUFFIXES

CREW = "crew: {url: embedded}\n"
JOBS = "jobs: [{inputs: {a: 1}}]\n"
RIGHT = CREW + JOBS
ENVIRON = {"EMPTY": "", "SECRET": "s3cret"}


def complaints(tmp_path: Path, text: str | bytes, name: str = "x.yaml") -> list[str]:
    """The messages that loading the file and reading its jobs give, without the folder."""
    (tmp_path / "ok.csv").write_text("name,age\nbob,1\nann,2\n")
    (tmp_path / "ok.json").write_text('[{"name": "bob"}]')
    (tmp_path / "folder.csv").mkdir()
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    try:
        jobfile = load_jobfile(path, environ=ENVIRON, today=date(2026, 1, 31))
        problems = Problems()
        list(jobfile.jobs(problems))
        problems.raise_if_any()
    except JobFileError as exc:
        return [line.replace(f"{tmp_path}/", "") for line in str(exc).split("\n")]
    return []


HEAD: dict[str, tuple[str, Expected]] = {
    "no jobs": (CREW, "x.yaml:1:1: missing key 'jobs' (expected `jobs:` and under it `- rows: leads.csv`)"),
    "jobs are text": (
        CREW + "jobs: leads.csv\n",
        "x.yaml:2:7: invalid `jobs`: 'leads.csv' (expected a list, as in `jobs:` and under it `- rows: leads.csv`)",
    ),
    "no job in jobs": (
        CREW + "jobs: []\n",
        ("x.yaml:2:7", "`jobs`", "an empty list"),
    ),
    "an entry is text": (
        CREW + "jobs:\n  - leads.csv\n",
        "x.yaml:3:5: invalid entry of `jobs`: 'leads.csv' (expected a mapping; for a file write `- rows: leads.csv`)",
    ),
    "no crew": (
        JOBS,
        "x.yaml:1:1: missing key 'crew' (expected `crew: {url: …, token: …}`, or `crew: {url: embedded}` for "
        "the demo crew)",
    ),
    "trusted webhooks that are not requested": (
        "crew: {url: embedded, webhooks: false}\nwebhooks: {listen: 8787, trust: true}\n" + JOBS,
        ("x.yaml:2:1", "crew default", "`webhooks: false`", "`webhooks.trust`"),
    ),
    "crew and crews": (
        CREW + "crews: {a: {url: embedded}}\n" + JOBS,
        "x.yaml:2:1: `crew` (line 1) and `crews` exclude each other; keep one",
    ),
    "crew is text": (
        "crew: https://x.example\n" + JOBS,
        "x.yaml:1:7: invalid `crew`: 'https://x.example' (expected a mapping, as in `crew: {url: https://x.example}`)",
    ),
    "url and serve": (
        "crew: {serve: a:b, url: embedded}\n" + JOBS,
        "x.yaml:1:1: `crew`: `url` and `serve` exclude each other; keep one",
    ),
    "a setting of crews at a URL, for the demo crew": (
        "crew: {url: embedded, sync: true}\n" + JOBS,
        "x.yaml:1:23: `crew.sync` does not apply to the demo crew (`url: embedded`); remove it (it is for a crew at a "
        "URL)",
    ),
    "a setting of crews at a URL, for a served crew": (
        "crews: {a: {serve: a:b, headers: {X-A: b}}}\n" + JOBS,
        ("x.yaml:1:25", "`crews.a.headers`", "`serve`"),
    ),
    "a header that belongs to the connection": (
        "crew: {url: https://x.example, headers: {Host: y.example}}\n" + JOBS,
        ("x.yaml:1:42", "`crew.headers`", "`Host`"),
    ),
    "a header that is no name": (
        'crew: {url: https://x.example, headers: {"a b": y}}\n' + JOBS,
        ("x.yaml:1:42", "`crew.headers`", "`a b`"),
    ),
    "a header twice": (
        "crew: {url: https://x.example, headers: {X-A: b, x-a: c}}\n" + JOBS,
        ("x.yaml:1:50", "`crew.headers`", "`x-a`", "`X-A`"),
    ),
    "a header that carries the token": (
        "crew: {url: https://x.example, token: t, auth: {header: API-Key}, headers: {api-key: b}}\n" + JOBS,
        ("x.yaml:1:77", "`crew.headers`", "`api-key`"),
    ),
    "a header without a value": (
        'crew: {url: https://x.example, headers: {X-A: "${EMPTY}"}}\n' + JOBS,
        ("x.yaml:1:47", "`crew.headers.X-A`"),
    ),
    "a header that is a list": (
        'crew: {url: https://x.example, headers: {X-A: ["${SECRET}"]}}\n' + JOBS,
        "x.yaml:1:47: invalid `crew.headers.X-A` (expected text)",
    ),
    "headers that are text": (
        'crew: {url: https://x.example, headers: "${SECRET}"}\n' + JOBS,
        "x.yaml:1:41: invalid `crew.headers` (expected a mapping of names and texts)",
    ),
    "a scheme of two words": (
        'crew: {url: https://x.example, auth: {scheme: "a b"}}\n' + JOBS,
        ("x.yaml:1:47", "`crew.auth.scheme`"),
    ),
    "a header of the body for the token": (
        "crew: {url: https://x.example, auth: {header: Content-Type}}\n" + JOBS,
        ("x.yaml:1:47", "`crew.auth.header`", "`Content-Type`"),
    ),
    "an unknown form of the body": (
        "crew: {url: https://x.example, body: plain}\n" + JOBS,
        ("x.yaml:1:38", "`crew.body`", "'plain'"),
    ),
    "an input with a reserved name in a flat body": (
        "crew: {url: https://x.example, body: flat}\njobs: [{inputs: {meta: 1, a: 2}}]\n",
        ("x.yaml:2:8", "`meta`", "`body: flat`"),
    ),
    "a column with a reserved name in a flat body": (
        "crew: {url: https://x.example, body: flat, meta: false}\njobs: [{rows: ok.csv, inputs: {inputs: x}}]\n",
        ("ok.csv:2", "`inputs`", "`body: flat`"),
    ),
    "a key of serve": (
        "crew: {serve: {target: a, worker: 1}}\n" + JOBS,
        "x.yaml:1:27: unknown key 'worker' in `crew.serve` (did you mean 'workers'?)",
    ),
    "workers of serve": (
        "crew: {serve: {target: a, workers: 0}}\n" + JOBS,
        "x.yaml:1:36: invalid `crew.serve.workers`: '0' (expected 1 or more)",
    ),
    "no url": ("crew:\n" + JOBS, "x.yaml:1:1: missing key 'url' in `crew`"),
    "no scheme": (
        "crew: {url: x.example}\n" + JOBS,
        "x.yaml:1:13: invalid `crew.url`: 'x.example' (expected a URL like https://my-crew.example.com, or "
        "embedded; did you mean https://x.example?)",
    ),
    "password in the url": (
        'crew: {url: "https://u:p@x.example"}\n' + JOBS,
        "x.yaml:1:13: `crew.url` contains a user name or password; use the crew's `token` instead",
    ),
    "query": (
        'crew: {url: "https://x.example?a=1"}\n' + JOBS,
        "x.yaml:1:13: `crew.url` contains a ? or # (expected the crew's base URL, e.g. https://my-crew.example.com)",
    ),
    "bad port": (
        'crew: {url: "https://x:99999"}\n' + JOBS,
        "x.yaml:1:13: invalid `crew.url`: 'https://x:99999' (expected e.g. https://my-crew.example.com)",
    ),
    "a secret for a url": (
        'crew: {url: "${SECRET}"}\n' + JOBS,
        ("x.yaml:1:13", "`crew.url`", "'${SECRET}'"),
    ),
    "empty token": (
        'crew: {url: embedded, token: "${EMPTY}"}\n' + JOBS,
        "x.yaml:1:30: `crew.token` is empty; set its variable, or omit `token` if the crew requires none",
    ),
    "token with a blank": (
        'crew: {url: embedded, token: "a b"}\n' + JOBS,
        "x.yaml:1:30: `crew.token` contains a blank, line break or another character that is not allowed in an HTTP "
        "header",
    ),
    "variable": (
        "crew:\n  url: embedded\n  token: ${NOPE}\n" + JOBS,
        "x.yaml:3:10: the environment variable NOPE is not set; `export NOPE=…`, or put NOPE=… into a .env file "
        "next to the job file",
    ),
    "variable with words": (
        RIGHT + "batch: ${NOPE:?say which day}\n",
        ("x.yaml:3:8", " NOPE ", "say which day"),
    ),
    "variable cut": (
        RIGHT + "batch: ${NOPE\n",
        "x.yaml:3:8: invalid variable: '${NOPE' (expected ${NAME}, or $${ for the text ${)",
    ),
    "several crews": (
        "crews: {a: {url: embedded}, b: {url: embedded}}\n" + JOBS,
        "x.yaml:2:8: missing key 'crew' (expected one of `a`, `b`)",
    ),
    "unknown crew": (
        "crews: {alpha: {url: embedded}, b: {url: embedded}}\njobs: [{crew: alfa}]\n",
        ("x.yaml:2:15", "crew `alfa`", "`alpha`"),
    ),
    "a crew by name": (
        CREW + "jobs: [{crew: alfa}]\n",
        "x.yaml:2:15: unknown crew 'alfa' (this job file has a single `crew:`; write `crews:` for names)",
    ),
    "unknown key": (RIGHT + "job: 1\n", "x.yaml:3:1: unknown key 'job' in the job file (did you mean 'jobs'?)"),
    "a key of run at the top": (
        RIGHT + "canary: 5\n",
        ("x.yaml:3:1", "`canary`", "under `run:`"),
    ),
    "escapes in a key": (
        RIGHT + "j\u202eobs: 1\n",
        ("x.yaml:3:1", "'j\\u202eobs'", "`jobs`"),
    ),
    "unknown key of run": (
        RIGHT + "run:\n  concurency: 5\n",
        ("x.yaml:4:3", "`concurency`", "`run`", "`concurrency`"),
    ),
    "unknown key below run": (
        RIGHT + "run:\n  retry: {attemps: 5}\n",
        ("x.yaml:4:11", "`attemps`", "`run.retry`", "`attempts`"),
    ),
    "run is a list": (RIGHT + "run: [1]\n", "x.yaml:3:6: invalid `run`: a list (expected a mapping)"),
    "concurrency": (
        RIGHT + "run: {concurrency: many}\n",
        "x.yaml:3:20: invalid `run.concurrency`: 'many' (expected a whole number)",
    ),
    "concurrency from a secret": (
        RIGHT + 'run: {timeout: "${SECRET}"}\n',
        "x.yaml:3:16: `run.timeout`: invalid duration: '${SECRET}' (expected e.g. 30s, 5m or 1h30m)",
    ),
    "a number in the example": (
        RIGHT + "run: {rate: 5}\n",
        "x.yaml:3:13: `run.rate`: invalid rate: 5 (expected e.g. 2/s, 60/m or 500/h)",
    ),
    "too few": (
        RIGHT + "run: {concurrency: 0}\n",
        "x.yaml:3:20: invalid `run.concurrency`: '0' (expected 1 or more)",
    ),
    "delivery": (
        RIGHT + "run: {delivery: maybe}\n",
        "x.yaml:3:17: invalid `run.delivery`: 'maybe' (expected 'at_least_once' or 'at_most_once')",
    ),
    "retry class": (
        RIGHT + "run: {retry: {on: [crew_eror]}}\n",
        ("x.yaml:3:20", "`run.retry.on[0]`", "'crew_error', 'lost', 'timeout' or 'rejected'", "'crew_eror'"),
    ),
    "waits": (
        RIGHT + "run:\n  poll: {initial: 1m, max: 2s}\n",
        "x.yaml:3:1: `run`: poll.initial must not be longer than poll.max",
    ),
    "reserved meta": (
        RIGHT + "defaults: {meta: {batchcrew: 1}}\n",
        "x.yaml:3:19: `meta.batchcrew` is reserved for batchcrew; rename this key",
    ),
    "batch with a slash": (
        RIGHT + "batch: a/b\n",
        "x.yaml:3:8: invalid batch name: 'a/b' (expected no slashes or control characters)",
    ),
    "batch with another placeholder": (
        RIGHT + "batch: a-{time}\n",
        "x.yaml:3:8: unknown placeholder {time} in `batch` (only {date} is supported)",
    ),
    "long batch": (
        RIGHT + f"batch: {'x' * 201}\n",
        "x.yaml:3:8: the batch name has 201 characters (at most 200 are allowed)",
    ),
    "empty batch": (RIGHT + 'batch: ""\n', ("x.yaml:3:8", "batch")),
}

ENTRIES: dict[str, tuple[str, Expected]] = {
    "unknown key": (
        "- row: ok.csv",
        ("x.yaml:3:3", "`row`", "`jobs`", "`rows`"),
    ),
    "rows and grid": (
        "- {rows: ok.csv, grid: {a: [1]}}",
        "x.yaml:3:18: `rows` and `grid` exclude each other; make it two entries",
    ),
    "no such file": (
        "- rows: okay.csv",
        ("x.yaml:3:9", "not found", "`okay.csv`", "`ok.csv`"),
    ),
    "folder": ("- rows: folder.csv", "x.yaml:3:9: 'folder.csv' is a folder"),
    "outside": (
        "- rows: ../ok.csv",
        "x.yaml:3:9: the file '../ok.csv' is outside the job file's folder; use --allow-outside to allow it",
    ),
    "workbook": (
        "- rows: ok.ods",
        "x.yaml:3:9: 'ok.ods' is a workbook; save it as .xlsx, or as CSV UTF-8, and name that file",
    ),
    "sheet without use": (
        "- {rows: ok.csv, sheet: a}",
        "x.yaml:3:18: `sheet` does not apply to a .csv file; remove it",
    ),
    "ending": (
        "- rows: ok.txt",
        f"x.yaml:3:9: invalid file: 'ok.txt' (expected one that ends in {' '.join(ROWS_SUFFIXES)})",
    ),
    "NUL in a path": ('- rows: "a\\0.csv"', "x.yaml:3:9: invalid path: 'a\\x00.csv' (it contains a NUL character)"),
    "encoding": (
        "- {rows: ok.csv, encoding: hex}",
        "x.yaml:3:28: `encoding`: unknown encoding: 'hex' (expected e.g. utf-8, cp1252, latin-1 or utf-16)",
    ),
    "encoding without use": (
        "- {rows: ok.json, encoding: cp1252}",
        "x.yaml:3:19: `encoding` does not apply to a .json file; remove it",
    ),
    "delimiter": (
        "- {rows: ok.csv, delimiter: abc}",
        "x.yaml:3:29: invalid `delimiter`: 'abc' (expected one character or `tab`)",
    ),
    "constant id": (
        "- {rows: ok.csv, id: name}",
        "x.yaml:3:22: invalid `id`: 'name' is the same for every job (expected a template, as in \"{{ name }}\")",
    ),
    "template": (
        '- {rows: ok.csv, id: "{{ name"}',
        "x.yaml:3:22: `id` '{{ name' is not a valid template: unexpected end of template, expected 'end of print "
        "statement'.",
    ),
    "filter": (
        '- {rows: ok.csv, inputs: {a: {b: ["{{ name | nope }}"]}}}',
        ("x.yaml:3:35", "`inputs.a.b[0]`", "'{{ name | nope }}'", "filter named 'nope'"),
    ),
    "reserved meta": (
        "- {rows: ok.csv, meta: {batchcrew: 1}}",
        ("x.yaml:3:25", "`meta.batchcrew`"),
    ),
    "grid of a scalar": ("- grid: {a: 1}", ("x.yaml:3:13", "`grid.a`", "a list", "'1'")),
    "grid of nothing": ("- grid: {a: []}", "x.yaml:3:13: `grid.a` must not be empty"),
    "large grid": (
        f"- grid: {{a: &x [{','.join('1' * 1001)}], b: *x}}",
        ("x.yaml:3:9", "1,002,001", "1,000,000"),
    ),
    "empty id": ('- id: ""', "x.yaml:3:7: `id` is empty; each job needs its own id"),
    "long id": (f"- id: {'x' * 501}", ("x.yaml:3:7", "`id`", "501", "500")),
    "control character": ('- id: "a\\tb"', "x.yaml:3:7: `id` contains a line break or control character: 'a\\tb'"),
    "id is a list": ("- id: [1]", ("x.yaml:3:7", "`id`", "text", "a list")),
    "id twice": ("- id: a\n- id: a", "x.yaml:4:7: duplicate id 'a' (first used in line 3); each job needs its own id"),
    "inputs twice": (
        "- inputs: {a: 1}\n- inputs: {a: 1}",
        ("x.yaml:4:3", "duplicate inputs", "line 3"),
    ),
    "unknown column": (
        '- {rows: ok.csv, id: "{{ nam }}"}',
        ("ok.csv:2", "`id`", "'{{ nam }}'", "`nam`", "`name`"),
    ),
    "unknown value of a grid": (
        '- {grid: {a: [1, 2]}, id: "{{ b }}"}',
        ("x.yaml:3:3", "`id`", "'{{ b }}'", "`b`"),
    ),
}


@pytest.mark.parametrize(("text", "message"), HEAD.values(), ids=HEAD)
def test_head(tmp_path: Path, text: str, message: Expected) -> None:
    [said] = complaints(tmp_path, text)
    assert fits(said, message)


@pytest.mark.parametrize(("entry", "message"), ENTRIES.values(), ids=ENTRIES)
def test_entries(tmp_path: Path, entry: str, message: Expected) -> None:
    [said] = complaints(tmp_path, f"{CREW}jobs:\n{entry}\n")
    assert fits(said, message)


def test_all_mistakes_come_at_once_in_the_files_order(tmp_path: Path) -> None:
    text = (
        "batch: x/y\ncrew:\n  url: ftp://foo\n  token: ${NOPE}\n  tokn: 1\n"
        "run:\n  timeout: 5x\n  concurrency: 3\n  concurrency: 4\n"
        'jobs:\n  - rows: no.csv\n    where: "{{ x"\n  - row: 1\n'
    )
    assert [message.split(" ")[0] for message in complaints(tmp_path, text)] == [
        "x.yaml:1:8:",
        "x.yaml:3:8:",
        "x.yaml:4:10:",
        "x.yaml:5:3:",
        "x.yaml:7:12:",
        "x.yaml:9:3:",
        "x.yaml:11:11:",
        "x.yaml:12:12:",
        "x.yaml:13:5:",
    ]


def test_at_most_twenty_errors_are_shown(tmp_path: Path) -> None:
    entries = [f"  - {{x{number}: 1}}\n" for number in range(21)]
    for name in "ab":
        (tmp_path / name).mkdir()
    twenty = complaints(tmp_path / "a", CREW + "jobs:\n" + "".join(entries[:20]))
    more = complaints(tmp_path / "b", CREW + "jobs:\n" + "".join(entries))
    assert len(twenty) == 20
    assert more == [*twenty, "… and more; the first 20 are shown"]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nowhere.yaml", "nowhere.yaml: not found"),
        ("folder.yaml", "folder.yaml: is a folder; name the job file in it"),
        ("notes.txt", ("notes.txt", f".yaml .yml .json {' '.join(BARE_SUFFIXES)}")),
        ("leads.xls", ("leads.xls", "workbook", ".xlsx")),
    ],
)
def test_paths(tmp_path: Path, name: str, message: Expected) -> None:
    (tmp_path / "folder.yaml").mkdir()
    (tmp_path / "notes.txt").touch()
    (tmp_path / "leads.xls").touch()
    with pytest.raises(JobFileError) as caught:
        load_jobfile(tmp_path / name, environ={}, today=date(2026, 1, 31))
    assert fits(str(caught.value).replace(f"{tmp_path}/", ""), message)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"encoding": "nope"}, "--encoding: unknown encoding: 'nope' (expected e.g. utf-8, cp1252, latin-1 or utf-16)"),
        ({"delimiter": "xx"}, "--delimiter: invalid delimiter: 'xx' (expected one character or `tab`)"),
    ],
)
def test_options(tmp_path: Path, options: dict[str, Any], message: str) -> None:
    path = tmp_path / "x.csv"
    path.write_text("id,a\n1,2\n")
    with pytest.raises(JobFileError) as caught:
        load_jobfile(
            path,
            environ={},
            today=date(2026, 1, 31),
            options=JobFileOptions(crew_url="embedded", **options),
        )
    assert str(caught.value) == message

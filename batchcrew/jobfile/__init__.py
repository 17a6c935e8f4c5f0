"""Text to jobs: YAML, JSON, CSV, TSV and JSONL files, read lazily; what is wrong says file:line:column.

The way of a file: `syntax` (text) -> `document` (nodes that know their places) -> `variables` (${VAR}) ->
`load` (the head, by the models of `schema`; wrong values become sentences in `mistakes`) -> `reading` (the
entries of `jobs:`) -> `entries` (jobs), from `rows` and through `template`. Beside it, from the beginning of each
rows file: `description`, and the `questions` that `data_like` (headers) and `misread` (encodings) answer.
"""

from batchcrew.jobfile.description import RowsDescription
from batchcrew.jobfile.load import JobFile, load_jobfile
from batchcrew.jobfile.problems import Problems
from batchcrew.jobfile.rows.questions import Question
from batchcrew.jobfile.rows.unfinished import CHANGED
from batchcrew.jobfile.schema import json_schema
from batchcrew.jobfile.sending import EVERYTHING, Sending

__all__ = [
    "CHANGED",
    "EVERYTHING",
    "JobFile",
    "Problems",
    "Question",
    "RowsDescription",
    "Sending",
    "json_schema",
    "load_jobfile",
]

"""Read job files and rows files, and yield their jobs. Every mistake has its file, line and column.

A file passes through these modules: `syntax` parses the text, `nodes` holds the values with their places, `variables`
replaces ${VAR}, and `load` reads the head with the models of `schema`; `validation_errors` turns pydantic's errors into
messages. `entry_parser` reads `jobs:`, and `entries` yields the jobs, from the rows of `rows/` and with the templates
of `template`. `description` describes rows files, and `rows/questions` finds values that may be mistakes.
"""

from batchcrew.jobfile.description import RowsDescription
from batchcrew.jobfile.jobfile import JobFile
from batchcrew.jobfile.load import load_jobfile
from batchcrew.jobfile.options import JobFileOptions
from batchcrew.jobfile.problems import Problems
from batchcrew.jobfile.rows.questions import Question
from batchcrew.jobfile.rows.rows_file import WorkbookRows
from batchcrew.jobfile.rows.unfinished import CHANGED
from batchcrew.jobfile.schema import json_schema
from batchcrew.jobfile.sending import EVERYTHING, Sending

__all__ = [
    "CHANGED",
    "EVERYTHING",
    "JobFile",
    "JobFileOptions",
    "Problems",
    "Question",
    "RowsDescription",
    "Sending",
    "WorkbookRows",
    "json_schema",
    "load_jobfile",
]

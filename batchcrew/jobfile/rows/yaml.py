"""Rows of a YAML list of mappings. The whole document is in memory, up to the size limit of a document."""

from collections.abc import Iterator

from batchcrew.jobfile.nodes import ListNode, MapNode, plain_data
from batchcrew.jobfile.problems import Problems
from batchcrew.jobfile.rows.row_format import Row, RowFormat, RowsSource
from batchcrew.jobfile.slips import in_rows
from batchcrew.jobfile.syntax import read_document


def _read(source: RowsSource, problems: Problems) -> Iterator[Row]:
    known = len(problems)
    root, notes = read_document(source.path, source.name, problems)
    if root is None or len(problems) > known:
        return
    if not isinstance(root, ListNode):
        problems.at(root.where, "invalid rows file (expected a list of mappings, one per row)")
        return
    source.found.notes = in_rows(root, notes)
    for node in root.items:
        if isinstance(node, MapNode):
            yield node.where.line, plain_data(node)
        else:
            problems.at(node.where, "invalid row (expected a mapping, as in `- {email: a@example.com}`)")
            if problems.full:
                return


YAML_LIST = RowFormat(suffixes=(".yaml", ".yml"), read=_read)

"""Read the key `reports:` of a job file."""

from batchcrew.config.reports import REPORT_NAMES
from batchcrew.jobfile.findings import Findings
from batchcrew.jobfile.nodes import ListNode, MapNode, Node, ScalarNode
from batchcrew.jobfile.problems import listed, nearest, shown
from batchcrew.jobfile.validation_errors import found


def read_reports(root: MapNode, findings: Findings) -> tuple[str, ...]:
    """Return the names of the reports that a run writes at its end; mistakes are added to `findings`."""
    node = root.items.get("reports")
    if node is None or (isinstance(node, ScalarNode) and node.value is None):
        return ()
    if not isinstance(node, ListNode):
        expected = "a list such as [html, csv]"
        findings.problems.at(node.where, f"invalid reports: {found(node)} (expected {expected})")
        return ()
    names = [name for item in node.items if (name := _name(item, findings)) is not None]
    return tuple(dict.fromkeys(names))


def _name(node: Node, findings: Findings) -> str | None:
    if node.where in findings.broken:
        return None
    if not isinstance(node, ScalarNode):
        findings.problems.at(node.where, f"invalid report: {found(node)} (expected a name such as html)")
        return None
    name = str(node.value)
    if name not in REPORT_NAMES:
        hint = nearest(name, REPORT_NAMES) or f" (expected one of {listed(REPORT_NAMES, limit=len(REPORT_NAMES))})"
        findings.problems.at(node.where, f"unknown report {shown(name)}{hint}")
        return None
    return name

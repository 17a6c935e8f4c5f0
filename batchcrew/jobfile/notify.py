"""Read the keys `notify:` and `on_end:` of a job file."""

from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec

from pydantic import SecretStr

from batchcrew.config.notify import EventName, NotifyTarget
from batchcrew.config.reports import ReportName
from batchcrew.jobfile.findings import Findings
from batchcrew.jobfile.nodes import ListNode, MapNode, Node, ScalarNode
from batchcrew.jobfile.template import Template, TemplateProblem
from batchcrew.jobfile.validation_errors import found, validated
from batchcrew.model.job import Location

NEEDS_APPRISE = "notify requires apprise: pip install 'batchcrew[notify]'"


@dataclass(frozen=True, slots=True, kw_only=True)
class Receiver:
    """One receiver of notifications, with its templates compiled."""

    url: SecretStr
    on: tuple[EventName, ...]
    attach: tuple[ReportName, ...] = ()
    title: Template | None = None
    text: Template | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Telling:
    """The receivers of notifications about a batch, and the command that runs at the end."""

    receivers: tuple[Receiver, ...] = ()
    on_end: tuple[str, ...] = ()

    @property
    def attached(self) -> tuple[str, ...]:
        """Return the names of the reports that are attached."""
        return tuple(dict.fromkeys(name for receiver in self.receivers for name in receiver.attach))


def read_telling(root: MapNode, findings: Findings) -> Telling:
    """Return what `notify:` and `on_end:` say; mistakes are added to `findings`."""
    return Telling(receivers=tuple(_receivers(root, findings)), on_end=_on_end(root, findings))


def _receivers(root: MapNode, findings: Findings) -> Iterator[Receiver]:
    node = root.items.get("notify")
    if node is None or (isinstance(node, ScalarNode) and node.value is None):
        return
    if find_spec("apprise") is None:
        findings.problems.at(root.keys["notify"], NEEDS_APPRISE)
        return
    items = node.items if isinstance(node, ListNode) else [node]
    for item in items:
        if item.where not in findings.broken and (receiver := _receiver(item, findings)) is not None:
            yield receiver


def _receiver(node: Node, findings: Findings) -> Receiver | None:
    where = node.where
    if isinstance(node, ScalarNode) and node.value is not None:
        node = MapNode(where, items={"url": node}, keys={"url": where})
    if not isinstance(node, MapNode):
        findings.problems.at(where, f"invalid notify: {found(node)} (expected a URL, or a mapping with `url`)")
        return None
    written = node.items.get("url")
    if written is not None and written.where in findings.broken:
        return None
    target = validated(NotifyTarget, node, where, "notify", findings)
    if target is None:
        return None
    if isinstance(written, ScalarNode) and "${" not in written.text and "@" in written.text:
        place = f"{where.file}:{where.line}:{where.column}"
        findings.holds_secret = True
        findings.warnings.append(f"{place}: a URL of notify is written in the file; use a variable instead")
    return Receiver(
        url=target.url,
        on=target.on,
        attach=target.attach,
        title=_template(target.title, node, "title", findings),
        text=_template(target.text, node, "text", findings),
    )


def _template(text: str | None, node: MapNode, key: str, findings: Findings) -> Template | None:
    if text is None:
        return None
    where: Location = node.items[key].where
    try:
        return Template(text, where=where, name=f"notify.{key}")
    except TemplateProblem as problem:
        findings.problems.at(where, str(problem))
        return None


def _on_end(root: MapNode, findings: Findings) -> tuple[str, ...]:
    node = root.items.get("on_end")
    if node is None or (isinstance(node, ScalarNode) and node.value is None):
        return ()
    expected = "a list of texts such as [./notify.sh, leads]"
    if not isinstance(node, ListNode) or not node.items:
        findings.problems.at(node.where, f"invalid on_end: {found(node)} (expected {expected})")
        return ()
    words: list[str] = []
    for item in node.items:
        if item.where in findings.broken:
            continue
        if not isinstance(item, ScalarNode) or item.value is None:
            findings.problems.at(item.where, f"invalid on_end: {found(item)} (expected {expected})")
            continue
        word = item.value if isinstance(item.value, str) else item.text
        if "\0" in word or not (word or words):
            findings.problems.at(item.where, f"invalid on_end: {found(item)} (expected {expected})")
            continue
        words.append(word)
    return tuple(words)

"""Check the names and values of a crew's headers."""

from batchcrew.config.crews import AuthSettings
from batchcrew.config.http_headers import is_credential, name_mistake, value_mistake
from batchcrew.jobfile.findings import Findings
from batchcrew.jobfile.nodes import MapNode, Node, ScalarNode, written_text
from batchcrew.jobfile.problems import named

_DEFAULT = AuthSettings()


def written_in_file(node: ScalarNode) -> bool:
    """Return whether the value is in the file itself instead of in a variable."""
    return bool(node.where.line) and "${" not in node.text


def check_headers(crew: MapNode, name: str, findings: Findings) -> None:
    """Add the mistakes in `headers` and `auth` of a crew. No message has a header's value."""
    auth = _check_auth(crew.items.get("auth"), f"{name}.auth", findings)
    headers = crew.items.get("headers")
    if not isinstance(headers, MapNode):
        return
    seen: dict[str, str] = {}
    for header, item in headers.items.items():
        where, folded = headers.keys[header], header.casefold()
        mistake = name_mistake(header)
        if mistake is None and folded == auth.casefold() and "token" in crew.items:
            mistake = "carries the token; remove it, or omit `token`"
        if mistake is None and folded in seen:
            mistake = f"is the same header as {named(seen[folded])}"
        seen[folded] = header
        if mistake:
            findings.problems.at(where, f"`{name}.headers`: {named(header)} {mistake}")
            continue
        _check_value(item, f"`{name}.headers.{header}`", header, findings)


def _check_value(item: Node, shown: str, header: str, findings: Findings) -> None:
    if not isinstance(item, ScalarNode) or item.where in findings.broken:
        return
    written_text(item)  # 0042 is text
    if not isinstance(item.value, str):
        findings.problems.at(item.where, f"invalid {shown} (expected text)")
        findings.broken.add(item.where)
    elif mistake := value_mistake(item.value):
        findings.problems.at(item.where, f"{shown} {mistake}")
    elif written_in_file(item) and is_credential(header):
        place = f"{item.where.file}:{item.where.line}:{item.where.column}"
        findings.holds_secret = True
        findings.warnings.append(f"{place}: the value of {header} is written in the file; use a variable instead")


def _check_auth(auth: Node | None, name: str, findings: Findings) -> str:
    """Return the name of the header that carries the token, after checking it."""
    items = auth.items if isinstance(auth, MapNode) else {}
    header, scheme = items.get("header"), items.get("scheme")
    if isinstance(scheme, ScalarNode) and isinstance(scheme.value, str):
        scheme.value = scheme.value.strip()
        if any(not "!" <= character <= "~" for character in scheme.value):
            findings.problems.at(scheme.where, f'`{name}.scheme` is not a single word (expected e.g. Bearer, or "")')
    if not isinstance(header, ScalarNode) or not isinstance(header.value, str):
        return _DEFAULT.header
    if header.where not in findings.broken and (mistake := name_mistake(header.value)):
        findings.problems.at(header.where, f"`{name}.header`: {named(header.value)} {mistake}")
    return header.value

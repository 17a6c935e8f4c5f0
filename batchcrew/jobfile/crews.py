"""Read the crews of a job file: their type, URL and token, and the options that replace them."""

from collections.abc import Mapping
from ipaddress import ip_address
from urllib.parse import urlsplit

from pydantic import SecretStr

from batchcrew.config.crews import DEFAULT_CREW, EMBEDDED, REMOTE_ONLY, CrewSettings, DemoCrew, RemoteCrew, crew_type
from batchcrew.jobfile.crew_headers import check_headers, written_in_file
from batchcrew.jobfile.findings import Findings
from batchcrew.jobfile.ids import WrongName, plain_name
from batchcrew.jobfile.nodes import MapNode, Node, ScalarNode, written_text
from batchcrew.jobfile.options import JobFileOptions
from batchcrew.jobfile.problems import Problems, listed, nearest, shown
from batchcrew.jobfile.validation_errors import found, validated
from batchcrew.model.job import Location

MAX_NAME = 100
_URL_OPTION = Location("--crew-url")
_TOKEN_OPTION = Location("the crew's token")
_DOTENV = "a .env file next to the rows file"
_URL_EXAMPLE = "https://my-crew.example.com"


def override(root: MapNode, url: str | None, token: str | None, problems: Problems) -> None:
    """Replace the crew's `url` and `token` in the document by those of the options.

    This comes before variables are replaced, so that a variable in a replaced value need not be set.
    """
    if url is None and token is None:
        return
    crew = _single(root)
    if crew is None:
        several = root.items.get("crews")
        if isinstance(several, MapNode):
            option = "--crew-url" if url is not None else "a crew's token from an option"
            where = root.keys["crews"]
            problems.at(where, f"{option} is for a job file with one crew; this one has {listed(several.items)}")
        return
    if url is not None:
        crew.items["url"] = ScalarNode(_URL_OPTION, url.strip(), url)
        crew.keys["url"] = _URL_OPTION
        crew.items.pop("serve", None)
        if url.strip() == EMBEDDED:
            for key in ("token", *REMOTE_ONLY):
                crew.items.pop(key, None)
    if token is not None:
        crew.items["token"] = ScalarNode(_TOKEN_OPTION, token, "")
        crew.keys["token"] = _TOKEN_OPTION


def _single(root: MapNode) -> MapNode | None:
    """Return the only crew of the document, or the one named `default`."""
    crew = root.items.get("crew")
    if crew is None:
        several = root.items.get("crews")
        if not isinstance(several, MapNode):
            return None
        name = next(iter(several.items)) if len(several.items) == 1 else DEFAULT_CREW
        crew = several.items.get(name)
    return crew if isinstance(crew, MapNode) else None


def read_crews(root: MapNode, findings: Findings) -> dict[str, CrewSettings] | None:
    """Return the crews of the document by name (DEFAULT_CREW for `crew:`); None if one of them has a problem."""
    problems = findings.problems
    one, several = root.items.get("crew"), root.items.get("crews")
    if one is not None and several is not None:
        problems.at(
            root.keys["crews"], f"`crew` (line {root.keys['crew'].line}) and `crews` exclude each other; keep one"
        )
        return None
    if one is not None:
        if isinstance(one, ScalarNode) and isinstance(one.value, str):
            expected = f"a mapping, as in `crew: {{url: {one.text}}}`"
            problems.at(one.where, f"invalid `crew`: {found(one)} (expected {expected})")
            return None
        crew = _read_crew(one, root.keys["crew"], "crew", findings)
        return {DEFAULT_CREW: crew} if crew else None
    if several is None:
        return None
    if not isinstance(several, MapNode) or not several.items:
        wrong = "an empty mapping" if isinstance(several, MapNode) else found(several)
        expected = "a mapping of names, as in `crews: {research: {url: …}}`"
        problems.at(several.where, f"invalid `crews`: {wrong} (expected {expected})")
        return None
    crews = {}
    for name, node in several.items.items():
        try:
            plain_name(name, "crew name", MAX_NAME)
        except WrongName as exc:
            problems.at(several.keys[name], str(exc))
        crew = _read_crew(node, several.keys[name], f"crews.{name}", findings)
        if crew:
            crews[name] = crew
    return crews if len(crews) == len(several.items) else None


def _read_crew(node: Node, where: Location, name: str, findings: Findings) -> CrewSettings | None:
    values: dict[str, object] = {}
    if isinstance(node, MapNode):
        for key in ("url", "serve"):  # a key without a value counts as absent
            if isinstance(item := node.items.get(key), ScalarNode) and item.value is None:
                del node.items[key]
        if "url" in node.items and "serve" in node.items:
            findings.problems.at(where, f"`{name}`: `url` and `serve` exclude each other; keep one")
            return None
        for key in ("url", "token"):
            if isinstance(item := node.items.get(key), ScalarNode):
                written_text(item)  # a token of digits is text
        _check_url(node.items.get("url"), name, findings)
        _check_token(node.items.get("token"), name, findings)
        values = {key: item.value if isinstance(item, ScalarNode) else item for key, item in node.items.items()}
        kind = crew_type(values)
        if not issubclass(kind, RemoteCrew) and not _without_remote_keys(node, kind, name, findings.problems):
            return None
        check_headers(node, name, findings)
    crew = validated(crew_type(values), node, where, name, findings, also=("url", "serve"))
    if isinstance(crew, RemoteCrew) and isinstance(node, MapNode) and not crew.meta:
        lost = "an execution whose kickoff gets no answer cannot be recognized on the server"
        place = _place(node.keys["meta"])
        findings.warnings.append(f"{place}: `{name}.meta: false`: kickoffs carry no meta, so {lost}")
    return crew


def _without_remote_keys(node: MapNode, kind: type[CrewSettings], name: str, problems: Problems) -> bool:
    """Add a problem for each setting that only a crew at a URL has; return whether there are none."""
    refused = [key for key in REMOTE_ONLY if key in node.items]
    which = "the demo crew (`url: embedded`)" if issubclass(kind, DemoCrew) else "a crew with `serve`"
    for key in refused:
        problems.at(node.keys[key], f"`{name}.{key}` does not apply to {which}; remove it (it is for a crew at a URL)")
    return not refused


def _check_url(url: Node | None, name: str, findings: Findings) -> None:
    if isinstance(url, ScalarNode) and isinstance(url.value, str) and url.where not in findings.broken:
        url.value = url.value.strip()
        if mistake := url_mistake(url.value, url.text, f"`{name}.url`" if url.where.line else "url"):
            findings.problems.at(url.where, mistake)
        elif warning := _plain_http(url.value):
            findings.warnings.append(f"{_place(url.where)}: {warning}")


def _check_token(token: Node | None, name: str, findings: Findings) -> None:
    if isinstance(token, ScalarNode) and isinstance(token.value, str) and token.where not in findings.broken:
        token.value = token.value.strip()
        if mistake := token_mistake(token.value, f"`{name}.token`" if token.where.line else "it"):
            findings.problems.at(token.where, mistake)
        elif written_in_file(token):
            place = _place(token.where)
            findings.holds_secret = True
            findings.warnings.append(f"{place}: the token is written in the file; use ${{CREW_TOKEN}} instead")


def _place(where: Location) -> str:
    return f"{where.file}:{where.line}:{where.column}" if where.line else where.file


def url_mistake(url: str, written: str, name: str) -> str | None:
    """Return a message about an invalid URL of a crew; None for a valid one.

    Args:
        written: the text in the file. Only this is repeated, because a wrong variable may hold a token.
        name: the name of the value in the message: `` `crew.url` ``.
    """
    if url == EMBEDDED:
        return None
    if not url:
        return f"{name} is empty (expected the crew's URL, e.g. {_URL_EXAMPLE})"
    if any(character.isspace() or not character.isprintable() for character in url):
        return f"invalid {name}: {shown(written)} (it contains a blank or control character)"
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        return f"invalid {name}: {shown(written)} (expected e.g. {_URL_EXAMPLE})"
    if "@" in parts.netloc:
        return f"{name} contains a user name or password; use the crew's `token` instead"
    if parts.scheme not in {"http", "https"} or not host:
        literal = url == written and "://" not in url
        hint = f"; did you mean https://{shown(url)[1:-1]}?" if literal else ""
        return f"invalid {name}: {shown(written)} (expected a URL like {_URL_EXAMPLE}, or {EMBEDDED}{hint})"
    if parts.query or parts.fragment:
        return f"{name} contains a ? or # (expected the crew's base URL, e.g. {_URL_EXAMPLE})"
    return None


def token_mistake(token: str, name: str) -> str | None:
    """Return a message about an invalid token, without the token; None for a valid one."""
    if not token:
        return f"{name} is empty; set its variable, or omit `token` if the crew requires none"
    if not all("!" <= character <= "~" for character in token):
        return f"{name} contains a blank, line break or another character that is not allowed in an HTTP header"
    return None


def loopback(url: str) -> bool:
    """Return whether the URL is on this machine."""
    host = urlsplit(url).hostname or ""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def _plain_http(url: str) -> str | None:
    if url.startswith("http://") and not loopback(url):
        return f"{url} is not encrypted: the token and the inputs can be read on the way; use https://"
    return None


def crew_of_options(
    options: JobFileOptions, variables: Mapping[str, str], findings: Findings
) -> RemoteCrew | DemoCrew | None:
    """Return the crew of a bare rows file, from the options or from CREW_URL and CREW_TOKEN; None after a problem."""
    problems = findings.problems
    if options.crew_url is not None:
        where, url, written = _URL_OPTION, options.crew_url.strip(), options.crew_url.strip()
    else:
        where, url, written = Location("CREW_URL"), variables.get("CREW_URL", "").strip(), "$CREW_URL"
    if not url:
        problems.at(where, "missing crew URL; set CREW_URL to the crew's URL (or to `embedded`), or use --crew-url")
        return None
    if mistake := url_mistake(url, written, "url"):
        problems.at(where, mistake)
        return None
    if url == EMBEDDED:
        return DemoCrew()
    if warning := _plain_http(url):
        findings.warnings.append(f"{where.file}: {warning}")
    where = _TOKEN_OPTION if options.crew_token is not None else Location("CREW_TOKEN")
    token = (variables.get("CREW_TOKEN", "") if options.crew_token is None else options.crew_token).strip()
    if not token:
        if loopback(url):
            return RemoteCrew(url=url)
        problems.at(where, f"the crew's token is not set; `export CREW_TOKEN=…`, or put CREW_TOKEN=… into {_DOTENV}")
        return None
    if mistake := token_mistake(token, "it"):
        problems.at(where, mistake)
        return None
    return RemoteCrew(url=url, token=SecretStr(token))


def choose_crew(wanted: str | None, crews: Mapping[str, CrewSettings]) -> str:
    """Return the crew of an entry.

    Raises:
        WrongName: there is no such crew, or the entry names none of several.
    """
    if wanted is not None:
        if wanted in crews:
            return wanted
        if set(crews) == {DEFAULT_CREW}:
            hint = "this job file has a single `crew:`; write `crews:` for names"
            raise WrongName(f"unknown crew {shown(wanted)} ({hint})")
        hint = nearest(wanted, crews) or f" (expected one of {listed(crews)})"
        raise WrongName(f"unknown crew {shown(wanted)}{hint}")
    if len(crews) == 1:
        return next(iter(crews))
    if DEFAULT_CREW in crews:
        return DEFAULT_CREW
    raise WrongName(f"missing key 'crew' (expected one of {listed(crews)})")

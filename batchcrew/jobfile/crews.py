"""Which crews a job file names, and whether they can be called: URL, token, and what an option says instead."""

from collections.abc import Mapping
from ipaddress import ip_address
from urllib.parse import urlsplit

from pydantic import SecretStr

from batchcrew.config.settings import DEFAULT_CREW, EMBEDDED, CrewSettings
from batchcrew.jobfile.ids import WrongName, plain_name
from batchcrew.jobfile.nodes import MapNode, Node, ScalarNode, written_text
from batchcrew.jobfile.problems import Problems, listed, named, nearest, shown
from batchcrew.jobfile.validation_errors import validated
from batchcrew.model.job import Location

MAX_NAME = 100
_URL_OPTION = Location("--crew-url")
_TOKEN_OPTION = Location("the crew's token")


def override(root: MapNode, url: str | None, token: str | None, problems: Problems) -> None:
    """Put the options in place of the crew's own `url` and `token`, in the document.

    It is done before variables are looked up: what an option replaces need not be set.
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
            crew.items.pop("token", None)
    if token is not None:
        crew.items["token"] = ScalarNode(_TOKEN_OPTION, token, "")
        crew.keys["token"] = _TOKEN_OPTION


def _single(root: MapNode) -> MapNode | None:
    """The one crew of the document, or the one called `default`."""
    crew = root.items.get("crew")
    if crew is None:
        several = root.items.get("crews")
        if not isinstance(several, MapNode):
            return None
        name = next(iter(several.items)) if len(several.items) == 1 else DEFAULT_CREW
        crew = several.items.get(name)
    return crew if isinstance(crew, MapNode) else None


def read_crews(
    root: MapNode, problems: Problems, broken: set[Location], warnings: list[str]
) -> dict[str, CrewSettings] | None:
    """The crews of the document by name; None when none could be read. `crew:` alone is named DEFAULT_CREW."""
    one, several = root.items.get("crew"), root.items.get("crews")
    if one is not None and several is not None:
        problems.at(
            root.keys["crews"], f"`crew` (line {root.keys['crew'].line}) and `crews` exclude each other; keep one"
        )
        return None
    if one is not None:
        if isinstance(one, ScalarNode) and isinstance(one.value, str):
            problems.at(one.where, f"`crew` must be a mapping; write `crew: {{url: {one.text}}}`")
            return None
        crew = _read_crew(one, root.keys["crew"], "crew", problems, broken, warnings)
        return {DEFAULT_CREW: crew} if crew else None
    if several is None:
        return None
    if not isinstance(several, MapNode) or not several.items:
        problems.at(several.where, "`crews` must be a mapping of names, as in `crews: {research: {url: …}}`")
        return None
    crews = {}
    for name, node in several.items.items():
        try:
            plain_name(name, "the name of a crew", MAX_NAME)
        except WrongName as exc:
            problems.at(several.keys[name], str(exc))
        crew = _read_crew(node, several.keys[name], f"crews.{name}", problems, broken, warnings)
        if crew:
            crews[name] = crew
    return crews if len(crews) == len(several.items) else None


def _read_crew(
    node: Node, where: Location, name: str, problems: Problems, broken: set[Location], warnings: list[str]
) -> CrewSettings | None:
    if isinstance(node, MapNode):
        url, token = node.items.get("url"), node.items.get("token")
        for item in (url, token):
            if isinstance(item, ScalarNode):
                written_text(item)  # a token of digits is text
        if isinstance(url, ScalarNode) and isinstance(url.value, str) and url.where not in broken:
            url.value = url.value.strip()
            if mistake := url_mistake(url.value, url.text):
                problems.at(url.where, f"`{name}.url` {mistake}" if url.where.line else mistake)
            elif warning := _plain_http(url.value):
                warnings.append(f"{_place(url.where)}: {warning}")
        if isinstance(token, ScalarNode) and isinstance(token.value, str) and token.where not in broken:
            token.value = token.value.strip()
            if mistake := token_mistake(token.value):
                problems.at(token.where, f"`{name}.token` {mistake}" if token.where.line else mistake)
            elif token.where.line and "${" not in token.text:
                warnings.append(f"{_place(token.where)}: the token is written in the file; use ${{CREW_TOKEN}} instead")
    return validated(CrewSettings, node, where, name, problems, broken)


def _place(where: Location) -> str:
    return f"{where.file}:{where.line}:{where.column}" if where.line else where.file


def url_mistake(url: str, written: str) -> str | None:
    """What is wrong with a crew's URL, to follow its name; None when nothing is.

    Only what was `written` is repeated: a variable taken for another may hold a token.
    """
    if url == EMBEDDED:
        return None
    if not url:
        return "is empty; give the crew's URL, as in https://my-crew.example.com"
    if any(character.isspace() or not character.isprintable() for character in url):
        return f"contains a blank or control character: {shown(written)}"
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        return f"is not a valid URL: {shown(written)}"
    if "@" in parts.netloc:
        return "contains a user name or password; give the crew's `token` instead"
    if parts.scheme not in {"http", "https"} or not host:
        literal = url == written and "://" not in url
        hint = f"; did you mean https://{shown(url)[1:-1]}?" if literal else ""
        return f"is {shown(written)}, it must be {EMBEDDED} or begin with https:// (or http://) and a host{hint}"
    if parts.query or parts.fragment:
        return "contains a ? or #; give the crew's base URL, as in https://my-crew.example.com"
    return None


def token_mistake(token: str) -> str | None:
    """What is wrong with a token, to follow its name; it is not repeated."""
    if not token:
        return "is empty; set its variable, or omit `token` if the crew requires none"
    if not all("!" <= character <= "~" for character in token):
        return "contains a blank, line break or another character that is not allowed in an HTTP header"
    return None


def loopback(url: str) -> bool:
    """True for a URL of this machine."""
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
    url: str | None, token: str | None, variables: Mapping[str, str], problems: Problems, warnings: list[str]
) -> CrewSettings | None:
    """The crew of a bare rows file: options first, else CREW_URL and CREW_TOKEN."""
    where, written = (_URL_OPTION, url.strip()) if url is not None else (Location("CREW_URL"), "$CREW_URL")
    url = (url if url is not None else variables.get("CREW_URL", "")).strip()
    if not url:
        problems.at(where, "no crew URL; set CREW_URL to the crew's URL (or to `embedded`), or give --crew-url")
        return None
    if mistake := url_mistake(url, written):
        problems.at(where, mistake)
        return None
    if warning := _plain_http(url):
        warnings.append(f"{where.file}: {warning}")
    where = _TOKEN_OPTION if token is not None else Location("CREW_TOKEN")
    token = (token if token is not None else variables.get("CREW_TOKEN", "")).strip()
    if url == EMBEDDED:
        return CrewSettings(url=url)
    if not token:
        if loopback(url):
            return CrewSettings(url=url)
        problems.at(where, f"the crew's token is not set; `export CREW_TOKEN=…`, or put CREW_TOKEN=… into {_DOTENV}")
        return None
    if mistake := token_mistake(token):
        problems.at(where, mistake)
        return None
    return CrewSettings(url=url, token=SecretStr(token))


_DOTENV = "a .env file next to the rows file"


def choose_crew(wanted: str | None, crews: Mapping[str, CrewSettings]) -> str:
    """The crew of an entry.

    Raises:
        WrongName: no such crew, or several and none is named.
    """
    if wanted is not None:
        if wanted in crews:
            return wanted
        if set(crews) == {DEFAULT_CREW}:
            raise WrongName(f"`crew: {wanted}` needs `crews:` with that name; this job file has a single `crew:`")
        hint = nearest(wanted, crews) or f"; there are {listed(crews)}"
        raise WrongName(f"unknown crew {named(wanted)}{hint}")
    if len(crews) == 1:
        return next(iter(crews))
    if DEFAULT_CREW in crews:
        return DEFAULT_CREW
    raise WrongName(f"several crews and none is chosen; write `crew:` with one of {listed(crews)}")

"""Judge the facts about a crew's server: one function for each check of `doctor`. Nothing is sent here.

Every text from the server must be cleaned before it comes here.
"""

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from statistics import median

from yarl import URL

from batchcrew.base.quantities import format_duration, write_duration
from batchcrew.crew.answers import described
from batchcrew.crew.connect import is_loopback
from batchcrew.crew.failures import FailureKind
from batchcrew.model.crew_answers import CrewInputs, NotSent, Unclear, Unusable
from batchcrew.model.diagnosis import Diagnosis, Level

SLOW_SECONDS = 3.0
"""A crew that takes longer for a short answer is overloaded, or starts for each request."""
SKEW_SECONDS = 30.0
"""A smaller difference of clocks does no harm, because webhooks and expiring tokens tolerate some minutes."""
EXPIRY_DAYS = 14
_SHOWN_INPUTS = 20
_FIXES = {
    FailureKind.DNS: ("reachable", "check the host name in `url:`"),
    FailureKind.CONNECTION: ("reachable", "check host and port in `url:`, and whether the crew is running"),
    FailureKind.CONNECTION_TIMEOUT: (
        "reachable",
        "a firewall may drop the connection; if this network needs a proxy, set HTTPS_PROXY",
    ),
    FailureKind.TLS: ("tls", "for a company's own authority, set SSL_CERT_FILE to its certificate"),
    FailureKind.PROXY: ("proxy", "check HTTPS_PROXY; NO_PROXY names the hosts that need no proxy"),
    FailureKind.ANSWER: ("reachable", "check that `url:` is a crew's address, and that the crew is not starting"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """The certificate of a server that was trusted."""

    expires: datetime | None
    protocol: str
    """The version of TLS: `TLSv1.3`."""


def ok(check: str, text: str) -> Diagnosis:
    """Return the result of a check that found nothing to do."""
    return Diagnosis(check, Level.OK, text)


def warning(check: str, text: str, fix: str) -> Diagnosis:
    """Return the result of a check with something that should be fixed or known."""
    return Diagnosis(check, Level.WARNING, text, fix)


def problem(check: str, text: str, fix: str) -> Diagnosis:
    """Return the result of a check that runs cannot pass."""
    return Diagnosis(check, Level.PROBLEM, text, fix)


def not_reached(kind: FailureKind, reason: str, *, refused: bool = False, local: bool = False) -> Diagnosis:
    """Return why the crew gave no answer at all.

    Args:
        refused: the server redirects to a URL that is not followed; the reason says what to do.
        local: this machine is out of file descriptors; the reason says what to do.
    """
    if refused or local:
        reason, _, fix = reason.rpartition("; ")
        return problem("url" if refused else "reachable", reason, fix)
    check, fix = _FIXES[kind]
    reason, _, own_fix = reason.partition("; ")
    return problem(check, reason, own_fix or fix)


def certificate(found: Certificate | None, now: datetime) -> Diagnosis:
    """Return whether the server's certificate is about to expire.

    Args:
        found: None: it was trusted, and nothing more is known (behind a proxy).
    """
    if found is None:
        return ok("tls", "the certificate is trusted")
    protocol = f" ({found.protocol})" if found.protocol else ""
    if found.expires is None:
        return ok("tls", f"the certificate is trusted{protocol}")
    days, until = (found.expires - now).days, f"{found.expires:%Y-%m-%d}"
    if days < EXPIRY_DAYS:
        text = f"the certificate expires on {until}, in {days} {'day' if days == 1 else 'days'}"
        return warning("tls", text, "its operator must renew it; after that day, no request can reach the crew")
    return ok("tls", f"the certificate is trusted and valid until {until}{protocol}")


def proxy(url: URL | None) -> Diagnosis:
    """Return through which proxy requests are sent; its user and password are omitted."""
    if url is None:
        return ok("proxy", "none: requests are sent directly")
    return ok("proxy", f"requests are sent through {url.host_port_subcomponent}")


def token(*, given: bool, with_token: int, without_token: int | None) -> Diagnosis:
    """Return whether the crew accepts the token, by the codes of `GET /inputs` and, if it is refused, what to do.

    Args:
        given: whether the crew has a token in the job file, or CREW_TOKEN is set.
        without_token: the code of the same request without the token; None: not sent, or not answered.
    """
    if with_token in {401, 403}:
        text = f"the crew refuses {'the token' if given else 'a request without a token'} ({described(with_token, '')})"
        if not given:
            return problem("token", text, "set CREW_TOKEN, or write `token: ${CREW_TOKEN}` in the job file")
        fix = "copy the token again; a crew that expects it in another header needs `auth:` in the job file"
        return problem("token", text, fix)
    if with_token in {402, 407}:
        who = "the crew's account" if with_token == 402 else "the proxy's user and password in HTTPS_PROXY"
        return problem("token", f"requests are answered with {described(with_token, '')}", f"check {who}")
    if not given:
        return ok("token", "none is set, and the crew answers without one")
    if without_token in {401, 403}:
        return ok("token", "accepted (without it, the crew refuses the request)")
    if without_token is not None and without_token < 300:
        text = "sent, but the crew lists its inputs without it too, which shows nothing about the token"
        return warning("token", text, "`--kickoff` shows whether the crew accepts it")
    return ok("token", "sent, and not refused")


def inputs(answer: CrewInputs | Unusable | NotSent | Unclear, *, code: int, page: bool) -> Diagnosis:
    """Return what the crew says about its inputs.

    Args:
        code: the HTTP status of the answer.
        page: whether the answer is a web page.
    """
    if isinstance(answer, CrewInputs):
        return _listed_inputs(answer)
    reason = answer.reason.partition("; check `token:`")[0]
    if page and code < 400:
        return problem("inputs", reason, "`url:` leads to a web page (a login?); set it to the crew's API address")
    if code in {404, 405}:
        fix = "name the columns to send under `send:` or `inputs:` in the job file"
        return warning("inputs", f"the crew does not list its inputs: {reason}", fix)
    if isinstance(answer, Unclear) and not answer.passing:
        return warning("inputs", reason, "name the columns to send under `send:` or `inputs:` in the job file")
    return problem("inputs", reason, "the crew or its gateway is failing or overloaded; try again later")


def _listed_inputs(answer: CrewInputs) -> Diagnosis:
    if not answer.inputs:
        return ok("inputs", "the crew needs none")
    names = [
        entry.name + (f" ({entry.type})" if entry.type else "") + ("" if entry.required else " (optional)")
        for entry in answer.inputs[:_SHOWN_INPUTS]
    ]
    more = len(answer.inputs) - len(names)
    return ok("inputs", ", ".join(names) + (f" and {more} more" if more else ""))


def idempotency(answer: CrewInputs) -> Diagnosis:
    """Return how the crew treats a kickoff that is repeated because its answer was lost."""
    if answer.idempotent_kickoff:
        return ok("repeats", "the crew honours Idempotency-Key: a kickoff whose answer is lost is sent again safely")
    return ok("repeats", "the crew does not declare Idempotency-Key: see `run.delivery` for a lost answer")


def kickoff_path(code: int | None, missing: int | None, *, lists_inputs: bool) -> Diagnosis:
    """Return whether the path of kickoffs exists, by the answers to OPTIONS requests, which start nothing.

    Args:
        code: of the answer on that path; None: no answer.
        missing: of the answer on a path that does not exist.
        lists_inputs: whether the crew has answered `GET /inputs`.
    """
    if code is not None and code < 500 and code not in {404, missing}:
        return ok("kickoff", "/kickoff exists (nothing was started)")
    if lists_inputs or code is None or code >= 500:
        text = "the server does not show whether /kickoff exists (by OPTIONS)"
        return warning("kickoff", text, "`--kickoff` shows whether it works")
    fix = "set `url:` to the crew's base URL, without /kickoff"
    return problem("kickoff", "neither /kickoff nor /inputs is found at this URL", fix)


def status_paths(found: Sequence[str], code: int | None) -> Diagnosis:
    """Return which paths of status requests exist, by requests for an execution that does not.

    Args:
        found: the paths that are answered differently from a path that does not exist.
        code: the HTTP status of that answer.
    """
    if not found:
        text = "no path for status requests can be recognized without an execution"
        return warning("status", text, "`--kickoff` shows it; runs try /status/{id} and /{id}/status")
    answered = "" if code is None else f" ({code} for an unknown execution)"
    return ok("status", " and ".join(found) + f" exist{'s' if len(found) == 1 else ''}{answered}")


def latency(first: float, later: Sequence[float]) -> Diagnosis:
    """Return how quickly the crew answers.

    Args:
        first: seconds of the first request, which opens the connection.
        later: seconds of the others.
    """
    usual = median(later) if later else first
    text = f"{_milliseconds(usual)} per request, {_milliseconds(first)} for the first"
    if usual > SLOW_SECONDS:
        fix = f"raise `run.poll.min` above {write_duration(round(usual) or 1)}, and use `concurrency: auto`"
        return warning("latency", text, fix)
    if first > SLOW_SECONDS:
        return warning("latency", text, "the crew starts slowly (a cold start?); the first kickoff waits that long")
    return ok("latency", text)


def _milliseconds(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms" if seconds < 1 else format_duration(seconds)


def clock(offset: float | None) -> Diagnosis:
    """Return whether the clocks of both machines agree.

    Args:
        offset: seconds by which the server's clock is ahead; None: the server sends no valid `Date`.
    """
    if offset is None:
        return ok("clock", "the server sends no date to compare with")
    if abs(offset) <= SKEW_SECONDS:
        return ok("clock", "the server's clock agrees with this machine's")
    text = (
        f"the server's clock is {format_duration(abs(offset))} {'ahead of' if offset > 0 else 'behind'} this machine's"
    )
    return warning("clock", text, "set the wrong clock (NTP): tokens that expire, and signed webhooks, may be refused")


def connection(
    *, http_version: str, closes: bool, reused: bool, idle_limit: float | None, keepalive: float
) -> Diagnosis:
    """Return whether the server keeps connections open.

    Args:
        closes: it has announced that it closes the connection.
        reused: a later request has used the first one's connection.
        idle_limit: seconds after which the server closes an idle connection, by its `Keep-Alive`; None: not announced.
        keepalive: `crew.keepalive`, in seconds.
    """
    if not reused:
        why = "announces that it closes" if closes else "closes"
        text = f"the server {why} each connection (HTTP/{http_version}): every request opens a new one"
        return warning("keep-alive", text, "turn keep-alive on at the server or its proxy, if many jobs run at a time")
    if idle_limit is not None and 0 < idle_limit <= keepalive:
        text = f"the server closes idle connections after {write_duration(idle_limit)}"
        fix = (
            f"set `keepalive:` of the crew below that (it is {write_duration(keepalive)}), or kickoffs may be in doubt"
        )
        return warning("keep-alive", text, fix)
    return ok("keep-alive", f"connections stay open (HTTP/{http_version})")


def webhooks(crew: URL, *, declared: bool | None) -> Diagnosis:
    """Return whether the crew's webhooks can reach this machine, as far as the addresses show.

    Args:
        declared: whether the crew's OpenAPI description has `crewWebhookUrl`; None: it has no description.
    """
    if declared is False:
        return ok("webhooks", "the crew does not offer webhooks; executions are polled")
    offers = "the crew offers webhooks, and" if declared else "if the crew sends webhooks:"
    if is_loopback(crew):
        return ok("webhooks", f"{offers} it is on this machine, so it can call 127.0.0.1")
    if _is_private(crew):
        return ok("webhooks", f"{offers} it is in a private network, so it can call an address in that network only")
    return ok("webhooks", f"{offers} it is elsewhere, so it cannot call 127.0.0.1, only a public URL of this machine")


def _is_private(crew: URL) -> bool:
    host = crew.host or ""
    try:
        return ipaddress.ip_address(host).is_private
    except ValueError:
        return "." not in host or host.endswith((".internal", ".local", ".lan", ".home.arpa"))

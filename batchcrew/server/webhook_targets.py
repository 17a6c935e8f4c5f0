"""Decide where webhooks may be sent: not to addresses inside the network, unless the operator names them.

Clients with the token choose the URLs of webhooks. Without this check, they could make the server send requests to
services that trust its network: cloud metadata, databases, other ports of this machine.
"""

import asyncio
import ipaddress
import re
import socket
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from typing import TypeAlias
from urllib.parse import unquote

from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import DefaultResolver
from yarl import URL

Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address
RESOLVE_SECONDS = 3.0
"""How long a name may take to be resolved at the kickoff; then it is only checked when a webhook is sent."""
_PATTERN = re.compile(
    r"(?P<scheme>[a-z]+)://(?P<host>\[[^\]]*\]|[^:/?#]*)(?::(?P<port>[^/?#]*))?(?P<path>/[^?#]*)?", re.I
)
_METADATA = frozenset({ipaddress.ip_address("168.63.129.16")})
"""Services of cloud machines at addresses that appear to be public."""
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_ADDRESS_LIKE = re.compile(r"(?=.*[0-9])[0-9*?.]+")


class NotAllowed(Exception):
    """A webhook may not be sent to this URL; the text gives the reason, and the option that allows it."""


class WebhookTargets:
    """Decides where webhooks may be sent.

    Args:
        allow: patterns of allowed URLs, `https://*.example.com/hooks/*`; if there is none, every public address is
            allowed. A pattern whose host has no wildcard, or is an address (`http://10.*:8080/*`), names an address
            inside the network as well.
        local: True: the server listens only on this machine, so that its clients are here, and so may receivers be.
        inside: True: every address is allowed, because no one else has the token.
    """

    def __init__(self, allow: Sequence[str] = (), *, local: bool = False, inside: bool = False) -> None:
        self._allow = allow
        self._local = local
        self._inside = inside

    def check(self, name: str, url: str) -> None:
        """Check the URL by its text alone.

        Args:
            name: its key in the body, for the error.

        Raises:
            NotAllowed: no pattern matches it, or its host is an address inside the network.
        """
        target = URL(url)
        if self._allow and not any(fits(target, pattern) for pattern in self._allow):
            raise NotAllowed(f"{name} is not allowed: this server sends webhooks only to {', '.join(self._allow)}")
        address = literal(target.host or "")
        if address is not None and not self.reaches(address) and not self._named(target.host or ""):
            raise NotAllowed(_inside(name))

    async def check_all(self, urls: Mapping[str, str]) -> None:
        """Check URLs by their text, and by the addresses of their hosts now.

        Raises:
            NotAllowed: see `check`.
        """
        for name, url in urls.items():
            self.check(name, url)
        async with asyncio.TaskGroup() as group:
            tasks = {name: group.create_task(self._resolves_inside(URL(url))) for name, url in urls.items()}
        for name, task in tasks.items():
            if task.result():
                raise NotAllowed(_inside(name))

    async def _resolves_inside(self, target: URL) -> bool:
        host = target.host or ""
        if self._inside or literal(host) is not None or self._named(host):
            return False
        try:
            async with asyncio.timeout(RESOLVE_SECONDS):
                found = await asyncio.get_running_loop().getaddrinfo(host, target.port, type=socket.SOCK_STREAM)
        except (OSError, TimeoutError, UnicodeError):  # it is checked again when a webhook is sent
            return False
        return any(not self.reaches(_address(str(info[4][0]))) for info in found)

    def reaches(self, address: Address) -> bool:
        """Return whether webhooks may be sent to this address without being named."""
        real = _real(address)
        if self._inside or (self._local and real.is_loopback):
            return True
        return real.is_global and not real.is_multicast and real not in _METADATA

    def _named(self, host: str) -> bool:
        """Return whether a pattern names this host, so that it may be inside the network."""
        for pattern in self._allow:
            match = _PATTERN.match(pattern)
            wanted = match["host"].strip("[]") if match else ""
            exact = not any(character in wanted for character in "*?[")
            if (exact or _ADDRESS_LIKE.fullmatch(wanted)) and _same_host(host, wanted):
                return True
        return False

    def resolver(self) -> AbstractResolver:
        """Return the resolver of the session that sends webhooks: it finds no address that is not allowed."""
        return _Resolver(self)

    def resolved(self, host: str, found: list[ResolveResult]) -> list[ResolveResult]:
        """Return the addresses of a host to which webhooks may be sent.

        Raises:
            OSError: there is none.
        """
        if self._named(host):
            return found
        allowed = [one for one in found if self.reaches(_address(one["host"]))]
        if not allowed:
            raise OSError(None, "its address is inside this network, which only --webhook-allow permits")
        return allowed


class _Resolver(AbstractResolver):
    """The usual resolver, without the addresses that are not allowed: a name may lead elsewhere than at the kickoff."""

    def __init__(self, targets: WebhookTargets) -> None:
        self._targets = targets
        self._inner = DefaultResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        return self._targets.resolved(host, await self._inner.resolve(host, port, family))

    async def close(self) -> None:
        await self._inner.close()


def fits(url: URL, pattern: str) -> bool:
    """Return whether scheme, host, port and path each match: a `*` in the host never matches a part of the path.

    The path is compared as a server reads it: decoded, and without `.` and `..`.
    """
    wanted = _PATTERN.match(pattern)
    if wanted is None:
        return False
    scheme, port = wanted["scheme"].lower(), wanted["port"]
    ports = {port} if port else {"443" if scheme == "https" else "80"}
    return (
        url.scheme == scheme
        and _same_host(url.host or "", wanted["host"].strip("[]"))
        and (port == "*" or str(url.port) in ports)
        and fnmatchcase(_normal_path(url), wanted["path"] or "*")
    )


def _same_host(host: str, wanted: str) -> bool:
    try:
        return _address(host) == _address(wanted)
    except ValueError:
        return fnmatchcase(host.lower().rstrip("."), wanted.lower().rstrip("."))


def _normal_path(url: URL) -> str:
    path = url.raw_path
    while (decoded := unquote(path)) != path:  # a proxy in front of the receiver may decode it more than once
        path = decoded
    parts: list[str] = []
    for part in path.replace("\\", "/").split("/")[1:]:
        if part == "..":
            parts = parts[:-1]
        elif part != ".":
            parts.append(part)
    return "/" + "/".join(parts)


def is_local(host: str) -> bool:
    """Return whether a server that listens on `host` has only clients on this machine."""
    address = literal(host)
    return host == "localhost" or (address is not None and address.is_loopback)


def literal(host: str) -> Address | None:
    """Return the address that a host is written as, in any spelling (`127.1`, `0x7f000001`, `::ffff:10.0.0.1`)."""
    try:
        return _address(host)
    except ValueError:
        pass
    try:
        return ipaddress.IPv4Address(socket.inet_aton(host))  # decimal, octal, hexadecimal, fewer than four parts
    except (OSError, UnicodeError, ValueError):
        return None


def _address(text: str) -> Address:
    return ipaddress.ip_address(text.partition("%")[0])


def _real(address: Address) -> Address:
    """Return the IPv4 address to which an IPv6 address leads, where it does."""
    if isinstance(address, ipaddress.IPv6Address):
        if address in _NAT64:
            return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        teredo = address.teredo
        return address.ipv4_mapped or address.sixtofour or (teredo[1] if teredo else None) or address
    return address


def _inside(name: str) -> str:
    return f"{name} is not allowed: its address is inside this server's network (--webhook-allow permits it)"

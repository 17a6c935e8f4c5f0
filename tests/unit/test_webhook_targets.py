"""Where the server sends webhooks: patterns, and addresses inside the network in every spelling."""

import asyncio
import ipaddress

import pytest
from aiohttp.abc import ResolveResult
from yarl import URL

from batchcrew.base.errors import UsageError
from batchcrew.server.options import ServeOptions
from batchcrew.server.webhook_targets import NotAllowed, WebhookTargets, fits, is_local, literal

INSIDE = [
    "http://127.0.0.1/", "http://127.1/", "http://2130706433/", "http://0x7f000001/", "http://0177.0.0.1/",
    "http://017700000001/", "http://0/", "http://0.0.0.0/", "http://[::1]/", "http://[::]/",
    "http://[::ffff:127.0.0.1]/", "http://[::ffff:7f00:1]/", "http://[0:0:0:0:0:ffff:a00:1]/",
    "http://10.0.0.1/", "http://172.16.3.4/", "http://192.168.0.1:8080/x", "http://100.100.100.200/",
    "http://169.254.169.254/latest/meta-data", "http://0xA9FEA9FE/", "http://2852039166/", "http://0251.0376.0251.0376/",
    "http://[fe80::1]/", "http://[fd00:ec2::254]/", "http://[64:ff9b::a9fe:a9fe]/", "http://[2002:7f00:1::]/",
    "http://168.63.129.16/", "http://224.0.0.1/", "http://255.255.255.255/", "https://user:secret@10.0.0.1/",
]  # fmt: skip


@pytest.mark.parametrize("url", INSIDE)
def test_addresses_inside_the_network_are_refused(url: str) -> None:
    with pytest.raises(NotAllowed, match=r"crewWebhookUrl is not allowed: .*--webhook-allow"):
        WebhookTargets().check("crewWebhookUrl", url)
    WebhookTargets(inside=True).check("crewWebhookUrl", url)


@pytest.mark.parametrize("url", ["https://8.8.8.8/", "http://[2606:4700::1111]/", "https://hooks.example.com/a"])
def test_public_addresses_are_allowed(url: str) -> None:
    WebhookTargets().check("crewWebhookUrl", url)


def test_a_server_that_listens_on_this_machine_alone_sends_to_this_machine() -> None:
    targets = WebhookTargets(local=True)
    targets.check("a", "http://127.0.0.1:8787/hook")
    targets.check("a", "http://[::1]:8787/hook")
    with pytest.raises(NotAllowed):
        targets.check("a", "http://10.0.0.1/hook")
    assert [is_local(host) for host in ("127.0.0.1", "::1", "localhost", "0.0.0.0", "::", "192.168.0.7")] == [  # noqa: S104
        True, True, True, False, False, False,
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("pattern", "url"),
    [
        ("http://10.0.0.5:8080/*", "http://10.0.0.5:8080/a"),
        ("http://10.*:*/*", "http://10.3.2.1:99/a"),
        ("http://[fd00::7]/*", "http://[fd00:0:0:0:0:0:0:7]/a"),
        ("http://[::1]:*/hooks/*", "http://[::1]:99/hooks/a"),
        ("http://127.0.0.1:*/*", "http://127.0.0.1:5/"),
    ],
)
def test_a_pattern_names_an_address_inside(pattern: str, url: str) -> None:
    WebhookTargets([pattern]).check("a", url)


@pytest.mark.parametrize("pattern", ["http://*/*", "http://*:*/*", "http://*.*/*"])
def test_a_pattern_for_every_host_names_none_inside(pattern: str) -> None:
    WebhookTargets([pattern]).check("a", "http://8.8.8.8/")
    with pytest.raises(NotAllowed):
        WebhookTargets([pattern]).check("a", "http://10.0.0.1/")


@pytest.mark.parametrize(
    ("url", "allowed"),
    [
        ("https://a.example.com/hooks/x", True),
        ("https://A.EXAMPLE.com./hooks/x?y=1", True),
        ("https://a.example.com/hooks/", True),
        ("https://a.example.com/hooks/../admin", False),
        ("https://a.example.com/hooks/%2e%2e/admin", False),
        ("https://a.example.com/hooks/%252e%252e/admin", False),
        ("https://a.example.com/hooks/..%2fadmin", False),
        ("https://a.example.com/hooks\\..\\admin", False),
        ("https://a.example.com/x/../hooks/y", True),
        ("https://a.example.com:443/hooks/x", True),
        ("https://a.example.com:8443/hooks/x", False),
        ("http://a.example.com/hooks/x", False),
        ("https://example.com/hooks/x", False),
        ("https://a.example.com@evil.org/hooks/x", False),
    ],
)
def test_paths_are_compared_as_a_server_reads_them(url: str, allowed: bool) -> None:
    assert fits(URL(url), "https://*.example.com/hooks/*") is allowed


@pytest.mark.parametrize("host", ["hooks.example.com", "", "1.2.3.4.5", "0x", "a.1", "999.1.1.1"])
def test_names_are_not_addresses(host: str) -> None:
    assert literal(host) is None


async def test_names_that_lead_inside_are_refused_at_the_kickoff_and_at_the_connection(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    loop = asyncio.get_running_loop()
    leads_to = {"rebound.example.com": "10.0.0.1", "public.example.com": "8.8.8.8", "named.internal": "10.0.0.9"}

    async def resolve(host: str, *_: object, **__: object) -> list[object]:
        return [(0, 0, 0, "", (leads_to[host], 80))]

    monkeypatch.setattr(loop, "getaddrinfo", resolve)
    targets = WebhookTargets()
    await targets.check_all({"crewWebhookUrl": "http://public.example.com/"})
    with pytest.raises(NotAllowed, match="taskWebhookUrl is not allowed"):
        await targets.check_all({"taskWebhookUrl": "http://rebound.example.com/"})
    named = WebhookTargets(["http://named.internal/*", "http://*.example.com/*"])
    await named.check_all({"crewWebhookUrl": "http://named.internal/"})
    with pytest.raises(NotAllowed):  # a pattern for many names does not name this one
        await named.check_all({"crewWebhookUrl": "http://rebound.example.com/"})

    def found(*hosts: str) -> list[ResolveResult]:
        return [ResolveResult(hostname="x", host=host, port=80, family=0, proto=0, flags=0) for host in hosts]

    assert targets.resolved("x", found("10.0.0.1", "8.8.8.8")) == found("8.8.8.8")
    with pytest.raises(OSError, match="webhook-allow"):
        targets.resolved("x", found("127.0.0.1", "::1"))
    assert named.resolved("named.internal", found("10.0.0.9")) == found("10.0.0.9")


def test_multicast_and_reserved_addresses_are_not_reached() -> None:
    reaches = WebhookTargets().reaches
    for text in ("224.0.0.251", "ff02::1", "240.0.0.1", "192.0.2.1", "2001:db8::1", "::"):
        assert not reaches(ipaddress.ip_address(text)), text


def test_a_pattern_that_is_not_a_url() -> None:
    with pytest.raises(UsageError, match=r"webhook pattern: \'example\.com\'"):
        ServeOptions(webhook_allow=("example.com",))

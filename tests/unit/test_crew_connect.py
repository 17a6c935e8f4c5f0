"""URLs, redirects and proxies, decided without a network."""

import pytest
from yarl import URL

from batchcrew.base.errors import UsageError
from batchcrew.crew.connect import Endpoints, RedirectRefused, is_loopback, proxy_for, redirected


@pytest.fixture(autouse=True)
def _no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.mark.parametrize(
    ("base", "kickoff"),
    [
        ("https://host", "https://host/kickoff"),
        ("https://host/", "https://host/kickoff"),
        (" https://host/base/ \n", "https://host/base/kickoff"),
        ("https://host:8443/a/b//", "https://host:8443/a/b/kickoff"),
        ("http://[::1]:8000", "http://[::1]:8000/kickoff"),
        ("HTTPS://Host/Base", "https://host/Base/kickoff"),
        ("https://host/a%2Fb", "https://host/a%2Fb/kickoff"),
    ],
)
def test_the_base_url_is_joined(base: str, kickoff: str) -> None:
    endpoints = Endpoints("default", base)
    assert str(endpoints.kickoff) == kickoff
    assert str(endpoints.inputs) == kickoff.replace("kickoff", "inputs")


INVALID = [
    "host.example.com",
    "localhost:8000",
    "${CREW_URL}",
    "",
    "ftp://host",
    "http://",
    "http://host:99999",
    "http://a b/",
    "http://host\n/x",
    "embedded",
    "ftp://user:hunter2@host/",
]


@pytest.mark.parametrize(
    ("base", "said"),
    [
        *((base, "invalid url") for base in INVALID),
        ("https://user:hunter2@host/", "user name"),
        ("https://host/?a=b", "must not contain"),
        ("https://host/#top", "or #"),
    ],
)
def test_an_invalid_base_url_is_reported(base: str, said: str) -> None:
    with pytest.raises(UsageError, match=said) as caught:
        Endpoints("research", base)
    assert "research" in str(caught.value)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("kickoff_id", "segment"),
    [
        ("abcd-1234_x.y~z", "abcd-1234_x.y~z"),
        ("a/b", "a%2Fb"),
        ("../../kickoff", "..%2F..%2Fkickoff"),
        ("..", "%2E%2E"),
        ("a?b#c", "a%3Fb%23c"),
        ("50%", "50%25"),
        ("%2e%2e", "%252e%252e"),
        ("ü &+", "%C3%BC%20%26%2B"),
    ],
)
def test_a_kickoff_id_stays_one_segment(kickoff_id: str, segment: str) -> None:
    endpoints = Endpoints("default", "https://host/base")
    assert str(endpoints.status(kickoff_id, 0)) == f"https://host/base/status/{segment}"
    assert str(endpoints.status(kickoff_id, 1)) == f"https://host/base/{segment}/status"
    assert endpoints.status(kickoff_id, 0).raw_path == f"/base/status/{segment}"


@pytest.mark.parametrize(
    ("url", "location", "target"),
    [
        ("http://host/kickoff", "/kickoff/", "http://host/kickoff/"),
        ("http://host/kickoff", "kickoff/", "http://host/kickoff/"),
        ("http://host/kickoff", "https://host/kickoff", "https://host/kickoff"),
        ("http://HOST/kickoff", "https://Host:443/kickoff", "https://host/kickoff"),
        ("http://host:8000/kickoff", "https://host:8000/kickoff", "https://host:8000/kickoff"),
        ("http://host/kickoff", "/v2/kickoff", "http://host/v2/kickoff"),
        ("http://host/status/a%2Fb", "/status/a%2Fb/", "http://host/status/a%2Fb/"),
        ("http://host/kickoff", "//host/kickoff/", "http://host/kickoff/"),
    ],
)
def test_redirects_that_are_followed(url: str, location: str, target: str) -> None:
    assert str(redirected(URL(url), location)) == target


@pytest.mark.parametrize(
    ("url", "location", "said"),
    [
        ("http://host/kickoff", "http://evil/kickoff?token=x", r"http://evil, which was refused.*`url:`"),
        ("http://host/kickoff", "//evil/kickoff", "http://evil"),
        ("https://host/kickoff", "http://host/kickoff", "http://host"),
        ("http://host/kickoff", "http://host:8080/kickoff", "host:8080"),
        ("http://host:8000/kickoff", "https://host/kickoff", "https://host"),
        ("http://host/kickoff", "https://host:8443/kickoff", "8443"),
        ("http://host/kickoff", "http://host.evil/kickoff", "host.evil"),
        ("http://host/kickoff", "http://host@evil/kickoff", "evil"),
        ("http://host/kickoff", "http://user:pw@host/kickoff", "user name"),
        ("http://host/kickoff", "/login?next=kickoff", "a different path"),
        ("http://host/kickoff", "ftp://host/kickoff", "ftp"),
        ("http://host/kickoff", "javascript:alert(1)", "redirects to"),
        ("http://host/kickoff", "http://host:99999/kickoff", "invalid URL"),
        ("http://host/kickoff", "http://[/kickoff", "invalid URL"),
    ],
)
def test_redirects_that_are_refused(url: str, location: str, said: str) -> None:
    with pytest.raises(RedirectRefused, match=said):
        redirected(URL(url), location)


@pytest.mark.parametrize(
    ("url", "here"),
    [
        ("http://localhost:1", True),
        ("http://crew.localhost", True),
        ("http://127.3.2.1", True),
        ("http://[::1]", True),
        ("http://10.0.0.1", False),
        ("http://localhost.evil", False),
    ],
)
def test_loopback(url: str, here: bool) -> None:
    assert is_loopback(URL(url)) == here


@pytest.mark.parametrize(
    ("environment", "url", "proxy"),
    [
        ({}, "http://crew.test", None),
        ({"HTTP_PROXY": "http://proxy:3128"}, "http://crew.test", "http://proxy:3128"),
        ({"HTTP_PROXY": "http://proxy:3128"}, "https://crew.test", None),
        ({"HTTPS_PROXY": "http://u:p@proxy:3128"}, "https://crew.test", "http://u:p@proxy:3128"),
        ({"https_proxy": "proxy:3128"}, "https://crew.test", "http://proxy:3128"),
        ({"ALL_PROXY": "http://proxy:3128"}, "https://crew.test", "http://proxy:3128"),
        ({"HTTP_PROXY": "http://proxy:3128", "NO_PROXY": "crew.test"}, "http://crew.test", None),
        ({"HTTP_PROXY": "http://proxy:3128", "NO_PROXY": ".test"}, "http://crew.test", None),
        ({"HTTP_PROXY": "http://proxy:3128", "NO_PROXY": "crew.test:8000"}, "http://crew.test:8000", None),
        ({"HTTP_PROXY": "http://proxy:3128", "NO_PROXY": "other"}, "http://crew.test", "http://proxy:3128"),
        ({"HTTP_PROXY": "http://proxy:3128"}, "http://127.0.0.1:8000", None),
    ],
)
def test_the_environments_proxy(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], url: str, proxy: str | None
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    warnings: list[str] = []
    found = proxy_for(URL(url), warnings.append)
    assert (None if found is None else str(found)) == proxy
    assert warnings == []


def test_a_proxy_of_another_kind_is_warned_about(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALL_PROXY", "socks5://user:hunter2@proxy:1080")
    warnings: list[str] = []
    assert proxy_for(URL("http://crew.test"), warnings.append) is None
    assert len(warnings) == 1
    assert "'socks5'" in warnings[0]
    assert "hunter2" not in warnings[0]

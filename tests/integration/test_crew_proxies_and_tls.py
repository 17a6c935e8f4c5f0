"""Companies between us and the crew: their proxies, their certificate authorities, their ~/.netrc."""

import asyncio
from pathlib import Path

import pytest
from crew_wire import (
    CERTIFICATE,
    TOKEN,
    Close,
    Request,
    Script,
    WireServer,
    accepts,
    attempt,
    crew,
    http,
    says,
    server_tls,
)

from batchcrew.model.crew_answers import Accepted, CrewInputs, NotSent, Unclear
from batchcrew.model.execution import Execution

KICKED_OFF = http(200, b'{"kickoff_id": "k-1", "status": "running", "inputs": []}')


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """One without proxies."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    return monkeypatch


async def tunnel(request: Request, writer: asyncio.StreamWriter) -> None:
    """A proxy that, once the tunnel is established, also answers as the crew behind it."""
    if request.method == "CONNECT":
        writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        await writer.drain()
        await writer.start_tls(server_tls())
    else:
        writer.write(KICKED_OFF)


# Proxies


async def test_plain_http_goes_through_the_proxy(environment: pytest.MonkeyPatch) -> None:
    async with WireServer(says(KICKED_OFF)) as proxy:
        environment.setenv("HTTP_PROXY", proxy.url.replace("//", "//user:pass@"))
        async with crew("http://crew.test/base", warn=lambda _: None) as client:
            assert await client.kickoff(attempt()) == Accepted("k-1")
            assert isinstance(await client.status("k"), Execution)
            assert isinstance(await client.inputs(), CrewInputs)
    assert proxy.heard == [
        "POST http://crew.test/base/kickoff",
        "GET http://crew.test/base/status/k",
        "GET http://crew.test/base/inputs",
    ]
    assert {request.headers["proxy-authorization"] for request in proxy.requests} == {"Basic dXNlcjpwYXNz"}
    assert {request.headers["authorization"] for request in proxy.requests} == {f"Bearer {TOKEN}"}


async def test_https_goes_through_a_tunnel_and_the_proxy_never_sees_the_token(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("SSL_CERT_FILE", str(CERTIFICATE))
    async with WireServer(tunnel) as proxy:
        environment.setenv("HTTPS_PROXY", proxy.url.replace("//", "//user:pass@"))
        async with crew("https://crew.test/base") as client:
            assert await client.kickoff(attempt()) == Accepted("k-1")
    connect, kickoff = proxy.requests
    assert connect.target == "crew.test:443"
    assert connect.headers["proxy-authorization"] == "Basic dXNlcjpwYXNz"
    assert "authorization" not in connect.headers
    assert (kickoff.target, kickoff.headers["authorization"]) == ("/base/kickoff", f"Bearer {TOKEN}")
    assert "proxy-authorization" not in kickoff.headers


async def test_an_upgrade_to_https_is_followed_through_its_own_proxy(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("SSL_CERT_FILE", str(CERTIFICATE))
    upgrade = says(http(308, b"", "Location: https://crew.test/kickoff"))
    async with WireServer(upgrade) as plain, WireServer(tunnel) as tunnels:
        environment.setenv("HTTP_PROXY", plain.url)
        environment.setenv("HTTPS_PROXY", tunnels.url)
        async with crew("http://crew.test", warn=lambda _: None) as client:
            assert await client.kickoff(attempt()) == Accepted("k-1")
            assert await client.kickoff(attempt()) == Accepted("k-1")
            assert isinstance(await client.status("kickoff"), Execution)
    assert plain.heard == ["POST http://crew.test/kickoff", "GET http://crew.test/status/kickoff"]
    posts = ["CONNECT crew.test:443", "POST /kickoff", "POST /kickoff"]
    assert tunnels.heard == [*posts, "CONNECT crew.test:443", "GET /kickoff"]


async def test_no_proxy_is_honoured(environment: pytest.MonkeyPatch) -> None:
    async with WireServer(says(KICKED_OFF)) as proxy:
        environment.setenv("HTTP_PROXY", proxy.url)
        environment.setenv("NO_PROXY", "crew.invalid")
        async with crew("http://crew.invalid", warn=lambda _: None) as client:
            assert isinstance(await client.kickoff(attempt()), NotSent)
    assert proxy.connections == 0


async def test_requests_to_this_machine_never_use_a_proxy(environment: pytest.MonkeyPatch) -> None:
    async with WireServer(says(KICKED_OFF)) as proxy, WireServer(accepts()) as server:
        environment.setenv("ALL_PROXY", proxy.url)
        async with crew(server.url) as client:
            assert isinstance(await client.kickoff(attempt()), Accepted)
    assert proxy.connections == 0


async def test_requests_to_the_crew_of_the_run_never_use_a_proxy(environment: pytest.MonkeyPatch) -> None:
    async with WireServer(says(KICKED_OFF)) as proxy:
        environment.setenv("HTTP_PROXY", proxy.url)
        async with crew("http://crew.invalid", override=True, warn=lambda _: None) as client:
            assert isinstance(await client.kickoff(attempt()), NotSent)
    assert proxy.connections == 0


async def hang(request: Request, writer: asyncio.StreamWriter) -> None:
    await asyncio.Event().wait()


async def hang_up(request: Request, writer: asyncio.StreamWriter) -> None:
    raise Close


@pytest.mark.parametrize(
    ("script", "said"),
    [
        (says(http(407, b"who are you")), "proxy refused"),
        (says(http(502, b"no route")), "proxy refused"),
        (says(b"SSH-2.0-OpenSSH\r\n\r\n"), "proxy"),
        (hang_up, "proxy"),
        (hang, "within 0.2s"),
    ],
    ids=["407", "502", "no HTTP", "hangs up", "hangs"],
)
async def test_a_tunnel_that_never_stood_means_not_sent(
    environment: pytest.MonkeyPatch, script: Script, said: str
) -> None:
    async with WireServer(script) as proxy:
        environment.setenv("HTTPS_PROXY", proxy.url.replace("//", "//user:hunter2@"))
        async with crew("https://crew.test", connect_timeout=0.2 if script is hang else 30) as client:
            kicked, asked = await client.kickoff(attempt()), await client.status("k")
    assert isinstance(kicked, NotSent), kicked
    assert said in kicked.reason
    if "proxy" in said:
        assert str(proxy.port) in kicked.reason or "refused" in kicked.reason
    assert isinstance(asked, Unclear)
    assert "hunter2" not in repr((kicked, asked))


async def test_an_unreachable_proxy_means_not_sent(environment: pytest.MonkeyPatch) -> None:
    async with WireServer(hang) as proxy:
        url = proxy.url
    environment.setenv("ALL_PROXY", url)
    for base in ("http://crew.test", "https://crew.test"):
        async with crew(base, warn=lambda _: None) as client:
            answer = await client.kickoff(attempt())
        assert isinstance(answer, NotSent)
        assert answer.reason.startswith(f"no connection through the proxy {url.removeprefix('http://')}")


async def test_netrc_adds_no_credentials(environment: pytest.MonkeyPatch, tmp_path: Path) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login somebody password hunter2\ndefault login a password b\n")
    netrc.chmod(0o600)
    environment.setenv("NETRC", str(netrc))
    async with WireServer(accepts()) as server:
        async with crew(server.url) as client:
            assert isinstance(await client.kickoff(attempt()), Accepted)
        async with crew(server.url, token=None) as client:
            assert isinstance(await client.kickoff(attempt()), Accepted)
    assert server.requests[0].headers["authorization"] == f"Bearer {TOKEN}"
    assert "authorization" not in server.requests[1].headers


# TLS


async def test_a_companys_authority_is_trusted(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("SSL_CERT_FILE", str(CERTIFICATE))
    async with (
        WireServer(says(KICKED_OFF), tls=server_tls()) as server,
        crew(f"https://localhost:{server.port}") as client,
    ):
        assert await client.kickoff(attempt()) == Accepted("k-1")
        assert isinstance(await client.status("k"), Execution)


async def test_nothing_is_sent_to_a_server_with_an_untrusted_certificate() -> None:
    async with (
        WireServer(accepts(), tls=server_tls()) as server,
        crew(f"https://localhost:{server.port}") as client,
    ):
        answer = await client.kickoff(attempt())
    assert isinstance(answer, NotSent)
    assert answer.reason.startswith(f"the certificate of localhost:{server.port} is not trusted (self-signed")
    assert "SSL_CERT_FILE" in answer.reason
    assert server.requests == []


async def test_a_certificate_of_another_host_is_not_sent_to(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("SSL_CERT_FILE", str(CERTIFICATE))
    async with (
        WireServer(accepts(), host="127.0.0.2", tls=server_tls()) as server,
        crew(f"https://127.0.0.2:{server.port}") as client,
    ):
        answer = await client.kickoff(attempt())
    assert isinstance(answer, NotSent)
    assert "not trusted (IP address mismatch" in answer.reason
    assert server.requests == []

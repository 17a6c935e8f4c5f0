"""Notifications, the command of `on_end:`, pings and metrics, with real receivers on loopback."""

import email
import email.message
import email.policy
import json
import socket
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from cli_process import call
from plain_crew import PlainCrew

HOSTILE = "<script>alert(1)</script> @everyone \x1b[31m \u202eevil \0 end\r\nBcc: all@example.com"
JOB_FILE = """
batch: {batch}
crew: {{url: "{url}", token: t, price_per_kickoff: 0.50 USD}}
run: {{concurrency: 4, stop_after_failures: none, poll: {{initial: 1ms, max: 5ms}}, retry: {{attempts: 1}}}}
{telling}
jobs: [{{rows: leads.csv}}]
"""


class Receiver:
    """Receives the webhooks of apprise and of `--ping`."""

    def __init__(self) -> None:
        self.got: list[tuple[str, str, bytes]] = []
        """Method, path and body of each request."""
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                receiver.got.append((self.command, self.path, body))
                self.send_response(200)
                self.end_headers()

            def log_message(self, format: str, *arguments: Any) -> None:  # noqa: A002 - as http.server has it
                del format, arguments

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self.server.server_port
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def notices(self) -> list[dict[str, Any]]:
        return [json.loads(body) for _, _, body in self.got]


class Mailbox:
    """Keeps the mails that an SMTP server receives."""

    def __init__(self) -> None:
        self.mails: list[email.message.EmailMessage] = []
        self.recipients: list[list[str]] = []

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802 - the library's name
        del server, session
        self.recipients.append(envelope.rcpt_tos)
        mail = email.message_from_bytes(envelope.content, policy=email.policy.default)
        assert isinstance(mail, email.message.EmailMessage)
        self.mails.append(mail)
        return "250 OK"


@pytest.fixture
def crew() -> Iterator[PlainCrew]:
    with PlainCrew({"inputs": ["topic"]}) as made:
        made.error_of = lambda inputs: HOSTILE if inputs["topic"] == "bad" else None
        yield made


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver()
    yield made
    made.server.shutdown()
    made.server.server_close()


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def write(folder: Path, crew: PlainCrew, telling: str, topics: list[str], batch: str = "leads") -> None:
    text = JOB_FILE.format(url=crew.url, telling=telling, batch=batch)
    (folder / "leads.yaml").write_text(text, encoding="utf-8")
    rows = "".join(f"job-{number},{topic}\n" for number, topic in enumerate(topics))
    (folder / "leads.csv").write_text(f"id,topic\n{rows}", encoding="utf-8")


def test_a_webhook_reports_the_end_of_a_batch_once(tmp_path: Path, crew: PlainCrew, receiver: Receiver) -> None:
    write(tmp_path, crew, 'notify: ["${HOOK}"]', ["cats", "bad"])
    hook = f"HOOK=json://127.0.0.1:{receiver.port}/s3cret"
    (tmp_path / ".env").write_text(hook, encoding="utf-8")
    (tmp_path / ".env").chmod(0o600)
    ended = call(tmp_path, "run", "leads.yaml")
    assert ended.returncode == 1
    [notice] = receiver.notices
    assert notice["title"] == "leads: the batch ended with failures"
    said = notice["message"]
    assert "This run: 2 kickoffs, 1.00 USD" in said
    assert "Spent on failures: 0.50 USD" in said
    assert "- 1 job, such as job-1: " in said
    assert "batchcrew failures" in said
    assert not {"\x1b", "\u202e", "\0", "\r"} & set(said)
    assert "@everyone" not in said
    assert call(tmp_path, "run", "leads.yaml").returncode == 1  # nothing is left, and nothing is new
    assert call(tmp_path, "tick", "leads.yaml").returncode == 1
    assert len(receiver.got) == 1
    assert len(crew.sent) == 2
    assert "s3cret" not in ended.stderr
    assert b"s3cret" not in b"".join(
        path.read_bytes() for path in (tmp_path / "results").glob("batchcrew.db*") if path.is_file()
    )


def test_a_mail_has_the_report_and_no_header_of_a_stranger(tmp_path: Path, crew: PlainCrew) -> None:
    box = Mailbox()
    controller = Controller(box, hostname="127.0.0.1", port=free_port())
    controller.start()
    try:
        url = f"mailto://127.0.0.1:{controller.port}/boss@example.com?from=batchcrew@example.com"
        title = '"{{ batch }}\\r\\nBcc: {{ failures[0].example_job }}@example.com"'
        write(tmp_path, crew, f'notify: {{url: "{url}", attach: [html], title: {title}}}', ["cats", "bad"])
        ended = call(tmp_path, "run", "leads.yaml")
    finally:
        controller.stop()
    assert ended.returncode == 1, ended.stderr
    [mail] = box.mails
    assert box.recipients == [["boss@example.com"]]
    assert mail["Bcc"] is None
    assert mail["Subject"] == "leads Bcc: job-1@example.com"
    shown = [part for part in mail.walk() if part.get_content_maintype() == "text" and not part.is_attachment()]
    assert [part.get_content_type() for part in shown] == ["text/plain"]  # so HTML in it is text
    assert "<script>alert(1)" in shown[0].get_content()
    [attached] = [part for part in mail.walk() if part.get_content_disposition() == "attachment"]
    assert attached.get_filename() == "leads.html"
    assert attached.get_payload(decode=True) == (tmp_path / "results/leads.html").read_bytes()


@pytest.mark.crash
def test_a_dead_receiver_is_a_warning(tmp_path: Path, crew: PlainCrew) -> None:
    write(tmp_path, crew, f"notify: ['json://127.0.0.1:{free_port()}/s3cret', 'nosuch://s3cret']", ["cats"])
    ended = call(tmp_path, "run", "leads.yaml")
    assert ended.returncode == 0
    assert "notification finished to receiver 1 of notify was not sent" in ended.stderr
    assert "receiver 2 of notify was not sent: apprise does not understand the URL" in ended.stderr
    assert "s3cret" not in ended.stderr
    assert len(crew.sent) == 1


@pytest.mark.crash
def test_a_receiver_that_never_answers_delays_the_end_by_ten_seconds_at_most(tmp_path: Path, crew: PlainCrew) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        url = f"json://127.0.0.1:{silent.getsockname()[1]}/s3cret?rto=300"
        write(tmp_path, crew, f"notify: ['{url}']", ["cats"])
        ended = call(tmp_path, "run", "leads.yaml")
    assert ended.returncode == 0
    assert "to receiver 1 of notify was not sent: no answer within 10 s" in ended.stderr
    assert len(crew.sent) == 1


def test_the_command_of_on_end_gets_the_summary(tmp_path: Path, crew: PlainCrew) -> None:
    code = "import sys; open('got.json', 'w').write(sys.stdin.read()); print('\\\\x1b[31mdone'); sys.exit(3)"
    command = json.dumps([sys.executable, "-c", code])
    write(tmp_path, crew, f"on_end: {command}".replace("\\\\\\\\", "\\\\"), ["cats", "bad"])
    ended = call(tmp_path, "run", "leads.yaml")
    assert ended.returncode == 1
    summary = json.loads((tmp_path / "got.json").read_text(encoding="utf-8"))
    assert (summary["batch"], summary["exit_code"], summary["counts"]["failed"]) == ("leads", 1, 1)
    assert "the command of on_end failed: exit 3" in ended.stderr
    assert "\x1b" not in ended.stderr
    (tmp_path / "got.json").unlink()
    call(tmp_path, "run", "leads.yaml")
    assert not (tmp_path / "got.json").exists()


def test_the_monitor_and_the_metrics_say_how_the_run_ended(tmp_path: Path, crew: PlainCrew, receiver: Receiver) -> None:
    write(tmp_path, crew, "", ["cats", "bad"])
    ping = f"http://127.0.0.1:{receiver.port}/abc"
    call(tmp_path, "run", "leads.yaml", "--ping", ping, "--metrics-file", "batchcrew.prom")
    assert [path for _, path, _ in receiver.got] == ["/abc/start", "/abc/fail"]
    assert receiver.got[1][2] == b"leads: 1 succeeded, 1 failed"
    text = (tmp_path / "batchcrew.prom").read_text(encoding="utf-8")
    assert 'batchcrew_jobs{batch="leads",state="failed"} 1\n' in text
    assert 'batchcrew_kickoffs{batch="leads"} 2\n' in text
    assert 'batchcrew_cost{batch="leads",currency="USD"} 1\n' in text
    assert 'batchcrew_exit_code{batch="leads"} 1\n' in text
    assert text.endswith("# EOF\n")

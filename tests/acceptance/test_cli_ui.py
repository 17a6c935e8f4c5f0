"""`batchcrew ui` and `run --ui` as processes: how they start, and that they end at once."""

import http.client
import http.cookiejar
import json
import signal
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from cli_process import JOB_FILE, call, read_until, start, write_trips
from held_crew import HeldCrew

pytestmark = pytest.mark.crash


class Reader:
    """A browser without scripts."""

    def __init__(self, link: str) -> None:
        self._base = link[: link.index("/", 8)]
        jar = urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar())
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), jar)
        self._opener.open(link).close()

    def open(self, path: str) -> http.client.HTTPResponse:
        answer: http.client.HTTPResponse = self._opener.open(self._base + path)
        return answer

    def read(self, path: str) -> str:
        with self.open(path) as answer:
            return answer.read().decode()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_page_with_exit_0_also_while_a_browser_follows(folder: Path, number: int) -> None:
    with HeldCrew() as crew:
        crew.release()
        (folder / "jobs.yaml").write_text(JOB_FILE.format(url=crew.url))
        assert call(folder, "run", "jobs.yaml", "-q").returncode == 0
    page = start(folder, "ui")
    reader = Reader(page.stdout.readline().strip())
    assert "40 of 40 jobs succeeded" in " ".join(reader.read("/").split())
    with reader.open("/events?batch=jobs") as stream:
        assert stream.readline().startswith(b"retry:")
        page.send_signal(number)
        assert page.wait(timeout=30) == 0


def test_a_run_with_a_page_prints_its_link_and_ends_it(held: HeldCrew, folder: Path) -> None:
    run = start(folder, "run", "jobs.yaml", "--ui", "--json", "--log-format", "json")
    link = json.loads(read_until(run, '"page"').splitlines()[-1])["url"]
    held.wait_for_kickoffs(1, run)
    reader = Reader(link)
    assert "in progress" in reader.read("/batch?batch=jobs")
    held.release()
    assert json.loads(run.communicate()[0])["counts"]["succeeded"] == 40
    assert run.returncode == 0
    with pytest.raises(urllib.error.URLError):
        reader.read("/")


def test_a_page_ends_with_a_run_that_was_killed(held: HeldCrew, folder: Path) -> None:
    run = start(folder, "run", "jobs.yaml", "--ui")
    reader = Reader(read_until(run, "live page").split()[-1])
    with reader.open("/events?batch=jobs") as stream:
        run.kill()
        assert stream.read().startswith(b"retry:")  # until its end
    run.wait()


def test_without_a_ledger_or_with_a_port_in_use_nothing_is_served(tmp_path: Path) -> None:
    assert call(tmp_path, "ui").returncode == 2
    write_trips(tmp_path, 1)
    with HeldCrew() as crew:
        crew.release()
        (tmp_path / "jobs.yaml").write_text(JOB_FILE.format(url=crew.url))
        assert call(tmp_path, "run", "jobs.yaml", "-q").returncode == 0
        port = crew.url.rpartition(":")[2]
        refused = call(tmp_path, "ui", "--port", port)
    assert (refused.returncode, port in refused.stderr) == (2, True)

"""Debian's cron, for real: its shell, its environment without a terminal, its minutes.

The daemon runs in a separate mount namespace, so that it sees only this crontab.
"""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from test_cli_run import JOB_FILE, Crew, call, write_trips

pytestmark = [pytest.mark.cron, pytest.mark.timeout(400)]

DAEMON = """
set -e
mount -t tmpfs tmpfs /var/spool/cron/crontabs
mount -t tmpfs tmpfs /etc/cron.d
mount -t tmpfs tmpfs /run
mount --bind /dev/null /etc/crontab
crontab "$1"
exec cron -f
"""


def lacks() -> str | None:
    """Why cron cannot be tried here."""
    if os.geteuid() != 0:
        return "only root can start a cron daemon in a mount namespace"
    if not shutil.which("cron") or not shutil.which("crontab"):
        return "Debian's package cron is not installed"
    if subprocess.run(["unshare", "-m", "true"], check=False, capture_output=True).returncode:
        return "no mount namespace can be made here"
    return None


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    reason = lacks()
    if reason is not None:
        if os.environ.get("CI"):
            pytest.fail(f"CI must try cron: {reason}")
        pytest.skip(reason)
    write_trips(tmp_path, 12)
    crew = Crew(tmp_path, "--execution-time", "1s", "--no-idempotency")
    for name in ("ticked", "ran"):
        (tmp_path / f"{name}.yaml").write_text(JOB_FILE.format(url=crew.url), encoding="utf-8")
        os.mkfifo(tmp_path / name)
    (tmp_path / ".env").write_text("CREW_TOKEN=a-token-of-the-tests\n", encoding="utf-8")
    yield tmp_path
    stats = crew.stats()
    crew.stop()
    assert (stats["kickoffs"], stats["max_kickoffs_per_job"]) == (24, 1)


def test_a_crontab_finishes_a_batch_by_ticks_and_another_by_a_run(folder: Path) -> None:
    (folder / "crontab").write_text(
        f"* * * * * cd {folder} && {sys.executable} -m batchcrew tick ticked.yaml --concurrency 12 --quiet"
        " >> ticked.log 2>&1; echo $? > ticked\n"
        f"* * * * * cd {folder} && {sys.executable} -m batchcrew run ran.yaml --max-runtime 55s --quiet"
        " >> ran.log 2>&1; echo $? > ran\n",
        encoding="utf-8",
    )
    daemon = subprocess.Popen(["unshare", "-m", "sh", "-c", DAEMON, "daemon", str(folder / "crontab")])
    try:
        ran = (folder / "ran").read_text(encoding="ascii")  # waits for the line to end
        ticked = [(folder / "ticked").read_text(encoding="ascii")]
        while ticked[-1] == "3\n":
            ticked.append((folder / "ticked").read_text(encoding="ascii"))
    finally:
        daemon.send_signal(signal.SIGTERM)
        daemon.wait(timeout=30)
    assert (ran, ticked) == ("0\n", ["3\n", "0\n"])
    # nothing needs the operator: cron sends no mail
    assert (folder / "ticked.log").read_text(encoding="utf-8") == ""
    assert (folder / "ran.log").read_text(encoding="utf-8") == ""
    for name in ("ticked", "ran"):
        assert "12 of 12" in call(folder, "status", name).stdout

"""schemathesis sends valid and invalid requests for everything that the server's `/openapi.json` describes."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from real_stage import PROJECT, TOKEN, environment, served

pytestmark = [pytest.mark.crewai, pytest.mark.timeout(300)]

CHECKS = "not_a_server_error,status_code_conformance,response_schema_conformance"
DEMO = ("demo", "--execution-time", "20ms")
CREW = (str(PROJECT), "--workers", "2")


@pytest.mark.parametrize("dialect", ["guide", "live", "legacy"])
@pytest.mark.parametrize("target", [DEMO, CREW], ids=["demo", "crew"])
def test_nothing_is_found(tmp_path: Path, target: tuple[str, ...], dialect: str) -> None:
    with served(tmp_path, *target, "--dialect", dialect) as server:
        ended = subprocess.run(
            [
                str(Path(sys.executable).with_name("schemathesis")),
                "run",
                f"{server.url}/openapi.json",
                "--no-color",
                *("--header", f"Authorization: Bearer {TOKEN}"),
                *("--checks", CHECKS),
                *("--max-examples", "60"),
                *("--generation-database", "none"),
            ],
            check=False,
            cwd=tmp_path,
            env=environment(),
            capture_output=True,
            text=True,
        )
        assert ended.returncode == 0, ended.stdout
        _, stats = server.call("/stats")
    said = ended.stdout
    cases = re.search(r"(\d+) generated, (\d+) passed", said)
    assert cases, said
    assert int(cases[1]) >= 300
    assert cases[1] == cases[2]
    # it got past the token, and some of its kickoffs were good ones
    assert "Authentication failed" not in said
    assert stats["kickoffs"] > 0
    assert stats["refused"] > 0

"""A crew that reports success without an output: every summary that says `succeeded` counts it in a warning."""

import json
from pathlib import Path

from cli_process import call
from plain_crew import PlainCrew

JOB_FILE = """
crew: {{url: "{url}", token: t}}
accept: {{not_empty: false}}
run: {{poll: {{initial: 10ms, max: 50ms, settle: 0s}}}}
jobs: [{{rows: l.csv}}]
"""


class SilentCrew(PlainCrew):
    """A crew that has an output for the topic `cats` only."""

    def output(self, kickoff_id: str) -> str:
        found = super().output(kickoff_id)
        return found if "cats" in found else ""


def test_every_run_counts_it(tmp_path: Path) -> None:
    (tmp_path / "l.csv").write_text("id,topic\na,cats\nb,dogs\nc,birds\n")
    with SilentCrew({"inputs": ["topic"]}) as crew:
        (tmp_path / "l.yaml").write_text(JOB_FILE.format(url=crew.url))
        ended = call(tmp_path, "run", "l.yaml")
        assert ended.returncode == 0
        assert "warning: 2 jobs succeeded without an output (jobs b, c)" in ended.stdout + ended.stderr
        again = json.loads(call(tmp_path, "run", "l.yaml", "--json").stdout)
        assert (again["without_output"], again["counts"]["succeeded"], len(crew.sent)) == (2, 3, 3)


def test_ticks_count_it_once_the_batch_has_ended(tmp_path: Path) -> None:
    (tmp_path / "l.csv").write_text("id,topic\na,dogs\n")
    with SilentCrew({"inputs": ["topic"]}) as crew:
        (tmp_path / "l.yaml").write_text(JOB_FILE.format(url=crew.url))
        while True:
            tick = json.loads(call(tmp_path, "tick", "l.yaml", "--json").stdout)
            if not tick["counts"]["open"] + tick["counts"]["pending"]:
                break
        assert tick["without_output"] == 1

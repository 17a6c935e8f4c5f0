"""A simulated month for CI; the long ones are `python tests/acceptance/month.py --seeds 50`."""

from pathlib import Path

import pytest
from month import simulate


@pytest.mark.crash
def test_a_week_of_edits_interruptions_and_moves_pays_for_nothing_twice(tmp_path: Path) -> None:
    month = simulate(tmp_path, seed=7, days=7, rows=12, ids=True)
    assert month.kickoffs == month.consented


@pytest.mark.crash
@pytest.mark.parametrize(("seed", "rows", "ids"), [(1, 20, True), (7, 16, True), (227, 20, False), (9, 20, False)])
def test_a_month_of_edits_interruptions_and_moves_pays_for_nothing_twice(
    tmp_path: Path, seed: int, rows: int, ids: bool
) -> None:
    month = simulate(tmp_path, seed=seed, days=30, rows=rows, ids=ids)
    assert month.kickoffs == month.consented > rows

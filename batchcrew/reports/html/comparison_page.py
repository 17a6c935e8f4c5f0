"""Two batches compared, as one HTML page without a script."""

from batchcrew.model.comparison import Comparison
from batchcrew.reports.html.templating import environment, policy, style
from batchcrew.reports.report.comparison import change_words, figures_of, row_words, sentences


def comparison_html(comparison: Comparison) -> str:
    """Return the page."""
    rows = comparison.rows
    return (
        environment()
        .get_template("comparison.html.j2")
        .render(
            before=comparison.before,
            after=comparison.after,
            figures=figures_of(comparison),
            sentences=list(sentences(comparison)),
            changes=[(change_words(change), change.examples) for change in rows.changes],
            rows=[(row.job_id, row_words(row)) for row in rows.rows],
            more_rows=max(0, rows.more_rows),
            policy=policy(),
            style=style(),
        )
    )

"""The warnings of a run in its result: each once, harmless, and not without a bound."""

from batchcrew.app.warning_history import MOST_KEPT, RunWarnings, WarningHistory
from batchcrew.model.events import Event, RecordKickoff, Warned


def test_each_warning_is_kept_once_as_a_harmless_line() -> None:
    warnings = RunWarnings()
    for message in ("b\x1b[2J\u202e", "a\nline", "b\x1b[2J\u202e"):
        warnings.add(Warned(message))
    assert len(warnings.lines) == 2
    assert all(line.isprintable() for line in warnings.lines)
    assert warnings.lines[1] == "a line"


def test_their_number_and_length_are_bounded_and_a_last_line_says_so() -> None:
    warnings = RunWarnings()
    for number in range(3 * MOST_KEPT):
        warnings.add(Warned(f"{number} " + "x" * 30_000))
    assert len(warnings.lines) == MOST_KEPT + 1
    assert max(map(len, warnings.lines)) <= 20_000


def test_a_lasting_warning_is_in_the_result_of_each_run_but_printed_once() -> None:
    printed: list[Event] = []
    warnings = RunWarnings()
    history = WarningHistory(printed.append, ["still so"], next_step=lambda action: "", warnings=warnings)
    history.observe(Warned("still so", lasting=True))
    assert (printed, warnings.lines) == ([], ("still so",))


def test_the_command_of_a_warning_is_not_cut() -> None:
    def report(event: Event) -> None:
        outer.add(event)

    outer = RunWarnings()
    command = "attach " + "k" * 2000
    history = WarningHistory(report, [], next_step=lambda action: command, warnings=outer)
    history.observe(Warned("not recorded", action=RecordKickoff("a", "k")))
    assert outer.lines == (f"not recorded; {command}",)

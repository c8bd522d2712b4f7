"""Which executed functions are kept."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assets.case2code.filter import choose_cases, drop_reason, same_outputs, with_sorted_sets
from assets.case2code.schema import Cases, Output


def cases(*texts: str, status: str = "ok") -> Cases:
    """Cases with these outputs; one that begins with `<class` is an exception."""
    outputs = [Output(text, text.startswith("<class")) for text in texts]
    arguments = [(("a", str(number)),) for number in range(len(texts))]
    inputs = [f"{{'a': {number}}}" for number in range(len(texts))]
    return Cases("id", "f", "def f(a):\n    return a\n", arguments, inputs, outputs, status)  # type: ignore[arg-type]


ERROR = "<class 'TypeError'>: no"


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (cases("1", "2"), None),
        (cases("1", ERROR), None),
        (cases("1", "1"), None),
        (cases("1", status="timeout"), "process_failed"),
        (cases(), "missing"),
        (replace(cases("1", "2"), example_outputs=[Output("1", False)]), "count_mismatch"),
        (cases("1", ""), "malformed_return"),
        (cases(ERROR, ERROR), "all_errors"),
        (cases("1", "<object object at 0x7f00>"), "address"),
        (replace(cases("1"), example_inputs=["{'a': <lambda at 0x7f00>}"]), "address"),
    ],
)
def test_first_reason(row: Cases, reason: str | None) -> None:
    """Each drop is counted by its reason; partial exceptions and constant functions are kept, as officially."""
    assert drop_reason(row) == reason


def test_options_differ_from_the_official_filter_only_when_asked() -> None:
    """Parity keeps addresses and drops no constant function."""
    assert drop_reason(cases("<object object at 0x7f00>"), drop_addresses=False) is None
    assert drop_reason(cases("1", "1"), drop_identical=True) == "all_identical"
    assert drop_reason(cases("1", "1", ERROR), drop_identical=True) == "all_identical"
    assert drop_reason(cases("1", "2"), drop_identical=True) is None
    assert drop_reason(cases("1", "2", ERROR), min_values=3) == "few_values"


def test_a_function_that_answers_otherwise_the_second_time_is_dropped() -> None:
    """Outputs that the inputs do not determine cannot be learned; set order and float noise are no such thing."""
    row = cases("{'a', 'b'}", "0.3", ERROR)
    assert (
        drop_reason(row, again=[Output("{'b', 'a'}", False), Output("0.30000000000000004", False), Output(ERROR, True)])
        is None
    )
    assert (
        drop_reason(row, again=[Output("{'a'}", False), Output("0.3", False), Output(ERROR, True)]) == "not_repeatable"
    )
    assert not same_outputs([Output("1", False)], [Output("1", True)], 0.0)
    assert not same_outputs([Output("1", False)], [], 0.0)


def test_an_infrastructure_failure_is_no_reason_to_drop() -> None:
    """It says nothing of the function: the row goes to the dead letters and is run again."""
    with pytest.raises(ValueError, match="dead letters"):
        drop_reason(cases(status="infrastructure"))


def test_sets_are_sorted_and_counted() -> None:
    """A prompt must not show the hash seed of the process that made it."""
    row, changed = with_sorted_sets(cases("{'b', 'a'}", "{'a', 'b'}", "1", ERROR))
    assert [output.text for output in row.example_outputs] == ["{'a', 'b'}", "{'a', 'b'}", "1", ERROR]
    assert changed == 1


def test_choice_prefers_new_outputs_and_bounds_exceptions() -> None:
    """Most random inputs raise: unchosen, prompts would show exceptions and repeats."""
    row = cases(ERROR, "1", "1", ERROR, "2", "<class 'KeyError'>: 3", "3", "1")
    chosen = choose_cases(row, n=5, max_errors=1)
    assert [output.text for output in chosen.example_outputs] == [ERROR, "1", "1", "2", "3"]
    assert chosen.example_inputs == ["{'a': 0}", "{'a': 1}", "{'a': 2}", "{'a': 4}", "{'a': 6}"]
    assert drop_reason(chosen) is None


@given(st.lists(st.sampled_from(["1", "2", "3", ERROR])), st.integers(1, 6), st.integers(0, 6))
def test_chosen_cases_stay_in_step_and_within_bounds(texts: list[str], n: int, max_errors: int) -> None:
    """A case is inputs and output together: one shifted by a place would teach a wrong program."""
    row = cases(*texts)
    chosen = choose_cases(row, n, min(max_errors, n))
    pairs = list(zip(row.arguments, row.example_inputs, row.example_outputs, strict=True))
    kept = list(zip(chosen.arguments, chosen.example_inputs, chosen.example_outputs, strict=True))
    assert kept == [pair for pair in pairs if pair in kept]
    assert len(kept) <= n
    assert sum(output.is_error for output in chosen.example_outputs) <= max_errors
    values = {text for text in texts if text != ERROR}
    assert len({o.text for o in chosen.example_outputs if not o.is_error}) >= min(len(values), n - min(max_errors, n))

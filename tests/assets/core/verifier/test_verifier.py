"""The processes that grade mathematics: hostile answers are killed, and the others do not notice."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest

from assets.core.verifier import Answer, Grade, Verifier, VerifierSettings, verifier_identity

TOWER = r"\boxed{9^{9^{9^{9}}}}"
EXPANSION = r"\boxed{(x+y+z+1)^{300}-(x+y+z+1)^{299}}"
HOSTILE = {
    "tower": TOWER,
    "python": "The answer is 9**9**9**9",
    "expansion": EXPANSION,
    "factorial": r"\boxed{1000000000!}",
    "sum": r"\boxed{\sum_{k=1}^{1000000000} \frac{1}{k^2}}",
    "braces": r"\boxed{" + "{" * 400 + "5" + "}" * 401,
    "fractions": r"\boxed{" + r"\frac{1}{" * 80 + "2" + "}" * 81,
    "unclosed": r"\boxed{5",
    "boxes": r"\boxed{" * 100_000,
    "long": "x" * 10_000_000,
    "long_number": "The answer is " + "9" * 10_000_000,
    "float": r"\boxed{1e400}",
    "null": "\\boxed{\x00}",
    "zero": r"\boxed{\frac{1}{0}}",
    "surrogate": "\\boxed{\ud800}",
}


def right(number: int) -> Answer:
    return Answer("q", str(number), rf"\boxed{{{number}}}", ended=True)


def outcomes(grades: list[Grade]) -> list[str]:
    return [grade.outcome for grade in grades]


def test_rules_are_mixed_in_order(verifier: Verifier) -> None:
    """Each row of problems names its rule, and grades come in the order of the answers."""
    answers = [right(1), Answer("q", "2", "#### 2", True), right(3), Answer("q", "4", "#### 5", True)]
    grades = verifier.grade(answers, ["math", "exact", "math", "exact"])
    assert [grade.extracted for grade in grades] == ["1", "2", "3", "5"]
    assert outcomes(grades) == ["right", "right", "right", "wrong"]
    assert verifier.grade([], "math") == []


def test_nothing_is_graded_that_has_no_truth_or_no_end(verifier: Verifier) -> None:
    """As under the exact rule; and the last number counts only by setting."""
    cut, empty = Answer("q", "5", r"\boxed{5}", ended=False), Answer("q", " ", r"\boxed{5}", ended=True)
    assert outcomes(verifier.grade([cut, empty], "math")) == ["wrong", "grader_error"]
    said = Answer("q", "5", "it is 5", ended=True)
    assert outcomes(verifier.grade([said], "math")) == ["right"]
    assert outcomes(Verifier(VerifierSettings(last_number=False)).grade([said], "math")) == ["unparsable"]


def test_only_the_guilty_answer_is_a_timeout() -> None:
    """The batch that it hangs is killed and graded again one by one."""
    with Verifier(VerifierSettings(seconds=2)) as verifier:
        grades = verifier.grade([right(1), Answer("q", "5", EXPANSION, ended=True), right(2)], "math")
    assert outcomes(grades) == ["right", "timeout", "right"]
    assert grades[1].reward == -1
    assert grades[1].detail == "no verdict in 2 s"


@pytest.mark.slow
def test_hostile_answers_end_and_spare_the_others() -> None:
    """Each hostile answer ends within its limit and is not right; the answers that shared its batch are."""
    with Verifier(VerifierSettings(seconds=3)) as verifier:
        verifier.grade([right(0)], "math")
        answers = [Answer("q", "5", text, ended=True) for text in HOSTILE.values()]
        mixed = [answer for pair in zip(answers, map(right, range(len(answers))), strict=True) for answer in pair]
        begun = time.monotonic()
        grades = verifier.grade(mixed, "math")
        taken = time.monotonic() - begun
    assert set(outcomes(grades[1::2])) == {"right"}
    found = dict(zip(HOSTILE, outcomes(grades[::2]), strict=True))
    assert "right" not in found.values()
    assert found["tower"] in ("timeout", "grader_error")
    assert found["expansion"] == "timeout"
    # Every answer alone and the batch before it, two at a time, with time to start processes on a busy machine.
    assert taken < (len(answers) + 1) * (3 + 5)


@pytest.mark.slow
def test_a_killed_process_is_no_verdict_on_the_others() -> None:
    """What the out-of-memory killer does: only the answer that was being graded is without a verdict."""
    with Verifier(VerifierSettings(seconds=120, workers=1)) as verifier:
        verifier.grade([right(0)], "math")
        grades: list[Grade] = []
        answers = [right(1), Answer("q", "5", EXPANSION, ended=True), right(2)]
        grading = threading.Thread(target=lambda: grades.extend(verifier.grade(answers, "math")))
        grading.start()
        while grading.is_alive():
            for process in busy_workers():
                process.kill()
            time.sleep(0.05)
    assert outcomes(grades) == ["right", "grader_error", "right"]
    assert "died" in grades[1].detail


def test_a_process_that_dies_idle_is_replaced(verifier: Verifier) -> None:
    """Nobody is to blame, and nothing is lost."""
    verifier.grade([right(0)], "math")
    for process in workers():
        process.kill()
    time.sleep(0.5)
    assert outcomes(verifier.grade([right(n) for n in range(100)], "math")) == ["right"] * 100


def test_it_works_from_another_thread_and_leaves_no_process() -> None:
    """math-verify's own limits need the main thread, where no engine or Dagster step promises to be."""
    grades: list[Grade] = []

    def grade() -> None:
        with Verifier(VerifierSettings(seconds=30, workers=1)) as verifier:
            grades.extend(verifier.grade([right(1), right(2)], "math"))

    before = {process.pid for process in workers()}
    thread = threading.Thread(target=grade)
    thread.start()
    thread.join()
    assert outcomes(grades) == ["right", "right"]
    assert {process.pid for process in workers()} <= before


@pytest.mark.slow
def test_it_works_from_a_spawned_process(tmp_path: Path) -> None:
    """Where a launcher starts the step in a process of its own."""
    script = tmp_path / "script.py"
    script.write_text(
        "import multiprocessing\n"
        "from assets.core.verifier import Answer, Verifier\n"
        "def work():\n"
        "    with Verifier() as verifier:\n"
        "        print(verifier.grade([Answer('q', '5', '5.0', True)], 'math')[0].outcome)\n"
        "if __name__ == '__main__':\n"
        "    process = multiprocessing.get_context('spawn').Process(target=work)\n"
        "    process.start()\n"
        "    process.join()\n"
    )
    root = Path(__file__).parents[4]
    done = subprocess.run(
        [sys.executable, str(script)], capture_output=True, text=True, timeout=120, env={"PYTHONPATH": str(root)}
    )
    assert done.stdout == "right\n", done.stderr


def test_the_identity_names_the_libraries() -> None:
    """Another version of math-verify may find other answers equal: it counts in fingerprints."""
    assert set(verifier_identity()) == {"math-verify", "latex2sympy2-extended", "sympy"}


def workers() -> list[psutil.Process]:
    """Our children that grade: those that Python spawned, but for its tracker of resources."""
    return [child for child in psutil.Process().children() if _is_worker(child)]


def busy_workers() -> list[psutil.Process]:
    """Those that took more processor time than imports and many small comparisons do."""
    return [child for child in workers() if child.cpu_times().user > 3]


def _is_worker(child: psutil.Process) -> bool:
    try:
        return "spawn_main" in " ".join(child.cmdline())
    except psutil.Error:
        return False

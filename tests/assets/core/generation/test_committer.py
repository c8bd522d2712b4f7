"""Commits go on beside the asking: none waits for a batch to fill, none is lost, and their errors are told."""

from __future__ import annotations

import threading
import time

import pytest

from assets.core.generation.committer import Committer


def test_one_answer_is_committed_though_no_other_follows() -> None:
    """The last answer before a long silence must not wait in memory for company."""
    committed = threading.Event()
    with Committer(lambda items: committed.set()) as committer:
        committer.put("a")
        assert committed.wait(5)


def test_what_comes_during_a_commit_goes_into_the_next() -> None:
    """Two commits for a hundred answers, not a hundred."""
    batches: list[list[int]] = []
    first, go_on = threading.Event(), threading.Event()

    def commit(items: list[int]) -> int:
        batches.append(items)
        first.set()
        assert go_on.wait(5)
        return len(items)

    with Committer(commit) as committer:
        committer.put(0)
        assert first.wait(5)
        for number in range(1, 100):
            committer.put(number)
        assert committer.taken() == []
        go_on.set()
        assert committer.taken(everything=True) == [1, 99]
    assert [number for batch in batches for number in batch] == list(range(100))


def test_leaving_commits_what_came() -> None:
    """Also when an error ends the stream."""
    seen: list[int] = []

    def commit(items: list[int]) -> None:
        time.sleep(0.01)
        seen.extend(items)

    def stream() -> None:
        with Committer(commit) as committer:
            for number in range(10):
                committer.put(number)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        stream()
    assert seen == list(range(10))


def test_an_error_of_the_disk_reaches_the_caller() -> None:
    """As it was raised, so that the remedy can be told."""

    def commit(items: list[int]) -> None:
        raise OSError("no space left on device")

    with Committer(commit) as committer:
        committer.put(1)
        with pytest.raises(OSError, match="no space left"):
            committer.taken(everything=True)

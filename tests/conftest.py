"""For all tests: the longest come first, and what libraries print as the interpreter ends does not hide the summary."""

import atexit
from pathlib import Path

import pytest

from orchestration.cli import end_silently

LONGEST = Path(__file__).parent / "faults"

atexit.register(end_silently)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files that take minutes come before the others: at the end, one worker would wait for them alone."""
    items.sort(key=lambda item: LONGEST not in item.path.parents)

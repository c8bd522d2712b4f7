"""For all tests: what libraries print while the interpreter is taken down does not hide the summary."""

import atexit

from orchestration.cli import end_silently

atexit.register(end_silently)

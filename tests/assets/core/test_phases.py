"""Work in phases, each done once."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import polars as pl

from assets.core.home import CHECKOUT
from assets.core.phases import phase

ROWS = pl.DataFrame({"number": range(1000)})
# Writes the first half of the file and is gone.
KILLED = """
import os, signal, sys
from pathlib import Path
import polars as pl
from assets.core.phases import phase

def cut_off(frame, path):
    frame.write_csv(path)
    whole = Path(path).read_bytes()
    Path(path).write_bytes(whole[: len(whole) // 2])
    os.kill(os.getpid(), signal.SIGKILL)

pl.DataFrame.write_parquet = cut_off
phase(Path(sys.argv[1]), lambda: pl.DataFrame({"number": range(1000)}))
"""


def test_a_phase_is_done_once(tmp_path: Path) -> None:
    """Protects finished work: the second call reads what the first wrote."""
    path = tmp_path / "new" / "rows.parquet"
    assert phase(path, lambda: ROWS).equals(ROWS)
    assert phase(path, lambda: ROWS.clear()).equals(ROWS)
    assert [each.name for each in path.parent.iterdir()] == ["rows.parquet"]


def test_a_kill_while_writing_leaves_no_half_file(tmp_path: Path) -> None:
    """Protects from reading half of what a killed process wrote: the phase is done again."""
    path = tmp_path / "rows.parquet"
    killed = subprocess.run([sys.executable, "-c", KILLED, str(path)], cwd=CHECKOUT, check=False)
    assert killed.returncode == -signal.SIGKILL
    assert [each.name for each in tmp_path.iterdir()] == [".unfinished-rows.parquet"]
    assert phase(path, lambda: ROWS).equals(ROWS)
    assert [each.name for each in tmp_path.iterdir()] == ["rows.parquet"]

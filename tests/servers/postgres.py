"""A Postgres server of its own in a temporary folder, on a Unix socket."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

OWNER = "postgres"


def programs() -> Path | None:
    """The folder of initdb and pg_ctl: on the path, or where Debian puts them; None where Postgres is absent."""
    found = shutil.which("initdb")
    debian = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    return Path(found).parent if found else debian[-1].parent if debian else None


@contextmanager
def running_postgres() -> Iterator[str]:
    """A SQLAlchemy URL; the server and its data end with the context. All lies under /tmp: the path of a socket
    must be short."""
    bin = programs()
    assert bin is not None, "Postgres is not installed"
    # It refuses to run as root.
    as_owner = ["setpriv", f"--reuid={OWNER}", f"--regid={OWNER}", "--clear-groups"] if os.getuid() == 0 else []
    with TemporaryDirectory(dir="/tmp") as base:
        data = Path(base) / "data"
        if as_owner:
            shutil.chown(base, OWNER)

        def run(*command: str) -> None:
            subprocess.run([*as_owner, *command], check=True, cwd=base, stdout=subprocess.DEVNULL)

        run(f"{bin}/initdb", "--pgdata", str(data), "--username", "athanor", "--auth", "trust", "--no-sync")
        control = [f"{bin}/pg_ctl", "--pgdata", str(data), "--wait"]
        options = f"-c listen_addresses='' -c unix_socket_directories={base} -c fsync=off"
        run(*control, "--log", f"{base}/log", "--options", options, "start")
        try:
            yield f"postgresql+psycopg2://athanor@/postgres?host={base}"
        finally:
            run(*control, "--mode", "immediate", "stop")

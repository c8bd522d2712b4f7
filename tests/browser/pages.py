"""The pages of `athanor ui`, started on free ports and stopped again, and a headless Chromium to look at them."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import psutil
from playwright.sync_api import BrowserContext, expect, sync_playwright

from assets.core.home import CHECKOUT

CHROMIUM_NAMES = ("chromium", "chromium-browser", "google-chrome")
CHROMIUM_ARGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    # The pages are local: whatever asks for another host is refused, not waited for.
    "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1",
)
VIEWPORT = (1280, 800)
WAIT_MS = 60_000
START_SECONDS = 420
STOP_SECONDS = 60
# What the pages remember of a reader who closed their welcome dialogs and side panels.
SETTLED_READER = {
    "communityNux": "1",
    "dagster-nav-collapsed": True,
    "mlflow.assistant.fab.autoOpenedOnFirstLoad_v1": True,
    "mlflow.assistant.panelOpen_v1": False,
    "mlflow.telemetry.info.alert.dismissed_v1": True,
    "mlflow.workflowType_v1": "machine_learning",
}
LOCATIONS = "{workspaceOrError{... on Workspace{locationEntries{locationOrLoadError{__typename}}}}}"


def find_chromium() -> str | None:
    """The system's Chromium; none is downloaded."""
    return next((found for name in CHROMIUM_NAMES if (found := shutil.which(name))), None)


@contextmanager
def open_browser() -> Iterator[BrowserContext]:
    """A headless Chromium whose reader has closed all welcome dialogs."""
    chromium = find_chromium()
    if chromium is None:
        raise SystemExit(f"no Chromium found: install one of {', '.join(CHROMIUM_NAMES)}")
    width, height = VIEWPORT
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=list(CHROMIUM_ARGS))
        try:
            context = browser.new_context(viewport={"width": width, "height": height}, locale="en-GB")
            context.set_default_timeout(WAIT_MS)
            expect.set_options(timeout=WAIT_MS)
            context.add_init_script(
                f"for (const [key, value] of Object.entries({json.dumps(SETTLED_READER)}))"
                " if (localStorage.getItem(key) === null) localStorage.setItem(key, JSON.stringify(value));"
            )
            yield context
        finally:
            browser.close()


@dataclass(frozen=True)
class Pages:
    """Both servers, running in one process group of their own."""

    dagster: str
    mlflow: str
    command: subprocess.Popen[bytes]

    def processes(self) -> list[psutil.Process]:
        """All processes of the group that still live."""
        return [process for process in psutil.process_iter() if _in_group(process, self.command.pid)]

    def listening(self) -> set[tuple[str, int]]:
        """Addresses and ports on which the group accepts connections."""
        found = set()
        for process in self.processes():
            try:
                connections = process.net_connections(kind="inet")
            except psutil.NoSuchProcess:
                continue
            found |= {(each.laddr.ip, each.laddr.port) for each in connections if each.status == psutil.CONN_LISTEN}
        return found

    def stop(self) -> list[str]:
        """Press Ctrl-C and wait; what does not end by itself is killed, and returned as command lines."""
        if self.processes():
            os.killpg(self.command.pid, signal.SIGINT)
        deadline = time.monotonic() + STOP_SECONDS
        while self.command.poll() is None or self.processes():
            if time.monotonic() > deadline:
                break
            time.sleep(0.2)
        left = []
        for process in self.processes():
            try:
                left.append(" ".join(process.cmdline())[:200])
                process.kill()
            except psutil.NoSuchProcess:
                continue
        self.command.wait()
        return left


def _in_group(process: psutil.Process, group: int) -> bool:
    try:
        return os.getpgid(process.pid) == group and process.status() != psutil.STATUS_ZOMBIE
    except (ProcessLookupError, psutil.NoSuchProcess):
        return False


@contextmanager
def running_pages(home: Path, log: Path, **environment: str) -> Iterator[Pages]:
    """`athanor ui` on `home`, from the moment both pages answer; whatever happens, nothing is left running.

    `environment` is added to the environment of the servers, whose output goes to `log`.
    Raises RuntimeError with the end of the log when a server does not answer in time.
    """
    dagster_port, mlflow_port = free_ports()
    athanor = Path(sysconfig.get_path("scripts")) / "athanor"
    # MLflow exports the store that another test of this process chose.
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("MLFLOW")}
    with log.open("wb") as output:
        command = subprocess.Popen(
            [athanor, "ui", "--dagster-port", str(dagster_port), "--mlflow-port", str(mlflow_port)],
            cwd=CHECKOUT,
            env=inherited | environment | {"ATHANOR_HOME": str(home)},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            # A parent that was started in the background ignores Ctrl-C, and its children would inherit that.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )
    pages = Pages(f"http://127.0.0.1:{dagster_port}", f"http://127.0.0.1:{mlflow_port}", command)
    terminated = signal.signal(signal.SIGTERM, lambda *_: sys.exit("terminated"))
    try:
        _wait_until_ready(pages, log)
        yield pages
    finally:
        pages.stop()
        signal.signal(signal.SIGTERM, terminated)


def free_ports() -> tuple[int, int]:
    """Two ports of 127.0.0.1 that nothing listens on."""
    with socket.socket() as first, socket.socket() as second:
        first.bind(("127.0.0.1", 0))
        second.bind(("127.0.0.1", 0))
        return first.getsockname()[1], second.getsockname()[1]


def _wait_until_ready(pages: Pages, log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not (_answers(f"{pages.mlflow}/health") and _locations_loaded(pages.dagster)):
        late = time.monotonic() > deadline
        if late or pages.command.poll() is not None:
            cause = f"no answer within {START_SECONDS} s" if late else f"ended with {pages.command.returncode}"
            raise RuntimeError(f"athanor ui: {cause}\n{log.read_text(errors='replace')[-3000:]}")
        time.sleep(0.5)


def _answers(url: str) -> bytes:
    """The body of a page; empty while nothing answers."""
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            body: bytes = answer.read()
            return body
    except (urllib.error.URLError, TimeoutError, ConnectionError):
        return b""


def _locations_loaded(dagster: str) -> bool:
    body = _answers(f"{dagster}/graphql?query={quote(LOCATIONS)}")
    return b'"__typename":"RepositoryLocation"' in body.replace(b" ", b"")

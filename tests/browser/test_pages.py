"""The pages that `make ui` serves: they open, show what is there, and a run can be started and watched from them."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from assets.core.home import Home
from assets.core.lake import Dataset, Lake
from tests.browser.pages import CHROMIUM_NAMES, Pages, find_chromium, open_browser, running_pages

pytestmark = [
    pytest.mark.slow,
    pytest.mark.browser,
    pytest.mark.timeout(900),
    pytest.mark.skipif(find_chromium() is None, reason=f"no Chromium on the PATH: {', '.join(CHROMIUM_NAMES)}"),
]
GROUPS = (
    "corpora", "decontamination", "internlm2", "clusterclip", "case2code", "worlds", "oreal", "fastmcts",
    "knowledge_pile", "claims", "staging", "marts",
)  # fmt: skip
DOCUMENTS = 40
RUN_MS = 240_000


@dataclass(frozen=True)
class Opened:
    """Running servers on a home of their own, and a browser."""

    pages: Pages
    home: Home
    browser: BrowserContext
    asked: set[str]
    """Hosts that any page asked for something."""

    def dataset(self, key: str) -> Dataset:
        found = Lake(str(self.home.root / "lake"), self.home.work).current(key)
        assert found is not None, f"{key} was not published"
        return found


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Opened]:
    """A fresh home whose corpus is one small file; the folder has a space in its name, as users' folders do."""
    folder = tmp_path_factory.mktemp("a home")
    corpus = folder / "corpus.jsonl"
    corpus.write_text(
        "\n".join(json.dumps({"text": f"Document {n}. " + "A line of text. " * 20}) for n in range(DOCUMENTS))
    )
    home = Home(folder / "home")
    environment = {"ATHANOR_CORPUS": str(corpus), "ATHANOR_LAKE": "", "MLFLOW_TRACKING_URI": ""}
    with running_pages(home.root, folder / "ui.log", **environment) as pages, open_browser() as browser:
        asked: set[str] = set()
        browser.on("request", lambda request: asked.add(urlsplit(request.url).hostname or ""))
        yield Opened(pages, home, browser, asked)


@pytest.fixture
def page(opened: Opened) -> Iterator[Page]:
    page = opened.browser.new_page()
    yield page
    page.close()


def test_servers_listen_on_localhost_only(opened: Opened) -> None:
    """Pages without a password must not be reachable from other machines."""
    listening = opened.pages.listening()
    assert {urlsplit(url).port for url in (opened.pages.dagster, opened.pages.mlflow)} <= {
        port for _, port in listening
    }
    assert {address for address, _ in listening} == {"127.0.0.1"}


def test_graph_shows_the_groups(opened: Opened, page: Page) -> None:
    """The lineage page is the map of the project: every group is on it, and the definitions loaded without error."""
    page.goto(f"{opened.pages.dagster}/asset-groups")
    graph = page.locator("svg foreignObject.group")
    for group in GROUPS:
        expect(graph.filter(has_text=re.compile(rf"^{group}"))).to_be_visible()
    assert graph.count() == len(GROUPS)


def test_assets_are_materialized_from_the_page(opened: Opened, page: Page) -> None:
    """The way in for a newcomer: press the button, see the run succeed, see rows and digest of what was built."""
    page.goto(
        f"{opened.pages.dagster}/assets/corpora/clean_documents?view=lineage&lineageScope=upstream&lineageDepth=2"
    )
    expect(page.locator("svg foreignObject").filter(has_text="python_library")).to_be_visible()
    page.get_by_role("button").filter(has_text=re.compile("^Materialize all$")).click()
    page.get_by_role("link").filter(has_text=re.compile("^View$")).click()
    expect(page).to_have_title(re.compile(r"\[(SUCCESS|FAILURE|CANCELED)\]"), timeout=RUN_MS)
    assert "[SUCCESS]" in page.title()

    built = opened.dataset("corpora/clean_documents")
    assert built.rows == DOCUMENTS
    page.goto(f"{opened.pages.dagster}/assets/corpora/clean_documents")
    expect(page.get_by_text("Row count").locator("xpath=..")).to_contain_text(str(DOCUMENTS))
    digest = page.get_by_role("row").filter(has=page.get_by_role("cell", name="digest", exact=True))
    expect(digest).to_contain_text(built.manifest.digest())


def test_mlflow_opens(opened: Opened, page: Page) -> None:
    """The second page works on the store in the home, before anything was trained."""
    page.goto(opened.pages.mlflow)
    page.get_by_role("link", name="Experiments").first.click()
    expect(page.get_by_role("link", name="Default")).to_be_visible()
    page.get_by_role("link", name="Model registry").click()
    expect(page.get_by_role("heading", name="Registered Models")).to_be_visible()


def test_pages_ask_no_other_host(opened: Opened, page: Page) -> None:
    """What is built here stays here: no font, picture or counter comes from elsewhere."""
    for url in (f"{opened.pages.dagster}/asset-groups", f"{opened.pages.mlflow}/#/experiments"):
        page.goto(url)
        page.wait_for_timeout(3000)
    assert opened.asked - {""} == {"127.0.0.1"}


def test_ctrl_c_ends_everything(opened: Opened) -> None:
    """Servers that outlive their window hold ports and run schedules unseen. The last test: it ends them."""
    started = opened.pages.processes()
    assert len(started) >= 4  # the command, Dagster's servers and daemon, MLflow
    assert opened.pages.stop() == []
    assert opened.pages.processes() == []
    for url in (opened.pages.dagster, opened.pages.mlflow):
        with socket.socket() as free:
            free.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            free.bind(("127.0.0.1", urlsplit(url).port))

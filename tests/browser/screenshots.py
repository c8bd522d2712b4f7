"""Check the pages of a finished main job, and take the README's pictures of them."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Callable
from pathlib import Path

from mlflow import MlflowClient
from PIL import Image
from playwright.sync_api import Page, expect

from assets.clusterclip.evaluation import REGISTERED_MODEL
from assets.core.home import Home
from assets.core.lake import Lake
from assets.core.registry import ALIAS, SCORE
from tests.browser.pages import VIEWPORT, Pages, find_chromium, open_browser, running_pages

FOLDER = Path(__file__).parent / "screenshots"
MAX_BYTES = 150_000
COLOURS = 256
# Groups that are opened in the tree beside the graph, which has room for few.
OPENED = ("corpora",)
MARGIN = 16
# Paths are shown below the home of a fresh checkout, so that a picture does not depend on where it was taken.
SHORTEN_PATHS = r"""() => document.querySelectorAll("td *").forEach(element => {
    if (!element.children.length)
        element.textContent = element.textContent.replace(/^\/.*\/(?=lake\/)/, ".athanor/")
})"""


def asset_graph(page: Page, pages: Pages) -> None:
    """The global lineage, its groups from top to bottom, with the number of assets in each state."""
    page.add_init_script("localStorage.setItem('asset-graph-direction', '\"vertical\"')")
    page.goto(f"{pages.dagster}/asset-groups")
    for group in OPENED:
        row = page.get_by_role("button").filter(has=page.get_by_text(group, exact=True)).first
        row.locator("xpath=preceding::*[@aria-label='arrow_drop_down'][1]").click()
    settle(page)
    fit_graph(page)


def fit_graph(page: Page) -> None:
    """Zoom out until the graph fits between the toolbar and the bottom, and drag it to the middle."""
    search = page.get_by_text("Search and filter assets").first.bounding_box()
    assert search is not None
    top, bottom = search["y"] + search["height"] + 2 * MARGIN, VIEWPORT[1] - MARGIN
    while (extent := graph_extent(page))[1] - extent[0] > bottom - top:
        page.get_by_role("button", name="zoom_out").click()
        page.wait_for_timeout(500)
    x, y = search["x"] + MARGIN, bottom - MARGIN
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x, y + (top + bottom - extent[0] - extent[1]) / 2, steps=5)
    page.mouse.up()
    page.mouse.move(x, y)
    page.wait_for_timeout(500)


def graph_extent(page: Page) -> tuple[float, float]:
    """Top and bottom of the graph's nodes in pixels."""
    boxes = [box for node in page.locator("svg foreignObject.group").all() if (box := node.bounding_box())]
    return min(box["y"] for box in boxes), max(box["y"] + box["height"] for box in boxes)


def asset(page: Page, pages: Pages) -> None:
    """An asset's state, rows, checks and metadata."""
    page.set_viewport_size({"width": VIEWPORT[0], "height": 1000})
    page.goto(f"{pages.dagster}/assets/clusterclip/clusters")
    for section in ("Description", "Columns"):
        page.get_by_role("button", name=section).first.click()
    expect(page.get_by_role("cell", name="digest", exact=True)).to_be_visible()
    settle(page)
    if page.get_by_text("Unsynced").count():
        print("the code changed since the main job ran: `make demo` again, or the pictures show it as out of date")
    page.evaluate(SHORTEN_PATHS)


def plot(page: Page, pages: Pages) -> None:
    """A plot that an asset carries in its metadata."""
    page.goto(f"{pages.dagster}/assets/claims/clusterclip")
    page.get_by_text("[Show Markdown]").last.click()
    expect(page.get_by_role("img", name="bits_per_byte_by_cluster.png")).to_be_visible()
    settle(page)


def mlflow_model(page: Page, pages: Pages) -> None:
    """The registered champion: its alias, its run, its score, the digest of the dataset it comes from."""
    page.set_viewport_size({"width": 1600, "height": 1000})
    version = MlflowClient(pages.mlflow).get_model_version_by_alias(REGISTERED_MODEL, ALIAS).version
    page.goto(f"{pages.mlflow}/#/models/{REGISTERED_MODEL}/versions/{version}")
    page.get_by_role("button", name="Toggle sidebar").click()
    expect(page.get_by_text(SCORE)).to_be_visible()
    settle(page)


def settle(page: Page) -> None:
    """Wait until every status has come and nothing moves."""
    for waiting in ("fetching statuses", "Loading..."):
        expect(page.get_by_text(waiting)).to_have_count(0)
    page.wait_for_timeout(2000)


PICTURES: dict[str, Callable[[Page, Pages], None]] = {
    "asset_graph": asset_graph,
    "asset": asset,
    "plot": plot,
    "mlflow_model": mlflow_model,
}


def save(picture: bytes, path: Path) -> int:
    """Write a PNG with a palette, which is what keeps it small; returns its bytes."""
    image = Image.open(io.BytesIO(picture)).convert("RGB")
    image.quantize(COLOURS, kmeans=1, dither=Image.Dither.NONE).save(path, optimize=True)
    size = path.stat().st_size
    if size > MAX_BYTES:
        raise SystemExit(f"{path.name} has {size:,} bytes, more than {MAX_BYTES:,}: take fewer COLOURS")
    return size


def main() -> None:
    """Take every picture; ends with a message that says what to do where something is missing."""
    home = Home.from_environment()
    if find_chromium() is None:
        raise SystemExit("no Chromium found: install the package `chromium`")
    if Lake(home.lake, home.work).current("clusterclip/champion") is None:
        raise SystemExit(f"{home.root} holds no finished main job: run `make demo` first")
    FOLDER.mkdir(exist_ok=True)
    with (
        tempfile.TemporaryDirectory() as folder,
        running_pages(home.root, Path(folder) / "ui.log") as pages,
        open_browser() as browser,
    ):
        for name, show in PICTURES.items():
            page = browser.new_page()
            show(page, pages)
            size = save(page.screenshot(), FOLDER / f"{name}.png")
            page.close()
            print(f"{name}.png: {size:,} bytes")


if __name__ == "__main__":
    main()

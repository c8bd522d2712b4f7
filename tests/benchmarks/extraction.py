"""Pages from a WARC file against datatrove: the same extractor with the same settings. `make bench NAME=extraction`.

Both read the same gzipped WARC, keep a time limit on each record in a process of its own, and extract main text with
trafilatura (precision, no comments, no duplicate search, which would make a page depend on those before it). All run on
one core, in turns. Both look at each URL: datatrove's URLFilter without its lists, ours scheme and registered domain.
Ours also takes title, language and id; datatrove's LanguageFilter is left out, since its model is downloaded.

The pages are those of scrapinghub's extraction benchmark (`../shared/data/corpus`), which is no part of this project.
"""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from tests.benchmarks.report import alternated, closing_line, conditions

if TYPE_CHECKING:
    from assets.corpora.crawl.schema import Page

FOLDER = Path(__file__).parents[3] / "shared" / "data" / "corpus"
ARTICLES = FOLDER / "web_articles_html.tar"
TRUTH = FOLDER / "web_articles_ground_truth.json.gz"
SECONDS = 5.0
COPIES = 4
REPETITIONS = 5
GROWTH = (1, 4, 16)
# Pages between two looks at the memory.
LOOK = 20


def write_crawl(path: Path, copies: int) -> int:
    """So many copies of the pages, each under an address of its own; how many records that makes."""
    from tests.assets.corpora.crawl.tiny_warc import http, members, record

    truth = json.loads(gzip.decompress(TRUTH.read_bytes()))
    with tarfile.open(ARTICLES) as archive, path.open("wb") as out:
        packed = {Path(each.name).name.split(".")[0]: archive.extractfile(each) for each in archive if each.isfile()}
        pages = {name: gzip.decompress(file.read()) for name, file in packed.items() if file is not None}
        for copy in range(copies):
            for name, html in pages.items():
                url = f"{truth[name]['url']}?copy={copy}"
                headers = (f"WARC-Record-ID: <urn:uuid:{name}>", "WARC-Identified-Payload-Type: text/html")
                out.write(members(record(http(html), url, *headers)))
    return copies * len(pages)


def ours(path: Path) -> Iterator[Page]:
    # Not at the top: each process imports the module that the run began with.
    from assets.corpora.crawl.extract import Extraction
    from assets.corpora.crawl.pool import read_pages
    from assets.corpora.crawl.readers import read_captures
    from assets.corpora.crawl.schema import Page
    from tests.assets.corpora.crawl.tiny_warc import local

    settings = Extraction(favour="precision", comments=False)
    found = read_pages(read_captures(local(path), "", settings.max_bytes), settings, SECONDS, workers=1)
    yield from (page for page in found if isinstance(page, Page))


def theirs(folder: Path) -> list[str]:
    from datatrove.pipeline.extractors import Trafilatura
    from datatrove.pipeline.filters import URLFilter
    from datatrove.pipeline.readers import WarcReader
    from tldextract import TLDExtract

    documents = WarcReader(str(folder), glob_pattern="*.warc.gz").run()
    rules = URLFilter(use_integrated_lists=False)
    # The public suffix list that it carries, as ours does: it would look for a newer one on the web.
    rules.tldextractor = TLDExtract(suffix_list_urls=())
    kept = rules.run(documents)
    extracted = Trafilatura(favour_precision=True, timeout=SECONDS, deduplicate=False).run(kept)
    return [document.text for document in extracted]


def speed(folder: Path) -> str:
    """Pages a second on one core."""
    from datatrove.utils.logging import logger

    logger.remove()
    path = folder / "crawl.warc.gz"
    records = write_crawl(path, COPIES)
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    mine, peers = [page.text for page in ours(path)], theirs(folder)
    equal = sum(a.strip() == b.strip() for a, b in zip(mine, peers, strict=False))
    print(f"{records} records, {path.stat().st_size / 1e6:.1f} MB packed; {len(mine)} pages of ours, {len(peers)} of "
          f"datatrove's, {equal} with equal text; median of {REPETITIONS} in turns on one core")  # fmt: skip
    seconds, peer_seconds = alternated(lambda: list(ours(path)), lambda: theirs(folder), REPETITIONS)
    return closing_line(
        "extraction",
        peer_seconds / seconds,
        f"{records / seconds:.1f} pages/s with title and language",
        f"datatrove's {records / peer_seconds:.1f}",
    )


def peak_over(path: Path) -> int:
    """The highest memory of this process and those that it started while a crawl is read, in MiB."""
    peak = 0
    for number, _ in enumerate(ours(path)):
        if number % LOOK == 0:
            running = [psutil.Process(), *psutil.Process().children(recursive=True)]
            peak = max(peak, sum(each.memory_info().rss for each in running))
    return peak >> 20


def memory(folder: Path) -> str:
    """The highest memory over a growing file, each size in a process of its own."""
    peaks = []
    for copies in GROWTH:
        path = folder / f"{copies}.warc.gz"
        write_crawl(path, copies)
        command = [sys.executable, "-m", "tests.benchmarks.extraction", str(path)]
        peaks.append(int(subprocess.run(command, capture_output=True, text=True, check=True).stdout))
    shown = ", ".join(f"{peak} MiB at {copies}x" for peak, copies in zip(peaks, GROWTH, strict=True))
    return closing_line("extraction_memory", peaks[0] / peaks[-1], shown, "flat")


def main() -> None:
    print(conditions("trafilatura", "lxml", "fastwarc", "pycld2", "datatrove"))
    with tempfile.TemporaryDirectory() as grown, tempfile.TemporaryDirectory() as single:
        print(memory(Path(grown)))
        print(speed(Path(single)))


if __name__ == "__main__":
    if len(sys.argv) == 2:
        print(peak_over(Path(sys.argv[1])))
    else:
        main()

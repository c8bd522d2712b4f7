"""Which files a crawl has, under which keys, and what identifies each."""

from __future__ import annotations

from pathlib import Path

import fsspec
import pytest
from fsspec.implementations.local import LocalFileSystem
from hypothesis import given
from hypothesis import strategies as st

from assets.core.errors import InputError
from assets.corpora.crawl.config import CrawlConfig
from assets.corpora.crawl.files import KEY_CHARACTERS, crawl_files, inventory, partition_key

PATHS = st.text(st.characters(exclude_characters="\0"), min_size=1, max_size=120)


def touch(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
    return folder


def test_files_of_a_folder_by_key(tmp_path: Path) -> None:
    """A plain name is its own key; below folders the key tells the path; what is no crawl file is left out."""
    folder = touch(tmp_path, "b.warc.gz", "a/x y.html", "notes.pdf", ".hidden/c.warc", "a.jsonl")
    files = crawl_files(CrawlConfig(folder=str(folder)))
    assert list(files) == ["a%2Fx%20y.html", "a.jsonl", "b.warc.gz"]
    assert files["b.warc.gz"] == str(folder / "b.warc.gz")


def test_a_single_file_is_a_crawl(tmp_path: Path) -> None:
    """One file may be given instead of a folder."""
    folder = touch(tmp_path, "b.warc.gz", "a.jsonl")
    assert list(crawl_files(CrawlConfig(folder=str(folder / "b.warc.gz")))) == ["b.warc.gz"]


def test_a_store_of_fsspec_is_a_crawl() -> None:
    """Keys do not hang on where the folder lies; addresses can be opened."""
    store = fsspec.filesystem("memory")
    store.pipe("/stored/sub/a.warc.gz", b"x")
    [(key, address)] = crawl_files(CrawlConfig(folder="memory://stored")).items()
    assert key == partition_key("sub/a.warc.gz")
    assert fsspec.open(address).open().read() == b"x"


@given(st.lists(PATHS, min_size=2, max_size=6, unique=True))
def test_keys_are_plain_and_apart(paths: list[str]) -> None:
    """No slash, no blank, nothing that Dagster or file systems refuse; no two files under one key."""
    keys = [partition_key(path) for path in paths]
    assert len(set(keys)) == len(keys)
    for key in keys:
        assert 0 < len(key) <= KEY_CHARACTERS
        assert not set(key) & set("/ ,[]\n")
        assert "..." not in key


@pytest.mark.parametrize("name", ["a.warc", "sub/x y...1.warc.gz", "100%2F.jsonl", f"deep/{'long' * 50}.warc"])
def test_a_key_leads_to_its_file(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder of many files is not listed for each of them, but where the name is too long for a key."""
    config = CrawlConfig(folder=str(touch(tmp_path, name, "other.warc")))
    key = next(key for key, path in crawl_files(config).items() if path.endswith(name))
    if len(name) < KEY_CHARACTERS:
        monkeypatch.setattr(LocalFileSystem, "find", lambda *_, **__: pytest.fail("the folder was listed"))
    assert inventory(config, key)["file"].path == name


def test_a_key_leads_to_crawl_files_alone(tmp_path: Path) -> None:
    """A key that names a file outside of the folder, a hidden one or one of another kind is of no partition."""
    folder = touch(tmp_path / "crawl", "a.warc", ".b.warc", "c.pdf")
    touch(tmp_path, "out.warc")
    for key in ("..%2Fout.warc", ".b.warc", "c.pdf"):
        with pytest.raises(InputError, match="no crawl file of the partition"):
            inventory(CrawlConfig(folder=str(folder)), key)


def test_an_inventory_is_of_the_own_file_alone(tmp_path: Path) -> None:
    """A changed file counts for its own partition, a changed neighbour for none."""
    config = CrawlConfig(folder=str(touch(tmp_path, "a.warc", "b.warc")))
    before = {name: inventory(config, name) for name in ("a.warc", "b.warc")}
    (tmp_path / "b.warc").write_text("changed")
    assert inventory(config, "a.warc") == before["a.warc"]
    assert inventory(config, "b.warc") != before["b.warc"]


def test_what_is_not_there_says_what_to_do(tmp_path: Path) -> None:
    """A missing folder, a folder without crawl files, a partition whose file has gone."""
    assert crawl_files(CrawlConfig(folder="")) == {}
    with pytest.raises(InputError, match="not there"):
        crawl_files(CrawlConfig(folder=str(tmp_path / "none")))
    with pytest.raises(InputError, match="holds no crawl file"):
        crawl_files(CrawlConfig(folder=str(touch(tmp_path, "notes.pdf"))))
    touch(tmp_path, "a.warc")
    with pytest.raises(InputError, match="no crawl file of the partition 'b'"):
        inventory(CrawlConfig(folder=str(tmp_path)), "b")

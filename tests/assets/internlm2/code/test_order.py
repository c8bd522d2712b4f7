"""The order of a repository: properties on any graph, and the paper's rules on small ones."""

from __future__ import annotations

import networkx as nx
from hypothesis import given
from hypothesis import strategies as st

from assets.internlm2.code.order import dependency_order, order_files

PATHS = [f"{folder}{name}.py" for folder in ("", "a/", "a/b/", "c/") for name in "xyz"]
GRAPHS = st.dictionaries(st.sampled_from(PATHS), st.sets(st.sampled_from(PATHS), max_size=4)).map(
    lambda graph: {
        path: graph.get(path, set()) for path in {*graph, *(each for needed in graph.values() for each in needed)}
    }
)
DOCUMENTS = st.sets(st.sampled_from(["README.md", "a/x.md", "a/b/y.md", "docs/z.md", "docs/deep/z.md", "c/d/w.md"]))


@given(GRAPHS, DOCUMENTS, st.randoms())
def test_every_file_once_whatever_the_order_of_the_input(graph, documents, random) -> None:
    """A permutation in, and the order does not depend on which."""
    ordered = order_files(graph, documents)
    assert sorted(ordered) == sorted([*graph, *documents])
    shuffled = list(graph.items())
    random.shuffle(shuffled)
    assert order_files(dict(shuffled), sorted(documents, reverse=True)) == ordered


@given(GRAPHS)
def test_a_dependency_that_is_in_no_cycle_with_its_user_precedes_it(graph) -> None:
    """Cycles by an independent definition: each reaches the other."""
    place = {path: index for index, path in enumerate(dependency_order(graph))}
    reach = nx.DiGraph([(path, needed) for path, each in graph.items() for needed in each])
    for path, each in graph.items():
        for needed in each - {path}:
            assert place[needed] < place[path] or nx.has_path(reach, needed, path)


@given(GRAPHS, DOCUMENTS)
def test_documents_stand_before_the_code_of_their_folder(graph, documents) -> None:
    """No code file of a folder, or of one below it, precedes the folder's documents."""
    ordered = order_files(graph, documents)
    for document in documents:
        folder = document.rpartition("/")[0]
        below = [ordered.index(path) for path in graph if path.startswith(f"{folder}/" if folder else "")]
        assert all(ordered.index(document) < place for place in below)


def test_the_shorter_path_comes_first() -> None:
    """z stands one import above the leaf, b two: z comes first against the alphabet, and the user of both last."""
    graph = {"leaf": set(), "z": {"leaf"}, "a": {"leaf"}, "b": {"a"}, "user": {"b", "z", "leaf"}}
    assert dependency_order(graph) == ["leaf", "a", "z", "b", "user"]


def test_a_cycle_starts_at_the_alphabet() -> None:
    """c -> b -> a -> c: a first, then what has only a to wait for; what uses the cycle comes after it."""
    assert dependency_order({"c": {"b"}, "b": {"a"}, "a": {"c"}, "0": {"c"}}) == ["a", "b", "c", "0"]


def test_documents_of_a_folder_without_code_go_upwards() -> None:
    """docs/ has no code, so its text opens the repository; a folder's text stands where its code begins."""
    graph = {"lib/b.py": {"lib/a.py"}, "lib/a.py": set(), "main.py": {"lib/b.py"}}
    assert order_files(graph, ["docs/guide.md", "lib/NOTES.md", "README.md"]) == [
        "README.md", "docs/guide.md", "lib/NOTES.md", "lib/a.py", "lib/b.py", "main.py",
    ]  # fmt: skip


def test_a_repository_of_documents_alone() -> None:
    """Nothing to wait for: they come by depth and name."""
    assert order_files({}, ["b/x.md", "a.md"]) == ["a.md", "b/x.md"]

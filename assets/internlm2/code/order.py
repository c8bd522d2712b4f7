"""The order of a repository's files: what is imported stands before what imports it (paper, §3.1.2)."""

from __future__ import annotations

import heapq
import posixpath
from collections.abc import Collection, Iterable, Mapping


def order_files(dependencies: Mapping[str, Collection[str]], documents: Iterable[str]) -> list[str]:
    """Every file once: code by `dependency_order`, documents before the first code file of their folder.

    A folder's first code file may lie in a sub-folder; documents of a folder without any code go with the nearest
    folder above that has some (our default). The order of the input does not matter.
    """
    by_folder = _documents_by_folder(documents, dependencies)
    ordered: list[str] = []
    for path in dependency_order(dependencies):
        for folder in reversed(_folders(path)):
            ordered += by_folder.pop(folder, [])
        ordered.append(path)
    for folder in sorted(by_folder):
        ordered += by_folder[folder]
    return ordered


def dependency_order(dependencies: Mapping[str, Collection[str]]) -> list[str]:
    """Topological order of `{file: files it imports}`: a file that is in no cycle with its user precedes it.

    Of the files whose turn it could be, the one with the shortest path of imports below it comes first, then the
    alphabet decides: our reading of the paper's "shorter path". A cycle is entered at its first file in the alphabet.
    """
    import networkx as nx

    graph = nx.DiGraph()
    graph.add_nodes_from(sorted(dependencies))
    graph.add_edges_from(
        (needed, path) for path in sorted(dependencies) for needed in sorted(dependencies[path]) if needed != path
    )
    cycles = nx.condensation(graph)
    members = {cycle: sorted(cycles.nodes[cycle]["members"]) for cycle in cycles}
    leaves = [cycle for cycle in cycles if cycles.in_degree(cycle) == 0]
    length = nx.multi_source_dijkstra_path_length(cycles, leaves, weight=None) if leaves else {}
    turns = nx.lexicographical_topological_sort(cycles, key=lambda cycle: (length[cycle], members[cycle][0]))
    return [path for cycle in turns for path in _within_cycle(members[cycle], dependencies)]


def _within_cycle(members: list[str], dependencies: Mapping[str, Collection[str]]) -> list[str]:
    """From the first file of the alphabet on, as soon as what they import has come; when none can, again the first."""
    missing = {path: set(dependencies[path]).intersection(members) - {path} for path in members}
    users: dict[str, list[str]] = {path: [] for path in members}
    for path, needed in missing.items():
        for each in needed:
            users[each].append(path)
    waiting, ready, ordered = list(reversed(members)), list[str](), list[str]()
    taken: set[str] = set()
    while len(ordered) < len(members):
        while not ready:
            candidate = waiting.pop()
            if candidate not in taken:
                ready.append(candidate)
        path = heapq.heappop(ready)
        taken.add(path)
        ordered.append(path)
        for user in users[path]:
            missing[user].discard(path)
            if not missing[user] and user not in taken:
                taken.add(user)
                heapq.heappush(ready, user)
    return ordered


def _documents_by_folder(documents: Iterable[str], code: Iterable[str]) -> dict[str, list[str]]:
    """Documents by the nearest folder, upwards from their own, below which there is code; the root at last."""
    with_code = {folder for path in code for folder in _folders(path)} | {""}
    found: dict[str, list[str]] = {}
    for path in sorted(documents, key=lambda path: (path.count("/"), path)):
        home = next(folder for folder in _folders(path) if folder in with_code)
        found.setdefault(home, []).append(path)
    return found


def _folders(path: str) -> list[str]:
    """The folders of a path from its own to the root, which is the empty name."""
    found = [posixpath.dirname(path)]
    while found[-1]:
        found.append(posixpath.dirname(found[-1]))
    return found

"""Compiled loops that link documents of a bucket, and components of links. Import inside functions, as `kernels`."""

from __future__ import annotations

import numpy as np
from numba import njit

from assets.core.dedup.kernels import Int64s, Uint32s, Uint64s


@njit(nogil=True, cache=True)
def agreement(left: Uint32s, right: Uint32s) -> int:
    """Equal entries of two signatures."""
    equal = np.uint32(0)
    for function in range(len(left)):
        equal += np.uint32(left[function] == right[function])
    return int(equal)


@njit(nogil=True, cache=True)
def agreements(signatures: Uint32s, left: Int64s, right: Int64s) -> Int64s:
    """Equal entries of the signatures of each pair of rows."""
    equal = np.empty(len(left), np.int64)
    for pair in range(len(left)):
        equal[pair] = agreement(signatures[left[pair]], signatures[right[pair]])
    return equal


@njit(nogil=True, cache=True)
def root(parents: Int64s, node: int) -> int:
    """The least node of a component; paths are halved on the way."""
    while parents[node] != node:
        parents[node] = parents[parents[node]]
        node = parents[node]
    return node


@njit(nogil=True, cache=True)
def union(parents: Int64s, left: int, right: int) -> None:
    """Join two components under the lesser root."""
    first, second = root(parents, left), root(parents, right)
    parents[max(first, second)] = min(first, second)


@njit(nogil=True, cache=True)
def union_all(parents: Int64s, links: Int64s) -> None:
    """Join the two nodes of each link `[links, 2]`."""
    for link in range(len(links)):
        union(parents, links[link, 0], links[link, 1])


@njit(nogil=True, cache=True)
def roots(parents: Int64s) -> None:
    """Let every node point to the root of its component."""
    for node in range(len(parents)):
        parents[node] = parents[parents[node]]


@njit(nogil=True, cache=True)
def _most_similar_together(members: Int64s, signatures: Uint32s, rows: Int64s, start: int) -> Int64s:
    """Order the members of a bucket by the eight minima from `start` on, a byte of each; ties stay in order."""
    keys = np.zeros(len(members), np.uint64)
    for position in range(len(members)):
        signature = signatures[rows[members[position]]]
        for step in range(8):
            minimum = signature[(start + step) % len(signature)]
            keys[position] = keys[position] << np.uint64(8) | np.uint64(minimum & np.uint32(0xFF))
    return members[np.argsort(keys, kind="mergesort")]


@njit(nogil=True, cache=True)
def link_buckets(
    packed: Uint64s, index_bits: int, signatures: Uint32s, rows: Int64s, after: int, least: int, window: int
) -> Int64s:
    """Links `[links, 2]` between members of equal key that agree in `least` entries or more.

    `packed` is sorted; an entry is a key with, in its lowest `index_bits`, the index of a member, whose signature is
    `signatures[rows[index]]`. Each member is compared with the `window` before it in its bucket, the nearest first;
    two that are linked already, directly or over others of this bucket, are not compared. `after` is the hash function
    after the band. In a bucket no more links are returned than it has members.
    """
    shift, mask = np.uint64(index_bits), (np.uint64(1) << np.uint64(index_bits)) - np.uint64(1)
    links = np.empty((len(packed), 2), np.int64)
    n_links = 0
    start = 0
    while start < len(packed):
        end = start + 1
        while end < len(packed) and packed[end] >> shift == packed[start] >> shift:
            end += 1
        if end - start > 1:
            members = (packed[start:end] & mask).astype(np.int64)
            if len(members) > window + 1:
                members = _most_similar_together(members, signatures, rows, after)
            parents = np.arange(len(members))
            for right in range(1, len(members)):
                for left in range(right - 1, max(0, right - window) - 1, -1):
                    if root(parents, left) == root(parents, right):
                        continue
                    if agreement(signatures[rows[members[left]]], signatures[rows[members[right]]]) >= least:
                        union(parents, left, right)
                        links[n_links] = members[left], members[right]
                        n_links += 1
        start = end
    return links[:n_links].copy()

"""The loops over characters, shingles and signatures, compiled. Import inside functions: Numba takes a second.

All kernels release Python's lock and use no state but their arguments, so threads run them on slices of arrays.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from assets.core.dedup.shingles import BETWEEN, WORD

Uint8s = NDArray[np.uint8]
Uint32s = NDArray[np.uint32]
Uint64s = NDArray[np.uint64]
Int64s = NDArray[np.int64]

_START = np.uint64(0xCBF29CE484222325)  # FNV-1a, 64 bits: offset basis and prime
_PRIME = np.uint64(0x100000001B3)
_ODD = np.uint64(0x9E3779B97F4A7C15)  # 2^64 over the golden ratio
_S32 = np.uint64(32)
_S29 = np.uint64(29)


@njit(nogil=True, cache=True)
def _mixed(value: np.uint64) -> np.uint64:
    """A finalizer after MurmurHash3: each bit of the value reaches each bit of the result."""
    value = (value ^ (value >> _S32)) * _ODD
    value = (value ^ (value >> _S29)) * _ODD
    return value ^ (value >> _S32)


@njit(nogil=True, cache=True)
def _code_point(data: Uint8s, at: int) -> tuple[int, int]:
    """The character at a byte of valid UTF-8, and the byte of the next one."""
    lead = int(data[at])
    if lead < 0x80:
        return lead, at + 1
    second = int(data[at + 1]) & 0x3F
    if lead < 0xE0:
        return (lead & 0x1F) << 6 | second, at + 2
    third = int(data[at + 2]) & 0x3F
    if lead < 0xF0:
        return (lead & 0x0F) << 12 | second << 6 | third, at + 3
    return (lead & 0x07) << 18 | second << 12 | third << 6 | (int(data[at + 3]) & 0x3F), at + 4


@njit(nogil=True, cache=True)
def _token_hashes(data: Uint8s, start: int, end: int, classes: Uint8s, found: Uint64s) -> int:
    """Hash the tokens of one document into `found`, which has room for one a byte, and return how many there are."""
    count = 0
    at = start
    while at < end:
        character, at = _code_point(data, at)
        kind = classes[character]
        if kind == BETWEEN:
            continue
        token = (_START ^ np.uint64(character)) * _PRIME
        while kind == WORD and at < end:
            character, after = _code_point(data, at)
            kind = classes[character]
            if kind == WORD:
                token = (token ^ np.uint64(character)) * _PRIME
                at = after
        found[count] = _mixed(token)
        count += 1
    return count


@njit(nogil=True, cache=True)
def _hash_of_all(data: Uint8s, start: int, end: int) -> np.uint64:
    """The hash of a whole document."""
    whole = _START
    for at in range(start, end):
        whole = (whole ^ np.uint64(data[at])) * _PRIME
    return _mixed(whole)


@njit(nogil=True, cache=True)
def _slots(n_grams: int) -> int:
    """The size of a hash table for so many shingles: a power of two, at most half full."""
    slots = 16
    while slots < 2 * n_grams:
        slots *= 2
    return slots


@njit(nogil=True, cache=True)
def _distinct_shingles(tokens: Uint64s, ngram: int, table: Uint32s, found: Uint32s) -> int:
    """Fill `found` with the distinct 32-bit hashes of a document's n-grams and return how many there are.

    `table` has `_slots(n_grams)` entries of any content.
    """
    length = min(ngram, len(tokens))
    last_slot = len(table) - 1
    table[:] = 0
    count = 0
    for start in range(len(tokens) - length + 1):
        shingle = np.uint64(0)
        for position in range(start, start + length):
            shingle = shingle * _ODD + tokens[position]
        hashed = max(np.uint32(_mixed(shingle) >> _S32), np.uint32(1))  # 0 marks a free slot
        slot = int(hashed) & last_slot
        while table[slot] != 0 and table[slot] != hashed:
            slot = (slot + 1) & last_slot
        if table[slot] == 0:
            table[slot] = hashed
            found[count] = hashed
            count += 1
    return count


@njit(nogil=True, cache=True)
def _minima(shingles: Uint32s, factors: Uint32s, summands: Uint32s, minima: Uint32s) -> None:
    """The least value of each hash function over the shingles."""
    minima[:] = np.uint32(0xFFFFFFFF)
    for shingle in shingles:
        for function in range(len(minima)):
            value = np.uint32(factors[function] * shingle + summands[function])
            minima[function] = min(value, minima[function])


@njit(nogil=True, cache=True)
def sign(
    data: Uint8s,
    offsets: Int64s,
    classes: Uint8s,
    ngram: int,
    factors: Uint32s,
    summands: Uint32s,
    n_shingles: Uint32s,
    signatures: Uint32s,
) -> None:
    """Fill the signatures `[documents, n_hashes]` and numbers of distinct shingles `[documents]`.

    Document i is `data[offsets[i]:offsets[i + 1]]`, valid UTF-8. Memory: up to 28 bytes a token of the longest
    document (as much a byte is reserved, which costs nothing before it is touched).
    """
    longest = int(np.max(offsets[1:] - offsets[:-1])) + 1
    tokens = np.empty(longest, np.uint64)
    shingles = np.empty(longest, np.uint32)
    table = np.empty(_slots(longest), np.uint32)
    for document in range(len(n_shingles)):
        start, end = offsets[document], offsets[document + 1]
        n_tokens = _token_hashes(data, start, end, classes, tokens)
        if n_tokens == 0:
            tokens[0] = _hash_of_all(data, start, end)
            n_tokens = 1
        n_grams = max(1, n_tokens - ngram + 1)
        count = _distinct_shingles(tokens[:n_tokens], ngram, table[: _slots(n_grams)], shingles)
        n_shingles[document] = count
        _minima(shingles[:count], factors, summands, signatures[document])


@njit(nogil=True, cache=True)
def fold(signatures: Uint32s, bands: int) -> Uint64s:
    """`[bands + 1, documents]`: a 64-bit key of each band of a signature, and last of the whole signature."""
    n_documents, n_hashes = signatures.shape
    rows = n_hashes // bands
    keys = np.empty((bands + 1, n_documents), np.uint64)
    for document in range(n_documents):
        whole = np.uint64(0)
        for band in range(bands):
            key = np.uint64(0)
            for row in range(band * rows, band * rows + rows):
                key = (key + np.uint64(signatures[document, row]) + np.uint64(1)) * _ODD
                key ^= key >> _S29
            keys[band, document] = _mixed(key)
            whole = (whole ^ keys[band, document]) * _ODD
        keys[bands, document] = _mixed(whole)
    return keys

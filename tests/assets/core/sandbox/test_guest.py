"""The parts that run inside, taken one by one: values that travel, messages, and the filter of system calls."""

from __future__ import annotations

import datetime
import json
import socket
import struct
from collections import Counter, OrderedDict, defaultdict, deque
from decimal import Decimal
from enum import IntEnum
from fractions import Fraction
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assets.core.sandbox.guest import seccomp, wire
from assets.core.sandbox.guest.remote import MALFORMED
from assets.core.sandbox.guest.values import READERS, TYPES, decode, encode


def unlinked(value: Any) -> Any:
    raise AssertionError(f"{value!r} does not travel by value")


def follow(tree: list[Any]) -> Any:
    raise ValueError("a reference")


KEYS = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text(), st.binary(), st.dates(),
    st.datetimes(), st.times(), st.timedeltas(), st.fractions(), st.decimals(allow_nan=False),
    st.complex_numbers(allow_nan=False), st.sampled_from((int, dict, ValueError)), st.just(...),
)  # fmt: skip
VALUES = st.recursive(
    KEYS,
    lambda inner: st.one_of(
        st.lists(inner), st.tuples(inner, inner), st.sets(KEYS), st.frozensets(KEYS), st.dictionaries(KEYS, inner),
        st.lists(inner).map(deque), st.dictionaries(KEYS, inner).map(OrderedDict), st.lists(KEYS).map(Counter),
        st.binary().map(bytearray), st.builds(range, st.integers(-9, 9), st.integers(-9, 9)),
    ),
    max_leaves=12,
)  # fmt: skip


def same(one: Any, other: Any) -> bool:
    """Equal, and of the same types all the way down: `True` is not `1` here. The order of a set is free."""
    return one == other and sorted(repr(one)) == sorted(repr(other))


@given(VALUES)
def test_values_arrive_as_they_left(value: Any) -> None:
    """Protects answers: what travels by value is compared by the tests as if it had never left."""
    assert same(decode(json.loads(json.dumps(encode(value, unlinked))), follow), value)


def test_derived_values_arrive_plain() -> None:
    """Protects verdicts: no class of the program, and so no `__eq__` of its own, comes with a value."""

    class Point(NamedTuple):
        x: int

    class Level(IntEnum):
        LOW = 1

    class Text(str):
        def __eq__(self, other: object) -> bool:
            return True

        __hash__ = str.__hash__

    for value, plain in ((Point(1), (1,)), (Level.LOW, 1), (Text("a"), "a")):
        arrived = decode(encode(value, unlinked), follow)
        assert type(arrived) is type(plain)
        assert arrived == plain


TREES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(st.text(max_size=3), inner, max_size=2),
        st.tuples(st.sampled_from((*READERS, "class", "object", "yours")), inner).map(list),
    ),
    max_leaves=10,
)  # fmt: skip
KNOWN = (
    *TYPES.values(), type(None), type(...), deque, Counter, OrderedDict, defaultdict, Decimal, Fraction,
    datetime.date, datetime.time, datetime.datetime, datetime.timedelta,
)  # fmt: skip


@given(TREES)
def test_any_message_is_data_or_malformed(tree: Any) -> None:
    """Protects the guard: whatever a program sends becomes plain data or one of the errors that are expected."""
    try:
        value = decode(tree, follow)
    except MALFORMED:
        return
    assert type(value) in KNOWN or value in TYPES.values()


def test_no_class_travels_that_makes_classes() -> None:
    """Protects the guard from classes made to order, with an `__eq__` that says yes."""
    assert not {type, object, property, classmethod, staticmethod, super} & set(TYPES.values())


@pytest.mark.parametrize("sent", [b"\xff\xff\xff\xff", b"\0\0\0\2{]", b"\0\0\0\2\xff\xff", b"\0\1\0\0" + b"[" * 65536])
def test_malformed_messages_are_told_from_an_end(sent: bytes) -> None:
    """Protects both ends: garbage is an error of the other side, a closed line is its end."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(sent)
        with pytest.raises(wire.ProtocolError):
            wire.receive(ours)
    ours, theirs = socket.socketpair()
    with ours:
        theirs.sendall(b"\0\0\0\7half")
        theirs.close()
        with pytest.raises(EOFError):
            wire.receive(ours)


def filtered(machine: str, number: int, argument: int = 0, architecture: int | None = None) -> int:
    """What the filter answers, worked out instruction by instruction as the kernel does."""
    known = seccomp.MACHINES[machine][0] if architecture is None else architecture
    data = struct.pack("=IIQQ", number, known, 0, argument)  # struct seccomp_data
    code, at, held = seccomp.instructions(machine), 0, 0
    while True:
        kind, if_true, if_false, operand = code[at]
        at += 1
        if kind == seccomp.LOAD:
            (held,) = struct.unpack_from("=I", data, operand)
        elif kind == seccomp.RETURN:
            return operand
        else:
            true = held == operand if kind == seccomp.JUMP_EQUAL else held >= operand
            at += if_true if true else if_false


@pytest.mark.parametrize("machine", seccomp.MACHINES)
def test_the_filter_on_every_machine(machine: str) -> None:
    """Protects the jumps of the filter, also for machines that the tests do not run on."""
    _, column, clone3, prctl, *sockets = seccomp.MACHINES[machine]
    denied = {numbers[column] for numbers in seccomp.DENIED.values()}
    assert len(denied) == len(seccomp.DENIED)
    for number in range(500):
        expected = seccomp.ERROR | 1 if number in denied else seccomp.ALLOW
        if number == clone3:
            expected = seccomp.ERROR | 38
        elif number in sockets:
            expected = seccomp.ERROR | 97
        assert filtered(machine, number) == expected, number
    for number in sockets:
        assert [filtered(machine, number, family) == seccomp.ALLOW for family in (1, 2, 10, 16, 17, 38, 40)] == [
            True, True, True, False, False, False, False,
        ]  # fmt: skip
    assert filtered(machine, prctl, 22) == seccomp.ERROR | 1
    assert filtered(machine, prctl, 4) == seccomp.ALLOW
    assert filtered(machine, 0, architecture=0x40000003) == seccomp.KILL
    assert (filtered("x86_64", 0x40000000)) == seccomp.KILL

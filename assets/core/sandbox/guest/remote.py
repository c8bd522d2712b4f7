"""Objects of another process: calls that travel, references to what cannot, and exceptions that come back.

The program and its tests are two such processes. Neither side ever runs the other's comparison: a reference is equal to
itself and to nothing else, and has no arithmetic and no order, so that an answer is compared where the tests are.
"""

from __future__ import annotations

import builtins
import contextlib
import operator
import socket
from collections.abc import Callable
from typing import Any, NoReturn

from assets.core.sandbox.guest import wire
from assets.core.sandbox.guest.values import Tree, decode, encode

MUTABLE = (list, dict, set, bytearray)
MALFORMED = (ValueError, TypeError, LookupError, ArithmeticError, RecursionError, AttributeError)
READABLE = ("__name__", "__qualname__", "__doc__")


def _call(function: Any, positional: list[Any], named: dict[str, Any]) -> Any:
    return function(*positional, **named)


OPERATIONS: dict[str, Callable[..., Any]] = {
    "call": _call,
    "len": len,
    "iter": iter,
    "next": next,
    "item": operator.getitem,
    "set_item": operator.setitem,
    "del_item": operator.delitem,
    "bool": bool,
    "str": str,
    "repr": repr,
    "get": getattr,
    "set": setattr,
    "enter": lambda manager: manager.__enter__(),
    "exit": lambda manager: manager.__exit__(None, None, None),
}
# What the program may do with an object of the tests: nothing that would lead from it to another.
FROM_PROGRAM = frozenset({"call", "len", "iter", "next", "item"})


class Gone(BaseException):
    """The program ended or broke the protocol, and tests cannot go on. No test catches it by `except Exception`."""


class Reference:
    """An object of the other process. Only what is defined here travels; its attributes only where `_open` says so."""

    _peer: Peer
    _number: int
    _open: bool

    def __call__(self, *positional: Any, **named: Any) -> Any:
        return self._peer.ask("call", self, list(positional), named)

    def __len__(self) -> int:
        return self._peer.ask("len", self)

    def __iter__(self) -> Any:
        return self._peer.ask("iter", self)

    def __next__(self) -> Any:
        return self._peer.ask("next", self)

    def __getitem__(self, key: Any) -> Any:
        return self._peer.ask("item", self, key)

    def __setitem__(self, key: Any, value: Any) -> None:
        self._peer.ask("set_item", self, key, value)

    def __delitem__(self, key: Any) -> None:
        self._peer.ask("del_item", self, key)

    def __bool__(self) -> bool:
        return self._peer.ask("bool", self) is True

    def __str__(self) -> str:
        return str(self._peer.ask("str", self))

    def __repr__(self) -> str:
        return str(self._peer.ask("repr", self))

    def __enter__(self) -> Any:
        return self._peer.ask("enter", self)

    def __exit__(self, *_: object) -> None:
        self._peer.ask("exit", self)

    def __getattr__(self, name: str) -> Any:
        if name in READABLE or (self._open and not name.startswith("__")):
            return self._peer.ask("get", self, name)
        raise AttributeError(f"an object of another process does not show its {name!r}")

    def __setattr__(self, name: str, value: Any) -> None:
        if not self._open or name.startswith("_"):
            raise AttributeError(f"{name!r} of an object of another process cannot be set")
        self._peer.ask("set", self, name, value)


class ReferenceType(type):
    """A class of the other process: to call it makes an instance there."""

    def __call__(cls, *positional: Any, **named: Any) -> Any:
        return cls.__dict__["_itself"](*positional, **named)

    def __getattr__(cls, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(cls.__dict__["_itself"], name)

    def __init__(cls, name: str, bases: tuple[type, ...], members: dict[str, Any]) -> None:
        if "_itself" not in members:
            raise TypeError(f"{name} cannot derive from a class of another process")


class Peer:
    """One end of the line.

    `serves` names what the other side may do with objects of this one. `is_open` says whether the attributes of an
    object of the other side, of the class with this name, can be reached.
    """

    def __init__(
        self, channel: socket.socket, serves: frozenset[str], is_open: Callable[[str], bool], limit: int
    ) -> None:
        self.channel = channel
        self.serves = serves
        self.is_open = is_open
        self.limit = limit
        self.failure = ""
        self.malformed = False
        self.shown: list[Any] = []
        self.numbers: dict[int, int] = {}
        self.references: dict[int, Any] = {}

    def ask(self, operation: str, *operands: Any) -> Any:
        """Let the other side do it; returns or raises what it did there. Raises Gone when it cannot go on."""
        if self.failure:
            raise Gone(self.failure)
        try:
            wire.send(self.channel, [operation, [self.pack(operand) for operand in operands]])
            kind, content = self._reply()
            if kind == "value":
                result = self.unpack(content[0])
                if operation == "call":
                    self._apply_changes(operands[1], content[1])
                return result
            error = self._raised(content)
        except (OSError, EOFError):
            self._fail("the program ended while it was called")
        except (wire.ProtocolError, *MALFORMED) as problem:
            self.malformed = True
            self._fail(str(problem))
        raise error

    def _reply(self) -> tuple[str, Any]:
        """The answer to what was asked; what the other side asks meanwhile is done first."""
        while True:
            kind, content = self.message()
            if kind in ("value", "raise"):
                return kind, content
            self.answer(kind, content)

    def _fail(self, failure: str) -> NoReturn:
        self.failure = failure
        raise Gone(failure) from None

    def message(self) -> tuple[str, Any]:
        """The next message: its kind and content. Raises as `wire.receive` does."""
        message = wire.receive(self.channel, self.limit)
        if not isinstance(message, list) or len(message) != 2 or not isinstance(message[0], str):
            raise wire.ProtocolError("a message is a kind and its content")
        return message[0], message[1]

    def serve(self) -> None:
        """Do what the other side asks until it is gone."""
        with contextlib.suppress(EOFError, OSError):
            while True:
                self.answer(*self.message())

    def answer(self, operation: str, content: Tree) -> None:
        """Do one thing and tell how it went."""
        if operation not in self.serves:
            raise wire.ProtocolError(f"{operation!r} is not served here")
        if content[0][0] != "yours":
            raise wire.ProtocolError("only what this side has shown can be used")
        operands = [self.unpack(operand) for operand in content]
        try:
            result = OPERATIONS[operation](*operands)
            changes = self._changes(operands[1], content[1][1]) if operation == "call" else []
            reply = ["value", [self.pack(result), changes]]
        except Gone:
            raise
        except BaseException as error:
            reply = ["raise", self.describe(error)]
        wire.send(self.channel, reply)

    def _changes(self, arguments: list[Any], before: Tree) -> Tree:
        """The positions and new contents of the containers that a call has changed."""
        after = [(index, self.pack(item)) for index, item in enumerate(arguments) if isinstance(item, MUTABLE)]
        return [[index, tree] for index, tree in after if tree != before[index]]

    def _apply_changes(self, arguments: list[Any], changes: Tree) -> None:
        """Let the caller see what a function did to the containers that it was given."""
        for index, tree in changes:
            theirs, ours = self.unpack(tree), arguments[index]
            if isinstance(ours, list | bytearray):
                ours[:] = theirs
            elif isinstance(ours, dict | set):
                ours.clear()
                ours.update(theirs)

    def pack(self, value: Any) -> Tree:
        """The tree of a value; one that cannot be written down goes as a reference."""
        try:
            return encode(value, self.link)
        except RecursionError:
            return self.link(value)

    def unpack(self, tree: Tree) -> Any:
        return decode(tree, self._follow)

    def link(self, value: Any) -> Tree:
        """A reference to an object of this side, or the way back to one of the other."""
        if isinstance(value, Reference):
            return ["yours", value._number]
        if isinstance(value, ReferenceType):
            return ["yours", value.__dict__["_itself"]._number]
        if isinstance(value, type):
            return ["class", self._describe_class(value)]
        return ["object", [self.show(value), self._describe_class(type(value))]]

    def show(self, value: Any) -> int:
        """The number of an object; it is kept alive for as long as the other side may ask for it."""
        if id(value) not in self.numbers:
            self.numbers[id(value)] = len(self.shown)
            self.shown.append(value)
        return self.numbers[id(value)]

    def _describe_class(self, kind: type) -> Tree:
        bases = [self._describe_class(base) for base in kind.__bases__ if base.__module__ != "builtins"]
        return [self.show(kind), kind.__name__, _builtin_error(kind), bases]

    def describe(self, error: BaseException) -> Tree:
        """An exception of this side: its class, and its arguments where they travel by value."""
        try:
            arguments = [encode(argument, _unlinked) for argument in error.args]
        except (RecursionError, _Unlinked):
            arguments = [str(error)]
        return [self._describe_class(type(error)), arguments]

    def _raised(self, content: Tree) -> BaseException:
        kind, arguments = content
        error = self._class(kind)
        if not issubclass(error, BaseException):
            raise wire.ProtocolError("what is raised is no exception")
        try:
            return error(*(self.unpack(argument) for argument in arguments))
        except TypeError:  # an exception such as UnicodeDecodeError that wants arguments of its own kind
            return Exception(f"{error.__name__}: {arguments}")

    def _follow(self, tree: list[Tree]) -> Any:
        kind, content = tree
        if kind == "yours":
            return self.shown[content]
        if kind == "class":
            return self._class(content)
        if kind != "object":
            raise wire.ProtocolError(f"{kind!r} is no kind of value")
        number, described = content
        if number not in self.references:
            kind, name = (self._class(described), described[1]) if described else (Reference, "")
            self.references[number] = self._reference(number, kind, name)
        return self.references[number]

    def _reference(self, number: int, kind: type, name: str) -> Reference:
        reference = object.__new__(kind if issubclass(kind, Reference) else Reference)
        vars(reference).update(_peer=self, _number=int(number), _open=self.is_open(name))
        return reference

    def _class(self, described: Tree) -> type:
        """The class on this side that stands for one of the other: an exception for an exception."""
        number, name, error, bases = described
        if error == name and not bases and _builtin_error(getattr(builtins, name, object)) == name:
            return getattr(builtins, name)
        key = ~number
        if key not in self.references:
            if error:
                above = [base for base in map(self._class, bases) if issubclass(base, BaseException)]
                self.references[key] = type(str(name), (above[0] if above else _error(error),), {})
            else:
                itself = self._reference(number, Reference, name)
                parents = tuple(self._class(base) for base in bases) or (Reference,)
                self.references[key] = ReferenceType(str(name), parents, {"_itself": itself})
        return self.references[key]


class _Unlinked(Exception):
    """A value that does not travel by value."""


def _unlinked(value: Any) -> Tree:
    raise _Unlinked


def _builtin_error(kind: type) -> str | None:
    """The name of the builtin exception that a class is or comes from."""
    for base in kind.__mro__:
        if issubclass(base, BaseException) and getattr(builtins, base.__name__, None) is base:
            return base.__name__
    return None


def _error(name: str) -> type[BaseException]:
    found = getattr(builtins, name)
    if not (isinstance(found, type) and issubclass(found, BaseException)):
        raise wire.ProtocolError(f"{name!r} is no exception")
    return found

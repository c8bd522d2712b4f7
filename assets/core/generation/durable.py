"""An engine whose answers are kept: each request is asked once, ever, and its answer is stored before it is given."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterable, Iterator
from contextlib import closing
from dataclasses import replace
from functools import cached_property
from itertools import count, islice
from typing import NamedTuple, cast

from assets.core.errors import AthanorError
from assets.core.generation.budget import Budget
from assets.core.generation.codec import encode
from assets.core.generation.committer import Committer
from assets.core.generation.key import request_keys
from assets.core.generation.ledger import Call, Caller, Tally
from assets.core.generation.pace import Pace
from assets.core.generation.prices import Price
from assets.core.generation.store import KEYS_PER_QUERY, GenerationStore
from assets.core.progress import bar
from models.inference.engine import Completion, Engine, Failed, Request

Answer = Completion | Failed
MOST_READY = 10 * KEYS_PER_QUERY


class DurableEngine:
    """Itself an engine. Answers come from the store, and from `engine` where it has none; those are committed, with
    what they cost, before they are given. A kill loses the requests in flight and nothing else.

    Equal requests of one stream are asked once. A request that fails is written down, and asked again by the next
    stream. With a `budget` requests stop before it is overspent.
    """

    def __init__(
        self,
        engine: Engine,
        store: GenerationStore,
        caller: Caller,
        *,
        price: Price | None = None,
        budget: Budget | None = None,
    ) -> None:
        if budget is not None and price is None:
            raise AthanorError(
                f"there is a budget, but {caller.model or 'the model'} of the role {caller.role!r} has no price",
                "give its price in the file of roles, in US dollars per million tokens",
            )
        self.engine = engine
        self.store = store
        self.caller = caller
        self.price = price
        self.budget = budget

    def identity(self) -> dict[str, object]:
        """That of the engine: where an answer was kept does not change it."""
        return self.engine.identity()

    def generate(self, requests: Iterable[Request], total: int | None = None) -> Iterator[tuple[int, Answer]]:
        """As `Engine.generate`, with progress over `total` requests. Raises AthanorError when the budget is spent or
        the store cannot be used."""
        stream = _Stream(self, requests)
        label = " ".join(part for part in (self.caller.asset, self.caller.role) if part) or "answers"
        with bar(total, label=label, unit=" rows") as advance:
            for number, answer in enumerate(stream.answers(), 1):
                yield answer
                advance(stream.pace.note(number, total))

    def find(self, requests: Iterable[Request]) -> list[Completion | None]:
        """The stored answers of a few requests, in their order; nothing is asked."""
        key = request_keys(self.identity())
        keys = [key(request) for request in requests]
        found = self.store.find(keys)
        return [found.get(each) for each in keys]

    def count_reused(self, requests: int) -> None:
        """Put down that so many requests were answered by `find`."""
        self.store.record(self.session, (), reused=requests)

    @cached_property
    def session(self) -> int:
        """This engine's row among the ledger's sessions."""
        return self.store.start_session(self.caller)

    def tally(self) -> Tally:
        """Sums over the requests of this engine."""
        return self.store.sums(id=self.session)

    def close(self) -> None:
        """Closes the engine; the store is another's."""
        self.engine.close()


class _InFlight(NamedTuple):
    key: bytes
    request: Request
    most: float


class _Stream:
    """One walk over requests. All but `_commit` happens in the thread of the caller, who also takes requests there."""

    def __init__(self, durable: DurableEngine, requests: Iterable[Request]) -> None:
        self.pace = Pace()
        self._durable = durable
        self._key = request_keys(durable.identity())
        self._requests = enumerate(requests)
        self._ended = False
        self._ready: deque[tuple[int, Answer]] = deque()
        # Looked up and not stored; the places that wait for each such key; those that the engine has.
        self._unasked: deque[tuple[bytes, Request]] = deque()
        self._places: dict[bytes, list[int]] = {}
        self._in_flight: dict[int, _InFlight] = {}
        self._failed: dict[bytes, Failed] = {}
        self._reused = 0

    def answers(self) -> Iterator[tuple[int, Answer]]:
        try:
            with Committer(self._commit) as committer:
                while self._ready or self._unasked or not self._ended:
                    if self._ready:
                        yield self._ready.popleft()
                    elif self._unasked:
                        yield from self._ask(committer)
                    else:
                        self._look_up()
        finally:
            if self._reused:
                self._durable.count_reused(self._reused)
            if self._in_flight and self._durable.budget is not None:
                self._durable.budget.settle(sum(each.most for each in self._in_flight.values()))

    def _look_up(self) -> None:
        """Take some requests and part those with an answer from those without."""
        taken = list(islice(self._requests, KEYS_PER_QUERY))
        self._ended = len(taken) < KEYS_PER_QUERY
        keys = [self._key(request) for _, request in taken]
        found = self._durable.store.find(keys)
        for key, (place, request) in zip(keys, taken, strict=True):
            answer = found.get(key) or self._failed.get(key)
            if answer is not None:
                self._ready.append((place, answer))
                self._reused += 1
            elif key in self._places:
                self._places[key].append(place)
            else:
                self._places[key] = [place]
                self._unasked.append((key, request))

    def _ask(self, committer: Committer[tuple[_InFlight, Answer], list[Call]]) -> Iterator[tuple[int, Answer]]:
        """What the engine answers until the requests end or do not fit the budget."""
        self.pace.begin()
        refused: list[float] = []
        answers = cast(Generator[tuple[int, Answer]], self._durable.engine.generate(self._affordable(refused)))
        answered = 0
        with closing(answers):
            for number, answer in answers:
                answered += 1
                committer.put((self._in_flight.pop(number), answer))
                self._settle(committer.taken())
                while self._ready:
                    yield self._ready.popleft()
        self._settle(committer.taken(everything=True))
        if self._in_flight:
            raise RuntimeError(f"the engine left {len(self._in_flight)} requests without an answer")
        # What was reserved is more than what was spent, so the budget is spent only when nothing is in flight.
        if refused and not answered and self._durable.budget is not None:
            raise self._durable.budget.error(refused[0])

    def _affordable(self, refused: list[float]) -> Iterator[Request]:
        """The requests to ask. They end early when many answers were found that first want to be taken, and when the
        next one does not fit the budget: `refused` then has what it may cost."""
        price, budget = self._durable.price, self._durable.budget
        for number in count():
            while not self._unasked and not self._ended and len(self._ready) < MOST_READY:
                self._look_up()
            if not self._unasked:
                return
            key, request = self._unasked[0]
            most = price.most(request) if price is not None else 0.0
            if budget is not None and not budget.reserve(most):
                refused.append(most)
                return
            self._unasked.popleft()
            self._in_flight[number] = _InFlight(key, request, most)
            yield request

    def _commit(self, answered: list[tuple[_InFlight, Answer]]) -> list[Call]:
        calls = [self._call(asked, answer) for asked, answer in answered]
        earlier = self._durable.store.record(self._durable.session, calls, seconds=self.pace.lap())
        if self._durable.budget is not None:
            self._durable.budget.settle(sum(asked.most for asked, _ in answered))
        return [replace(call, answer=earlier[call.key]) if call.key in earlier else call for call in calls]

    def _call(self, asked: _InFlight, answer: Answer) -> Call:
        price, body = self._durable.price, None
        if isinstance(answer, Completion):
            try:
                body = encode(answer)
            except ValueError as error:
                answer = Failed("malformed", str(error), answer.attempts)
        if isinstance(answer, Failed):
            cost = None if price is None else price.of_failure(asked.request, answer)
        else:
            usage = answer.usage
            cost = None if price is None else price.cost(usage.prompt_tokens, usage.completion_tokens)
        return Call(asked.key, answer, body, cost)

    def _settle(self, batches: Iterable[list[Call]]) -> None:
        """Answers that were committed are ready, at each place that waits for them."""
        for batch in batches:
            for call in batch:
                places = self._places.pop(call.key)
                self._ready.extend((place, call.answer) for place in places)
                self._reused += len(places) - 1
                if isinstance(call.answer, Failed):
                    self._failed[call.key] = call.answer
                    self.pace.add(0, call.cost)
                else:
                    self.pace.add(call.answer.usage.completion_tokens, call.cost)

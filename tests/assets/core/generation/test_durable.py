"""Each request is asked once, ever; its answer is on the disk before it is given; the budget holds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import count, islice
from tempfile import TemporaryDirectory

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from assets.core.errors import AthanorError
from assets.core.generation import durable as module
from assets.core.generation.budget import Budget
from assets.core.generation.durable import DurableEngine
from assets.core.generation.ledger import Caller, Tally
from assets.core.generation.prices import FREE, Price
from assets.core.generation.store import GenerationStore
from models.inference.engine import EngineError, Failed, Request, Usage
from tests.assets.core.generation.fakes import Answer, FakeEngine, by_prompt, completion, request

CALLER = Caller("toy/answers", role="writer", model="fake")


def durable(engine: FakeEngine, store: GenerationStore, **settings: object) -> DurableEngine:
    return DurableEngine(engine, store, CALLER, **settings)  # type: ignore[arg-type]


def answers(engine: DurableEngine, requests: Iterable[Request]) -> list[Answer]:
    """In the order of the requests; every place comes once."""
    pairs = list(engine.generate(requests))
    assert sorted(place for place, _ in pairs) == list(range(len(pairs)))
    return [answer for _, answer in sorted(pairs, key=lambda pair: pair[0])]


@given(st.lists(st.integers(0, 30), max_size=60), st.sets(st.integers(0, 30)), st.integers(1, 9), st.integers(1, 20))
@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_every_place_has_the_answer_of_its_request(
    monkeypatch: pytest.MonkeyPatch, numbers: list[int], stored: set[int], window: int, chunk: int
) -> None:
    """Whatever is stored, repeated, and in whatever order an engine answers: one answer a place, that of its own
    request, and each request asked once and only if it was not stored."""
    monkeypatch.setattr(module, "KEYS_PER_QUERY", chunk)
    monkeypatch.setattr(module, "MOST_READY", chunk)
    with TemporaryDirectory() as folder:
        store = GenerationStore(f"sqlite:///{folder}/generation.db")
        engine = FakeEngine(window=window)
        list(durable(engine, store).generate(request(number) for number in sorted(stored)))
        engine.asked.clear()
        again = durable(engine, store)
        assert answers(again, map(request, numbers)) == [by_prompt(request(number)) for number in numbers]
        assert Counter(engine.asked) == dict.fromkeys(map(request, set(numbers) - stored), 1)
        assert again.tally().requests == len(numbers)
        store.close()


def test_an_answer_is_stored_before_it_is_given(store: GenerationStore) -> None:
    """Who has seen an answer may act on it; a kill must not take it back. Nor the call that it cost."""
    for number, (place, answer) in enumerate(durable(FakeEngine(), store).generate(map(request, range(50))), 1):
        (kept,) = durable(FakeEngine(), store).find([request(place)])
        assert kept == answer
        assert store.sums().asked >= number


def test_a_second_run_asks_nothing(store: GenerationStore) -> None:
    """Also from another asset: what is asked for is the key, not who asks."""
    first = answers(durable(FakeEngine(), store), map(request, range(20)))
    engine = FakeEngine()
    other = DurableEngine(engine, store, replace(CALLER, asset="toy/other"))
    assert answers(other, map(request, range(20))) == first
    assert engine.asked == []
    assert other.tally() == Tally(reused=20)


def test_another_model_is_asked(store: GenerationStore) -> None:
    """Its answers are its own."""
    list(durable(FakeEngine(), store).generate([request(1)]))
    engine = FakeEngine(model="newer")
    list(durable(engine, store).generate([request(1)]))
    assert len(engine.asked) == 1


def test_requests_are_taken_as_there_is_room(store: GenerationStore) -> None:
    """An endless stream of requests gives answers, from the store and from the engine."""
    list(durable(FakeEngine(), store).generate(map(request, range(0, 10_000, 2))))
    taken = list(islice(durable(FakeEngine(), store).generate(map(request, count())), 8_000))
    assert len(taken) == 8_000


def test_a_long_run_of_stored_answers_is_not_gathered_in_memory(store: GenerationStore) -> None:
    """One new request among a hundred thousand known ones: the engine's wish for more must not read them all."""
    known = 10 * module.MOST_READY
    list(durable(FakeEngine(), store).generate([request(1)]))
    taken = 0

    def requests() -> Iterator[Request]:
        nonlocal taken
        for number in [0] + [1] * known:
            taken += 1
            yield request(number)

    for place, _ in enumerate(durable(FakeEngine(window=10**9), store).generate(requests())):
        assert taken - place <= 2 * module.MOST_READY
    assert place == known


def test_failures_are_told_and_asked_again_by_the_next_run(store: GenerationStore) -> None:
    """Within one stream equal requests fail together; nothing of it is kept as an answer."""
    broken = FakeEngine(lambda _: Failed("timeout", "no answer", 5))
    first = durable(broken, store)
    assert {type(answer) for answer in answers(first, [request(1), request(1), request(2)])} == {Failed}
    assert len(broken.asked) == 2
    assert (first.tally().failed, first.tally().requests) == (2, 3)
    second = durable(FakeEngine(), store)
    assert answers(second, [request(1), request(2)]) == [by_prompt(request(1)), by_prompt(request(2))]


def test_an_answer_that_cannot_be_kept_is_a_failure(store: GenerationStore) -> None:
    """Half a surrogate pair from a server: the row goes to the dead letters, the run goes on."""
    engine = FakeEngine(lambda asked: completion("\ud800") if asked.seed == 1 else by_prompt(asked))
    bad, good = answers(durable(engine, store), [request(1), request(2)])
    assert isinstance(bad, Failed)
    assert bad.reason == "malformed"
    assert good == by_prompt(request(2))


def test_what_another_process_stored_meanwhile_wins(store: GenerationStore) -> None:
    """Both return one answer, so that two runs at once publish one table."""

    def answer(asked: Request) -> Answer:
        list(durable(FakeEngine(), store).generate([asked]))
        return completion("later, and other")

    late = durable(FakeEngine(answer), store)
    assert answers(late, [request(1)]) == [by_prompt(request(1))]
    assert store.sums().asked == 2


def test_an_engine_that_gives_up_loses_no_answer(store: GenerationStore) -> None:
    """What came before its error is stored; the next run asks the rest."""

    def answer(asked: Request) -> Answer:
        if asked.seed == 30:
            raise EngineError("the server is gone", "start it")
        return by_prompt(asked)

    with pytest.raises(EngineError, match="the server is gone"):
        list(durable(FakeEngine(answer), store).generate(map(request, range(40))))
    again = FakeEngine()
    list(durable(again, store).generate(map(request, range(40))))
    assert {each.seed for each in again.asked} == {28, 29, 30, *range(32, 40)}


def test_a_stream_that_is_closed_keeps_what_was_answered(store: GenerationStore) -> None:
    """And does not hang."""
    stream = durable(FakeEngine(), store).generate(map(request, range(1000)))
    given = [place for place, _ in islice(stream, 10)]
    stream.close()  # type: ignore[attr-defined]
    assert all(durable(FakeEngine(), store).find(map(request, given)))


def test_an_engine_that_forgets_requests_is_told(store: GenerationStore) -> None:
    """Else rows would vanish without a word."""

    class Forgetful(FakeEngine):
        def generate(self, requests: Iterable[Request]) -> Iterator[tuple[int, Answer]]:
            yield from list(super().generate(requests))[:-1]

    with pytest.raises(RuntimeError, match="1 requests without an answer"):
        list(durable(Forgetful(), store).generate(map(request, range(5))))


PRICE = Price(prompt=1e6, completion=1e6)  # a dollar a token


def test_the_budget_is_never_overspent_and_resumes_when_it_is_raised(store: GenerationStore) -> None:
    """An answer takes 5 tokens, and could take 16: 8 of prompt, estimated, and 8 of its own. Of 60 dollars, nine are
    paid for; the tenth might cost one too many."""
    assert PRICE.most(request(10)) == 16
    engine = FakeEngine(window=1000)
    with pytest.raises(AthanorError, match="the budget of 60 US dollars is spent: 45 by now") as told:
        list(durable(engine, store, price=PRICE, budget=Budget(60, store)).generate(map(request, range(10, 50))))
    assert "raise `budget`" in told.value.remedy
    assert len(engine.asked) == 9
    assert store.spent() == 45
    more = FakeEngine(window=1000)
    given = answers(durable(more, store, price=PRICE, budget=Budget(1000, store)), map(request, range(10, 50)))
    assert len(given) == 40
    assert len(more.asked) == 31


@given(st.floats(0, 300), st.integers(1, 50), st.lists(st.integers(0, 8), min_size=40, max_size=40))
@settings(deadline=None, max_examples=40)
def test_no_budget_is_ever_overspent(limit: float, window: int, lengths: list[int]) -> None:
    """Whatever the answers' lengths and however many are in flight."""

    def answer(asked: Request) -> Answer:
        return replace(completion("a"), usage=Usage(3, lengths[asked.seed - 10]))

    with TemporaryDirectory() as folder:
        store = GenerationStore(f"sqlite:///{folder}/generation.db")
        spender = durable(FakeEngine(answer, window), store, price=PRICE, budget=Budget(limit, store))
        try:
            list(spender.generate(map(request, range(10, 50))))
        except AthanorError:
            assert limit - store.spent() < PRICE.most(request(10))
        assert store.spent() <= limit
        store.close()


def test_answers_from_the_store_need_no_budget(store: GenerationStore) -> None:
    """A run whose answers were paid for ends well though nothing is left."""
    list(durable(FakeEngine(), store, price=PRICE).generate(map(request, range(5))))
    spent = durable(FakeEngine(), store, price=PRICE, budget=Budget(0, store))
    assert len(list(spent.generate(map(request, range(5))))) == 5


def test_a_budget_needs_a_price(store: GenerationStore) -> None:
    """A model of unknown price would spend without a limit; one of our own costs nothing, by declaration."""
    with pytest.raises(AthanorError, match="'writer' has no price"):
        durable(FakeEngine(), store, budget=Budget(1, store))
    assert answers(durable(FakeEngine(), store, price=FREE, budget=Budget(0, store)), [request(1)])


def test_failures_that_were_answered_are_charged(store: GenerationStore) -> None:
    """A malformed answer is on the bill; a refused request is not."""
    for reason, cost in (("malformed", 2 * 16.0), ("refused", 0.0)):
        before = store.spent()
        engine = FakeEngine(lambda _, reason=reason: Failed(reason, "", 2))  # type: ignore[misc]
        list(durable(engine, store, price=PRICE).generate([request(10)]))
        assert store.spent() - before == cost

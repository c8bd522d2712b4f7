"""Many trees over one engine: the result is that of each tree alone, and the engine is kept busy."""

from __future__ import annotations

from pathlib import Path

import pytest

from assets.fastmcts.baselines import rejection, vanilla
from assets.fastmcts.codec import ChatCodec
from assets.fastmcts.journal import Journal
from assets.fastmcts.search import Problem, Search, Settings, Shot, Simulation, simulation_seed
from assets.fastmcts.tree import ROOT, Rule
from assets.worlds.chain_arith.tokenizer import save_tokenizer
from tests.assets.fastmcts.scripted import ScriptedCodec, ScriptedEngine, grade, problems

SETTINGS = Settings(Rule(), max_tokens=30)


def simulate(engine: ScriptedEngine, settings: Settings = SETTINGS, count: int = 40) -> list[Simulation]:
    search = Search(problems(count), settings, ScriptedCodec(), grade)
    return sorted(search.run(engine), key=lambda each: (each.problem, each.iteration))


@pytest.mark.parametrize("rule", [Rule(), vanilla(Rule()), rejection(Rule())], ids=["fastmcts", "vanilla", "rejection"])
def test_slots_change_no_tree(rule: Rule) -> None:
    """Order of answers and batch mates do not matter: one outstanding simulation per tree, noise of its own."""
    few, many = (simulate(ScriptedEngine(slots), Settings(rule, 30)) for slots in (1, 16))
    assert few == many
    assert len({each.start for each in many}) > 1 or rule.from_root


def test_budget_is_reached_and_passed_by_one_simulation_at_most() -> None:
    """Generated tokens alone are counted; every tree stops with the simulation that reaches its budget."""
    by_problem: dict[str, list[Simulation]] = {}
    for each in simulate(ScriptedEngine(8)):
        by_problem.setdefault(each.problem, []).append(each)
    assert len(by_problem) == 40
    for made in by_problem.values():
        assert [each.iteration for each in made] == list(range(len(made)))
        assert sum(each.tokens for each in made[:-1]) < 60 <= sum(each.tokens for each in made)


def test_iterations_instead_of_tokens() -> None:
    """25 trajectories per tree, whatever they cost."""
    made = simulate(ScriptedEngine(8), Settings(Rule(), 30, iterations=25), count=3)
    assert [each.iteration for each in made] == [*range(25)] * 3


def test_engine_is_kept_busy() -> None:
    """With twice as many trees as slots more than 80 % of the slots work, the tail of the run included."""
    engine = ScriptedEngine(16)
    simulate(engine, count=64)
    assert engine.busy / (engine.steps * engine.slots) > 0.8


def test_prompts_are_prompt_and_prefix_ids() -> None:
    """What was sampled is continued as it was sampled, in what is left of the answer's length."""
    engine = ScriptedEngine(4)
    for each in simulate(engine, count=8):
        assert each.start == ROOT or each.prefix_tokens > 0
    for request in engine.requests:
        assert request.sampling.max_new_tokens == 30 - (len(request.prompt) - 1)


def test_goes_on_after_a_kill(tmp_path: Path) -> None:
    """Killed after 50 simulations, with a torn last line: the rest is bit-equal to an undisturbed run."""
    undisturbed, path = simulate(ScriptedEngine(8)), tmp_path / "work" / "simulations.jsonl"
    killed = Search(problems(40), SETTINGS, ScriptedCodec(), grade)
    first = [each for each, _ in zip(Journal(path).record(killed.run(ScriptedEngine(8))), range(50), strict=False)]
    with path.open("ab") as file:
        file.write(b'{"problem": "p')
    journal = Journal(path)
    recorded = journal.read()
    assert recorded[:50] == first
    resumed = Search(problems(40), SETTINGS, ScriptedCodec(), grade)
    resumed.replay(recorded)
    engine = ScriptedEngine(8)
    rest = list(journal.record(resumed.run(engine)))
    assert sorted([*recorded, *rest], key=lambda each: (each.problem, each.iteration)) == undisturbed
    assert len(engine.requests) == len(undisturbed) - len(recorded)
    assert journal.read() == [*recorded, *rest]


def test_refused_problems_are_named_and_the_others_go_on() -> None:
    """A prompt that does not fit the model costs its own tree only."""
    search = Search(problems(5), SETTINGS, ScriptedCodec(), grade)
    found = {each.problem for each in search.run(ScriptedEngine(2, refused=[3]))}
    assert found == {"p0", "p1", "p2", "p4"}
    assert search.failed == {"p3": "refused: no room"}
    assert search.in_flight == 0


def test_seeds_differ_by_run_problem_and_iteration() -> None:
    """No two simulations share their noise."""
    drawn = {simulation_seed(s, p, i) for s in range(3) for p in ("a", "b") for i in range(20)}
    assert len(drawn) == 120


def test_few_shot_examples_are_drawn_anew(tmp_path: Path) -> None:
    """Every simulation of a prompted model has its own examples, named in its row, in the prompt as earlier turns."""
    shots = tuple(Shot(f"s{place}", f"{place}+1=?", f"#### {place + 1}") for place in range(9))
    settings = Settings(Rule(), 30, iterations=6, n_shots=2, shots=shots)
    drawn = [each.shots for each in simulate(ScriptedEngine(2), settings, count=2)]
    assert all(len(set(each)) == 2 for each in drawn)
    assert len(set(drawn)) > 6
    save_tokenizer(tmp_path)
    codec = ChatCodec(tmp_path, "\n")
    plain, shown = codec.prompt("3*4=?", ()), codec.prompt("3*4=?", shots[1:2])
    assert codec.text(plain) == "3*4=?\n"
    assert codec.text(shown) == "1+1=?\n#### 23*4=?\n"


def test_codec_cuts_an_answer_at_its_lines(tmp_path: Path) -> None:
    """Lines are steps, and the stop token belongs to the last."""
    save_tokenizer(tmp_path)
    codec = ChatCodec(tmp_path, "\n")
    tokens = [*codec.prompt("1+2=3\n#### 3", ())[1:-1], 4]
    steps = codec.steps(tokens)
    assert [codec.text(step) for step in steps] == ["1+2=3\n", "#### 3"]
    assert steps[-1][-1] == 4


def test_an_engine_without_token_ids_is_refused() -> None:
    """Steps are cut on what was sampled: text tokenised again could be other tokens."""

    class Silent(ScriptedEngine):
        def generate(self, requests):  # type: ignore[no-untyped-def]
            for place, answer in super().generate(requests):
                sample = type(answer.samples[0])("", "stop", None)
                yield place, type(answer)((sample,), answer.usage, 0.0)

    with pytest.raises(ValueError, match="token ids"):
        list(Search([Problem("p0", "0", "", "exact", 9)], SETTINGS, ScriptedCodec(), grade).run(Silent(1)))

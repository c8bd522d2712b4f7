"""PPO over a decoder: rollouts, the objective over them, and runs as a whole."""

import copy
import logging
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.architecture.config import DecoderConfig
from models.architecture.decoder import Decoder
from models.architecture.heads import RewardModel, ValueModel, critic_from_reward
from models.inference import batching
from models.training import experience
from models.training.backend import TorchBackend
from models.training.checkpoint import weights_digest
from models.training.experience import RolloutPlan
from models.training.loop import train
from models.training.objectives import next_token_sums
from models.training.packing import PackedStream, StreamTooShort
from models.training.plan import StepRecord, TrainingFailed, TrainingPlan, TrainingReport
from models.training.ppo import generalised_advantages, policy_sum, token_rewards
from models.training.ppo_objective import PPOConfig, PPOModels, counts, ppo_objective
from models.training.prompts import Prompt, PromptOrder, fitting
from models.training.response_scores import response_logprobs, token_entropies, token_logprobs, values_before
from models.training.rewards import Answer, ConditionalReward, reward_tokens
from models.training.rollout_batch import RolloutBatch
from models.training.rollouts import RolloutSource

Corpus = tuple[NDArray[np.uint32], NDArray[np.int64]]
LUCKY, STOP = 7, 96
PROMPTS = [Prompt(f"p{i}", tuple(range(20 + i, 22 + i + i % 5)), "ab"[i % 2]) for i in range(24)]
ROLLOUTS = RolloutPlan(
    prompts_per_iteration=8, max_new_tokens=10, stop_ids=(STOP,), minibatches=2, epochs=2, top_p=1.0,
    critic_warmup_iterations=1, seed=3,
)  # fmt: skip
PLAN = TrainingPlan(
    steps=12, batch_rows=4, sequence_length=32, peak_lr=1e-3, warmup_steps=0, checkpoint_every=4, threads=1,
    weight_decay=0.1,
)  # fmt: skip


def count_lucky(answers: Sequence[Answer]) -> list[float]:
    """A rule reward: how often the response has the lucky token."""
    return [float(answer.response.count(LUCKY)) for answer in answers]


def stream_of(corpus: Corpus, rows: int = 2) -> PackedStream:
    tokens, offsets = corpus
    return PackedStream(tokens, offsets, np.random.default_rng(1).permutation(300), 32, rows)


def source_of(reference: Decoder, plan: RolloutPlan = ROLLOUTS, pretrain: PackedStream | None = None) -> RolloutSource:
    return RolloutSource(PROMPTS, plan, count_lucky, "count of 7", reference, pretrain)


@pytest.fixture
def models(model: Decoder, config: DecoderConfig) -> PPOModels:
    return PPOModels(model, ValueModel(Decoder(config, seed=8), seed=8))


@pytest.fixture
def reference(model: Decoder) -> Decoder:
    """Not the actor's weights, so that the KL terms are not zero."""
    other = copy.deepcopy(model)
    with torch.no_grad():
        other.output.weight.mul_(0.8)
    return other


def test_batch_is_what_the_models_say(models: PPOModels, reference: Decoder) -> None:
    """Every column of a batch is recomputed row by row, unpadded, from the answer's own token ids."""
    batch = source_of(reference).batch(0, models)
    prompts = {prompt.id: prompt for prompt in PROMPTS}
    assert len(set(batch.lengths.tolist())) > 1
    for row, name in enumerate(batch.ids):
        length, begin = int(batch.lengths[row]), len(prompts[name].tokens)
        tokens = batch.tokens[row, :length]
        assert tuple(tokens[:begin].tolist()) == prompts[name].tokens
        assert batch.response_mask[row].nonzero()[:, 0].tolist() == list(range(begin, length))
        assert batch.scores[row] == (tokens[begin:] == LUCKY).sum()
        assert batch.stopped[row] == (tokens[-1] == STOP)
        with torch.no_grad():
            whole = [model(tokens[None])[0, :-1].log_softmax(-1) for model in (models.actor, reference)]
            values = models.critic.values(tokens[None])[0, begin - 1 : -1]
        actor, frozen = (w.gather(1, tokens[1:, None])[begin - 1 :, 0] for w in whole)
        mask = torch.ones(1, length - begin, dtype=torch.bool)
        rewards = token_rewards(batch.scores[row, None], actor[None], frozen[None], mask)
        advantages, returns = generalised_advantages(rewards, values[None], mask)
        entropies = -(whole[0].exp() * whole[0]).sum(-1)[begin - 1 :]
        for found, expected in (
            (batch.logprobs, actor), (batch.sampler_logprobs, actor), (batch.reference_logprobs, frozen),
            (batch.entropies, entropies), (batch.advantages, advantages[0]), (batch.returns, returns[0]),
        ):  # fmt: skip
            torch.testing.assert_close(found[row, begin:length], expected, atol=1e-4, rtol=1e-4)
            assert found[row, :begin].count_nonzero() == found[row, length:].count_nonzero() == 0


def test_rollouts_are_a_function_of_weights_seed_and_iteration(models: PPOModels, reference: Decoder) -> None:
    """Another process with the same weights samples the same bits, whatever ran before; another seed does not."""
    torch.manual_seed(1)
    first = source_of(reference)
    first.batch(0, models)
    later = first.batch(4, models)
    torch.manual_seed(2)
    assert_equal(source_of(reference).batch(4, models), later)
    other = source_of(reference, replace(ROLLOUTS, seed=4)).batch(4, models)
    assert other.ids != later.ids


def assert_equal(one: RolloutBatch, other: RolloutBatch) -> None:
    assert one.ids == other.ids
    for name, column in one._tensors().items():
        assert torch.equal(column, other._tensors()[name]), name


def test_an_iterations_updates_share_its_rollouts(models: PPOModels, reference: Decoder) -> None:
    """Every epoch visits each answer once, in its own order; logprobs stay those of the weights that sampled."""
    source = source_of(reference)
    updates = [source.batch(0, models)]
    with torch.no_grad():
        models.actor.output.weight.mul_(1.1)
    updates += [source.batch(step, models) for step in (1, 2, 3)]
    epochs = [updates[0].ids + updates[1].ids, updates[2].ids + updates[3].ids]
    assert epochs[0] != epochs[1]
    assert sorted(epochs[0]) == sorted(epochs[1])
    assert len(set(epochs[0])) == 8
    old = {name: column for update in updates[:2] for name, column in zip(update.ids, update.logprobs, strict=True)}
    for update in updates[2:]:
        assert all(torch.equal(column, old[name]) for name, column in zip(update.ids, update.logprobs, strict=True))


def test_steps_inside_an_iteration_need_its_beginning(models: PPOModels, reference: Decoder) -> None:
    """A run that resumes where the sampling weights are gone is told so; asking anew for an iteration samples anew."""
    source = source_of(reference)
    with pytest.raises(ValueError, match="step 5 is inside iteration 1"):
        source.batch(5, models)
    before = source.batch(4, models)
    with torch.no_grad():
        models.actor.output.weight.mul_(1.5)
    assert not torch.equal(source.batch(4, models).logprobs, before.logprobs)
    with pytest.raises(ValueError, match="another object than the frozen reference"):
        source_of(models.actor).batch(0, models)


def test_every_pass_asks_every_prompt_once() -> None:
    """The order is shuffled per pass, and iterations that do not divide the prompts lose and repeat none."""
    order = PromptOrder(prompts=10, per_iteration=4, seed=5)
    draws = np.concatenate([order.indices(iteration) for iteration in range(5)])
    assert sorted(draws[:10]) == sorted(draws[10:]) == list(range(10))
    assert draws[:10].tolist() != draws[10:].tolist()
    assert np.array_equal(order.indices(3), PromptOrder(10, 4, 5).indices(3))
    assert not np.array_equal(order.indices(0), PromptOrder(10, 4, 6).indices(0))


def test_prompts_that_do_not_fit_are_listed() -> None:
    """An oversize or empty prompt is named with its reason; equal ids, or nothing left, are errors."""
    prompts = [Prompt("fits", (1,) * 6), Prompt("long", (1,) * 7), Prompt("empty", ())]
    kept, dropped = fitting(prompts, max_new_tokens=4, max_length=10)
    assert kept == prompts[:1]
    assert [(d.id, d.reason) for d in dropped] == [
        ("long", "7 tokens and 4 new ones exceed 10"),
        ("empty", "it has no tokens"),
    ]
    with pytest.raises(ValueError, match="none of the 2 prompts fits"):
        fitting(prompts[1:], 4, 10)
    with pytest.raises(ValueError, match="ids must differ"):
        fitting([prompts[0], prompts[0]], 4, 10)


def test_only_the_reward_model_sees_the_system_prompt(
    models: PPOModels, reference: Decoder, config: DecoderConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The condition's tokens reach the reward model of their domain; actor, critic and reference never read one."""
    system = {"a": (90, 91, 92), "b": (93, 94)}
    rewarder = RewardModel(Decoder(config, seed=6), seed=6)
    seen: dict[str, list[Tensor]] = {"actor": [], "reference": [], "critic": [], "reward": []}
    decoders = {"actor": models.actor, "reference": reference, "critic": models.critic.decoder}
    for name, decoder in (decoders | {"reward": rewarder.decoder}).items():
        decoder.tok_embeddings.register_forward_pre_hook(lambda module, inputs, name=name: seen[name].append(inputs[0]))
    # Response tokens are sampled from the first ninety only, so that a condition's token can come from nowhere else.
    kept = batching.kept_tokens
    below = torch.arange(config.vocab_size) < 90
    monkeypatch.setattr(batching, "kept_tokens", lambda logits, *rest: kept(logits, *rest[:3], below.expand_as(logits)))
    reward = ConditionalReward(rewarder, system, closing=(95, 96), rows=3)
    source = RolloutSource(
        PROMPTS, replace(ROLLOUTS, critic_warmup_iterations=0, top_p=0.99), reward, "model", reference
    )
    batch = source.batch(0, models)
    ppo_objective().sums(models, batch)
    for name in ("actor", "reference", "critic"):
        assert seen[name]
        assert all(int(tokens.max()) < 90 for tokens in seen[name])
    prompts = {prompt.id: prompt for prompt in PROMPTS}
    answers = dict(zip(batch.ids, batch.tokens, strict=True))
    for row, (name, tokens) in enumerate(answers.items()):
        whole = (*system[prompts[name].domain], *tokens[: batch.lengths[row]].tolist(), 95, 96)
        assert any(whole == tuple(r[: len(whole)].tolist()) for tensor in seen["reward"] for r in tensor)
        with torch.no_grad():
            expected = rewarder.scores(torch.tensor([whole]))[0, -1].item()
        assert batch.scores[row].item() == pytest.approx(expected, abs=1e-5)


def test_reward_input_is_token_ids_as_sampled(config: DecoderConfig) -> None:
    """System turn, prompt, response, closing; a first token of the whole text stays first; unknown domains stop."""
    answer = Answer(Prompt("p", (1, 50, 51), "a"), (60, 96))
    assert reward_tokens(answer, (90, 91), (95,), bos=1) == [1, 90, 91, 50, 51, 60, 96, 95]
    assert reward_tokens(answer, (90, 91), (95,)) == [90, 91, 1, 50, 51, 60, 96, 95]
    reward = ConditionalReward(RewardModel(Decoder(config)), {"a": (90, 91), "b": ()}, (95,))
    assert reward.max_answer_tokens == 64 - 2 - 1
    with pytest.raises(ValueError, match="domain 'c'"):
        reward([Answer(Prompt("p", (1,), "c"), (60,))])


@pytest.mark.parametrize(
    ("scores", "message"), [([1.0] * 7, "7,"), ([1.0] * 7 + [math.nan], "no finite score for 1 answers")]
)
def test_a_broken_reward_stops_the_run(
    models: PPOModels, reference: Decoder, scores: list[float], message: str
) -> None:
    """A reward that loses an answer or divides by zero ends the run with the prompt's name, not as a bad policy."""
    source = RolloutSource(PROMPTS, ROLLOUTS, lambda answers: scores, "broken", reference)
    with pytest.raises(TrainingFailed, match=message):
        source.batch(0, models)


def test_sampler_and_trainer_apart_is_a_warning(
    models: PPOModels, reference: Decoder, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A sampler that computes another policy is warned of and reported, and only then."""
    objective = ppo_objective()
    with caplog.at_level(logging.WARNING):
        batch = source_of(reference).batch(0, models)
    assert caplog.records == []
    assert objective.sums(models, batch)["logprob_gap"].item() < 1e-3 * batch.response_tokens
    sample = experience.sample
    monkeypatch.setattr(
        experience, "sample", lambda *a, **k: replace(found := sample(*a, **k), logprobs=found.logprobs - 0.3)
    )
    with caplog.at_level(logging.WARNING):
        batch = source_of(reference).batch(0, models)
    assert "differ by up to 0.3 nats" in caplog.text
    assert objective.sums(models, batch)["logprob_gap"].item() == pytest.approx(0.3 * batch.response_tokens, rel=1e-3)


def test_token_scores_equal_trl(model: Decoder) -> None:
    """Log-probabilities and entropies are those of TRL's functions on the same logits, across a chunk's edge."""
    trl = pytest.importorskip("trl.trainer.utils")
    generator = torch.Generator().manual_seed(0)
    hidden, targets = torch.randn(600, 48, generator=generator), torch.randint(0, 97, (600,), generator=generator)
    weight = model.output.weight.detach()
    logits = hidden @ weight.T
    torch.testing.assert_close(token_logprobs(hidden, weight, targets), trl.selective_log_softmax(logits, targets))
    torch.testing.assert_close(token_entropies(hidden, weight), trl.entropy_from_logits(logits))
    certain = token_entropies(torch.ones(1, 1), torch.tensor([[0.0], [float("-inf")]]))
    assert certain.tolist() == [0.0]


def test_small_dtypes_score_in_float32(model: Decoder) -> None:
    """A bfloat16 policy's logprobs keep float32 digits of its own logits."""
    tokens = torch.arange(20).view(2, 10)
    mask = torch.arange(10).expand(2, -1) > 3
    half = model.bfloat16()
    found = response_logprobs(half, tokens, mask)
    assert found.dtype == torch.float32
    expected = half(tokens)[:, :-1].float().log_softmax(-1).gather(2, tokens[:, 1:, None])[..., 0]
    torch.testing.assert_close(found[:, 1:][mask[:, 1:]], expected[mask[:, 1:]], atol=2e-2, rtol=1e-2)
    assert found[~mask].count_nonzero() == 0


def gradients(models: PPOModels) -> dict[str, Tensor]:
    found = {name: p.grad.clone() for name, p in models.named_parameters() if p.grad is not None}
    models.zero_grad()
    return found


def test_mixed_gradient_is_the_combination(models: PPOModels, reference: Decoder, corpus: Corpus) -> None:
    """The actor's gradient is that of the policy mean plus half that of the pretrain mean; the critic has its own."""
    source = source_of(reference, replace(ROLLOUTS, critic_warmup_iterations=0), stream_of(corpus))
    source.batch(0, models)
    batch = source.batch(1, models)
    with torch.no_grad():
        models.actor.output.weight.add_(0.01)
    mask, pretrain = batch.response_mask, batch.pretrain
    assert pretrain is not None
    policy = policy_sum(response_logprobs(models.actor, batch.tokens, mask), batch.logprobs, batch.advantages, mask)
    (policy / mask.sum() + 0.5 * next_token_sums(models.actor, pretrain)["loss"] / pretrain.trained_tokens).backward()
    errors = (values_before(models.critic, batch.tokens) - batch.returns)[mask].square()
    errors.mean().backward()
    expected = gradients(models)
    objective = ppo_objective()
    TorchBackend(models, PLAN).accumulate(objective, [batch], objective.counts(batch))
    found = gradients(models)
    assert found.keys() == expected.keys()
    for name, gradient in found.items():
        torch.testing.assert_close(gradient, expected[name], atol=1e-6, rtol=1e-4, msg=name)


def test_accumulation_changes_no_gradient(models: PPOModels, reference: Decoder, corpus: Corpus) -> None:
    """Micro-batches of ragged answers and their pretrain rows give the whole batch's gradient and means."""
    plan = replace(ROLLOUTS, critic_warmup_iterations=0, minibatches=1)
    batch = source_of(reference, plan, stream_of(corpus, 4)).batch(0, models)
    backend, objective = TorchBackend(models, PLAN), ppo_objective()
    results = []
    for parts in (1, 4):
        split = batch.split(parts)
        assert sum(part.n_tokens for part in split) == batch.n_tokens
        means = backend.accumulate(objective, split, objective.counts(batch))
        results.append((means, gradients(models)))
    assert results[0][0] == pytest.approx(results[1][0], rel=1e-4, abs=1e-6)
    for name, gradient in results[0][1].items():
        torch.testing.assert_close(results[1][1][name], gradient, atol=1e-6, rtol=1e-3, msg=name)
    with pytest.raises(ValueError, match="8 rollouts and 4 pretrain rows do not divide into 8 parts"):
        batch.split(8)


def test_metrics_at_the_first_update(models: PPOModels, corpus: Corpus) -> None:
    """Before anything moved the ratio is one everywhere, and an actor that is the reference has no KL."""
    source = source_of(copy.deepcopy(models.actor), replace(ROLLOUTS, critic_warmup_iterations=0), stream_of(corpus))
    batch = source.batch(0, models)
    objective = ppo_objective(PPOConfig(), source.identity())
    sums, divisors = objective.sums(models, batch), objective.counts(batch)
    assert sums.keys() == divisors.keys()
    assert all(value.dtype == torch.float32 and value.ndim == 0 for value in sums.values())
    assert sums["kl_k1"].item() == sums["kl_k3"].item() == sums["clip_fraction"].item() == 0
    assert sums["update_kl"].item() == pytest.approx(0, abs=1e-4)
    assert sums["score"].item() == batch.scores.sum()
    assert sums["response_length"].item() == divisors["policy"] == batch.response_tokens
    assert divisors["score"] == 4
    assert (sums["pretrain_share"].item(), divisors["pretrain_share"]) == (2 * 32, batch.lengths.sum())
    assert objective.identity["reward"] == "count of 7"
    assert objective.identity["ppo.clip_range"] == 0.2


def test_the_heaviest_batch_has_the_longest_prompt_and_response(
    models: PPOModels, reference: Decoder, corpus: Corpus
) -> None:
    """The pre-flight's batch is as large as any of the run, though no rollout was made, and has a gradient."""
    source = source_of(reference, pretrain=stream_of(corpus))
    heaviest = source.heaviest_batch(12, models)
    assert heaviest.tokens.shape == (4, 6 + 10)
    objective = ppo_objective()
    means = TorchBackend(models, PLAN).accumulate(objective, heaviest.split(2), objective.counts(heaviest))
    assert all(math.isfinite(value) for value in means.values())


def test_what_a_run_needs_is_asked_first(reference: Decoder, corpus: Corpus, caplog: pytest.LogCaptureFixture) -> None:
    """Parts of iterations, too few pretrain rows and impossible plans are errors before the first rollout."""
    source = source_of(reference, pretrain=stream_of(corpus))
    source.require(12)
    with pytest.raises(ValueError, match="10 steps are not whole iterations of 4"):
        source.require(10)
    with pytest.raises(StreamTooShort):
        source.require(4000)
    with pytest.raises(ValueError, match="multiple of minibatches 3"):
        replace(ROLLOUTS, minibatches=3)
    with pytest.raises(ValueError, match="epochs must be at least 1"):
        replace(ROLLOUTS, epochs=0)
    with pytest.raises(ValueError, match="clip_range must be positive"):
        PPOConfig(clip_range=0.0)
    long = RolloutSource(
        [*PROMPTS, Prompt("long", (1,) * 60)], ROLLOUTS, count_lucky, "count", reference, max_length=30
    )
    assert [prompt.id for prompt in long.dropped] == ["long"]
    assert "prompt long is never asked" in caplog.text


def fresh(config: DecoderConfig) -> tuple[PPOModels, Decoder]:
    """New models whose actor is the reference, and whose critic comes from a reward model."""
    actor = Decoder(config, seed=1)
    critic = critic_from_reward(RewardModel(Decoder(config, seed=2)))
    return PPOModels(actor, critic), copy.deepcopy(actor)


def run(
    source: RolloutSource,
    models: PPOModels,
    folder: Path,
    plan: TrainingPlan = PLAN,
    on_step: Callable[[StepRecord], None] | None = None,
) -> TrainingReport:
    objective = ppo_objective(identity=source.identity())
    return train(models, source, plan, folder, "data", on_step, objective)


def test_the_actor_rests_through_the_critics_warmup(config: DecoderConfig, corpus: Corpus, tmp_path: Path) -> None:
    """Not one bit of the actor moves, weight decay included, while every part of the critic does; then both move."""
    models, reference = fresh(config)
    plan = replace(ROLLOUTS, critic_warmup_iterations=2)
    digests: list[tuple[str, str]] = []

    def note(record: StepRecord) -> None:
        digests.append((weights_digest(models.actor), weights_digest(models.critic)))

    run(source_of(reference, plan, stream_of(corpus)), models, tmp_path, on_step=note)
    before = weights_digest(reference)
    assert [actor for actor, _ in digests[:8]] == [before] * 8
    assert len({actor for actor, _ in digests[7:]}) == 5
    assert len({critic for _, critic in digests}) == 12


def test_the_critic_learns_faster(models: PPOModels) -> None:
    """InternLM2's 5e-6 for the critic against 1e-6 for the actor, in the optimizer's own groups."""
    backend = TorchBackend(models, PLAN)
    scales = {id(p): group["scale"] for group in backend._optimizer.param_groups for p in group["params"]}
    for name, parameter in models.named_parameters():
        if parameter.requires_grad:
            assert scales[id(parameter)] == (5.0 if name.startswith("critic") else 1.0)


class Killed(BaseException):
    """Stands for a kill between two steps."""


@pytest.mark.parametrize("killed_after", [3, 5, 6, 9])
def test_resumed_run_is_bit_equal(config: DecoderConfig, corpus: Corpus, tmp_path: Path, killed_after: int) -> None:
    """A run killed at or inside an iteration, warm-up or not, resumes at an iteration's start and ends bit for bit."""

    def die(record: StepRecord) -> None:
        if record.step + 1 == killed_after:
            raise Killed

    whole, reference = fresh(config)
    expected = run(source_of(reference, pretrain=stream_of(corpus)), whole, tmp_path / "whole")
    resumed, _ = fresh(config)
    with pytest.raises(Killed):
        run(source_of(reference, pretrain=stream_of(corpus)), resumed, tmp_path / "cut", on_step=die)
    resumed, _ = fresh(config)
    report = run(source_of(reference, pretrain=stream_of(corpus)), resumed, tmp_path / "cut")
    assert report.resumed_from == ((killed_after - 1) // 4 * 4 or None)  # a step is told before it is saved
    assert report.losses == expected.losses
    assert weights_digest(resumed) == weights_digest(whole)


def test_it_learns(config: DecoderConfig, tmp_path: Path) -> None:
    """Rewarded for one token, the policy writes it: a wrong sign, shift or mask anywhere cannot pass."""
    models, reference = fresh(config)
    plan = replace(
        ROLLOUTS, prompts_per_iteration=32, minibatches=2, epochs=2, max_new_tokens=8, critic_warmup_iterations=2
    )
    records: list[StepRecord] = []
    training = replace(PLAN, steps=160, peak_lr=2e-3, weight_decay=0.0, checkpoint_every=160)
    run(source_of(reference, plan), models, tmp_path, training, on_step=records.append)
    scores = [record.means["score"] for record in records]
    assert np.mean(scores[:8]) < 0.5
    assert np.mean(scores[-8:]) > 3
    assert records[-1].means["kl_k3"] > 0


def test_counts_name_every_term(models: PPOModels, reference: Decoder) -> None:
    """While the critic warms up the actor's terms are counted as none, so that nothing divides by them."""
    batch = source_of(reference).batch(0, models)
    assert not batch.train_actor
    objective = ppo_objective()
    sums, divisors = objective.sums(models, batch), counts(batch)
    assert set(objective.coefficients) <= set(divisors)
    assert {name for name, count in divisors.items() if count == 0} == {
        "policy",
        "clip_fraction",
        "update_kl",
        "pretrain",
        "pretrain_share",
    }
    assert sums.keys() == {name for name, count in divisors.items() if count}


def test_bfloat16_rolls_out_and_trains(config: DecoderConfig, corpus: Corpus, tmp_path: Path) -> None:
    """In bfloat16 the copy that computes also samples, so that the policy of the rollouts is the one updated."""
    models, reference = fresh(config)
    records: list[StepRecord] = []
    plan = replace(ROLLOUTS, critic_warmup_iterations=1)
    source = source_of(reference.bfloat16(), plan, stream_of(corpus))
    run(source, models, tmp_path, replace(PLAN, dtype="bfloat16", accumulation=2), records.append)
    assert records[4].means["clip_fraction"] == 0
    assert records[4].means["update_kl"] == pytest.approx(0, abs=1e-3)
    assert max(record.means["logprob_gap"] for record in records) < 0.02
    assert all(parameter.dtype == torch.float32 for parameter in models.parameters())


def test_noise_differs_between_iterations(models: PPOModels, reference: Decoder) -> None:
    """The same weights asked the same prompt again explore anew."""
    plan = replace(ROLLOUTS, prompts_per_iteration=1, minibatches=1, epochs=1)
    source = RolloutSource(PROMPTS[:1], plan, count_lucky, "count of 7", reference)
    assert source.batch(0, models).tokens.tolist() != source.batch(1, models).tokens.tolist()


def test_pretrain_rows_begin_with_the_actors_training(models: PPOModels, reference: Decoder, corpus: Corpus) -> None:
    """No pretrain row is spent on the warm-up: the first update of the actor reads the stream's first batch."""
    source, stream = source_of(reference, pretrain=stream_of(corpus)), stream_of(corpus)
    assert source.batch(0, models).pretrain is None
    for step in (4, 5):
        found = source.batch(step, models).pretrain
        assert found is not None
        assert torch.equal(found.tokens, stream.batch(step - 4).tokens)

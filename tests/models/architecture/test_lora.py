"""Low-rank adapters."""

import copy
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from models.architecture.decoder import Decoder
from models.architecture.huggingface import to_llama
from models.architecture.lora import LoraSettings, add_lora, load_adapters, merge_lora, save_adapters

TOKENS = torch.randint(0, 97, (2, 30), generator=torch.Generator().manual_seed(0))
SETTINGS = LoraSettings(rank=4, alpha=12.0)


def train(model: Decoder, steps: int = 5) -> None:
    """A few steps as the objectives take them: states first, then the output's weight."""
    optimizer = torch.optim.AdamW((p for p in model.parameters() if p.requires_grad), lr=1e-2)
    for _ in range(steps):
        logits = model.hidden_states(TOKENS[:, :-1]) @ model.output.weight.T
        F.cross_entropy(logits.flatten(0, 1), TOKENS[:, 1:].flatten()).backward()
        optimizer.step()
        optimizer.zero_grad()


def logits_of(model: Decoder) -> torch.Tensor:
    with torch.inference_mode():
        logits: torch.Tensor = model(TOKENS)
        return logits


def test_new_adapters_change_no_bit(model: Decoder) -> None:
    """Training starts from the base model, still a Decoder with all that the objectives reach for."""
    before, state = logits_of(model), torch.get_rng_state()
    adapted = add_lora(model, SETTINGS)
    assert torch.equal(state, torch.get_rng_state())
    assert adapted is model
    assert isinstance(adapted, Decoder)
    assert torch.equal(logits_of(adapted), before)


def test_only_adapters_train(model: Decoder) -> None:
    """Optimizer steps move every adapter and nothing else; the adapters move the logits."""
    base = copy.deepcopy(model)
    add_lora(model, SETTINGS)
    start = copy.deepcopy(dict(model.named_parameters()))
    train(model)
    changed = {name for name, parameter in model.named_parameters() if not torch.equal(parameter, start[name])}
    assert changed == {name for name in start if ".lora_" in name}
    assert len(changed) == 2 * 5 * 2
    assert not torch.allclose(logits_of(model), logits_of(base), atol=1e-2)


@pytest.mark.parametrize("targets", [("wqkv",), ("wqkv", "wo", "w1", "w2", "w3")])
def test_merged_equals_unmerged(model: Decoder, targets: tuple[str, ...]) -> None:
    """Merging leaves a plain decoder, ready for export and full training, with the adapted logits."""
    names = [name for name, _ in model.named_parameters()]
    add_lora(model, LoraSettings(rank=4, alpha=12.0, targets=targets))
    train(model)
    expected = logits_of(model)
    merged = merge_lora(model)
    assert [name for name, _ in merged.named_parameters()] == names
    assert all(parameter.requires_grad for parameter in merged.parameters())
    torch.testing.assert_close(logits_of(merged), expected, atol=1e-5, rtol=1e-5)
    assert "model.layers.1.self_attn.q_proj.weight" in to_llama(merged)
    add_lora(merged, SETTINGS)


def test_adapters_travel_alone(model: Decoder, tmp_path: Path) -> None:
    """Saved adapters give the same logits on the base again, and train on from there; other tensors stay behind."""
    base = copy.deepcopy(model)
    add_lora(model, SETTINGS)
    train(model)
    save_adapters(model, tmp_path)
    size = (tmp_path / "adapter_model.safetensors").stat().st_size
    assert size < 4 * sum(p.numel() for p in model.parameters() if p.requires_grad) + 10_000
    loaded = load_adapters(base, tmp_path)
    assert torch.equal(logits_of(loaded), logits_of(model))
    trainable = {name for name, parameter in loaded.named_parameters() if parameter.requires_grad}
    assert trainable == {name for name, parameter in model.named_parameters() if parameter.requires_grad}


def test_peft_itself_loads_them(model: Decoder, tmp_path: Path) -> None:
    """The folder is one of peft's: its own loader puts the same adapters into the same decoder."""
    from peft import PeftModel

    base = copy.deepcopy(model)
    add_lora(model, SETTINGS)
    train(model)
    save_adapters(model, tmp_path)
    theirs = PeftModel.from_pretrained(base, str(tmp_path))
    with torch.inference_mode():
        assert torch.equal(theirs(TOKENS), logits_of(model))


def test_adapters_come_from_the_seed_alone(model: Decoder) -> None:
    """Equal seeds start equal runs, whatever was drawn before."""
    drawn = []
    for seed in (1, 1, 2):
        adapted = add_lora(copy.deepcopy(model), SETTINGS, seed=seed)
        drawn.append([parameter for name, parameter in adapted.named_parameters() if "lora_A" in name])
        torch.rand(3)
    assert all(torch.equal(a, b) for a, b in zip(drawn[0], drawn[1], strict=True))
    assert not any(torch.equal(a, b) for a, b in zip(drawn[0], drawn[2], strict=True))


def test_dropout_acts_in_training_only(model: Decoder) -> None:
    """Adapters' dropout moves the training pass and leaves evaluation alone."""
    add_lora(model, LoraSettings(rank=4, alpha=12.0, dropout=0.5))
    train(model)
    assert not torch.equal(logits_of(model), logits_of(model))
    model.eval()
    assert torch.equal(logits_of(model), logits_of(model))


def test_adapters_of_another_shape_are_refused(model: Decoder, tmp_path: Path) -> None:
    """Adapters of another model are an error, not a model with some layers adapted."""
    save_adapters(add_lora(copy.deepcopy(model), SETTINGS), tmp_path)
    for change in ({"dim": 96}, {"n_layers": 3}, {"n_layers": 1}):
        with pytest.raises(ValueError, match="do not fit"):
            load_adapters(Decoder(replace(model.config, **change)), tmp_path)


def test_wrong_order_is_refused(model: Decoder, tmp_path: Path) -> None:
    """Adapters on adapters, merging nothing and saving nothing are mistakes."""
    with pytest.raises(ValueError, match="no adapters"):
        merge_lora(model)
    with pytest.raises(ValueError, match="no adapters"):
        save_adapters(model, tmp_path / "none")
    add_lora(model, SETTINGS)
    with pytest.raises(ValueError, match="adapters already"):
        add_lora(model, SETTINGS)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rank": 0}, "rank 0"),
        ({"alpha": 0.0}, "alpha 0.0"),
        ({"dropout": 1.0}, "dropout"),
        ({"targets": ("w4",)}, "some of wqkv"),
        ({"targets": ()}, "some of wqkv"),
    ],
)
def test_impossible_settings_are_refused(change: dict[str, object], message: str) -> None:
    """A target that matches no layer would train less than was asked."""
    with pytest.raises(ValueError, match=message):
        LoraSettings(**change)  # type: ignore[arg-type]

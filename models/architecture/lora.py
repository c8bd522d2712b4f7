"""Low-rank adapters (Hu et al. 2021, arXiv 2106.09685) by `peft`, put into a decoder in place.

The decoder keeps its class and attributes, so that every objective trains it unchanged. `peft` is imported inside the
functions: it takes seconds.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

import torch
from safetensors.torch import load_file, save_file

from models.architecture.decoder import Decoder

if TYPE_CHECKING:
    from peft import LoraConfig

LINEAR_LAYERS = ("wqkv", "wo", "w1", "w2", "w3")
ADAPTER = "default"
ADAPTER_FILE = "adapter_model.safetensors"
# The prefix under which `peft.PeftModel` looks for its tensors.
PEFT_PREFIX = "base_model.model."


@dataclass(frozen=True)
class LoraSettings:
    """Which linear layers get adapters, and of what kind: each adds scale * B(A(dropout(x))), scale = alpha / rank.

    Raises ValueError for settings no adapter can have.
    """

    rank: int = 8
    alpha: float = 16.0
    dropout: float = 0.0
    targets: tuple[str, ...] = LINEAR_LAYERS

    def __post_init__(self) -> None:
        if self.rank < 1 or not self.alpha > 0:
            raise ValueError(f"rank {self.rank} must be at least 1 and alpha {self.alpha} positive")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout must be at least 0 and below 1, not {self.dropout}")
        if not self.targets or not set(self.targets) <= set(LINEAR_LAYERS):
            raise ValueError(f"targets must be some of {', '.join(LINEAR_LAYERS)}, not {self.targets}")


def add_lora(model: Decoder, settings: LoraSettings, seed: int = 0) -> Decoder:
    """Puts adapters into the decoder, freezes all else, and returns the same decoder.

    B starts at zero, so that the logits do not change; A is drawn from `seed` alone. Raises ValueError when the
    decoder has adapters already.
    """
    _inject(model, _peft_config(settings), seed)
    return model


def merge_lora(model: Decoder) -> Decoder:
    """Adds the adapters' products to the weights and removes them, in place: a plain decoder, trainable as a whole.

    Raises ValueError when there are none.
    """
    from peft.tuners.tuners_utils import BaseTunerLayer

    _require_adapters(model)
    for name, layer in list(model.named_modules()):
        if isinstance(layer, BaseTunerLayer):
            layer.merge()
            model.set_submodule(name, layer.get_base_layer())
    del model.peft_config
    return model.requires_grad_(True)


def save_adapters(model: Decoder, folder: Path) -> None:
    """Writes adapter_config.json and adapter_model.safetensors, as `peft` does: the adapters alone.

    Raises ValueError when the decoder has none.
    """
    from peft import get_peft_model_state_dict

    config = _require_adapters(model)
    folder.mkdir(parents=True, exist_ok=True)
    config.save_pretrained(str(folder))
    tensors = get_peft_model_state_dict(model, adapter_name=ADAPTER)
    content = {PEFT_PREFIX + name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    save_file(content, folder / ADAPTER_FILE, metadata={"format": "pt"})


def load_adapters(model: Decoder, folder: Path) -> Decoder:
    """Puts saved adapters into a decoder of the shape they were trained on, in place, and returns it.

    Raises ValueError when the decoder has adapters already, or the saved ones do not fit it.
    """
    from peft import LoraConfig, set_peft_model_state_dict

    config = LoraConfig.from_pretrained(str(folder))
    # Saved adapters are made for inference; these may train on.
    config.inference_mode = False
    _inject(model, cast(LoraConfig, config), seed=0)
    tensors = load_file(folder / ADAPTER_FILE)
    named = {name.removeprefix(PEFT_PREFIX): tensor for name, tensor in tensors.items()}
    try:
        report = set_peft_model_state_dict(model, named, adapter_name=ADAPTER)
    except RuntimeError as error:
        raise ValueError(f"the adapters in {folder} do not fit this decoder: {error}") from error
    missing = [name for name in report.missing_keys if ".lora_" in name]
    if missing or report.unexpected_keys:
        raise ValueError(
            f"the adapters in {folder} do not fit this decoder: missing {missing[:3]}, "
            f"unexpected {report.unexpected_keys[:3]}; load them into the model they were trained on"
        )
    return model


def _peft_config(settings: LoraSettings) -> "LoraConfig":
    from peft import LoraConfig

    return LoraConfig(
        r=settings.rank,
        # `peft` divides by the rank and takes fractions, too, though it declares a whole number.
        lora_alpha=cast(int, settings.alpha),
        lora_dropout=settings.dropout,
        target_modules=list(settings.targets),
        bias="none",
    )


def _inject(model: Decoder, config: "LoraConfig", seed: int) -> None:
    from peft import inject_adapter_in_model

    if hasattr(model, "peft_config"):
        raise ValueError("the decoder has adapters already; merge them first with merge_lora")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        inject_adapter_in_model(config, model, adapter_name=ADAPTER)


def _require_adapters(model: Decoder) -> "LoraConfig":
    configs = getattr(model, "peft_config", None)
    if not configs:
        raise ValueError("the decoder has no adapters; put some in with add_lora or load_adapters")
    config: LoraConfig = configs[ADAPTER]
    return config

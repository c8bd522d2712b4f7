"""What a decoding step computes between matrix products: compiled from `decode.cpp` on a CPU, in torch elsewhere.

Keys and values of a layer lie in blocks of 32 positions: keys [slots, blocks, kv_heads, head_dim, 32], values
[slots, blocks, kv_heads, 32, head_dim]. A slot holds one sequence.
"""

from __future__ import annotations

import ctypes
import functools
import hashlib
import logging
import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from models.architecture.rope import rotate

logger = logging.getLogger(__name__)
BLOCK = 32
SOURCE = Path(__file__).with_name("decode.cpp")
COMPILE = ("-c", "-O3", "-march=native", "-ffast-math", "-fopenmp", "-std=c++17", "-fPIC")
# Linked with -ffast-math, a library would round subnormal numbers to 0 in the whole process as it is loaded.
LINK = ("-shared", "-fopenmp")


class Kernels(Protocol):
    """All tensors are contiguous and of the model's dtype, but for int64 indices and float32 or float64 numbers."""

    name: str

    def attend(
        self, fused: Tensor, cos: Tensor, sin: Tensor, keys: Tensor, values: Tensor, slots: Tensor, places: Tensor
    ) -> Tensor:
        """The values [M, dim] that M new tokens attend to, each in its slot [M] at its place [M].

        `fused` [M, kv_heads * (group + 2) * head_dim] is the fused projection; rotated keys and values go into the
        caches; `cos` and `sin` [positions, head_dim] are the decoder's tables.
        """
        ...

    def add_norm(self, hidden: Tensor, added: Tensor | None, weight: Tensor, eps: float) -> Tensor:
        """Adds `added` to hidden [M, dim] in place, and gives the RMS norm of the sum."""
        ...

    def gate(self, both: Tensor) -> Tensor:
        """silu(w1 x) * w3 x [M, ffn_dim] of both products side by side [M, 2 * ffn_dim]."""
        ...

    def draw(self, logits: Tensor, temperature: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        """Tokens [M] and logprobs [M] float32 from logits [M, V], as `models.inference.drawing.draw` defines them."""
        ...


def kernels_for(device: torch.device, dtype: torch.dtype, head_dim: int) -> Kernels:
    """The compiled kernels where they can be used, else those in torch."""
    library = compiled_library() if device.type == "cpu" and head_dim % BLOCK == 0 else None
    if library is None or dtype not in (torch.float32, torch.bfloat16):
        return TorchKernels()
    return NativeKernels(library, dtype)


class TorchKernels:
    """The definition, on any device."""

    name = "torch"

    def attend(
        self, fused: Tensor, cos: Tensor, sin: Tensor, keys: Tensor, values: Tensor, slots: Tensor, places: Tensor
    ) -> Tensor:
        kv_heads, dim = keys.shape[2:4]
        heads = fused.view(len(fused), kv_heads, -1, dim)
        turned = rotate(heads[:, :, :-1], cos[places][:, None, None], sin[places][:, None, None])
        block, column = places // BLOCK, places % BLOCK
        keys[slots, block, :, :, column] = turned[:, :, -1]
        values[slots, block, :, column] = heads[:, :, -1]
        blocks = int(block.max()) + 1
        seen = torch.arange(blocks * BLOCK, device=places.device) <= places[:, None]
        key = keys[slots, :blocks].permute(0, 2, 3, 1, 4).flatten(3).float()
        value = values[slots, :blocks].permute(0, 2, 1, 3, 4).flatten(2, 3).float()
        value = value.masked_fill(~seen[:, None, :, None], 0.0)  # what lies there was never written
        scores = (turned[:, :, :-1].float() @ key) * dim**-0.5
        weights = scores.masked_fill(~seen[:, None, None], float("-inf")).softmax(-1)
        return (weights @ value).to(fused.dtype).flatten(1)

    def add_norm(self, hidden: Tensor, added: Tensor | None, weight: Tensor, eps: float) -> Tensor:
        if added is not None:
            hidden += added
        return F.rms_norm(hidden, hidden.shape[-1:], weight, eps)

    def gate(self, both: Tensor) -> Tensor:
        gated, up = both.chunk(2, dim=-1)
        return F.silu(gated) * up

    def draw(self, logits: Tensor, temperature: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        from models.inference.drawing import draw

        return draw(logits, temperature, noise)


class Buffers:
    """Memory for outputs, kept between calls: allocating it anew costs as much as a small product."""

    def __init__(self, like: Tensor) -> None:
        self._like = like
        self._kept: dict[tuple[str, int], Tensor] = {}

    def take(self, name: str, rows: int, width: int) -> Tensor:
        """Memory [rows, width], the same for a name and width: what it held before is overwritten."""
        kept = self._kept.get((name, width))
        if kept is None or len(kept) < rows:
            kept = self._kept[name, width] = self._like.new_empty(rows, width)
        return kept[:rows]


class NativeKernels:
    """The same in C++. An output is overwritten by the next call."""

    name = "native"

    def __init__(self, library: ctypes.CDLL, dtype: torch.dtype) -> None:
        suffix = str(dtype).removeprefix("torch.")
        pointer, number = ctypes.c_void_p, ctypes.c_int64
        self._attend = _function(library, f"attend_{suffix}", [pointer] * 8 + [number] * 5)
        self._add_norm = _function(library, f"add_norm_{suffix}", [pointer] * 4 + [number] * 2 + [ctypes.c_float])
        self._gate = _function(library, f"gate_{suffix}", [pointer] * 2 + [number] * 2)
        self._draw = _function(library, f"draw_{suffix}", [pointer] * 5 + [number] * 2)
        self._buffers = Buffers(torch.empty(0, dtype=dtype))

    def attend(
        self, fused: Tensor, cos: Tensor, sin: Tensor, keys: Tensor, values: Tensor, slots: Tensor, places: Tensor
    ) -> Tensor:
        rows = len(fused)
        _, blocks, kv_heads, dim, _ = keys.shape
        group = fused.shape[1] // (kv_heads * dim) - 2
        mixed = self._buffers.take("attend", rows, kv_heads * group * dim)
        self._attend(
            *_pointers(fused, cos, sin, keys, values, slots, places, mixed),
            rows, kv_heads, group, dim, blocks * BLOCK,
        )  # fmt: skip
        return mixed

    def add_norm(self, hidden: Tensor, added: Tensor | None, weight: Tensor, eps: float) -> Tensor:
        rows, dim = hidden.shape
        normalised = self._buffers.take("add_norm", rows, dim)
        pointer = None if added is None else added.data_ptr()
        self._add_norm(hidden.data_ptr(), pointer, *_pointers(weight, normalised), rows, dim, eps)
        return normalised

    def gate(self, both: Tensor) -> Tensor:
        rows, width = both.shape
        gated = self._buffers.take("gate", rows, width // 2)
        self._gate(*_pointers(both, gated), rows, width // 2)
        return gated

    def draw(self, logits: Tensor, temperature: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        rows, vocabulary = logits.shape
        tokens = torch.empty(rows, dtype=torch.int64)
        logprobs = torch.empty(rows, dtype=torch.float32)
        self._draw(*_pointers(logits, temperature, noise, tokens, logprobs), rows, vocabulary)
        return tokens, logprobs


def _function(library: ctypes.CDLL, name: str, arguments: list[type]) -> ctypes._NamedFuncPointer:
    function = library[name]
    function.argtypes = arguments
    function.restype = None
    return function


def _pointers(*tensors: Tensor) -> list[int]:
    assert all(tensor.is_contiguous() for tensor in tensors)
    return [tensor.data_ptr() for tensor in tensors]


@functools.cache
def compiled_library() -> ctypes.CDLL | None:
    """`decode.cpp`, compiled once per machine into the user's cache folder; None, with a warning, where that fails."""
    compiler = shutil.which(os.environ.get("CXX") or "g++")
    if compiler is None:
        logger.warning("no C++ compiler: generation goes on in torch at half the speed; install g++ to have it all")
        return None
    built = _cache_folder() / f"decode-{_build_key(compiler)}.so"
    try:
        if not built.exists():
            _compile(compiler, built)
        return ctypes.CDLL(str(built))
    except (OSError, subprocess.CalledProcessError) as error:
        detail = getattr(error, "stderr", "") or error
        logger.warning("%s does not compile here, generation goes on in torch at half the speed: %s", SOURCE, detail)
        return None


def _cache_folder() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "athanor"


def _build_key(compiler: str) -> str:
    """Digest of all that the compiled file depends on: a home folder may be shared by unlike machines."""
    version = subprocess.run([compiler, "--version"], capture_output=True, text=True, check=True).stdout
    processor = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith(("flags", "Feat"))]
    parts = [SOURCE.read_text(), *COMPILE, *LINK, version, *processor[:1]]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


def _compile(compiler: str, built: Path) -> None:
    built.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=built.parent) as folder:
        compiled, linked = str(Path(folder) / "decode.o"), Path(folder) / built.name
        for arguments in ((*COMPILE, str(SOURCE), "-o", compiled), (*LINK, compiled, "-o", str(linked), "-lm")):
            subprocess.run([compiler, *arguments], capture_output=True, text=True, check=True)
        linked.replace(built)

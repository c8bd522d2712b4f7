"""The engine in this process, for the models that the graph trains."""

from __future__ import annotations

import functools
import hashlib
import json
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from models.architecture.decoder import Decoder
from models.architecture.folder import end_ids
from models.architecture.huggingface import load_folder
from models.inference.batching import Draft, Watch, decode
from models.inference.decoding import DecodingModel
from models.inference.engine import Completion, Failed, Message, Request, Sample, Usage
from models.inference.watches import Both, Grammar, StopStrings, answer_text
from models.training.chat import Refused, generation_prompt, load_tokenizer
from models.training.checkpoint import weights_digest

if TYPE_CHECKING:
    from llguidance import LLTokenizer

MAX_SLOTS = 256
CACHE_BYTES = 4 * 1024**3


@dataclass
class _Asked:
    """A request whose answers are being made."""

    request: Request
    prompt: tuple[int, ...]
    started: float
    drafts: list[Draft] = field(default_factory=list)
    strings: list[StopStrings | None] = field(default_factory=list)
    unfinished: int = 0


class TorchEngine:
    """Answers from a checkpoint folder, many at a time.

    An answer is a pure function of request and identity: its noise comes from the request's seed alone, and what is
    computed beside it changes no bit of it (on processors whose matrix products order sums alike for any number of
    rows; a test shows it for the one at hand). At most `slots` sequences (default: 256, or what `cache_bytes` of keys
    and values allow) go on at once; on a CPU the cache takes memory only as it is filled.

    Raises ValueError for a folder that `load_folder` or the tokenizer refuse.
    """

    def __init__(
        self,
        folder: Path,
        *,
        dtype: torch.dtype = torch.float32,
        device: str = "cpu",
        slots: int = MAX_SLOTS,
        cache_bytes: int = CACHE_BYTES,
    ) -> None:
        self._dtype, self._device = dtype, torch.device(device)
        self._slots, self._cache_bytes = slots, cache_bytes
        self._tokenizer = load_tokenizer(folder)
        self._end_ids = end_ids(folder)
        self.load_weights(folder)

    def load_weights(self, folder: Path) -> None:
        """Takes the weights of another checkpoint folder with the same tokenizer."""
        decoder = load_folder(folder).to(self._device, self._dtype)
        fitting = max(1, self._cache_bytes // DecodingModel.slot_bytes(decoder))
        self._model = DecodingModel(decoder, min(self._slots, fitting))
        self._digest = weights_digest(decoder)

    def identity(self) -> dict[str, object]:
        """Weights, tokenizer and what orders the sums."""
        return {
            "engine": "torch",
            "weights": self._digest,
            "tokenizer": self._tokenizer_digest,
            "end_ids": sorted(self._end_ids),
            "dtype": str(self._dtype).removeprefix("torch."),
            "device": self._device.type,
            "kernels": self._model.kernels,
            "deterministic": True,
        }

    def close(self) -> None:
        """Frees nothing: the model lives as long as the engine."""

    def generate(self, requests: Iterable[Request]) -> Iterator[tuple[int, Completion | Failed]]:
        """Answers as they are finished; see `Engine.generate`. A request that cannot be answered is Failed."""
        refused: list[tuple[int, Failed]] = []
        asked: dict[int, _Asked] = {}
        for draft in decode(self._model, self._drafts(requests, asked, refused)):
            yield from refused
            refused.clear()
            assert isinstance(draft.group, int)
            own = asked[draft.group]
            own.unfinished -= 1
            if not own.unfinished:
                yield draft.group, self._completion(asked.pop(draft.group))
        yield from refused

    @property
    def decoder(self) -> Decoder:
        """What answers, for comparing its forward pass."""
        return self._model.decoder

    def _drafts(
        self, requests: Iterable[Request], asked: dict[int, _Asked], refused: list[tuple[int, Failed]]
    ) -> Iterator[Draft]:
        for index, request in enumerate(requests):
            try:
                prompt = self._prompt_ids(request)
                self._model.require_fit(len(prompt), request.sampling.max_new_tokens, "the prompt")
                own = _Asked(request, prompt, time.perf_counter(), unfinished=request.n)
                watches = [self._watch(request, own) for _ in range(request.n)]
            except ValueError as error:
                refused.append((index, Failed("refused", str(error))))
                continue
            asked[index] = own
            own.drafts = [self._draft(request, prompt, index, place, watch) for place, watch in enumerate(watches)]
            yield from own.drafts

    def _draft(self, request: Request, prompt: tuple[int, ...], index: int, place: int, watch: Watch | None) -> Draft:
        sampling = request.sampling
        # Seeds may be any whole number; a seed sequence takes those from 0.
        rng = np.random.default_rng([request.seed % 2**64, place])
        return Draft(
            prompt,
            sampling.max_new_tokens,
            rng.random(sampling.max_new_tokens).tolist(),
            temperature=sampling.temperature,
            top_k=sampling.top_k,
            top_p=sampling.top_p,
            stop_ids=self._end_ids | set(sampling.stop_ids),
            watch=watch,
            group=index,
        )

    def _prompt_ids(self, request: Request) -> tuple[int, ...]:
        """Raises ValueError for what the model cannot read."""
        prompt = request.prompt
        if isinstance(prompt, str):
            ids = tuple(self._tokenizer(prompt)["input_ids"])
        elif isinstance(prompt[0], Message):
            if self._tokenizer.chat_template is None:
                raise ValueError("the model's tokenizer has no chat template: give text or token ids")
            try:
                ids = tuple(generation_prompt(self._tokenizer, [each._asdict() for each in prompt]))  # type: ignore[union-attr]
            except Refused as error:
                raise ValueError(str(error)) from error
        else:
            ids = prompt  # type: ignore[assignment]
        vocabulary = self._model.decoder.config.vocab_size
        if ids and not 0 <= min(ids) <= max(ids) < vocabulary:
            raise ValueError(f"the prompt has token ids outside 0 to {vocabulary - 1}")
        return ids

    def _watch(self, request: Request, own: _Asked) -> Watch | None:
        stop = request.sampling.stop
        strings = StopStrings(self._tokenizer, stop) if stop else None
        own.strings.append(strings)
        if request.json_schema is None:
            return strings
        grammar = Grammar(self._grammar_tokenizer, request.json_schema)
        return grammar if strings is None else Both(grammar, strings)

    def _completion(self, own: _Asked) -> Completion:
        samples = tuple(
            self._sample(draft, strings, own.request.logprobs)
            for draft, strings in zip(own.drafts, own.strings, strict=True)
        )
        tokens = sum(len(draft.tokens) for draft in own.drafts)
        return Completion(samples, Usage(len(own.prompt), tokens), time.perf_counter() - own.started)

    def _sample(self, draft: Draft, strings: StopStrings | None, logprobs: bool) -> Sample:
        count, reason = len(draft.tokens), draft.finish_reason
        cut = strings.cut(draft.tokens) if strings is not None else None
        if cut is not None:
            count, text = cut
            reason = "stop"
        else:
            ended = draft.tokens[-1] in draft.stop_ids
            text = answer_text(self._tokenizer, draft.tokens[:-1] if ended else draft.tokens)
        chosen = tuple(draft.logprobs[:count]) if logprobs else None
        return Sample(text, reason, tuple(draft.tokens[:count]), chosen)

    @functools.cached_property
    def _tokenizer_digest(self) -> str:
        parts = [self._tokenizer.backend_tokenizer.to_str(), json.dumps(self._tokenizer.chat_template)]
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()

    @functools.cached_property
    def _grammar_tokenizer(self) -> LLTokenizer:
        from llguidance.hf import from_tokenizer

        vocabulary = self._model.decoder.config.vocab_size
        return from_tokenizer(self._tokenizer, n_vocab=vocabulary, eos_token=sorted(self._end_ids))

"""Training data as a folder of arrays, from which a training process of its own can be started.

Every array is a .npy file and is memory mapped when read, so that the data may be larger than memory and is shared by
the processes of one machine. `data.json` says what must be there and is written last: a folder without it is
unfinished.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.training.examples import Examples
from models.training.packing import PackedStream
from models.training.prompts import Prompt

DATA_FILE, IDS_FILE = "data.json", "ids.json"


class DataFolderError(ValueError):
    """A folder of training data cannot be used; the message names the file and the remedy."""


@dataclass(frozen=True)
class TokenStream:
    """What a PackedStream is made of, but for the shape of its batches; fields as there."""

    tokens: NDArray[np.unsignedinteger]
    offsets: NDArray[np.integer]
    draw_order: NDArray[np.integer]
    used_tokens: NDArray[np.integer] | None = None
    names: Sequence[str] | None = None

    def packed(self, sequence_length: int, batch_rows: int) -> PackedStream:
        return PackedStream(
            self.tokens, self.offsets, self.draw_order, sequence_length, batch_rows, self.used_tokens, self.names
        )


def save_examples(folder: Path, examples: Examples) -> None:
    """Writes the examples into `folder`. Raises DataFolderError when it holds data already."""
    arrays = {"tokens": examples.tokens, "offsets": examples.offsets, "trained": examples.trained}
    save_arrays(folder, "examples", arrays, examples.ids, {"documents_per_example": examples.documents_per_example})


def load_examples(folder: Path) -> Examples:
    """The examples in a folder of `save_examples`, memory mapped. Raises DataFolderError."""
    arrays, ids, settings = load_arrays(folder, "examples", ("tokens", "offsets", "trained"))
    try:
        return Examples(
            arrays["tokens"],
            arrays["offsets"],
            arrays["trained"],
            ids or [],
            int(str(settings["documents_per_example"])),
        )
    except (KeyError, ValueError) as error:
        raise DataFolderError(f"{folder} is not of one piece: {error}; build the data again") from error


def save_stream(folder: Path, stream: TokenStream) -> None:
    """Writes the stream into `folder`. Raises DataFolderError when it holds data already."""
    arrays = {"tokens": stream.tokens, "offsets": stream.offsets, "draw_order": stream.draw_order}
    if stream.used_tokens is not None:
        arrays["used_tokens"] = stream.used_tokens
    save_arrays(folder, "stream", arrays, stream.names, {})


def load_stream(folder: Path) -> TokenStream:
    """The stream in a folder of `save_stream`, memory mapped. Raises DataFolderError."""
    arrays, names, _ = load_arrays(folder, "stream", ("tokens", "offsets", "draw_order"))
    return TokenStream(arrays["tokens"], arrays["offsets"], arrays["draw_order"], arrays.get("used_tokens"), names)


def save_prompts(folder: Path, prompts: Sequence[Prompt]) -> None:
    """Writes the prompts into `folder`. Raises DataFolderError when it holds data already."""
    names = sorted({prompt.domain for prompt in prompts})
    arrays = {
        "tokens": np.array([token for prompt in prompts for token in prompt.tokens], dtype=np.uint32),
        "offsets": np.cumsum([0, *(len(prompt.tokens) for prompt in prompts)], dtype=np.int64),
        "domains": np.array([names.index(prompt.domain) for prompt in prompts], dtype=np.uint32),
    }
    save_arrays(folder, "prompts", arrays, [prompt.id for prompt in prompts], {"domain_names": names})


def load_prompts(folder: Path) -> list[Prompt]:
    """The prompts in a folder of `save_prompts`, in memory. Raises DataFolderError."""
    arrays, ids, settings = load_arrays(folder, "prompts", ("tokens", "offsets", "domains"))
    tokens, names = arrays["tokens"].tolist(), settings.get("domain_names")
    starts, domains = arrays["offsets"].tolist(), arrays["domains"].tolist()
    fits = ids is not None and isinstance(names, list) and all(domain < len(names) for domain in domains)
    if not fits or len(starts) != len(domains) + 1 or len(ids or []) != len(domains) or starts[-1] != len(tokens):
        raise DataFolderError(f"{folder} is not of one piece: ids, offsets and domains differ; build the data again")
    return [
        Prompt(name, tuple(tokens[begin:end]), names[domain])  # type: ignore[index]
        for name, (begin, end), domain in zip(ids or [], pairwise(starts), domains, strict=True)
    ]


def save_arrays(
    folder: Path,
    kind: str,
    arrays: Mapping[str, NDArray[np.generic]],
    ids: Sequence[str] | None,
    settings: Mapping[str, object],
) -> None:
    """Writes a folder of `kind`. Raises DataFolderError when it holds data already."""
    # A process may have the old arrays mapped: writing into them would change its data under its feet.
    if (folder / DATA_FILE).exists():
        raise DataFolderError(f"{folder / DATA_FILE} exists: remove the folder or save to another")
    folder.mkdir(parents=True, exist_ok=True)
    for name, array in arrays.items():
        np.save(folder / f"{name}.npy", array, allow_pickle=False)
    if ids is not None:
        (folder / IDS_FILE).write_text(json.dumps(list(ids), ensure_ascii=False), encoding="utf-8")
    described = {name: {"dtype": str(array.dtype), "shape": list(array.shape)} for name, array in arrays.items()}
    content = {"kind": kind, "arrays": described, "ids": None if ids is None else len(ids), **settings}
    unfinished = folder / f".unfinished-{DATA_FILE}"
    unfinished.write_text(json.dumps(content, indent=1))
    unfinished.rename(folder / DATA_FILE)


def load_arrays(
    folder: Path, kind: str, needed: Sequence[str]
) -> tuple[dict[str, NDArray], list[str] | None, dict[str, object]]:
    """The arrays, ids and settings of a folder of `kind`, memory mapped. Raises DataFolderError."""
    path = folder / DATA_FILE
    if not path.exists():
        raise DataFolderError(f"{path} is missing: {folder} is not training data, or its writing was cut off; build it")
    content = _read_json(path)
    if not isinstance(content, dict) or content.get("kind") != kind or not isinstance(content.get("arrays"), dict):
        raise DataFolderError(
            f"{path} does not describe data of the kind {kind!r}; start the objective it was made for"
        )
    absent = [name for name in needed if name not in content["arrays"]]
    if absent:
        raise DataFolderError(f"{path} names no array {absent[0]!r}; build the data again")
    arrays = {name: _read_array(folder / f"{name}.npy", about) for name, about in content["arrays"].items()}
    if content.get("ids") is None:
        return arrays, None, content
    ids = _read_json(folder / IDS_FILE)
    if not isinstance(ids, list) or len(ids) != content["ids"]:
        raise DataFolderError(f"{folder / IDS_FILE} does not hold the {content['ids']} ids of {path}; build it again")
    return arrays, ids, content


def _read_array(path: Path, about: Mapping[str, object]) -> NDArray:
    try:
        array: NDArray = np.load(path, mmap_mode="r", allow_pickle=False)
    except FileNotFoundError as error:
        raise DataFolderError(f"{path} is missing; build the data again") from error
    except (ValueError, OSError, EOFError) as error:
        raise DataFolderError(f"{path} is damaged: {error}; build the data again") from error
    if {"dtype": str(array.dtype), "shape": list(array.shape)} != about:
        raise DataFolderError(f"{path} has {array.dtype} {array.shape}, not {about}; build the data again")
    return array


def _read_json(path: Path) -> object:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise DataFolderError(f"{path} is missing; build the data again") from error
    except ValueError as error:
        raise DataFolderError(f"{path} is not valid JSON: {error}; build the data again") from error

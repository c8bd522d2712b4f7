"""Presets of all systems as Dagster run configuration."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import assets.clusterclip.config as clusterclip
import assets.corpora.config as corpora
import assets.internlm2.config as internlm2


@dataclass(frozen=True)
class Preset:
    """One preset of every system."""

    corpora: corpora.Config
    internlm2: internlm2.Config
    clusterclip: clusterclip.Config


PRESETS = {
    "tiny": Preset(corpora.TINY, internlm2.TINY, clusterclip.TINY),
    "paper": Preset(corpora.PAPER, internlm2.PAPER, clusterclip.PAPER),
}


def run_config(preset: Preset, plans: tuple[str, ...] = clusterclip.QUICK_PLANS) -> dict[str, Any]:
    """Run configuration for a job: paste it into the launchpad, or give it to `athanor demo --config`."""
    sections = {
        "corpora__python_library": preset.corpora.library,
        "corpora__files": preset.corpora.files,
        "corpora__documents": preset.corpora.documents,
        "corpora__clean_documents": preset.corpora.clean,
        "internlm2__tokenizer": preset.internlm2.tokenizer,
        "clusterclip__embeddings": preset.clusterclip.embed,
        "clusterclip__clusters": preset.clusterclip.cluster,
        "clusterclip__sampling_plan": preset.clusterclip.plan,
        **{f"clusterclip__checkpoint__{plan}": preset.clusterclip.train for plan in plans},
        **{f"clusterclip__scores__{plan}": preset.clusterclip.score for plan in plans},
    }
    return {"ops": {name: {"config": section.model_dump(mode="json")} for name, section in sections.items()}}

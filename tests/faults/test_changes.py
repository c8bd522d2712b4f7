"""After a change the main job rebuilds what depends on it, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from tests.faults.checkout import Checkout, published, tiny_config, write_config
from tests.faults.conftest import Undisturbed

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]
FOLLOWS_THE_CLIP = {
    "clusterclip/sampling_plan@0", "claims/clusterclip", "clusterclip/champion", "dbt",
    *(f"clusterclip/{stage}/{plan}@0" for stage in ("checkpoint", "scores") for plan in ("clusterclip", "s2g")),
}  # fmt: skip


@pytest.fixture
def own_checkout(tmp_path: Path) -> Checkout:
    """A copy that these tests may edit."""
    return Checkout(tmp_path / "checkout")


def test_changes(own_checkout: Checkout, undisturbed: Undisturbed, config: Path, corpus: Path, tmp_path: Path) -> None:
    """A comment rebuilds nothing; R rebuilds the plans and the arms that follow it; equal clusters end a rebuild."""
    home, before = undisturbed.home, published(undisturbed.home)

    own_checkout.edit("assets/clusterclip/kmeans.py", "from __future__", "# A comment.\nfrom __future__")
    comment = own_checkout.run(home, "demo", "--config", str(config))
    assert comment.code == 0, comment.err
    assert comment.built == set()
    assert len(comment.states) == len(undisturbed.done.states)
    assert published(home) == before

    clipped = tiny_config(corpus)
    clipped["ops"]["clusterclip__sampling_plan"]["config"]["clip_threshold"] = 2
    assert clipped != yaml.safe_load(config.read_text())
    changed = own_checkout.run(home, "demo", "--config", str(write_config(tmp_path / "clipped.yaml", clipped)))
    assert changed.code == 0, changed.err
    assert changed.built == FOLLOWS_THE_CLIP
    assert changed.states["clusterclip/checkpoint/random@0"] == "reused"
    assert changed.states["clusterclip/checkpoint/uniform@0"] == "reused"

    own_checkout.edit("assets/clusterclip/kmeans.py", "1 << 23", "1 << 22")
    cut_off = own_checkout.run(home, "demo", "--config", str(tmp_path / "clipped.yaml"))
    assert cut_off.code == 0, cut_off.err
    assert cut_off.built - {"dbt"} == {"clusterclip/clusters"}

    back = own_checkout.run(home, "demo", "--config", str(config))
    assert back.built <= {"dbt"}, "going back to an earlier configuration costs nothing"
    assert own_checkout.digests(home) == undisturbed.digests

"""What the samples of a policy depend on."""

from __future__ import annotations

from typing import Any

import pytest

from assets.core.policy_engine import PolicyEngineResource


@pytest.mark.parametrize(
    ("changed", "counts"),
    [
        ({"dtype": "bfloat16"}, True), ({"device": "cuda"}, True), ({"threads": 2}, True), ({"engine": "vllm"}, True),
        ({"python": "/opt/python"}, False), ({"tensor_parallel": 2}, False), ({"data_parallel": 2}, False),
    ],
)  # fmt: skip
def test_identity_tells_what_changes_samples(changed: dict[str, Any], counts: bool) -> None:
    """Protects reuse: what changes an answer rebuilds, what says where it is computed does not."""
    assert (PolicyEngineResource(**changed).identity() != PolicyEngineResource().identity()) is counts


def test_a_server_has_no_threads_of_ours() -> None:
    """Protects vLLM's answers from being asked again for a setting of the torch engine."""
    one, other = (PolicyEngineResource(engine="vllm", threads=threads) for threads in (1, 8))
    assert one.identity() == other.identity()

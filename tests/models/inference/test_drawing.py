"""Drawing tokens from logits."""

from collections.abc import Callable

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chisquare
from torch import Tensor

from models.inference.drawing import draw, kept_tokens
from models.inference.kernels import TorchKernels, kernels_for

Draw = Callable[[Tensor, Tensor, Tensor], tuple[Tensor, Tensor]]


@pytest.fixture(params=["torch", "native"])
def draws(request: pytest.FixtureRequest) -> Draw:
    """The definition, and what is compiled."""
    kernels = TorchKernels() if request.param == "torch" else kernels_for(torch.device("cpu"), torch.float32, 32)
    if kernels.name != request.param:
        pytest.skip("there is no C++ compiler")
    return kernels.draw


def uniform(count: int, seed: int = 2) -> Tensor:
    return torch.rand(count, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_frequencies_are_the_softmax(draws: Draw, temperature: float) -> None:
    """Over many draws each token comes as often as its probability says (chi-square, fixed seed)."""
    logits = torch.tensor([1.0, -0.5, 0.3, 2.0, 0.0])
    count = 20_000
    rows = logits.expand(count, -1).contiguous()
    tokens, logprobs = draws(rows, torch.full((count,), temperature), uniform(count))
    shares = (logits.double() / temperature).softmax(0)
    assert chisquare(torch.bincount(tokens, minlength=5).numpy(), (shares * count).numpy()).pvalue > 0.01
    torch.testing.assert_close(logprobs.double(), shares.log()[tokens], atol=1e-5, rtol=1e-5)


def test_temperature_zero_takes_the_likeliest(draws: Draw) -> None:
    """Whatever the noise; of equals the first. Its logprob is that at temperature 1."""
    logits = torch.tensor([[0.0, 3.0, 1.0, 3.0], [5.0, -1.0, 0.0, 2.0]])
    tokens, logprobs = draws(logits, torch.zeros(2), uniform(2))
    assert tokens.tolist() == [1, 0]
    torch.testing.assert_close(logprobs, logits.log_softmax(-1)[[0, 1], [1, 0]])


def test_noise_at_its_ends_stays_inside_the_set(draws: Draw) -> None:
    """The least and the greatest noise pick the first and the last token that can come, never an impossible one."""
    logits = torch.tensor([[-1e30, 0.0, -1e30, 0.0, -1e30]]).expand(2, -1).contiguous()
    ends = torch.tensor([0.0, 1 - 2**-53], dtype=torch.float64)
    assert draws(logits, torch.ones(2), ends)[0].tolist() == [1, 3]


def test_a_cut_leaves_logprobs_as_they_were() -> None:
    """A trainer recomputes the whole softmax: what was cut off before drawing must not show in the logprobs."""
    logits = torch.tensor([[0.0, 1.0, 2.0]])
    kept = torch.tensor([[True, False, False]])
    tokens, logprobs = draw(logits, torch.ones(1), torch.tensor([0.9], dtype=torch.float64), kept)
    assert tokens.tolist() == [0]
    torch.testing.assert_close(logprobs, logits.log_softmax(-1)[:, 0])


@pytest.mark.parametrize(("top_p", "kept"), [(0.3, 1), (0.5, 1), (0.51, 2), (0.8, 2), (0.81, 3), (1.0, 4)])
def test_top_p_keeps_the_smallest_sufficient_set(top_p: float, kept: int) -> None:
    """Of probabilities .5, .3, .15, .05 the fewest likeliest that reach top_p are kept."""
    probabilities = torch.tensor([[0.15, 0.5, 0.05, 0.3]], dtype=torch.float64)
    # A hair below the boundary: .5 and .8 are not exact in binary after the softmax.
    top = torch.tensor([top_p - 1e-9], dtype=torch.float64)
    mask = kept_tokens(probabilities.log(), torch.ones(1), torch.zeros(1), top)
    assert set(mask[0].nonzero()[:, 0].tolist()) == set([1, 3, 0, 2][:kept])


@given(
    st.lists(st.floats(-8, 8), min_size=2, max_size=12),
    st.integers(0, 12),
    st.floats(0.05, 1.0),
    st.sampled_from([0.0, 0.5, 1.0, 3.0]),
)
def test_the_cut_is_that_of_its_definition(logits: list[float], top_k: int, top_p: float, temperature: float) -> None:
    """First top-k, then top-p among what is left, likeliest first; against a loop over the sorted tokens."""
    wanted = torch.tensor([logits], dtype=torch.float64)
    mask = kept_tokens(wanted, torch.tensor([temperature]), torch.tensor([top_k]), torch.tensor([top_p]).double())
    order = sorted(range(len(logits)), key=lambda token: (-logits[token], token))[: top_k or None]
    weights = [((wanted[0, token] - max(logits)) / (temperature or 1.0)).exp().item() for token in order]
    expected, reached = set(), 0.0
    for token, weight in zip(order, weights, strict=True):
        share = reached / sum(weights)
        if expected and abs(share - torch.tensor([top_p]).double().item()) < 1e-9:
            return  # on the boundary rounding decides
        if share >= top_p and expected:
            break
        expected.add(token)
        reached += weight
    assert set(mask[0].nonzero()[:, 0].tolist()) == expected


def test_only_allowed_tokens_are_kept() -> None:
    """top-k and top-p choose among what a grammar allows, not before it."""
    logits = torch.tensor([[5.0, 4.0, 1.0, 0.0]])
    allowed = torch.tensor([[False, False, True, True]])
    everything = torch.ones(1, dtype=torch.float64)
    mask = kept_tokens(logits, torch.ones(1), torch.tensor([1]), everything, allowed)
    assert mask.tolist() == [[False, False, True, False]]

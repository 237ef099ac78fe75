"""Newton-Schulz: published coefficients, and what the iteration makes of singular values."""

import numpy as np
import pytest

import samestep as ss
from samestep.algorithms.muon import QUINTIC
from samestep.orthogonal import PUBLISHED, orthogonalized, triples
from samestep_conformance.golden.oracles import available


def test_the_lists_are_those_of_timm():
    assert available("timm"), "the extra `test` brings it"
    from timm.optim.muon import _COEFFICIENTS as theirs

    assert {"dion": tuple(theirs["quintic"]), "polar_express": tuple(theirs["polar_express"])} == PUBLISHED


def test_a_list_is_cut_or_its_last_goes_on():
    known = PUBLISHED["dion"]
    assert triples("dion", 3) == known[:3] and triples("dion", 7) == (*known, known[-1], known[-1])
    assert triples(QUINTIC, 2) == (QUINTIC, QUINTIC)


@pytest.mark.parametrize("coeffs, steps, low, high", [(QUINTIC, 5, 0.3, 1.3), ("polar_express", 8, 0.999, 1.001)])
@pytest.mark.parametrize("shape", [(64, 64), (24, 40), (40, 24), (2, 24, 40)])
def test_singular_values_come_near_one(shape, coeffs, steps, low, high):
    x = np.random.default_rng(3).normal(size=shape)
    x = x / np.linalg.norm(x, axis=(-2, -1), keepdims=True)
    found = np.linalg.svd(orthogonalized(np, x, shape[-2] > shape[-1], triples(coeffs, steps)), compute_uv=False)
    start = np.linalg.svd(x, compute_uv=False)
    assert low < found[start > 1e-3].min() and found.max() < high


@pytest.mark.parametrize("reshape", ["flatten", "batch"])
def test_leaves_of_nothing_have_nothing_to_flatten(reshape):
    optimizer = ss.muon(reshape=reshape)
    params = [np.zeros(shape) for shape in ((0, 3, 4), (3, 0, 4), (2, 3, 0))]
    stepped, _ = optimizer.step(params, params, optimizer.init(params))
    assert [p.shape for p in stepped] == [p.shape for p in params]

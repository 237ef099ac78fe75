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


@pytest.mark.parametrize(
    ("one", "other"), [("dion", PUBLISHED["dion"]), (QUINTIC, (QUINTIC,) * 5)], ids=["list", "one"]
)
def test_a_triple_for_each_step(one, other):
    p, g = np.ones((3, 2)), np.random.default_rng(0).normal(size=(3, 2))
    (found, _), (same, _) = (opt.step(p, g, opt.init(p)) for opt in (ss.muon(ns_coeffs=c) for c in (one, other)))
    assert np.array_equal(found, same) and not np.array_equal(found, p)
    with pytest.raises(ss.HyperparameterError, match="one for each of ns_steps=4"):
        ss.muon(ns_coeffs=PUBLISHED["dion"], ns_steps=4)


@pytest.mark.parametrize("coeffs, steps, low, high", [(QUINTIC, 5, 0.3, 1.3), ("polar_express", 8, 0.999, 1.001)])
@pytest.mark.parametrize("shape", [(64, 64), (24, 40), (40, 24), (2, 24, 40)])
def test_singular_values_come_near_one(shape, coeffs, steps, low, high):
    x = np.random.default_rng(3).normal(size=shape)
    x = x / np.linalg.norm(x, axis=(-2, -1), keepdims=True)
    found = np.linalg.svd(orthogonalized(np, x, shape[-2] > shape[-1], triples(coeffs, steps)), compute_uv=False)
    start = np.linalg.svd(x, compute_uv=False)
    assert low < found[start > 1e-3].min() and found.max() < high


def test_selected_matrices_run_adamw():
    """Also behind the mask and another scale; numbers of both reach them, and the state is one."""
    opt = ss.muon(aux_lr=0.1, weight_decay=0.1, select=("emb", "head.*"), maximize=True, cautious="mean")
    params = {"emb": np.eye(2), "w": np.eye(2), "head": {"w": np.eye(2)}}
    state = opt.init(params)
    assert state["v"]["w"] is None and state["v"]["emb"].shape == state["m"]["emb"].shape == (2, 2)
    new, state = opt.step(params, params, state, aux_lr=0.2, momentum=0.5)
    aux = ss.adamw(0.2, beta2=0.95, weight_decay=0.1, maximize=True, cautious="mean")
    expected, _ = aux.step(params, params, aux.init(params))
    assert np.array_equal(new["emb"], expected["emb"]) and np.array_equal(new["head"]["w"], expected["head"]["w"])
    plain = ss.muon(weight_decay=0.1, momentum=0.5, maximize=True, cautious="mean")
    assert np.array_equal(new["w"], plain.step(params, params, plain.init(params))[0]["w"])
    with pytest.raises(ss.ChainError, match="matches"):
        ss.muon(select=("none*",)).init(params)


@pytest.mark.parametrize("reshape", ["flatten", "batch"])
def test_leaves_of_nothing_have_nothing_to_flatten(reshape):
    optimizer = ss.muon(reshape=reshape)
    params = [np.zeros(shape) for shape in ((0, 3, 4), (3, 0, 4), (2, 3, 0))]
    stepped, _ = optimizer.step(params, params, optimizer.init(params))
    assert [p.shape for p in stepped] == [p.shape for p in params]

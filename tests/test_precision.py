"""Params of 16 bits: compensated sums, rounding by chance, and a copy in float32."""

import numpy as np
import optimi
import pytest
import torch

import samestep as ss
from samestep.errors import ChainError

SEED = 2026


def run(optimizer, params, grads, **options):
    state = optimizer.init(params)
    for g in grads:
        params, state = optimizer.step(params, g, state, **options)
    return params, state


# Kahan summation


@ss.direction(m=ss.zeros, v=ss.zeros)
def optimi_adam(u, m, v, t, *, rate, beta1=0.9, beta2=0.99, eps=1e-6):
    """torch-optimi's Adam in the dtype of the parameter: debiased moments, each intermediate rounded as it does."""
    xp = ss.array_namespace(u)
    kept1, kept2 = (beta1**t - beta1) / (beta1**t - 1), (beta2**t - beta2) / (beta2**t - 1)
    m = ss.rounded(m + (1 - kept1) * (u - m))
    v = ss.rounded(ss.rounded(v * kept2) + (1 - kept2) * u * u)
    return {"u": rate * m / ss.rounded(ss.rounded(xp.sqrt(v)) + eps), "m": m, "v": v}


@ss.update()
def optimi_decay(p, *, rate, weight_decay):
    return {"p": ss.rounded(p * (1 - rate * weight_decay))}


@pytest.mark.parametrize("weight_decay", [0.0, 1.0])
@pytest.mark.parametrize("donate", [False, True])
def test_kahan_is_that_of_optimi(weight_decay, donate):
    """AdamW in bfloat16, 40 steps: the same bits."""
    random = torch.Generator().manual_seed(SEED)
    start = torch.randn(8, 8, generator=random, dtype=torch.float64).to(torch.bfloat16)
    target = torch.randn(8, 8, generator=random, dtype=torch.float64).to(torch.bfloat16)
    theirs = start.clone().requires_grad_()
    peer = optimi.AdamW([theirs], 1e-2, betas=(0.9, 0.99), weight_decay=weight_decay, foreach=False, triton=False)
    decay = optimi_decay(rate=1e-2, weight_decay=weight_decay)
    optimizer = ss.chain(optimi_adam(rate=1e-2), decay, ss.descend(1.0), ss.kahan())
    ours, moved = start.clone(), 0
    state = optimizer.init(ours)
    for _ in range(40):
        noise = torch.randn(8, 8, generator=random, dtype=torch.float64).to(torch.bfloat16)
        g = theirs.detach() - target + noise
        theirs.grad = g.clone()
        peer.step()
        ours, state = optimizer.step(ours, g.clone(), state, donate=donate)
        assert torch.equal(ours, theirs.detach())
        assert torch.equal(state["c"].to(torch.bfloat16), peer.state[theirs]["kahan_comp"])
        moved += (state["c"] != 0).sum().item()
    assert moved > 1000  # it is not about nothing


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_kahan_keeps_what_rounding_loses(dtype):
    """2000 steps that are too small to be seen one by one."""
    small = {"float16": 1e-4, "float32": 1e-8}[dtype]
    params, grads = np.ones(4, dtype), [np.full(4, -small, np.float32)] * 2000
    plain, _ = run(ss.sgd(1.0), params, grads)
    summed, state = run(ss.chain(ss.sgd(1.0), ss.kahan()), params, grads)
    eps = np.finfo(dtype).eps
    assert np.all(plain == 1.0) and np.all(abs(summed.astype(np.float64) - 1 - 2000 * small) <= eps)
    lost = 2000 * float(eps) ** 2 / 4  # what c, of half an eps, loses itself when it is rounded
    assert np.all(abs(summed + state["c"].astype(np.float64) - 1 - 2000 * small) <= lost)


def test_kahan_keeps_what_a_decay_loses():
    params, grads = np.ones(4, np.float16), [np.zeros(4, np.float16)] * 1000
    plain, _ = run(ss.adamw(1e-3, weight_decay=0.1), params, grads)
    kept, _ = run(ss.chain(ss.adamw(1e-3, weight_decay=0.1), ss.kahan()), params, grads)
    assert np.all(plain == 1.0) and np.all(abs(kept - (1 - 1e-4) ** 1000) < 1e-3)


def test_kahan_takes_the_place_of_descend():
    by_hand = ss.chain(ss.scale_by_adam(), ss.decay(0.01), ss.kahan(1e-3))
    assert ss.chain(ss.adamw(1e-3), ss.kahan()) == by_hand == ss.chain(ss.kahan(), ss.adamw(1e-3))
    assert ss.chain(ss.adamw(1e-3), ss.kahan(1e-3)) == by_hand
    shrunk = ss.decay(0.1, mode="proximal")
    assert ss.chain(ss.sgd(0.1), shrunk, ss.kahan()) == ss.chain(ss.kahan(0.1), shrunk)
    with pytest.raises(ChainError, match=r"two parts give 'lr' different values, 0\.001 and 0\.1"):
        ss.chain(ss.adamw(1e-3), ss.kahan(0.1))
    for optimizer in (ss.ftrl(0.1), ss.sgd(0.1, momentum=0.9, form="velocity")):
        with pytest.raises(ChainError, match="kahan takes the place of descend, which this chain lacks"):
            ss.chain(optimizer, ss.kahan())


# Stochastic rounding; its vectors and its mean are in test_random.py


def test_stochastic_rounding_is_not_set_back_by_an_inner_clock():
    """Where the count starts again after every step, each step still draws anew."""
    params, grads = {"w": np.ones(512, np.float16)}, [{"w": np.full(512, -1e-4, np.float32)}] * 500
    again = ss.lookahead(k=1, alpha=1.0, reset="state")
    found, _ = run(ss.chain(ss.sgd(1.0), ss.stochastic_rounding(), again), params, grads)
    assert abs(found["w"].astype(np.float64).mean() - 1.05) < 2e-3 and len(np.unique(found["w"])) > 20


def test_wider_params_are_not_rounded():
    params, grads = {"w": np.ones(9)}, [{"w": np.full(9, 0.3)}] * 3
    assert np.array_equal(
        run(ss.chain(ss.adamw(), ss.stochastic_rounding()), params, grads)[0]["w"],
        run(ss.adamw(), params, grads)[0]["w"],
    )


# Master weights

CHAINS = {
    "adamw": [ss.clip_by_global_norm(1.0), ss.adamw(1e-2, weight_decay=0.1)],
    "coupled": [ss.sgd(1e-2, momentum=0.9, weight_decay=0.1)],
    "lamb": [ss.lamb(1e-2, weight_decay=0.1)],
    "lookahead": [ss.adam(1e-2), ss.lookahead(k=3, reset="state")],
    "gates": [ss.skip_nonfinite(), ss.accumulate(2), ss.lion(1e-3), ss.ema(0.9)],
    "ftrl": [ss.ftrl(0.1, beta=1.0)],
}


@pytest.mark.parametrize("name", CHAINS)
def test_master_weights_train_as_float32(name):
    """The copy is what float32 params would be, bit for bit; the params are that, rounded; wherever it is written,
    and in place too.
    """
    rng = np.random.default_rng(SEED)
    start = {leaf: rng.normal(size=shape).astype(np.float16) for leaf, shape in (("w", (5, 4)), ("b", (7,)), ("s", ()))}
    plain = ss.chain(*CHAINS[name])
    last, first = ss.chain(*CHAINS[name], ss.master_weights()), ss.chain(ss.master_weights(), *CHAINS[name])
    for chain, donate in ((last, False), (first, True)):
        wide = {leaf: p.astype(np.float32) for leaf, p in start.items()}
        half = {leaf: p.copy() for leaf, p in start.items()}
        state, wide_state = chain.init(half), plain.init(wide)
        for t in range(12):
            grads = {leaf: np.asarray(rng.normal(size=p.shape), np.float32) for leaf, p in start.items()}
            if t == 5:
                grads["b"] = None
            half, state = chain.step(half, grads, state, donate=donate)
            wide, wide_state = plain.step(wide, grads, wide_state)
            for leaf in start:
                assert np.array_equal(state["master"][leaf], wide[leaf])
                assert np.array_equal(half[leaf], wide[leaf].astype(np.float16)) and half[leaf].dtype == np.float16


def test_master_weights_in_bfloat16():
    params, grads = torch.ones(4, dtype=torch.bfloat16), [torch.full((4,), -1e-4)] * 2000
    found, state = run(ss.chain(ss.sgd(1.0), ss.master_weights()), params, grads)
    assert state["master"].dtype == torch.float32 and torch.allclose(state["master"], torch.tensor(1.2), 0, 1e-4)
    assert torch.equal(found, state["master"].to(torch.bfloat16))


def test_master_weights_start_again_at_the_params():
    optimizer, params = ss.chain(ss.adam(1e-2), ss.master_weights()), np.ones(3, np.float16)
    params, state = run(optimizer, params, [np.ones(3, np.float16)] * 3)
    again = optimizer.restart(2 * params, state)
    assert np.array_equal(again["master"], (2 * params).astype(np.float32))


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_a_page_knows_the_epsilon_of_the_params(dtype):
    """Adafactor's floor as torch has it: what a gradient that is next to nothing is divided by."""
    optimizer = ss.adafactor(1.0, eps=None, eps_mode="floor", scale_parameter=False)
    params, tiny = np.zeros(3, dtype), np.full(3, 2.0**-20 if dtype == "float16" else 2.0**-60, dtype)
    stepped, _ = optimizer.step(params, tiny, optimizer.init(params))
    assert np.array_equal(stepped, -tiny / np.finfo(dtype).eps) and stepped.dtype == dtype

"""Identities and invariants that the cards list, and no other test holds."""

import numpy as np
import pytest

import samestep as ss
from samestep.algorithms.ademamix import scale_by_ademamix
from samestep.trace.graph import reachable
from samestep.trace.ops import COSTLY, FREE, REDUCTIONS
from samestep_conformance.golden.problem import Recorded, wave

SEQUENCE = Recorded({"w": (6, 7)})  # gradients that do not depend on the params
STEPS = 30


def states(opt, start=None):
    """Params and state after each step of the recorded gradients."""
    params = np.zeros((6, 7)) if start is None else start
    state = opt.init(params)
    for t in range(1, STEPS + 1):
        params, state = opt.step(params, SEQUENCE.gradient({}, t)["w"], state)
        yield params, state


@pytest.fixture(autouse=True)
def evaluated():
    with ss.use_backend("numpy"):
        yield


def test_adan_has_the_mean_of_estimated_gradients():
    """Part C, 5.8: m + beta d is the mean of g + beta (g - g_prev), for equal betas and g_prev = 0 at first."""
    beta, g_prev, mean = 0.9, 0.0, 0.0
    opt = ss.adan(beta1=beta, beta2=beta)
    first = opt.init(np.zeros((6, 7)))
    for t, (_, state) in enumerate(states(opt), start=1):
        g = SEQUENCE.gradient({}, t)["w"]
        mean = beta * mean + (1 - beta) * (g + beta * (g - g_prev))
        g_prev = g
        d = state["d"] + beta ** (t - 1) * (1 - beta) * SEQUENCE.gradient({}, 1)["w"]  # Adan starts with g_prev = g
        assert np.abs(state["m"] + beta * d - mean).max() <= 1e-14
    assert set(first) == {"step", "m", "d", "n", "g_prev"}


@pytest.mark.parametrize("beta1, beta3", [(0.9, 0.99), (0.9, 0.9999), (None, 0.99)])
def test_ademamix_warms_up_its_half_life_in_a_straight_line(beta1, beta3):
    """Part C, 5.8: the decay of m_slow, seen in what is left of it where the gradient is 0."""
    zero, warmup = np.zeros(1), 20
    opt = ss.chain(scale_by_ademamix(beta1=beta1, beta3=beta3, beta3_warmup=warmup), ss.descend(0.1))
    state = opt.init(zero) | {"m_slow": np.ones(1)}
    assert ("m" in state) == (beta1 is not None)

    def life(b):
        return np.log(0.5) / np.log(b) - 1 if b else -1.0

    for t in range(1, 25):
        before = state["m_slow"]
        _, state = opt.step(zero, zero, state)
        w = min(t / warmup, 1)
        expected = (1 - w) * life(beta1) + w * life(beta3)
        assert life((state["m_slow"] / before)[0]) == pytest.approx(expected, rel=1e-9)


def followed(opt):
    return np.array([params for params, _ in states(opt)])


def test_the_forms_of_momentum_are_one_another():
    """Part B 1.2 and 1.3: for a constant lr, all of them; where it changes, the place of lr is seen."""
    classical = {"momentum": 0.9, "first_step": "zero"}
    for nesterov in (False, True):
        velocity = ss.sgd(0.1, momentum=0.9, form="velocity", nesterov=nesterov)
        assert np.abs(followed(velocity) - followed(ss.sgd(0.1, nesterov=nesterov, **classical))).max() <= 1e-13
        ema = ss.sgd(1.0, momentum=0.9, form="ema", nesterov=nesterov)
        assert np.abs(followed(ema) - followed(ss.sgd(0.1, nesterov=nesterov, **classical))).max() <= 1e-13
        forms = [ss.rmsprop(0.1, momentum=0.9, nesterov=nesterov, form=form) for form in ("classical", "velocity")]
        assert np.abs(followed(forms[0]) - followed(forms[1])).max() <= 1e-13
    changing = [ss.sgd(wave(0.1), momentum=0.9, form=form) for form in ("classical", "velocity")]
    assert np.abs(followed(changing[0]) - followed(changing[1])).max() > 0.1
    # dampening = momentum is the mean, but for the first step of torch
    ema, damped = ss.sgd(0.1, momentum=0.9, form="ema"), ss.sgd(0.1, momentum=0.9, dampening=0.9)
    assert np.abs(followed(ema) - followed(ss.sgd(0.1, dampening=0.9, **classical))).max() <= 1e-15
    assert np.abs(followed(ema) - followed(damped)).max() > 0.1


def test_decoupled_decay_is_the_proximal_one_to_first_order():
    """Part B 0: what is dropped is of second order in lr."""
    off = []
    for lr in (0.02, 0.01):
        words = ("decoupled", "proximal")
        found = [next(states(ss.adamw(lr, weight_decay=0.5, decay=word), np.ones((6, 7))))[0] for word in words]
        off.append(np.abs(found[0] - found[1]).max())
    assert 0 < off[1] < 1e-4 and off[0] / off[1] == pytest.approx(4, rel=0.05)


def test_the_first_step_of_adam_is_lr():
    """Part B 0: in float32 too, where 1 - 0.999^t of float32 is 1e-5 off; and traced: it is a number."""
    jax = pytest.importorskip("jax")
    opt, zero, g = ss.adam(1.0, eps=0.0), np.zeros(3, np.float32), np.array([0.3, -1e-4, 7.0], np.float32)
    found = [opt.step(zero, g, opt.init(zero))[0]]
    with ss.use_backend("jax-jit"):
        there = jax.numpy.asarray(zero)
        found.append(jax.jit(opt.step)(there, jax.numpy.asarray(g), opt.init(there))[0])
    for moved in found:
        np.testing.assert_allclose(np.asarray(moved), [-1, 1, -1], rtol=3e-7)


@pytest.mark.parametrize("eps_mode", ["outside", "inside"])
def test_adagrad_without_eps_waits_for_a_gradient(eps_mode):
    """Part B 3: no step where nothing is below, as in optax; and nan stays nan."""
    opt, params, zero, tiny = ss.adagrad(0.1, eps=0.0, eps_mode=eps_mode), np.ones(4), np.zeros(1), 1e-170
    new, state = opt.step(params, np.array([0.0, -0.0, np.nan, 2.0]), opt.init(params))
    np.testing.assert_allclose(new, [1, 1, np.nan, 0.9])
    assert opt.step(new, np.zeros(4), state)[0][3] == new[3]
    moved, _ = ss.adagrad(1.0, eps=1e-10, eps_mode=eps_mode).step(zero, zero + tiny, ss.adagrad().init(zero))
    assert moved[0] < 0  # n is 0 here too, as the square of what is small


@pytest.mark.parametrize("z0", ["prox", "zeros"])
def test_a_constant_l2_of_ftrl_is_a_beta(z0):
    """Part B 8.1: both centred at 0 it lowers the step size, and that is all; "prox" has that of beta at the start."""
    both = ss.ftrl(0.1, beta=0.5, l2=3.0, z0=z0), ss.ftrl(0.1, beta=0.5 + 0.1 * 3.0, z0=z0)
    assert np.abs(followed(both[0]) - followed(both[1])).max() <= 1e-14
    moved = [next(states(opt, np.ones((6, 7))))[0] for opt in both]
    assert (np.abs(moved[0] - moved[1]).max() > 0.1) == (z0 == "prox")


def test_yogi_stays_positive_and_moves_no_faster_than_adam():
    """Card C4: v > 0; it falls by (1 - beta2) g^2 at most."""
    before = np.full((6, 7), 1e-6)
    for t, (_, state) in enumerate(states(ss.yogi()), start=1):
        g = SEQUENCE.gradient({}, t)["w"]
        assert (state["v"] > 0).all()
        assert (np.abs(state["v"] - before) <= 0.001 * g * g * (1 + 1e-9) + 1e-18).all()
        before = state["v"]


def test_amsgrad_in_place_is_none_of_the_other_readings():
    """Part B 5.2: the handbook's final formula has 500, 334, ... for squares of 1; a window of two forgets."""

    def found(gradients):
        opt, p, v = ss.adam(amsgrad="inplace"), np.zeros(1), []
        state = opt.init(p)
        for g in gradients:
            p, state = opt.step(p, np.array([g]), state)
            v.append(state["v"].item())
        return np.array(v)

    def others(gradients, b=0.999):
        v, c = [0.0], 1 - b ** np.arange(len(gradients) + 1)
        for g in gradients:
            v.append(b * v[-1] + (1 - b) * g * g)
        v, before = np.array(v), np.array([0.0, 0.0, *(x / y for x, y in zip(v[1:-1], c[1:-1], strict=True))])
        return np.maximum(v, before)[1:] / c[1:], np.maximum(v[1:] / c[1:], before[1:])

    literal, window = others([1.0] * 5)
    assert literal[[1, 2, 4]].round().tolist() == [500, 334, 200] and abs(window - 1).max() < 1e-12
    assert abs(found([1.0] * 5) - 1).max() < 1e-12
    _, window = others([1.0, 0.0, 0.0, 0.0])
    np.testing.assert_allclose(window, [1.0, 1.0, 0.5, 1 / 3], rtol=1e-2)
    assert found([1.0, 0.0, 0.0, 0.0]).tolist() == [1.0] * 4


def test_where_laprop_has_lr_matters_under_a_schedule_alone():
    """Card C6: lr / lr_mean is 1 / (1 - beta1^t) while lr is constant."""
    for lr, least, most in ((0.01, 0.0, 1e-14), (wave(0.01), 1e-3, 1.0)):
        *_, (inside, _) = states(ss.laprop(lr))
        *_, (outside, _) = states(ss.laprop(lr, lr_in_momentum=False))
        assert least <= np.abs(inside - outside).max() <= most


def test_prodigy_has_its_largest_estimate_for_d():
    """Card C10: where nothing bounds its growth."""
    for growth, bounds in ((None, False), (1.02, True)):
        opt, p, found = ss.prodigy(growth_rate=growth), np.ones(3), []
        state = opt.init(p)
        for _ in range(20):
            p, state = opt.step(p, p, state)
            found.append((state["d"], state["d_max"]))
        assert all(d < largest if bounds else d == largest for d, largest in found[2:])
        assert 1e-6 < found[2][0] < found[-1][0]


def test_sm3_takes_nothing_over_nothing_for_nothing():
    """Card C7: g = 0 and A = 0 give 0, without eps too."""
    opt, p = ss.sm3(eps=0.0), np.ones((2, 2))
    found, _ = opt.step(p, np.array([[0.0, 0.0], [0.0, 2.0]]), opt.init(p))
    np.testing.assert_allclose(found, [[1.0, 1.0], [1.0, 1.0 - 0.1 * 0.1]], rtol=1e-15)


def test_mars_leaves_vectors_to_adamw():
    """Card C17: with their own decays and their own weight decay; matrices have none of these."""
    rng = np.random.default_rng(3)
    params = {"w": rng.normal(size=(3, 2)), "b": rng.normal(size=4)}
    makes = {
        "both": ss.mars(0.01, weight_decay=0.1, optimize_1d=False, weight_decay_1d=0.3),
        "w": ss.mars(0.01, weight_decay=0.1),
        "b": ss.adamw(0.01, beta1=0.9, beta2=0.95, weight_decay=0.3),
    }
    found = {}
    for name, opt in makes.items():
        p, state, noise = params, opt.init(params), np.random.default_rng(4)
        for _ in range(20):
            p, state = opt.step(p, {leaf: x + noise.normal(size=x.shape) for leaf, x in p.items()}, state)
        found[name] = p
    for leaf in params:
        np.testing.assert_allclose(found["both"][leaf], found[leaf][leaf], rtol=0, atol=1e-14)


def test_signs_of_zero_and_nan():
    """Cards 1 and C13: sign(0) is 0, and NaN stays NaN."""
    for opt in (ss.signum(1.0, beta=0.0), ss.lion(1.0), ss.tiger(1.0)):
        g = np.array([0.0, -0.0, np.nan, -2.0])
        found, _ = opt.step(np.zeros(4), g, opt.init(np.zeros(4)))
        np.testing.assert_array_equal(found, [0.0, 0.0, np.nan, 1.0])


@pytest.mark.parametrize("mode", ["outside", "inside", "hat"])
def test_adax_goes_on_where_its_sum_overflows(mode):
    """Card 8: (1 + beta2)^t leaves float32 after 890,000 steps and float64 after 7,100,000."""
    opt, m, v = ss.adax(0.5, eps_mode=mode, weight_decay=0.0), np.full(2, 3.0, "f4"), np.full(2, 4.0, "f4")
    for done in (10**6, 10**7):
        found, state = opt.step(np.zeros(2, "f4"), np.zeros(2, "f4"), {"step": done, "m": m, "v": v})
        np.testing.assert_allclose(found, -0.5 * 0.9 * 3.0 / 2.0, rtol=1e-6)
        np.testing.assert_allclose(state["v"], 4.0, rtol=1e-6)


def test_descent_follows_the_regularised_flow():
    """Part A, 10: on a quadratic, to the third order of lr in each step, the plain flow to the second."""
    curvature, off = np.array([0.5, 1.0, 2.0]), {}
    for lr in (0.02, 0.01):
        opt, p = ss.sgd(lr), np.ones(3)
        moved, _ = opt.step(p, curvature * p, opt.init(p))
        for name, slope in (("flow", curvature), ("regularised", curvature + lr / 2 * curvature**2)):
            off.setdefault(name, []).append(np.abs(moved - np.exp(-lr * slope)))
    assert np.allclose(off["flow"][0] / off["flow"][1], 4, rtol=0.03)
    assert np.allclose(off["regularised"][0] / off["regularised"][1], 8, rtol=0.05)


def test_three_momenta_that_are_one():
    """Part A 15 and 22: Padam's with partial 0, the mean of gradients, and their sum with lr (1 - beta)."""
    opts = ss.padam(0.1, partial=0.0, bias_correction=False), ss.sgd(0.1, momentum=0.9, form="ema")
    for (p, _), *others in zip(*map(states, (*opts, ss.sgd(0.1 * (1 - 0.9), momentum=0.9))), strict=True):
        assert abs(p).max() > 1e-3 and all(np.abs(p - other).max() <= 1e-14 for other, _ in others)


def test_soap_does_not_see_the_signs_of_its_bases():
    """Part A 20: v has squares alone, and each turn makes of one basis the other with its signs."""
    sequence, opt, rng, p = Recorded({"w": (5, 4)}), ss.soap(0.1, freq=2), np.random.default_rng(1), np.zeros((5, 4))
    q, of_p, of_q = p, opt.init(p), opt.init(p)
    for t in range(1, 10):
        g = sequence.gradient({}, t)["w"]
        p, of_p = opt.step(p, g, of_p)
        q, of_q = opt.step(q, g, of_q)
        np.testing.assert_allclose(q, p, rtol=0, atol=1e-11)
        np.testing.assert_allclose(abs(of_q["q1"]), abs(of_p["q1"]), rtol=0, atol=1e-9)
        assert t % 2 == 1 or abs(of_p["q1"] - of_q["q1"]).max() > 1e-3  # QR factors start from signs of their own
        of_q |= {basis: of_q[basis] * rng.choice([-1.0, 1.0], len(of_q[basis])) for basis in ("q0", "q1")}


ARITHMETIC = {  # part A, the class summary: elementwise, with reductions, with matrices
    "elementwise": (
        *(ss.lion(), ss.tiger(), ss.egd(0.1), ss.egd_pm(0.1), ss.eg_gains(0.1), ss.adaxw(), ss.adan(), ss.adopt()),
        *(ss.adabound(), ss.adabelief(), ss.padam(), ss.nadam(), ss.schedule_free_adamw(), ss.sgd(momentum=0.9)),
        *(ss.chain(ss.hidden_accumulation(2), ss.adam()), ss.chain(ss.agd(), ss.descend(0.1))),
    ),
    "reduced": (
        *(ss.c_adamw(), ss.amos(0.1), ss.adafactor(), ss.lars(), ss.lamb()),
        ss.chain(ss.clip_by_global_norm(1.0), ss.adan()),
    ),
    "matrices": (ss.shampoo(), ss.soap()),
}


def test_the_shape_of_the_arithmetic():
    sums = {"total", *REDUCTIONS, *(op for op in FREE if op.endswith("_axis"))} - {"numel"}
    for kind, optimizers in ARITHMETIC.items():
        for opt in optimizers:
            ops = {node.op for node in reachable(opt.chains[0].program((3, 4)).outputs.values())}
            found = "matrices" if ops & set(COSTLY) else "reduced" if ops & sums else "elementwise"
            assert found == kind, opt


@pytest.mark.parametrize("options", [{}, {"beta2": 0.9, "freq": 3}], ids=str)
def test_the_blocks_of_shampoo_are_leaves(options):
    """Card 19: each is preconditioned as if it stood alone; what fits into one block is whole."""
    sizes = {"matrix": (5, 4), "vector": (7,), "tensor": (4, 2, 5), "small": (3, 2), "scalar": ()}
    rng = np.random.default_rng(5)
    params = {name: rng.normal(size=shape) for name, shape in sizes.items()}
    cut = ss.shampoo(0.1, eps=0.1, momentum=0.9, block=3, **options)
    plain = ss.shampoo(0.1, eps=0.1, momentum=0.9, **options)

    def pieces(tree):
        found = {}
        for name, x in tree.items():
            for at in np.ndindex(*(-(-n // 3) for n in x.shape)):
                found[name + "".join(map(str, at))] = x[tuple(slice(3 * i, 3 * i + 3) for i in at)]
        return found

    state, alone = cut.init(params), pieces({k: v.copy() for k, v in params.items()})
    of_alone = plain.init(alone)
    assert state["h0"]["matrix"].shape == (4, 3, 3) and state["h1"]["tensor"].shape == (4, 2, 2)
    assert cut.state_bytes(params) == sum(
        x.nbytes for slot, tree in state.items() if slot != "step" for x in tree.values() if x is not None
    )
    for _ in range(5):
        grads = {name: rng.normal(size=shape) for name, shape in sizes.items()}
        params, state = cut.step(params, grads, state)
        alone, of_alone = plain.step(alone, pieces(grads), of_alone)
        for name, x in pieces(params).items():
            np.testing.assert_allclose(x, alone[name], rtol=1e-12, atol=1e-12)


def test_the_units_of_amos_are_leaves():
    """Card 3: v and b keep any axes; those of several axes are those of one, and those of entries stand alone."""
    rng, numbers = np.random.default_rng(3), {"eta": 0.5, "beta": 0.9, "momentum": 0.5, "clip": 1.0}
    whole, flat = ss.amos(0.1, unit_axis=(1, -1), **numbers), ss.amos(0.1, unit_axis=-1, **numbers)
    each, alone = ss.amos(0.1, unit_axis="each", **numbers), ss.amos(0.1, **numbers)
    p = q = rng.normal(size=(4, 2, 3))
    r, entries = p.reshape(4, 6), [np.asarray(x) for x in p.flat]
    states = whole.init(p), each.init(q), flat.init(r), alone.init(entries)
    assert states[0]["v_unit"].shape == (1, 2, 3) and states[1]["b_unit"].shape == (4, 2, 3)
    for _ in range(5):
        g = rng.normal(size=(4, 2, 3))
        (p, a), (q, b) = whole.step(p, g, states[0]), each.step(q, g, states[1])
        r, c = flat.step(r, g.reshape(4, 6), states[2])
        entries, d = alone.step(entries, [np.asarray(x) for x in g.flat], states[3])
        states = a, b, c, d
        np.testing.assert_allclose(p.reshape(4, 6), r, rtol=1e-14)
        np.testing.assert_allclose(q.ravel(), entries, rtol=1e-14)
    assert np.abs(p - q).max() > 1e-3
    rows = ss.RowSparse(np.array([1, 3]), np.ones((2, 2)))  # entries that stand alone can be stepped by rows
    start = ss.amos(0.1, unit_axis="each", eta=0.5)
    moved, _ = start.step(np.ones((5, 2)), rows, start.init(np.ones((5, 2))))
    assert ((moved != 1).all(axis=1) == [False, True, False, True, False]).all()
    for axes, found in (((0, 2), 2), (("a",), 3), ((True,), 3)):
        with pytest.raises(ss.HyperparameterError, match=f"are no axes of a leaf that has {found}: write groups"):
            ss.amos(0.1, unit_axis=axes, **numbers).init(np.ones((2, 3, 4)[:found]))


def test_lion_behind_the_rule_of_amos_is_su_s_advice():
    """Card 1, his article 9473: lr = a0 sigma / (kappa t + 1) and weight_decay = a0 / (2 sigma), kappa = 2 a0 speed."""
    a0, sigma, speed = 1e-2, 0.3, 4.0
    ruled = ss.chain(ss.scale_by_lion(), ss.amos_schedule(a0, eta=sigma, speed=speed))
    advised = ss.lion(lambda count: a0 * sigma / (2 * a0 * speed * (count + 1) + 1), weight_decay=a0 / (2 * sigma))
    p = q = np.linspace(-1, 1, 6)
    state, other = ruled.init(p), advised.init(q)
    for g in np.random.default_rng(4).normal(size=(STEPS, 6)):
        (p, state), (q, other) = ruled.step(p, g, state), advised.step(q, g, other)
        np.testing.assert_allclose(p, q, rtol=1e-13)


def test_adan_starts_again_with_the_gradient_itself():
    """Card 11: the first step after a restart is that of m = g, d = 0 and n = g^2; in the paper these are the state."""
    g = SEQUENCE.gradient({}, 1)["w"]
    for given in ({}, {"bias_correction": False, "m_init": "grad"}):
        opt = ss.adan(0.1, **given)
        *_, (params, state) = states(opt)
        moved, state = opt.step(params, g, opt.restart(params, state))
        np.testing.assert_allclose(params - moved, 0.1 * g / (np.abs(g) + 1e-8), rtol=1e-12, atol=1e-15)
        np.testing.assert_array_equal(state["g_prev"], g)
    np.testing.assert_array_equal([state["m"], state["d"], state["n"]], [g, 0 * g, g * g])

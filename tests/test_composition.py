"""The statements of the composition: when lazy equals greedy, when it does not, and that the minima are minima."""

import itertools

import numpy as np
import pytest

import samestep as ss
from samestep.composition import prox
from samestep_conformance.golden.problem import PROBLEMS, Recorded, wave

RULES = ("constant", "adagrad", "rmsprop", "online_rmsprop", "adam", "amsgrad", "radam")
RISING = ("adagrad", "online_rmsprop", "amsgrad")  # of whose h no entry ever falls
SEQUENCE = Recorded({"w": (6, 7)})  # gradients that do not depend on the params
STEPS = 60


@pytest.fixture(autouse=True)
def evaluated(request):
    """No kernels for programs that run once, but for a trace of JAX."""
    if "jit" in request.function.__name__:
        yield
        return
    with ss.use_backend("numpy"):
        yield


def noisy(p, t):
    """The recorded problem's gradient."""
    return PROBLEMS["vector"].gradient({"w": p, "b": np.zeros(7)}, t)["w"]


def recorded(p, t):
    return SEQUENCE.gradient({}, t)["w"]


def run(opt, gradient=noisy, start=None, steps=STEPS):
    """Params before and after every step, gradients and states."""
    params = PROBLEMS["vector"].params()["w"] if start is None else start
    state, found = opt.init(params), [(params, None, None)]
    for t in range(1, steps + 1):
        g = gradient(params, t)
        params, state = opt.step(params, g, state)
        assert np.isfinite(params).all()
        found.append((params, g, state))
    return found


def params_of(found):
    return np.array([p for p, *_ in found])


def apart(a, b):
    return np.abs(params_of(a) - params_of(b)).max()


def curvatures(found):
    """h after every step, of a lazy run."""
    return np.array([state["h_prev"] for _, _, state in found[1:]])


# A and G: without regularisers


@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize("rule", RULES)
def test_lazy_is_greedy_whatever_the_rule(rule, momentum):
    """Any ghat, any w_1, any lr, any sign of sigma."""
    for start in (None, np.zeros((5, 4))):
        lazy = run(ss.ftrl_proximal(wave(0.1), rule=rule, momentum=momentum), start=start)
        assert apart(lazy, run(ss.mirror_descent(wave(0.1), rule=rule, momentum=momentum), start=start)) <= 1e-13
    sigma = np.diff(
        curvatures(run(ss.ftrl_proximal(0.1, rule=rule, momentum=momentum), recorded, np.zeros((6, 7)))), axis=0
    )
    if rule in RISING or rule == "constant":
        assert (sigma >= 0).all()
    else:
        assert (sigma < 0).mean() > 0.3, "or the sign of sigma has not been tried"


def test_adam_breaks_where_a_gradient_is_below_what_came_before():
    """sigma < 0 where g^2 < v / (1 - beta2^(t-1)), the v before; part B, 4."""
    found = run(ss.ftrl_proximal(0.1, rule=ss.rules.adam(beta2=0.9, eps=0.0)), recorded, np.zeros((6, 7)))
    for t, ((_, _, before), (_, g, state)) in enumerate(itertools.pairwise(found[1:]), start=2):
        v = before["v"] / (1 - 0.9 ** (t - 1))
        clear = np.abs(g * g - v) > 1e-9 * v
        assert np.array_equal((state["h_prev"] < before["h_prev"])[clear], (g * g < v)[clear]) and clear.any()


def test_adam_is_a_cell():
    cell = {"rule": "adam", "momentum": 0.9, "bias_correction": True}
    for solver in (ss.mirror_descent, ss.ftrl_proximal):
        assert apart(run(solver(wave(0.1), **cell)), run(ss.adam(wave(0.1)))) <= 1e-13
    masked = run(ss.mirror_descent(wave(0.1), cautious="mean", **cell))
    assert apart(masked, run(ss.adam(wave(0.1), cautious="mean"))) <= 1e-13
    assert apart(masked, run(ss.adam(wave(0.1)))) > 1e-3


@ss.direction(n=ss.zeros)
def cube_root(g, n, *, lr: ss.positive, shift: ss.positive = 1.0):
    """A rule that no one has."""
    n = n + ss.array_namespace(g).abs(g) ** 3
    return {"h": (n ** (1 / 3) + shift) / lr, "n": n}


def test_a_rule_of_ones_own():
    greedy = run(ss.mirror_descent(wave(0.1), rule=cube_root(shift=0.5), l1=0.01))
    h = 0.5
    assert np.allclose(greedy[1][0], soft(greedy[0][0] - greedy[1][1] / curve(greedy, h), 0.01 / curve(greedy, h)))
    lazy = ss.ftrl_proximal(wave(0.1), rule=cube_root(shift=0.5), momentum=0.5)
    assert apart(run(lazy), run(ss.mirror_descent(wave(0.1), rule=cube_root(shift=0.5), momentum=0.5))) <= 1e-13


def curve(found, shift):
    return (np.abs(found[1][1]) + shift) / wave(0.1)(0)


def soft(x, by):
    return np.sign(x) * np.maximum(np.abs(x) - by, 0)


def test_a_mean_is_taken_before_the_regularisers():
    """G: the same as its own m, given as the gradient."""
    mean, m = run(ss.mirror_descent(0.1, momentum=0.9, l1=0.2, l2=0.1)), 0.0

    def fed(p, t):
        nonlocal m
        m = 0.9 * m + (1 - 0.9) * mean[t][1]
        return m

    assert apart(mean, run(ss.mirror_descent(0.1, l1=0.2, l2=0.1), fed)) <= 1e-14


# B and C: where the terms are centred


def test_centred_terms_are_another_algorithm():
    """B: the same for a constant lr from 0 alone; w <- (eta_t / eta_{t-1}) w - eta_t g."""
    for rule, start, same in (("constant", 0.0, True), ("constant", 1.0, False), ("adagrad", 0.0, False)):
        made = ss.rules.adagrad(eps=0.1) if rule == "adagrad" else rule
        greedy = run(ss.ftrl_proximal(0.1, rule=made), recorded, np.full((6, 7), start))
        centred = run(ss.ftrl_proximal(0.1, rule=made, centred=True), recorded, np.full((6, 7), start))
        h, w = curvatures(greedy), params_of(centred)[1:]
        gradients = np.array([g for _, g, _ in greedy[1:]])
        assert np.abs(w + np.cumsum(gradients, axis=0) / h).max() <= 1e-13
        assert np.allclose(w[1:], h[:-1] / h[1:] * w[:-1] - gradients[1:] / h[1:], rtol=0, atol=1e-13)
        assert apart(greedy, centred) <= 1e-13 if same else apart(greedy, centred) > 0.05
        assert "h_prev" not in centred[-1][2]


def test_first_params_are_kept_unless_the_start_is_centred_at_zero():
    """C and part B 8.2."""
    rule = ss.rules.adagrad(eps=0.5, initial_accumulator=0.1)
    greedy = run(ss.mirror_descent(0.1, rule=rule))
    assert apart(greedy, run(ss.ftrl_proximal(0.1, rule=rule))) <= 1e-13
    zeros = run(ss.ftrl_proximal(0.1, rule=rule, z0="zeros"))
    before, h = (0.5 + 0.1**0.5) / 0.1, zeros[1][2]["h_prev"]
    shrunk = greedy[0][0] * (1 - before / h) - zeros[1][1] / h
    assert np.abs(zeros[1][0] - shrunk).max() <= 1e-14 and apart(greedy, zeros) > 0.1
    at_zero = np.zeros((5, 4))
    same = run(ss.ftrl_proximal(0.1, rule=rule, z0="zeros"), start=at_zero)
    assert apart(same, run(ss.mirror_descent(0.1, rule=rule), start=at_zero)) <= 1e-13


def test_sigma_telescopes_under_a_schedule():
    """C and part B 8.3: other libraries' sigma does not."""
    rule = ss.rules.adagrad(eps=0.1)
    greedy = run(ss.mirror_descent(wave(0.5), rule=rule))
    assert apart(greedy, run(ss.ftrl_proximal(wave(0.5), rule=rule))) <= 1e-13
    assert apart(greedy, run(ss.ftrl_proximal(wave(0.5), rule=rule, framework_sigma=True))) > 0.1
    page = run(ss.ftrl(wave(0.5), beta=wave(1.0)))
    assert apart(page, run(ss.mirror_descent(wave(0.5), rule=ss.rules.adagrad(eps=wave(1.0))))) <= 1e-13
    n = 0.0
    power = lambda count: -0.3 - 0.1 * (count % 3)  # noqa: E731
    for t, ((w, *_), (new, g, _)) in enumerate(itertools.pairwise(run(ss.ftrl(0.1, lr_power=power)))):
        n = n + g * g
        assert np.abs(new - w + np.where(n > 0, 0.1 * g * (n + (n == 0)) ** power(t), 0.0)).max() <= 1e-12
    constant = run(ss.ftrl_proximal(0.5, rule=rule, framework_sigma=True))
    assert apart(run(ss.mirror_descent(0.5, rule=rule)), constant) <= 1e-13


def test_params_from_elsewhere_are_taken_up_by_restart():
    """Part B 11: with z and its h at 0 it goes on from there, with the n of the rule; untold, it goes back."""
    lazy, greedy = (solver(0.5, rule="adagrad") for solver in (ss.ftrl_proximal, ss.mirror_descent))
    *_, (params, _, state) = run(lazy, recorded, np.zeros((6, 7)), steps=5)
    moved, found = params + 1.0, {}
    for name, opt, start in (
        ("told", lazy, lazy.restart(moved, state, reset=["z"])),
        ("greedy", greedy, {"step": 0, "n": state["n"]}),
        ("untold", lazy, state),
    ):
        p = moved
        for t in range(1, 10):
            p, start = opt.step(p, recorded(p, t), start)
        found[name] = p
    assert np.abs(found["told"] - found["greedy"]).max() <= 1e-13
    assert np.abs(found["untold"] - found["greedy"]).max() > 0.1


# D: l1


def far(p, t):
    return np.sign(recorded(p, t)) * 0.01


@pytest.mark.parametrize("rule", ["constant", "adagrad", "adam"])
def test_lazy_l1_is_greedy_while_no_sign_changes(rule):
    """With l1_t - l1_{t-1} for l1 in the greedy step; with "fixed" that is l1 in the first step alone."""
    start = np.where(np.arange(42).reshape(6, 7) % 2, 9.0, -9.0)
    times = {
        "incremental": lambda t: t,
        "fixed": lambda t: min(t, 1),
        "sqrt": lambda t: t**0.5,
        "square": lambda t: t * t,
    }
    rule = getattr(ss.rules, rule)(**({"eps": 1.0} if rule != "constant" else {}))
    for schedule, total in times.items():
        lazy = run(ss.ftrl_proximal(0.1, rule=rule, l1=1e-3, l1_schedule=schedule), far, start)
        greedy = ss.mirror_descent(0.1, rule=rule, l1=lambda count, f=total: 1e-3 * (f(count + 1) - f(count)))
        assert apart(lazy, run(greedy, far, start)) <= 1e-12
        assert (np.sign(params_of(lazy)) == np.sign(start)).all() and apart(
            lazy, run(ss.ftrl_proximal(0.1, rule=rule), far, start)
        ) > 1e-5


def test_lazy_l1_is_sparser():
    lazy = run(ss.ftrl_proximal(0.1, rule="adagrad", l1=0.3), start=np.zeros((5, 4)))
    greedy = run(ss.mirror_descent(0.1, rule="adagrad", l1=0.3), start=np.zeros((5, 4)))
    assert apart(lazy, greedy) > 0.01
    zeros = [(params_of(found)[20:] == 0).mean() for found in (lazy, greedy)]
    assert zeros[0] > zeros[1]


@pytest.mark.parametrize(
    "schedule", ["incremental", "fixed", "sqrt", "square", "adaptive", lambda t, h: t**0.5 + 0 * h]
)
def test_every_l1_gives_exact_zeros_and_more_of_them(schedule):
    counts = []
    for l1 in (0.0, 0.02, 0.2, 2.0):
        opt = ss.ftrl_proximal(0.1, rule="adagrad", l1=l1, l1_schedule=schedule)
        counts.append(np.count_nonzero(run(opt, recorded, np.zeros((6, 7)))[-1][0]))
    assert counts == sorted(counts, reverse=True) and counts[0] > counts[2] and counts[-1] < 42


def test_adaptive_l1_is_one_threshold_in_weights():
    found = run(ss.ftrl_proximal(0.1, rule=ss.rules.adagrad(eps=0.1), l1=0.5, l1_schedule="adaptive"))
    for p, _, state in found[1:]:
        assert np.abs(p - soft(-state["z"] / state["h_prev"], 0.1 * 0.5)).max() <= 1e-14


# E: the exact lazy image of a greedy step


@ss.direction(w=ss.copy, last=ss.zeros, curve=ss.zeros)
def newest_alone(u, p, h, t, w, last, curve):
    """Replace the regulariser of the past by its subgradient there (McMahan, 2011)."""
    xp = ss.array_namespace(u)
    subgradient = xp.where(t == 1, 0.0, -(last + (p - w) * curve))
    return {"u": u + subgradient, "w": p, "last": u, "curve": xp.zeros_like(u) + h}


@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize("rule", RULES)
def test_greedy_with_a_regulariser_has_a_lazy_image(rule, momentum):
    greedy = run(ss.mirror_descent(wave(0.1), rule=rule, momentum=momentum, l1=0.05, l2=0.1))
    mean = [ss.momentum(momentum, form="ema")] if momentum else []
    weights = {"l1": 0.05, "l2": 0.1, "l1_schedule": "fixed", "l2_schedule": "fixed"}
    image = ss.chain(*mean, getattr(ss.rules, rule)(), newest_alone(), ss.lazy_step(lr=wave(0.1), **weights))
    assert apart(greedy, run(image)) <= 2e-11
    assert (params_of(greedy)[5:] == 0).any()


# F: l2


@pytest.mark.parametrize("rule", ["constant", "adagrad", "rmsprop"])
def test_l2(rule):
    l2, made = 0.1, getattr(ss.rules, rule)(**({"eps": 0.1} if rule != "constant" else {}))

    def lazy(schedule):
        return run(ss.ftrl_proximal(wave(0.1), rule=made, l2=l2, l2_schedule=schedule))

    def greedy(schedule):
        return run(ss.mirror_descent(wave(0.1), rule=made, l2=l2, l2_schedule=schedule))

    totals = {"classical": lambda t, h: t * l2, "fixed": lambda t, h: l2, "decoupled": lambda t, h: l2 * h}
    for schedule, total in totals.items():
        before = 0.0
        found = lazy(schedule)
        for t, ((w, *_), (new, g, state)) in enumerate(itertools.pairwise(found), start=1):
            h = state["h_prev"]
            after = total(t, h)
            assert np.abs(new - (w - (g + (after - before) * w) / (h + after))).max() <= 1e-13
            before = after
    assert apart(lazy("fixed"), greedy("fixed")) <= 1e-12
    assert apart(lazy("sum_inv_lr"), greedy("decoupled")) <= 1e-11
    for schedule in ("classical", "decoupled"):
        assert apart(lazy(schedule), greedy(schedule)) > 0.01


def test_greedy_l2_is_a_decay():
    found = run(ss.mirror_descent(0.1, rule="adagrad", l2=0.1, l2_schedule="decoupled"))
    lazy = run(ss.ftrl_proximal(0.1, l2=0.1, l2_schedule="decoupled"))
    n = 0.0
    for (w, *_), (new, g, _) in itertools.pairwise(found):
        n = n + g * g
        step = np.divide(0.1 * g, np.sqrt(n), out=np.zeros_like(g), where=n > 0)
        assert np.abs(new - np.where(n > 0, (w - step) / 1.1, new)).max() <= 1e-14
    for (w, *_), (new, g, _) in itertools.pairwise(lazy[1:]):
        assert np.abs(new - (w - 0.1 * g / 1.1)).max() <= 1e-14, "for a constant lr there is no decay after step 1"


@ss.direction()
def less_each_step(t, *, lr: ss.positive, l2: ss.nonnegative):
    """The constant rule with sigma lessened by l2 from the second step on."""
    return {"h": 1 / lr - (t - 1) * l2}


def test_classical_l2_is_greedy_with_less_sigma():
    """For t >= 2, as long as the sum of all sigma is above 0."""
    image = ss.ftrl_proximal(0.1, rule=less_each_step(l2=0.01), l2=0.01)
    assert apart(run(image), run(ss.mirror_descent(0.1, l2=0.01))) <= 1e-12


# Every cell: the argmin that defines it, from all gradients and params so far

L1 = {"incremental": lambda t, h: t, "fixed": lambda t, h: 1.0, "sqrt": lambda t, h: t**0.5,
      "square": lambda t, h: t * t, "adaptive": lambda t, h: 0.05 * h}  # fmt: skip
OTHER = ("half", "group_l2", "group_half", None)


def objective(w, p, u, h, terms, l1, l2, other, times):
    """Of the whole of a lazy step, or of a greedy one, entry by entry; a group's part in each entry of it."""
    size = np.linalg.norm(w, axis=-1, keepdims=True) + 0 * w
    r = {"half": np.abs(w) ** 0.5, "group_l2": size, "group_half": size**0.5, None: 0 * w}[other]
    at = np.array([s * (w - x) ** 2 / 2 for s, x in zip(terms, p, strict=True)]).sum(axis=0)
    smooth = u * w + l2 * w * w / 2 + at + times * l1 * np.abs(w)
    return smooth + times * 0.02 * r if other in ("half", None) else smooth.sum(-1) + times[..., 0] * 0.02 * r[..., 0]


def holds(w, *rest):
    """No step of 1e-5 along an axis goes down, and neither does 0."""
    here = objective(w, *rest)
    for i in range(w.shape[-1]):
        for by in (1e-5, -1e-5):
            assert (objective(w + by * (np.arange(w.shape[-1]) == i), *rest) >= here - 1e-13).all()
    assert (objective(0 * w, *rest) >= here - 1e-13).all()


@pytest.mark.parametrize("rule", RULES)
def test_every_lazy_cell_is_its_argmin(rule):
    """Each rule with each l1 and momentum; l2, what comes beside and the lr take turns."""
    for i, (l1, momentum) in enumerate(itertools.product(L1, (0.0, 0.9)), start=RULES.index(rule)):
        l2, other = [None, "classical", "fixed", "decoupled", "sum_inv_lr"][i % 5], OTHER[i % 4]
        other = None if other == "group_l2" and l1 == "adaptive" else other
        weights = {"l1": 0.01, "l1_schedule": l1} | ({"l2": 0.1, "l2_schedule": l2} if l2 else {})
        weights |= {other: 0.02} if other else {}
        made = getattr(ss.rules, rule)(**({} if rule == "constant" else {"eps": 0.1}))
        found = run(ss.ftrl_proximal(0.05, rule=made, momentum=momentum, **weights), steps=5)
        params, us, hs, m = [], 0.0, [np.zeros((5, 4))], 0.0
        for t, ((p, *_), (new, g, state)) in enumerate(itertools.pairwise(found), start=1):
            m = momentum * m + (1 - momentum) * g
            params, us = [*params, p], us + m
            hs.append(state["h_prev"] + 0 * p)
            terms, h = np.diff(np.array(hs), axis=0), hs[-1]
            if l2 == "sum_inv_lr":
                terms = terms - 0.1 * np.array(hs[:-1])
            total = {None: 0.0, "classical": t * 0.1, "fixed": 0.1, "decoupled": 0.1 * h}
            total["sum_inv_lr"] = 0.1 * sum(hs)
            holds(new, params, us, h, terms, 0.01, total[l2], other, L1[l1](t, h) + 0 * p)


@pytest.mark.parametrize("rule", RULES)
def test_every_greedy_cell_is_its_argmin(rule):
    """Each rule with each l2 and what comes beside; the h of a step is that of the lazy form, which the rule says."""
    cells = itertools.product(("classical", "decoupled", "fixed"), OTHER)
    for i, (l2, other) in enumerate(cells, start=RULES.index(rule)):
        made = getattr(ss.rules, rule)(**({} if rule == "constant" else {"eps": 0.1}))
        weights = {"l1": 0.01 * (i % 2), "l2": 0.1, "l2_schedule": l2} | ({other: 0.02} if other else {})
        found = run(ss.mirror_descent(0.05, rule=made, momentum=0.9 * (i % 3 > 0), **weights), steps=4)
        shown = ss.chain(made, ss.lazy_step(lr=0.05))
        state, m, c = shown.init(found[0][0]), 0.0, 0.9 * (i % 3 > 0)
        for t, ((p, *_), (new, g, _)) in enumerate(itertools.pairwise(found), start=1):
            _, state = shown.step(p, g, state)
            h, m = state["h_prev"] + 0 * p, c * m + (1 - c) * g
            h = h.mean(axis=-1, keepdims=True) + 0 * p if other == "group_half" else h
            by = 0.1 * h if l2 == "decoupled" else 0.1
            late = l2 == "fixed" and t > 1  # the same as beta / lr in h, but for the first step
            terms = [h + 0.1] if late else [h]
            holds(new, [p], m, h, terms, 0.01 * (i % 2), 0.0 if late else by, other, 1.0 + 0 * p)


# The minima


def minimum(*args, **kwargs):
    with np.errstate(all="ignore"):
        return prox.minimum(*args, **kwargs)


def drawn(seed, shape=(200, 5)):
    rng = np.random.default_rng(seed)
    return rng.normal(size=shape) * 3, np.exp(rng.normal(size=shape) * 2)


def test_l1_minimum():
    z, h = drawn(0)
    w = minimum(z, z, h, l1=1.0)
    inside = np.maximum(np.abs(z) - 1.0, 0)
    residual = np.where(w == 0, inside, z + h * w + np.sign(w)) / (1 + np.abs(z))
    assert np.abs(residual).max() <= 1e-14 and 0.1 < (w == 0).mean() < 0.9


@pytest.mark.parametrize("spread", [0.0, 1.0, 2.0])
@pytest.mark.parametrize("l1", [None, 0.5])
def test_group_minimum(l1, spread):
    """Subgradients within 1e-12, also where h spans orders of magnitude in a group."""
    z, h = drawn(1)
    h = h**spread
    w = minimum(z, z, h, l1=l1, group_l2=5.0)
    inner = z if l1 is None else soft(z, l1)
    norm = np.sqrt((w * w).sum(axis=1, keepdims=True))
    lost = norm[:, 0] == 0
    assert (np.linalg.norm(inner[lost], axis=1) <= 5.0).all() and 0.1 < lost.mean() < 0.9
    z, h, w, norm = z[~lost], h[~lost], w[~lost], norm[~lost]
    residual = z + h * w + 5.0 * w / norm
    if l1 is not None:
        residual = np.where(w == 0, np.maximum(np.abs(residual) - l1, 0), residual + l1 * np.sign(w))
    assert np.abs(residual).max() <= 1e-12


@pytest.mark.parametrize("l1", [0.0, 0.3])
def test_half_minimum(l1):
    """None lower on a fine grid; the threshold 3/2 weight^(2/3) h^(1/3); the jump (weight / h)^(2/3)."""
    z, h = drawn(2, (300,))

    def objective(w):
        return z * w + h / 2 * w * w + l1 * np.abs(w) + 1.5 * np.sqrt(np.abs(w))

    w = minimum(z, z, h, l1=l1, half=1.5)
    grid = np.linspace(-2, 2, 4001)[:, None] * np.abs(z / h)
    assert (objective(w) <= objective(grid).min(axis=0) + 1e-12).all()
    kept = w != 0
    assert np.array_equal(kept, np.abs(z) - l1 > 1.5 * 1.5 ** (2 / 3) * h ** (1 / 3)) and 0.1 < kept.mean() < 0.9
    slope = z + h * w + l1 * np.sign(w) + 0.75 * np.sign(w) / np.sqrt(np.abs(w) + ~kept)
    assert np.abs(slope[kept] / (1 + np.abs(z[kept]))).max() <= 1e-14
    assert (np.abs(w[kept]) > (1.5 / h[kept]) ** (2 / 3)).all()


def test_group_half_minimum():
    """Along -z, of the length that the half power gives |z|."""
    z, h = drawn(3)
    h = h[:, :1] + np.zeros_like(z)
    w, norm = minimum(z, z, h, group_half=4.0), np.linalg.norm(z, axis=1)
    assert np.abs(w + np.abs(minimum(norm, norm, h[:, 0], half=4.0))[:, None] * z / norm[:, None]).max() <= 1e-12
    assert 0.1 < (w == 0).all(axis=1).mean() < 0.9


def test_a_greedy_half_holds_what_is_zero():
    """Part B 9: it escapes with |g| > 3/2 half^(2/3) / eta^(1/3) alone; the lazy one sums what comes."""
    threshold = 1.5 * 0.2 ** (2 / 3) / 0.1 ** (1 / 3)
    opt = ss.mirror_descent(0.1, half=0.2)
    below, above = (opt.step(np.zeros(1), np.full(1, k * threshold), opt.init(np.zeros(1)))[0] for k in (0.999, 1.001))
    assert below == 0 and above != 0
    found = run(
        ss.ftrl_proximal(0.1, half=0.2, l1_schedule="fixed"), lambda p, t: np.full(1, 0.4 * threshold), np.zeros(1), 4
    )
    assert [bool(p[0]) for p, *_ in found] == [False, False, False, True, True]


def test_groups_along_an_axis():
    kept = {}
    for axis in (0, 1):
        opt = ss.ftrl_proximal(0.1, rule="adagrad", group_l2=8.0, axis=axis, l1_schedule="fixed")
        kept[axis] = run(opt, recorded, np.zeros((6, 7)))[-1][0] != 0
        whole = kept[axis].any(axis=axis)
        assert (kept[axis].all(axis=axis) == whole).all() and 0 < whole.mean() < 1
    assert kept[0].any(axis=0).size == 7 and kept[1].any(axis=1).size == 6


@pytest.mark.parametrize("weights", [{}, {"l1": 0.1}, {"half": 0.1}, {"group_l2": 0.1}, {"group_half": 0.1}], ids=str)
@pytest.mark.parametrize("solver", [ss.mirror_descent, ss.ftrl_proximal])
def test_zero_gradients_scalars_and_empty_leaves(solver, weights):
    """h = 0: nothing weighs on p, which stays; or only the penalty does, and it is 0."""
    params = {"m": np.ones((2, 3)), "s": np.array(1.0), "e": np.zeros((0, 3)), "h": np.ones(3, np.float16)}
    opt = solver(0.1, rule="adagrad", **weights)
    new, state = opt.step(params, {k: np.zeros_like(p) for k, p in params.items()}, opt.init(params))
    for leaf, p in params.items():
        assert np.array_equal(new[leaf], np.zeros_like(p) if weights else p) and new[leaf].dtype == p.dtype
    new, state = opt.step(new, {k: np.ones_like(p) for k, p in params.items()}, state)
    assert all(np.isfinite(p).all() for p in new.values())


def test_a_step_inside_jit():
    jax = pytest.importorskip("jax")
    opt = ss.ftrl_proximal(0.1, rule="adam", momentum=0.9, l1=0.01, group_l2=0.02)
    start, g = np.ones((3, 4)), np.linspace(-1, 1, 12).reshape(3, 4)
    with jax.enable_x64(True):
        params = jax.numpy.asarray(start)
        new, _ = jax.jit(opt.step)(params, jax.numpy.asarray(g), opt.init(params))
        at_zero, zero = ss.mirror_descent(0.1), jax.numpy.zeros(2)
        moved = jax.grad(lambda p: at_zero.step(p, zero, at_zero.init(p))[0].sum())(zero)
    assert np.allclose(new, opt.step(start, g, opt.init(start))[0], rtol=0, atol=1e-12)
    assert moved.tolist() == [1.0, 1.0], "a z of 0 has derivatives too"


# ftrl is a cell, and what is refused


@pytest.mark.parametrize("l1_schedule", ["incremental", "fixed", "sqrt", "square", "adaptive"])
@pytest.mark.parametrize("l2_schedule", ["classical", "fixed", "decoupled", "sum_inv_lr"])
def test_ftrl_is_the_lazy_adagrad(l1_schedule, l2_schedule):
    options = {"l1": 0.05, "l2": 0.1, "l1_schedule": l1_schedule, "l2_schedule": l2_schedule}
    cell = run(ss.ftrl_proximal(wave(0.1), rule=ss.rules.adagrad(eps=1.0), **options))
    assert apart(run(ss.ftrl(wave(0.1), beta=1.0, **options)), cell) <= 1e-13


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda: ss.mirror_descent(l1=1.0, l1_schedule="fixed"), "absent here"),
        (lambda: ss.ftrl_proximal(l1_schedule="cubic"), "l1_schedule must be one of"),
        (lambda: ss.mirror_descent(l2_schedule="sum_inv_lr"), "l2_schedule must be one of"),
        (lambda: ss.mirror_descent(half=1.0, group_l2=1.0), "no closed form"),
        (lambda: ss.ftrl_proximal(group_l2=1.0, l1_schedule="adaptive"), "one weight in each group"),
        (lambda: ss.mirror_descent(bias_correction=True), "momentum"),
        (lambda: ss.ftrl_proximal(centred=True, z0="zeros"), "no other centre"),
        (lambda: ss.ftrl_proximal(centred=True, framework_sigma=True), "centred has no sigma"),
        (lambda: ss.mirror_descent(rule="adamax"), "rule must be one of .* or a Part"),
        (lambda: ss.mirror_descent(0.1, rule=ss.rules.adagrad(0.2)), "lr is the optimizer's"),
        (lambda: ss.mirror_descent(rule=ss.scale_by_lion()), "has a number lr"),
    ],
)
def test_what_is_refused(make, match):
    with pytest.raises(ss.HyperparameterError, match=match):
        make()


@pytest.mark.parametrize("weight", ["group_l2", "group_half"])
def test_an_axis_that_a_leaf_has_not(weight):
    opt = ss.mirror_descent(**{weight: 1.0}, axis=1)
    params = {"m": np.ones((2, 3)), "s": np.ones(()), "v": np.ones(3)}
    with pytest.raises(ss.LeafError, match=r"leaf 'v': .* along axis 1; a leaf has 1 axes: give axis=0"):
        opt.step(params, params, opt.init(params))


def test_a_solver_without_a_rule():
    opt = ss.chain(ss.lazy_step(lr=0.1))
    with pytest.raises(ss.TraceError, match="reads h"):
        opt.step(np.zeros(2), np.zeros(2), opt.init(np.zeros(2)))


# The identities of the logarithmic ones (part C 5.8)


def test_gamma_one():
    assert apart(run(ss.online_rmsprop(0.1, gamma=1.0)), run(ss.adagrad(0.1, eps=1e-8))) <= 1e-14
    assert apart(run(ss.sc_rmsprop(0.5, gamma=1.0)), run(ss.sc_adagrad(0.5))) <= 1e-13
    sums = np.array(
        [
            t * s["v"]
            for t, (_, _, s) in enumerate(run(ss.online_rmsprop(0.1, gamma=0.3), recorded, np.zeros((6, 7)))[1:], 1)
        ]
    )
    assert (np.diff(sums, axis=0) >= -1e-15).all()

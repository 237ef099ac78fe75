"""The matrix: every gradient part before every optimizer and before every other gradient part, lookahead after each.

20 steps in float64, each from our own params, equal to the formula in plain NumPy (FORMULAS, written without the pages)
around the optimizer's own step. What stands elsewhere, or cannot go together, is in a table with the reason; a public
optimizer or part that is in none fails.
"""

import inspect

import numpy as np
import pytest

import samestep as ss
from samestep.page import Part

STEPS = 20
OPTIMIZERS = [n for n in ss.__all__ if hasattr(getattr(ss, n), "pages")]
PUBLIC = [n for n in ss.__all__ if getattr(getattr(ss, n), "__module__", "").startswith("samestep.modifiers.")]
METRICS = [3.0 - min(t, 5) / 2 for t in range(STEPS + 1)]
START = {"w": np.linspace(-1.0, 1.0, 12).reshape(4, 3), "b": np.linspace(0.5, -0.7, 5)}


def gradients(params, t, bad=False):
    rng = np.random.default_rng([7, t])
    grads = {leaf: p + rng.uniform(-1, 1, p.shape) for leaf, p in params.items()}
    if bad and t in (4, 9, 10):
        grads["b"][2] = np.inf
    return grads


def finite(grads):
    return all(np.isfinite(g).all() for g in grads.values())


def each(formula):
    """A formula of one leaf as one of all."""

    def whole(s, params, grads, t):
        return {k: formula(s.setdefault(k, {}), params[k], g, t) for k, g in grads.items()}

    return whole


def unit(x):
    return np.sqrt((x * x).sum(axis=tuple(range(1, x.ndim)) if x.ndim > 1 else None, keepdims=x.ndim > 1))


def adaptive_clip(s, p, g, t):
    most, norm = 0.1 * np.maximum(unit(p), 1e-3), unit(g)
    return np.where(norm > most, g * most / np.maximum(norm, 1e-6), g)


def clip_by_global_norm(s, params, grads, t):
    norm = np.sqrt(sum((g * g).sum() for g in grads.values()))
    return {k: g * (1.0 / norm if norm > 1.0 else 1.0) for k, g in grads.items()}


def grokfast(s, p, g, t):
    s["h"] = 0.98 * s["h"] + 0.02 * g if "h" in s else g
    return g + 2.0 * s["h"]


def nesterov_estimate(s, p, g, t):
    before, s["g"] = s.get("g", 0.0), g
    return g + 0.9 * (g - before)


def accumulate(s, params, grads, t):
    s["acc"] = {k: g + s["acc"][k] for k, g in grads.items()} if s.get("acc") else grads
    if t % 3:
        return None
    return {k: g / 3 for k, g in s.pop("acc").items()}


def skip_nonfinite(s, params, grads, t):
    return grads if finite(grads) else None


def loss_scaling(s, params, grads, t):
    scale = s.setdefault("scale", 8.0)
    if not finite(grads):
        s["scale"], s["streak"] = scale / 2, 0
        return None
    s["streak"] = s.get("streak", 0) + 1
    if s["streak"] == 4:
        s["scale"], s["streak"] = 2 * scale, 0
    return {k: g / scale for k, g in grads.items()}


# name -> (the part, the formula, what it takes from each call)
FORMULAS = {
    "clip_by_value": (lambda: ss.clip_by_value(0.3), each(lambda s, p, g, t: np.clip(g, -0.3, 0.3)), {}),
    "clip_by_norm": (
        lambda: ss.clip_by_norm(0.5, name="leaf"),
        each(lambda s, p, g, t: g * 0.5 / max(np.sqrt((g * g).sum()), 0.5)),
        {},
    ),
    "clip_by_global_norm": (lambda: ss.clip_by_global_norm(1.0), clip_by_global_norm, {}),
    "adaptive_clip": (lambda: ss.adaptive_clip(0.1), each(adaptive_clip), {}),
    "centralize": (
        lambda: ss.centralize(),
        each(lambda s, p, g, t: g - g.mean(axis=1, keepdims=True) if g.ndim > 1 else g),
        {},
    ),
    "negate": (lambda: ss.negate(), each(lambda s, p, g, t: -g), {}),
    "decay": (lambda: ss.decay(0.1, mode="coupled", name="l2"), each(lambda s, p, g, t: g + 0.1 * p), {}),
    "flooding": (
        lambda: ss.flooding(1.0),
        each(lambda s, p, g, t: g * np.sign(METRICS[t] - 1.0)),
        {"loss": METRICS},
    ),
    "nesterov_estimate": (lambda: ss.nesterov_estimate(0.9), each(nesterov_estimate), {}),
    "grokfast": (lambda: ss.grokfast(), each(grokfast), {}),
    "unscale": (lambda: ss.unscale(), each(lambda s, p, g, t: g / 4), {"grad_scale": [4.0] * (STEPS + 1)}),
    "loss_scaling": (lambda: ss.loss_scaling(8.0, growth_interval=4, name="amp"), loss_scaling, {}),
    "skip_nonfinite": (lambda: ss.skip_nonfinite(None), skip_nonfinite, {}),
    "accumulate": (lambda: ss.accumulate(3), accumulate, {}),
}
BAD = ("skip_nonfinite", "loss_scaling")  # they are shown gradients that are not finite
ELSEWHERE = {  # public parts that are no formula on the gradient
    **dict.fromkeys(("cautious",), "a direction: tests/test_cautious.py, on every optimizer that has one"),
    **dict.fromkeys(("sign", "trust_ratio"), "directions: golden rows; pairs with every optimizer are not here yet"),
    **dict.fromkeys(
        ("ema", "swa", "kahan", "master_weights", "stochastic_rounding", "warm_restart", "hidden_accumulation"),
        "their own tests; pairs with every optimizer are not here yet",
    ),
    **dict.fromkeys(("monitor", "monitor_sigma", "monitor_step"), "they read, and change nothing: tests/test_monitor"),
    **dict.fromkeys(
        ("agd", "agd_velocity", "variance_reduced", "snapshot_at_random", "snapshot_by_coin", "snapshot_every"),
        "points of their own: the verbs",
    ),
    "reduce_on_plateau": "makes lr, no gradient: tests/test_given.py",
    "add_noise": "its numbers are a hash: tests/test_random.py and the transcription",
    "amos_schedule": "in place of descend: tests/transcriptions/amos.py; pairs with every optimizer are not here yet",
    "descend": "the end of a chain",
    "lookahead": "below, after every optimizer",
}
LEFT_OUT = {  # optimizers, and why they are not in the matrix
    **dict.fromkeys(
        ("svrg", "l_svrg", "katyusha", "l_katyusha", "natasha"),
        "their step takes two gradients, and a part before it would change one of them",
    ),
}
REFUSED = {}  # (part, optimizer or part) -> why the two do not go together
CELLS = [
    (part, name) for part in FORMULAS for name in OPTIMIZERS if name not in LEFT_OUT and (part, name) not in REFUSED
]
PAIRS = [(a, b) for a in FORMULAS for b in FORMULAS if a != b and (a, b) not in REFUSED]


def optimizer(name):
    constructor = getattr(ss, name)
    needs = inspect.signature(constructor).parameters["lr"].default is inspect.Parameter.empty
    return constructor(0.01) if needs else constructor()


def composed(parts, inner, steps=STEPS, bad=False):
    """Our chain, and the formulas around the step of the inner optimizer."""
    made = [FORMULAS[name] for name in parts]
    chained = ss.chain(*(make() for make, _, _ in made), inner)
    givens = {k: v for _, _, given in made for k, v in given.items()}
    params, memory, clocks = START, [{} for _ in made], [0] * len(made)
    with ss.use_backend("numpy"):
        state, alone = chained.init(params), inner.init(params)
        for t in range(1, steps + 1):
            grads = gradients(params, t, bad)
            new, state = chained.step(params, grads, state, **{k: v[t] for k, v in givens.items()})
            wanted = grads
            for i, (_, formula, _) in enumerate(made):
                if wanted is not None:
                    clocks[i] += 1
                    wanted = formula(memory[i], params, wanted, t if givens else clocks[i])
            expected = params
            if wanted is not None:
                expected, alone = inner.step(params, wanted, alone)
            for leaf, x in expected.items():
                assert np.isfinite(x).all()
                np.testing.assert_allclose(new[leaf], x, rtol=1e-12, atol=1e-13, err_msg=f"{leaf} in step {t}")
            params = new


@pytest.mark.parametrize("part", FORMULAS)
def test_before_every_optimizer(part):
    for name in (name for this, name in CELLS if this == part):
        try:
            composed([part], optimizer(name), bad=part in BAD)
        except Exception as error:
            error.add_note(f"{part} before {name}")
            raise


@pytest.mark.parametrize("part", FORMULAS)
def test_before_every_other(part):
    for first, second in (pair for pair in PAIRS if pair[0] == part):
        try:
            composed([first, second], ss.adamw(0.01), bad=first in BAD)
        except Exception as error:
            error.add_note(f"{first} before {second}")
            raise


def test_lookahead_after_every_optimizer():
    for name in (name for name in OPTIMIZERS if name not in LEFT_OUT):
        inner = optimizer(name)
        chained, params, slow = ss.chain(inner, ss.lookahead(4, 0.3, name="outer")), START, START
        with ss.use_backend("numpy"):
            state, alone = chained.init(params), inner.init(params)
            for t in range(1, STEPS + 1):
                grads = gradients(params, t)
                new, state = chained.step(params, grads, state)
                expected, alone = inner.step(params, grads, alone)
                if t % 4 == 0:
                    expected = slow = {k: slow[k] + 0.3 * (x - slow[k]) for k, x in expected.items()}
                for leaf, x in expected.items():
                    np.testing.assert_allclose(new[leaf], x, rtol=1e-12, atol=1e-14, err_msg=f"{name}, step {t}")
                params = new


def test_everything_public_has_a_place():
    assert set(PUBLIC) == FORMULAS.keys() | ELSEWHERE.keys() and not FORMULAS.keys() & ELSEWHERE.keys()
    assert LEFT_OUT.keys() <= set(OPTIMIZERS) and all({**ELSEWHERE, **LEFT_OUT, **REFUSED}.values())
    made = {name: make() for name, (make, _, _) in FORMULAS.items()}
    assert all(isinstance(part, Part) and part.page.kind == "gradient" for part in made.values())


@pytest.mark.parametrize("part", FORMULAS)
def test_the_matrix_sees_a_wrong_formula(part, monkeypatch):
    make, formula, given = FORMULAS[part]

    def wrong(s, params, grads, t):
        right = formula(s, params, grads, t)
        return right if right is None else {k: g * (1 + 1e-9) for k, g in right.items()}

    monkeypatch.setitem(FORMULAS, part, (make, wrong, given))
    with pytest.raises(AssertionError, match="in step"):
        composed([part], ss.sgd(0.1), bad=part in BAD)

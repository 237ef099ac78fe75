"""Cautious on every named constructor that has a direction: the mask alone, in its place, written out in NumPy."""

import inspect

import numpy as np
import pytest

import samestep as ss
from samestep_conformance import checks
from samestep_conformance.golden.problem import PROBLEMS

STEPS = 20
SHAPES = {"w": (5, 4), "b": (7,), "none": (0, 3)}
SCALES = ("mean", "count", "none")
FOUND = [
    n for n in ss.__all__ if "cautious" in getattr(getattr(ss, n), "__signature__", inspect.Signature()).parameters
]

# What the constructors get, besides a decay where they have one: without momentum some directions are the gradient's.
GIVEN = {
    "adafactor": [{"beta1": 0.9}],
    "adan": [{}, {"no_prox": True}],
    "adopt": [{"beta2": 0.99}, {"beta2": 0.99, "decoupled": True}],
    "dadapt_adam": [{"lr": 1.0, "d0": 1e-2}],
    "dog": [{"reps_rel": 0.01}],
    "ftrl_proximal": [{"momentum": 0.9, "rule": "adagrad"}],
    "mirror_descent": [{"momentum": 0.9, "rule": "adagrad"}],
    "lars": [{"lr": 1.0, "lr_inside": False}],
    "muon": [{}, {"aux_lr": 0.003}],
    "nadam": [{}, {"decay": "decoupled"}],
    "prodigy": [{"lr": 1.0, "d0": 1e-2}],
    "radam": [{}, {"decay": "decoupled", "fallback": "skip"}],
    "rmsprop": [{"momentum": 0.9}],
    "sgd": [{"momentum": 0.9}, {"momentum": 0.9, "nesterov": True}, {"momentum": 0.9, "form": "ema"}],
}
SOLVED = {"ftrl_proximal", "mirror_descent"}  # what follows their mask needs their rule too: tests/test_composition.py
CASES = [(name, given) for name in FOUND if name not in SOLVED for given in GIVEN.get(name, [{}])]
NO_MEMORY = (
    "eg_gains",
    "adadelta",
    "adagrad",
    "dog",
    "dowg",
    "online_rmsprop",
    "sc_adagrad",
    "sc_rmsprop",
)  # their direction has the gradient's sign everywhere: the mask drops zeros only
OWN_LR = ("adafactor", "dadapt_adam", "muon", "prodigy")  # their direction makes the lr of what follows
AFTER = {"lamb": "scale_by_adam"}  # the mask stands behind this page; elsewhere behind the last direction


def made(name, given, **more):
    constructor = getattr(ss, name)
    own = constructor.__signature__.parameters
    decay = {"weight_decay": 0.1} if "weight_decay" in own else {}
    lr = own["lr"].default
    rate = 0.01 if lr is inspect.Parameter.empty else 10 * lr
    return constructor(**{"lr": rate, **decay, **given, **more})


@ss.update()
def rate(p, *, lr):
    """Shows the chain's lr, or what a direction has made of it, in place of the parameter."""
    return {"p": lr + 0.0 * p}


@ss.update()
def rate_left_alone(p, *, lr):
    """Brings a number, and does nothing."""
    return {}


@ss.update()
def probe(p, u):
    """Shows the direction so far, as the new parameter; a copy, because a chain must do something with a gradient."""
    return {"p": 1.0 * u}


def cut(name, plain):
    """The parts of the plain optimizer: those that make the gradient, the masked direction, and what follows it."""
    parts = plain.chains[0].parts
    gradients = [part for part in parts if part.page.kind == "gradient"]
    directions = [part for part in parts if part.page.kind == "direction"]
    last = next((i for i, part in enumerate(directions) if part.page.__name__ == AFTER.get(name)), len(directions) - 1)
    end = len(gradients) + last + 1
    return parts[: len(gradients)], parts[:end], parts[end:]


def followed(rest, params, u, state, rates):
    """The parts behind the direction; where that makes each leaf's lr, one leaf after another."""
    if rates is None:
        return rest.step(params, u, state)
    step = {leaf: rest.step(p, u[leaf], rest.init(p), lr=rates[leaf].flat[0])[0] for leaf, p in params.items()}
    return step, state


def mask(u, g, scale):
    """The three formulas of part A 2, in plain NumPy."""
    agree = u * g > 0
    if scale == "mean":
        return agree, np.where(agree, u * (1 / max(agree.mean(), 1e-3)), 0.0)
    if scale == "count":
        return agree, np.where(agree, u * (u.size / (agree.sum() + 1)), 0.0)
    return agree, np.where(agree, u, 0.0)


def test_every_constructor_with_a_direction_is_here():
    directed = {
        name for name in ss.__all__ if any(page.kind == "direction" for page in getattr(getattr(ss, name), "pages", ()))
    }
    assert directed == set(FOUND) and len(FOUND) > len(PRINTED) > 10
    assert not set(GIVEN) - directed and not set(AFTER) - directed


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize(("name", "given"), CASES, ids=lambda x: x if isinstance(x, str) else "-".join(x) or "plain")
def test_the_step_is_the_masked_direction(name, given, scale):
    """Every step from our own params, so that the two can only part by what this step does."""
    optimizer, plain = made(name, given, cautious=scale), made(name, given, cautious=False)
    before, until, after = cut(name, plain)
    lr = plain.chains[0].numbers.get("lr")
    lrs = ss.chain(*until, rate(lr)) if name in OWN_LR else None
    after = (*after, rate_left_alone(lr)) if name in OWN_LR else after
    entering, direction, rest = ss.chain(*before, probe()), ss.chain(*until, probe()), ss.chain(*after)
    problem, dropped = PROBLEMS["vector"], 0
    params = problem.params()
    state, *states = [opt.init(params) for opt in (optimizer, entering, direction, rest)]
    with ss.use_backend("numpy"):
        for t in range(1, STEPS + 1):
            grads = problem.gradient(params, t)
            new, state = optimizer.step(params, grads, state)
            g, states[0] = entering.step(params, grads, states[0])
            rates = lrs.step(params, grads, states[1])[0] if lrs else None
            u, states[1] = direction.step(params, grads, states[1])
            agree, masked = zip(*(mask(u[leaf], g[leaf], scale) for leaf in params), strict=True)
            nothing = {leaf: np.zeros_like(p) for leaf, p in params.items()}
            decayed, _ = followed(rest, params, nothing, states[2], rates)
            expected, states[2] = followed(rest, params, dict(zip(params, masked, strict=True)), states[2], rates)
            checks.equal(new, expected, t, "params")
            checks.equal({k: v for k, v in state.items() if k in states[1]}, states[1], t, "slots of the direction")
            for leaf, agrees, along in zip(params, agree, masked, strict=True):
                assert (along * g[leaf]).sum() >= 0
                dropped += np.count_nonzero(~agrees & (g[leaf] != 0))
                if name not in AFTER:  # there the decay is part of what the ratio scales
                    assert np.array_equal(new[leaf][~agrees], decayed[leaf][~agrees])
            params = new
    assert dropped or name in NO_MEMORY, "nothing was masked: give it momentum, or a place in NO_MEMORY"


def classes(name):
    """Of the exactness of every leaf; "call" where the program is evaluated, not printed."""
    plain = made(name, GIVEN.get(name, [{}])[0], cautious="mean").chains[0]
    programs = [plain.program(shape) for shape in SHAPES.values()]
    return {"call" if program.free else program.exactness for program in programs}


PRINTED = [name for name in FOUND if classes(name) <= {"exact", "reduce"}]


@pytest.mark.parametrize(
    ("name", "scale"), [*((name, "mean") for name in PRINTED), *(("adamw", scale) for scale in SCALES[1:])]
)
def test_same_bits(name, scale):
    """NumPy, and for one after the other Numba or the strict standard: tests/test_exact.py has the page on both."""
    optimizer = made(name, GIVEN.get(name, [{}])[0], cautious=scale)
    other = ("strict", False) if PRINTED.index(name) % 2 else ("numba", True)
    checks.same_bits(optimizer, other, dtype="float64", steps=STEPS, shapes=SHAPES)


@pytest.mark.parametrize("scale", SCALES)
def test_all_and_nothing_agrees(scale):
    """All aligned: the identity, but for "count"; nothing aligned: only the decay is left."""
    opt, params = ss.chain(ss.scale_by_lion(beta1=0.0), ss.cautious(scale=scale), ss.descend(1.0)), np.zeros(4)
    expected = {"mean": 1.0, "count": 4 / 5, "none": 1.0}[scale]
    assert np.array_equal(opt.step(params, np.ones(4), opt.init(params))[0], -expected * np.ones(4))
    params, grads = np.full(4, 2.0), np.ones(4)
    opt = ss.lion(0.5, weight_decay=0.5, cautious=scale)
    against = {"step": 3, "m": np.full(4, -100.0)}
    assert np.array_equal(opt.step(params, grads, against)[0], np.full(4, 1.5))


def test_the_mean_of_the_scale_is_one_down_to_the_floor():
    """Part A 2: as long as a thousandth agrees; where it is less, what is lost is more."""
    opt = ss.chain(ss.scale_by_lion(beta1=1 - 2**-20), ss.cautious(), ss.descend(1.0))
    for agree in (1500, 7, 3, 0):  # of 4000
        g = np.where(np.arange(4000) < agree, 1.0, -1.0)
        with ss.use_backend("numpy"):
            moved, _ = opt.step(np.zeros(4000), g, {"step": 1, "m": np.ones(4000)})
        assert np.abs(moved).mean() == pytest.approx(1.0 if agree > 4 else agree / 4, rel=1e-14)


def test_a_factor_is_another_mask():
    """Of 1 it masks nothing, of 0 it is the mask; as a function phi says the same."""
    params, state = np.zeros(4), {"step": 3, "m": np.array([2.0, -1.0, 0.5, 0.0])}
    grads = np.array([1.0, 3.0, -2.0, 1.0])

    def directed(part):
        return ss.chain(ss.momentum(0.5), *part, ss.descend(1.0)).step(params, grads, state)[0]

    for scale in SCALES[::2]:
        assert np.array_equal(directed([ss.cautious(scale=scale, cautious_factor=1.0)]), directed([]))
    for scale in SCALES:
        assert np.array_equal(
            directed([ss.cautious(scale=scale, cautious_factor=0.0)]), directed([ss.cautious(scale=scale)])
        )
        by_phi = ss.cautious(scale=scale, phi=lambda x: ss.array_namespace(x).where(x > 0, 1.0, 0.25))
        np.testing.assert_allclose(
            directed([ss.cautious(scale=scale, cautious_factor=0.25)]), directed([by_phi]), rtol=1e-15
        )


def test_a_factor_beside_phi_is_refused():
    with pytest.raises(ss.HyperparameterError, match="phi is the whole mask, so cautious_factor would be lost"):
        ss.chain(ss.lion(), ss.cautious(cautious_factor=0.5, phi=abs)).init(np.ones(2))


def test_cautious_decay_is_of_a_direction():
    """Where the step shrinks the parameter too; elsewhere there is none."""
    opt, params = ss.chain(ss.decay(0.5, mode="cautious"), ss.descend(1.0)), np.array([4.0, -4.0, 4.0, 0.0])
    grads = np.array([1.0, 1.0, 0.0, 1.0])
    assert np.array_equal(opt.step(params, grads, opt.init(params))[0], [1.0, -5.0, 4.0, -1.0])


@pytest.mark.parametrize("make", [ss.sgd, ss.rmsprop])
def test_velocity_has_no_direction_to_mask(make):
    with pytest.raises(ss.HyperparameterError, match="cautious"):
        make(0.1, momentum=0.9, form="velocity", cautious="mean")
    with pytest.raises(ss.HyperparameterError, match="cautious must be one of"):
        make(0.1, momentum=0.9, cautious=True)

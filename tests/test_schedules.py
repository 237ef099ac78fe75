"""Every schedule against torch's, optax's and Keras's, and what all of them promise."""

import inspect
import math
import pickle
import warnings
from functools import partial

import numpy as np
import pytest

import samestep as ss
from samestep import schedules as s
from samestep.errors import HyperparameterError

COUNTS = range(61)
TOLERANCE = 1e-12
KERAS_COSINE = 1e-8  # its pi is float32 whatever it is told


def ours(schedule):
    values = [schedule(count) for count in COUNTS]
    assert all(type(value) is float for value in values)
    return values


def of_torch(name, value, *args, number="lr", **kwargs):
    """The learning rates of a torch scheduler, or of one that is made from the optimizer; or another number of it."""
    import torch

    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=value, momentum=0.9)
    make = name if callable(name) else getattr(torch.optim.lr_scheduler, name)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # SequentialLR's own, and the order of step() without gradients
        scheduler = make(optimizer, *args, **kwargs)
        values = []
        for count in COUNTS:
            values.append(float(optimizer.param_groups[0][number]))
            if count < getattr(scheduler, "total_steps", math.inf) - 1:  # OneCycleLR ends there
                optimizer.step()
                scheduler.step()
    return values


def of_optax(name, *args, **kwargs):
    import jax
    import optax

    with jax.enable_x64(True):
        schedule = name(optax) if callable(name) else getattr(optax.schedules, name)(*args, **kwargs)
        return [float(schedule(jax.numpy.asarray(count))) for count in COUNTS]


def of_keras(name, *args, **kwargs):
    import jax
    import keras

    floatx = keras.config.floatx()
    keras.config.set_floatx("float64")
    try:
        with jax.enable_x64(True):
            schedule = getattr(keras.optimizers.schedules, name)(*args, **kwargs)
            return np.asarray(jax.vmap(schedule)(jax.numpy.arange(len(COUNTS)))).tolist()  # one by one it is slow
    finally:
        keras.config.set_floatx(floatx)


def sequential(optimizer):
    from torch.optim.lr_scheduler import CosineAnnealingLR, LinearLR, SequentialLR

    first, second = LinearLR(optimizer, 0.25, total_iters=10), CosineAnnealingLR(optimizer, 50, eta_min=0.01)
    return SequentialLR(optimizer, [first, second], [10])


def chained(optimizer):
    from torch.optim.lr_scheduler import ChainedScheduler, ConstantLR, ExponentialLR

    return ChainedScheduler([ConstantLR(optimizer, 0.1, 4), ExponentialLR(optimizer, 0.9)])


def swalr(optimizer, strategy="cos"):
    from torch.optim.swa_utils import SWALR

    return SWALR(optimizer, swa_lr=0.02, anneal_strategy=strategy)


def joined(optax):
    parts = [optax.schedules.linear_schedule(0.0, 0.1, 7), optax.schedules.exponential_decay(0.1, 5, 0.5)]
    return optax.schedules.join_schedules(parts, [7])


def warm_cosine_restarts(optax):
    cycle = {"init_value": 0.0, "warmup_steps": 5, "decay_steps": 20}
    return optax.schedules.sgdr_schedule([{**cycle, "peak_value": 0.1}, {**cycle, "peak_value": 0.05}])


RESTARTED = [s.warmup(s.cosine(peak, 15), 5) for peak in (0.1, 0.05)]

CASES = {
    "constant": (s.constant(0.1), of_optax, "constant_schedule", 0.1),
    "constant factor": (s.piecewise([0.1 / 3, 0.1], [5]), of_torch, "ConstantLR", 0.1, 1 / 3, 5),
    "step": (s.step(0.1, 7, 0.5), of_torch, "StepLR", 0.1, 7, 0.5),
    "step, optax": (s.step(0.1, 7, 0.5), of_optax, "exponential_decay", 0.1, 7, 0.5, 0, True),
    "step, keras": (s.step(0.1, 7, 0.5), of_keras, "ExponentialDecay", 0.1, 7, 0.5, True),
    "multistep": (s.multistep(0.1, [5, 20, 20, 40], 0.5), of_torch, "MultiStepLR", 0.1, [5, 20, 20, 40], 0.5),
    "multistep, optax": (
        s.multistep(0.1, [5, 20], 0.5), of_optax, "piecewise_constant_schedule", 0.1, {5: 0.5, 20: 0.5}
    ),
    "linear": (s.linear(0.1 / 3, 0.1, 5), of_torch, "LinearLR", 0.1),
    "linear, optax": (s.linear(0.1, 0.02, 30), of_optax, "linear_schedule", 0.1, 0.02, 30),
    "linear, begin": (
        s.join([0.1, s.linear(0.1, 0.02, 30)], [8]), of_optax, "linear_schedule", 0.1, 0.02, 30, 8
    ),
    "exponential": (s.exponential(0.1, 0.9), of_torch, "ExponentialLR", 0.1, 0.9),
    "exponential, optax": (s.exponential(0.1, 0.5, 9), of_optax, "exponential_decay", 0.1, 9, 0.5),
    "exponential, end": (
        s.exponential(0.1, 0.5, 9, end=0.01), of_optax, "exponential_decay", 0.1, 9, 0.5, 0, False, 0.01
    ),
    "exponential, rise": (
        s.exponential(0.1, 1.5, 9, True, 0.3), of_optax, "exponential_decay", 0.1, 9, 1.5, 0, True, 0.3
    ),
    "exponential, keras": (s.exponential(0.1, 0.5, 9), of_keras, "ExponentialDecay", 0.1, 9, 0.5),
    "inverse_time": (s.inverse_time(0.1, 0.5, 4), of_keras, "InverseTimeDecay", 0.1, 4, 0.5),
    "inverse_time, stairs": (s.inverse_time(0.1, 0.5, 4, True), of_keras, "InverseTimeDecay", 0.1, 4, 0.5, True),
    "polynomial": (s.polynomial(0.1, 30, 2.0), of_torch, "PolynomialLR", 0.1, 30, 2.0),
    "polynomial, optax": (s.polynomial(0.1, 30, 1.5, 0.01), of_optax, "polynomial_schedule", 0.1, 0.01, 1.5, 30),
    "polynomial, keras": (s.polynomial(0.1, 30, 0.5, 0.01), of_keras, "PolynomialDecay", 0.1, 30, 0.01, 0.5),
    "polynomial, cycle": (
        s.polynomial(0.1, 13, 1.0, 0.01, cycle=True), of_keras, "PolynomialDecay", 0.1, 13, 0.01, 1.0, True
    ),
    "cosine": (s.cosine(0.1, 30, 0.01), of_optax, "cosine_decay_schedule", 0.1, 30, 0.1),
    "cosine, exponent": (s.cosine(0.1, 30, 0.01, 2.0), of_optax, "cosine_decay_schedule", 0.1, 30, 0.1, 2.0),
    "cosine, keras": (s.cosine(0.1, 30, 0.01), of_keras, "CosineDecay", 0.1, 30, 0.1),
    "cosine, periodic": (s.cosine(0.1, 20, 0.01, periodic=True), of_torch, "CosineAnnealingLR", 0.1, 20, 0.01),
    "cosine_restarts": (
        s.cosine_restarts(0.1, 10, end=0.01), of_torch, "CosineAnnealingWarmRestarts", 0.1, 10, 1, 0.01
    ),
    "cosine_restarts, longer": (
        s.cosine_restarts(0.1, 4, 2, end=0.01), of_torch, "CosineAnnealingWarmRestarts", 0.1, 4, 2, 0.01
    ),
    "cosine_restarts, three": (
        s.cosine_restarts(0.1, 3, 3), of_torch, "CosineAnnealingWarmRestarts", 0.1, 3, 3
    ),
    "cosine_restarts, lower": (
        s.cosine_restarts(0.1, 7, 2, 0.5, 0.02), of_keras, "CosineDecayRestarts", 0.1, 7, 2.0, 0.5, 0.2
    ),
    "cosine_restarts, even": (
        s.cosine_restarts(0.1, 8, 1, 0.5), of_keras, "CosineDecayRestarts", 0.1, 8, 1.0, 0.5
    ),
    "one_cycle": (s.one_cycle(0.1, 61), of_torch, "OneCycleLR", 0.1, 0.1, 61, cycle_off := {"cycle_momentum": False}),
    "one_cycle, linear": (
        s.one_cycle(0.1, 50, 0.4, 10.0, 100.0, "linear"), of_torch, "OneCycleLR", 0.1, 0.1, 50,
        {**cycle_off, "pct_start": 0.4, "div_factor": 10.0, "final_div_factor": 100.0, "anneal_strategy": "linear"},
    ),
    "one_cycle, three phases": (
        s.one_cycle(0.1, 60, three_phase=True), of_torch, "OneCycleLR", 0.1, 0.1, 60,
        {**cycle_off, "three_phase": True},
    ),
    "one_cycle, optax": (
        s.piecewise([0.004, 0.1, 0.004, 0.004 / 1e4], [18, 51, 60], "linear"),
        of_optax, "linear_onecycle_schedule", 60, 0.1,
    ),
    "one_cycle, momentum": (  # a number as lr is, which goes the other way
        s.piecewise([0.95, 0.85, 0.95], [14, 49], "cosine"), of_torch, "OneCycleLR", 0.1, 0.1, 50,
        {"number": "momentum"},
    ),
    "cyclic, momentum": (
        s.cyclic(0.9, 0.8, 6), of_torch, "CyclicLR", 0.01, 0.01, 0.1, 6, {"number": "momentum"},
    ),
    "swa": (s.piecewise([0.1, 0.02], [10], "cosine"), of_torch, swalr, 0.1),
    "swa, linear": (s.piecewise([0.1, 0.02], [10], "linear"), of_torch, partial(swalr, strategy="linear"), 0.1),
    "cyclic": (s.cyclic(0.01, 0.1, 6), of_torch, "CyclicLR", 0.01, 0.01, 0.1, 6, cycle_off),
    "cyclic, down": (
        s.cyclic(0.01, 0.1, 6, 3, "triangular2"), of_torch, "CyclicLR", 0.01, 0.01, 0.1, 6, 3, "triangular2", cycle_off
    ),
    "cyclic, falling": (
        s.cyclic(0.01, 0.1, 6, mode="exp_range", gamma=0.95), of_torch, "CyclicLR", 0.01, 0.01, 0.1, 6, None,
        "exp_range", 0.95, cycle_off,
    ),
    "warmup": (s.warmup(s.constant(0.1), 10), of_optax, "warmup_constant_schedule", 0.0, 0.1, 10),
    "warmup, cosine": (
        s.warmup(s.cosine(0.1, 40, 0.01), 10, 0.02), of_optax, "warmup_cosine_decay_schedule", 0.02, 0.1, 10, 50, 0.01
    ),
    "warmup, exponential": (
        s.warmup(s.exponential(0.1, 0.5, 20), 10), of_optax, "warmup_exponential_decay_schedule", 0.0, 0.1, 10, 20, 0.5
    ),
    "warmup, torch": (s.warmup(s.cosine(0.1, 50, 0.01, periodic=True), 10, 0.025), of_torch, sequential, 0.1),
    "warmup, keras": (
        s.warmup(s.cosine(0.1, 40), 10), of_keras, "CosineDecay", 0.0, 40,
        {"warmup_target": 0.1, "warmup_steps": 10},
    ),
    "join": (s.join([s.linear(0.0, 0.1, 7), s.exponential(0.1, 0.5, 5)], [7]), of_optax, joined),
    "join, restarts": (s.join(RESTARTED, [20]), of_optax, warm_cosine_restarts),
    "product": (s.product([s.piecewise([0.1, 1.0], [4]), s.exponential(0.1, 0.9)]), of_torch, chained, 0.1),
    "piecewise": (
        s.piecewise([0.1, 0.05, 0.2], [6, 21]), of_keras, "PiecewiseConstantDecay", [5, 20], [0.1, 0.05, 0.2]
    ),
    "piecewise, linear": (
        s.piecewise([0.1, 0.05, 0.2], [6, 21], "linear"),
        of_optax, "piecewise_interpolate_schedule", "linear", 0.1, {6: 0.5, 21: 4.0},
    ),
    "piecewise, cosine": (
        s.piecewise([0.004, 0.1, 0.004 / 1e4], [18, 60], "cosine"), of_optax, "cosine_onecycle_schedule", 60, 0.1
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_other_libraries_agree(case):
    schedule, library, *args = CASES[case]
    kwargs = args.pop() if isinstance(args[-1], dict) and library is not of_optax else {}
    a, b = np.array(ours(schedule)), np.array(library(*args, **kwargs))
    tolerance = KERAS_COSINE if library is of_keras and "Cosine" in args[0] else TOLERANCE
    assert np.abs(a - b).max() <= tolerance


@pytest.mark.parametrize("shape", ["linear", "cosine", "sqrt"])
def test_wsd(shape):
    from pytorch_optimizer import get_wsd_schedule

    kind = {"linear": "linear", "cosine": "cosine", "sqrt": "1-sqrt"}[shape]
    arguments = {"num_warmup_steps": 10, "num_stable_steps": 20, "num_decay_steps": 25, "cooldown_type": kind}
    theirs = of_torch(lambda optimizer: get_wsd_schedule(optimizer, **arguments), 0.1)
    assert np.abs(np.array(ours(s.wsd(0.1, 10, 20, 25, shape=shape))) - theirs).max() <= TOLERANCE


def test_formulas():
    assert ours(s.wsd(0.1, 0, 0, 60, 0.02, "square")) == pytest.approx(
        [0.02 + 0.08 * (1 - (c / 60) ** 2) for c in COUNTS], abs=TOLERANCE
    )
    assert ours(s.wsd(0.1, 0, 20, 40, 0.02, "exponential", 4.0)) == pytest.approx(
        [0.02 + 0.08 * 0.5 ** (max(c - 20, 0) / 10) for c in COUNTS], abs=TOLERANCE
    )
    assert ours(s.inverse_sqrt(0.1)) == [0.1 / math.sqrt(c + 1) for c in COUNTS]
    assert ours(s.inverse_sqrt(0.1, hold=9)) == pytest.approx([0.1 * 3 / math.sqrt(max(c, 9)) for c in COUNTS])
    assert ours(s.warmup(0.1, 4, early=True))[:5] == pytest.approx([0.025, 0.05, 0.075, 0.1, 0.1])


def test_restarts_come_at_the_right_step():
    for mult in (2, 3, 10):
        schedule = s.cosine_restarts(1.0, 7, mult)
        start = 7
        for n in range(1, 12 if mult < 10 else 6):
            assert schedule(start) == 1.0 and schedule(start - 1) < 0.1 and schedule(start + 1) < 1.0
            start += 7 * mult**n


SCHEDULES = [case[0] for case in CASES.values()]


@pytest.mark.parametrize("schedule", SCHEDULES, ids=repr)
def test_a_schedule_is_a_value(schedule):
    again = eval(repr(schedule), vars(s))
    assert again == schedule and hash(again) == hash(schedule)
    assert pickle.loads(pickle.dumps(schedule)) == schedule
    assert schedule != s.constant(0.123) and s.step(0.1, 7) != s.step(0.1, 8)
    assert ss.sgd(schedule) == ss.sgd(again)
    with pytest.raises(AttributeError):
        schedule.values = ()


def test_all_schedules_are_tested():
    public = {
        name
        for name, value in vars(s).items()
        if inspect.isfunction(value) and value.__module__ == s.__name__ and not name.startswith("_")
    }
    assert public - {schedule.name for schedule in SCHEDULES} == {"wsd", "inverse_sqrt"}


MORE = [
    *SCHEDULES,
    s.wsd(0.1, 10, 20, 25, shape="sqrt"),
    s.wsd(0.1, 10, 20, 25, shape="exponential"),
    s.wsd(0.1, 0, 20, 25),
    s.inverse_sqrt(0.1, 9),
]


@pytest.mark.parametrize("schedule", MORE, ids=repr)
def test_arrays_and_traced_counts(schedule):
    import array_api_strict
    import jax
    import torch

    expected = np.array(ours(schedule))
    for values in (
        schedule(np.arange(61)),
        schedule(torch.arange(61)),
        schedule(array_api_strict.arange(61)),
        np.array([float(schedule(np.int64(count))) for count in COUNTS]),
    ):
        assert np.abs(np.asarray(values) - expected).max() <= TOLERANCE
    with jax.enable_x64(True):
        traced = jax.jit(schedule)
        assert np.abs([traced(np.int32(count)) for count in COUNTS] - expected).max() <= TOLERANCE
    assert np.abs(np.asarray(jax.jit(schedule)(np.arange(61))) - expected).max() <= 1e-6


@pytest.mark.parametrize("schedule", MORE, ids=repr)
def test_a_page_may_call_one(schedule):
    @ss.update()
    def descend_by(p, u, t):
        return {"p": p - schedule(t - 1) * u}

    opt, params = ss.chain(descend_by()), np.zeros(1)
    with ss.use_backend("numpy"):
        params, state = opt.step(params, np.ones(1), opt.init(params))
        opt.step(params, np.ones(1), state)
    assert params[0] == -schedule(0)


def test_counts_reach_a_user_function_as_ints():
    seen = []
    s.join([lambda count: seen.append(count) or 0.1, s.constant(0.2)], [3])(1)
    assert seen == [1] and type(seen[0]) is int


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: s.step(0.1, 0), "size must be a number above 0; got 0"),
        (lambda: s.cosine_restarts(0.1, 10, 0.5), "mult must be a number at least 1; got 0.5"),
        (lambda: s.cosine(0.1, steps=-1), "steps must be a number above 0; got -1"),
        (lambda: s.cyclic(0.1, 0.2, 3, 0), "down must be a number above 0; got 0"),
        (lambda: s.cosine("0.1", 10), "value must be a number; got '0.1'"),
        (lambda: s.cosine(0.1), "cosine needs steps: write cosine(steps=...)"),
        (lambda: s.cosine(0.1, 10, stop=3), "cosine has no 'stop'; it has 'value', 'steps'"),
        (lambda: s.cyclic(0.1, 0.2, 3, mode="square"), "mode must be one of 'triangular', 'triangular2', 'exp_range'"),
        (lambda: s.join([0.1, 0.2], [3, 4]), "boundaries must be one between any two neighbours of schedules"),
        (lambda: s.piecewise([0.1, 0.2, 0.3], [4, 3]), "above 0 and increasing"),
        (lambda: s.piecewise([0.1, math.nan], [4]), "each of values must be a number; got nan: write 0.1, or another"),
        (lambda: s.join([None, 0.1], [4]), "each of schedules must be a number, or a function of the count; got None"),
        (lambda: s.warmup("a", 4), "then must be a number, or a function of the count; got 'a': write then=0.1"),
        (lambda: s.product("ab"), "schedules must be several values; got 'ab': write schedules=[...]"),
        (lambda: s.multistep(0.1, 3), "milestones must be several values; got 3"),
        (lambda: s.wsd(0.1, -3, 2, 2), "warmup must be a number at least 0; got -3: write warmup=100, or another such"),
        (lambda: s.exponential(0.1, 0.9, end="x"), "end must be a number; got 'x'"),
    ],
)
def test_misuse_is_refused(make, message):
    with pytest.raises(HyperparameterError) as error:
        make()
    assert message in str(error.value)


def test_any_function_is_a_schedule():
    """Of the count; torch's LambdaLR and MultiplicativeLR are such."""

    def factor(count):
        return 0.95**count * (1 + count % 3)

    lambdas = {
        "LambdaLR": lambda count: 0.1 * factor(count),
        "MultiplicativeLR": lambda count: 0.1 * math.prod(factor(c) for c in range(1, count + 1)),
    }
    for name, schedule in lambdas.items():
        seen = [ss.sgd(schedule).hyperparameters(count)["lr"] for count in COUNTS]
        assert np.abs(np.array(seen) - of_torch(name, 0.1, factor)).max() <= TOLERANCE


def test_an_optimizer_follows_a_schedule():
    schedule = s.warmup(s.cosine(0.1, 10), 5)
    opt, params = ss.sgd(schedule), np.zeros(1)
    state = opt.init(params)
    for count in range(20):
        before = params
        params, state = opt.step(params, np.ones(1), state)
        assert params[0] == before[0] - schedule(count)
        assert opt.hyperparameters(count) == {"lr": schedule(count)}


def test_what_grows_beyond_all_numbers_is_infinite_and_no_error():
    assert s.exponential(1e-8, 2.0, end=0.1)(5000) == 0.1
    assert s.step(1e-8, 1, 10.0)(400) == s.cyclic(0.0, 1.0, 2, mode="exp_range", gamma=2.0)(5001) == math.inf

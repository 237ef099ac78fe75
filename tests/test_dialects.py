"""Every dialect beside the library that it is named after: its own defaults, and other numbers under a changing lr.

Live, in float64, 50 steps. TensorFlow 1 has stand-ins: what has the same arithmetic, with its numbers written out.
"""

import inspect
from dataclasses import replace

import numpy as np
import pytest

import samestep as ss
from samestep.dialects import DIALECTS, Refused
from samestep_conformance.golden.oracles import FLOAT64, Named, Oracle, available, call
from samestep_conformance.golden.problem import PROBLEMS, wave

LR = wave(0.02)


def driven(path, lr_name="lr", **kwargs):
    """A class of optimizers whose lr is set before each step."""
    return Oracle(call(path, **{lr_name: LR(0)}, **kwargs), LR)


def torch(name, **kwargs):
    return Oracle(call(f"torch.optim.{name}")), driven(f"torch.optim.{name}", **kwargs)


def keras(name, **kwargs):
    return Oracle(call(f"keras.optimizers.{name}")), driven(f"keras.optimizers.{name}", "learning_rate", **kwargs)


def optax(name, other=None, **kwargs):
    """It has no default of lr: 0.01 for the defaults of the rest."""
    return Oracle(call(f"optax.{name}", 0.01)), Oracle(call(f"optax.{other or name}", LR, **kwargs))


def in_float64(oracles):
    """Without the float32 that the library computes a decay or a mean in, whatever the params are."""
    return tuple(replace(oracle, patches=FLOAT64[oracle.library]) for oracle in oracles)


# (constructor, dialect) -> what is given beside lr; the library's own by its defaults, and with these numbers
GIVEN = {
    ("sgd", "torch"): (
        {"momentum": 0.9, "dampening": 0.5, "weight_decay": 0.1},
        torch("SGD", momentum=0.9, dampening=0.5, weight_decay=0.1),
    ),
    ("sgd", "optax"): ({"momentum": 0.9, "nesterov": True}, optax("sgd", momentum=0.9, nesterov=True)),
    ("sgd", "keras"): (
        {"momentum": 0.9, "nesterov": True, "weight_decay": 0.1},
        keras("SGD", momentum=0.9, nesterov=True, weight_decay=0.1),
    ),
    ("sgd", "tf1"): ({"momentum": 0.9}, optax("sgd", momentum=0.9)),
    ("adagrad", "torch"): (
        {"eps": 1e-3, "initial_accumulator": 0.2, "lr_decay": 0.1, "weight_decay": 0.1},
        torch("Adagrad", eps=1e-3, initial_accumulator_value=0.2, lr_decay=0.1, weight_decay=0.1),
    ),
    ("adagrad", "optax"): (
        {"eps": 1e-3, "initial_accumulator": 0.2},
        optax("adagrad", eps=1e-3, initial_accumulator_value=0.2),
    ),
    ("adagrad", "keras"): (
        {"eps": 1e-3, "initial_accumulator": 0.2, "weight_decay": 0.1},
        keras("Adagrad", epsilon=1e-3, initial_accumulator_value=0.2, weight_decay=0.1),
    ),
    ("adagrad", "tf1"): (
        {"initial_accumulator": 0.2},
        (
            Oracle(call("torch.optim.Adagrad", lr=0.01, eps=0.0, initial_accumulator_value=0.1)),
            driven("torch.optim.Adagrad", eps=0.0, initial_accumulator_value=0.2),
        ),
    ),
    ("rmsprop", "torch"): (
        {"rho": 0.95, "eps": 1e-3, "momentum": 0.9, "weight_decay": 0.1},
        torch("RMSprop", alpha=0.95, eps=1e-3, momentum=0.9, weight_decay=0.1),
    ),
    ("rmsprop", "optax"): (
        {"rho": 0.95, "eps": 1e-3, "momentum": 0.9, "initial_accumulator": 0.2},
        optax("rmsprop", decay=0.95, eps=1e-3, momentum=0.9, initial_scale=0.2),
    ),
    ("rmsprop", "keras"): (
        {"rho": 0.95, "eps": 1e-3, "momentum": 0.9, "centered": True, "weight_decay": 0.1},
        keras("RMSprop", rho=0.95, epsilon=1e-3, momentum=0.9, centered=True, weight_decay=0.1),
    ),
    ("rmsprop", "tf1"): (
        {"rho": 0.95, "eps": 1e-3, "momentum": 0.9, "centered": True},
        (
            Oracle(call("timm.optim.rmsprop_tf.RMSpropTF", lr=0.01)),
            driven("timm.optim.rmsprop_tf.RMSpropTF", alpha=0.95, eps=1e-3, momentum=0.9, centered=True),
        ),
    ),
    ("adam", "torch"): (
        {"beta1": 0.8, "beta2": 0.99, "eps": 1e-3, "amsgrad": True, "weight_decay": 0.1},
        torch("Adam", betas=(0.8, 0.99), eps=1e-3, amsgrad=True, weight_decay=0.1),
    ),
    ("adam", "optax"): (
        {"beta1": 0.8, "beta2": 0.99, "eps": 1e-3, "eps_root": 1e-4},
        optax("adam", b1=0.8, b2=0.99, eps=1e-3, eps_root=1e-4),
    ),
    ("adam", "keras"): (
        {"beta1": 0.8, "beta2": 0.99, "eps": 1e-3, "amsgrad": True, "weight_decay": 0.1},
        keras("Adam", beta_1=0.8, beta_2=0.99, epsilon=1e-3, amsgrad=True, weight_decay=0.1),
    ),
    ("adam", "tf1"): (
        {"beta1": 0.8, "beta2": 0.99, "eps": 1e-3},
        (
            Oracle(call("keras.optimizers.Adam", epsilon=1e-8)),
            driven("keras.optimizers.Adam", "learning_rate", beta_1=0.8, beta_2=0.99, epsilon=1e-3),
        ),
    ),
    ("adamw", "torch"): (
        {"beta1": 0.8, "beta2": 0.99, "eps": 1e-3, "amsgrad": True, "weight_decay": 0.1},
        torch("AdamW", betas=(0.8, 0.99), eps=1e-3, amsgrad=True, weight_decay=0.1),
    ),
    ("adamw", "optax"): (
        {"beta1": 0.8, "beta2": 0.99, "eps": 1e-3, "eps_root": 1e-4, "weight_decay": 0.1},
        optax("adamw", b1=0.8, b2=0.99, eps=1e-3, eps_root=1e-4, weight_decay=0.1),
    ),
    ("adamw", "keras"): (
        {"beta1": 0.8, "beta2": 0.99, "eps": 1e-3, "amsgrad": True, "weight_decay": 0.1},
        keras("AdamW", beta_1=0.8, beta_2=0.99, epsilon=1e-3, amsgrad=True, weight_decay=0.1),
    ),
    ("nadam", "torch"): (
        {"beta1": 0.8, "beta2": 0.99, "eps": 1e-3, "psi": 0.1, "weight_decay": 0.1},
        torch("NAdam", betas=(0.8, 0.99), eps=1e-3, momentum_decay=0.1, weight_decay=0.1),
    ),
    ("nadam", "optax"): ({"beta1": 0.8, "beta2": 0.99, "eps": 1e-3}, optax("nadam", b1=0.8, b2=0.99, eps=1e-3)),
    ("nadam", "keras"): (
        {"beta1": 0.8, "beta2": 0.99, "eps": 1e-3, "weight_decay": 0.1},
        keras("Nadam", beta_1=0.8, beta_2=0.99, epsilon=1e-3, weight_decay=0.1),
    ),
    ("radam", "torch"): (
        {"beta1": 0.8, "beta2": 0.99, "eps": 1e-3, "weight_decay": 0.1},
        torch("RAdam", betas=(0.8, 0.99), eps=1e-3, weight_decay=0.1),
    ),
    ("radam", "optax"): (
        {"beta1": 0.8, "beta2": 0.99, "eps": 1e-3, "threshold": 6.0},
        optax("radam", b1=0.8, b2=0.99, eps=1e-3, threshold=6.0),
    ),
    ("adamax", "torch"): (
        {"beta1": 0.8, "beta2": 0.99, "eps": 1e-3, "weight_decay": 0.1},
        torch("Adamax", betas=(0.8, 0.99), eps=1e-3, weight_decay=0.1),
    ),
    ("adamax", "optax"): ({"beta1": 0.8, "beta2": 0.99, "eps": 1e-3}, optax("adamax", b1=0.8, b2=0.99, eps=1e-3)),
    ("adamax", "keras"): (
        {"beta1": 0.8, "beta2": 0.99, "eps": 1e-3, "weight_decay": 0.1},
        keras("Adamax", beta_1=0.8, beta_2=0.99, epsilon=1e-3, weight_decay=0.1),
    ),
    ("lars", "optax"): (
        {"momentum": 0.8, "nesterov": True, "weight_decay": 0.1, "trust_coefficient": 0.01, "eps": 1e-3},
        optax("lars", weight_decay=0.1, trust_coefficient=0.01, eps=1e-3, momentum=0.8, nesterov=True),
    ),
    ("lamb", "optax"): (
        {"beta1": 0.8, "beta2": 0.99, "eps": 1e-3, "weight_decay": 0.1},
        optax("lamb", b1=0.8, b2=0.99, eps=1e-3, weight_decay=0.1),
    ),
    ("lamb", "keras"): (
        {"beta1": 0.8, "beta2": 0.99, "eps": 1e-3},
        keras("Lamb", beta_1=0.8, beta_2=0.99, epsilon=1e-3),
    ),
    ("adafactor", "torch"): (
        {"decay_rate": 0.7, "eps": 0.01, "eps2": 0.01, "clip_threshold": 1.5, "weight_decay": 0.1},
        torch("Adafactor", beta2_decay=-0.7, eps=(0.01, 0.01), d=1.5, weight_decay=0.1),
    ),
    ("adafactor", "optax"): (
        {"decay_rate": 0.7, "eps": 1e-6, "clip_threshold": 0.5, "beta1": 0.9, "min_dim": 3, "weight_decay": 0.01},
        in_float64(
            optax(
                "adafactor",
                decay_rate=0.7,
                eps=1e-6,
                clipping_threshold=0.5,
                momentum=0.9,
                dtype_momentum=Named("jax.numpy.float64"),
                min_dim_size_to_factor=3,
                weight_decay_rate=0.01,
            )
        ),
    ),
    ("adafactor", "keras"): (
        {"decay_rate": 0.7, "eps": 1e-6, "eps2": 0.01, "clip_threshold": 0.5},
        in_float64(keras("Adafactor", beta_2_decay=-0.7, epsilon_1=1e-6, epsilon_2=0.01, clip_threshold=0.5)),
    ),
    ("ftrl", "keras"): (
        {"lr_power": -0.4, "beta": 0.1, "l1": 0.05, "l2": 0.3, "l2_shrinkage": 0.1, "initial_accumulator": 0.2},
        keras(
            "Ftrl",
            learning_rate_power=-0.4,
            beta=0.1,
            l1_regularization_strength=0.05,
            l2_regularization_strength=0.3,
            l2_shrinkage_regularization_strength=0.1,
            initial_accumulator_value=0.2,
        ),
    ),
    ("ftrl", "tf1"): (
        {"l1": 0.05, "l2": 0.3, "l2_shrinkage": 0.1},
        (
            Oracle(call("keras.optimizers.Ftrl", learning_rate=0.01)),
            driven(
                "keras.optimizers.Ftrl",
                "learning_rate",
                l1_regularization_strength=0.05,
                l2_regularization_strength=0.3,
                l2_shrinkage_regularization_strength=0.1,
            ),
        ),
    ),
}
ROWS = [(name, dialect) for name, rows in DIALECTS.items() for dialect in rows]


def test_every_row_is_held_to_its_library():
    assert list(GIVEN) == ROWS


@pytest.mark.parametrize("given", ["defaults", "numbers"])
@pytest.mark.parametrize("name, dialect", ROWS)
def test_same_as_the_library(name, dialect, given):
    numbers, oracles = GIVEN[name, dialect]
    theirs = oracles[given == "numbers"]
    assert available(theirs.library), "the extra `test` brings it"
    lr = {"lr": LR} if given == "numbers" else {} if "lr" in DIALECTS[name][dialect] else {"lr": 0.01}
    optimizer = getattr(ss, name)(**lr, **(numbers if given == "numbers" else {}), dialect=dialect)
    problem = PROBLEMS["vector"]
    params = problem.params()
    state = optimizer.init(params)
    for t, expected in enumerate(theirs.run(problem), start=1):
        params, state = optimizer.step(params, problem.gradient(params, t), state)
        for leaf, a in expected.items():
            error = np.abs(a - params[leaf]) / np.maximum(1.0, np.abs(a))
            assert error.max() <= 1e-12, f"{leaf} is off by {error.max():.1e} in step {t}"


@pytest.mark.parametrize("name, dialect", ROWS)
def test_a_row_sets_what_its_constructor_has(name, dialect):
    assert DIALECTS[name][dialect].keys() <= inspect.signature(getattr(ss, name)).parameters.keys()


def test_an_argument_wins_over_its_dialect():
    assert ss.adam(dialect="keras", eps=1e-8, eps_mode="outside") == ss.adam()
    assert repr(ss.adam(dialect="keras", eps=1e-8)) == "adam(lr=0.001, eps=1e-08, dialect='keras')"
    assert ss.adam(dialect=None) == ss.adam() and ss.adam(0.5, dialect="keras") != ss.adam(0.5)


def test_what_is_unknown_is_refused_with_the_list():
    with pytest.raises(ss.HyperparameterError, match=r"dialect must be one of .*torch.*optax.*keras.*tf1.*; got 'jax'"):
        ss.sgd(dialect="jax")
    for name in set(ss.__all__) - DIALECTS.keys():
        assert "dialect" not in getattr(getattr(ss, name), "__signature__", inspect.Signature()).parameters


def test_what_a_library_means_otherwise_is_refused():
    refused = [(n, d, k) for n, d in ROWS for k, v in DIALECTS[n][d].items() if isinstance(v, Refused)]
    assert refused
    for name, dialect, key in refused:
        with pytest.raises(ss.HyperparameterError, match=f"takes no {key}: "):
            getattr(ss, name)(dialect=dialect, **{key: 0.1})

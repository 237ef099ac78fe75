"""Gradient descent: sgd in its forms."""

from ..case import Case
from ..oracles import call, keras, optax, torch
from ..problem import wave

CASES = [
    Case("sgd", lambda ss: ss.sgd(0.02), torch("SGD", 0.02)),
    Case("sgd_momentum", lambda ss: ss.sgd(wave(0.02), momentum=0.9), torch("SGD", wave(0.02), momentum=0.9)),
    Case(
        "sgd_coupled",
        lambda ss: ss.sgd(0.01, momentum=0.9, weight_decay=0.1),
        torch("SGD", 0.01, momentum=0.9, weight_decay=0.1),
    ),
    Case(
        "sgd_decoupled",
        lambda ss: ss.chain(ss.decay(0.1), ss.sgd(wave(0.01), momentum=0.9, form="velocity")),
        keras("SGD", wave(0.01), momentum=0.9, weight_decay=0.1),
    ),
    Case(
        "sgd_dampening",
        lambda ss: ss.sgd(0.02, momentum=0.9, dampening=0.5),
        torch("SGD", 0.02, momentum=0.9, dampening=0.5),
    ),
    Case(
        "sgd_dampening_zero",
        lambda ss: ss.sgd(0.02, momentum=0.9, dampening=0.5, first_step="zero"),
        optax("chain", call("optax.scale", 0.5), call("optax.trace", 0.9), call("optax.scale", -0.02)),
    ),
    Case(
        "sgd_nesterov",
        lambda ss: ss.sgd(0.01, momentum=0.9, nesterov=True),
        torch("SGD", 0.01, momentum=0.9, nesterov=True),
    ),
    Case(
        "sgd_velocity",
        lambda ss: ss.sgd(wave(0.01), momentum=0.9, form="velocity"),
        keras("SGD", wave(0.01), momentum=0.9),
    ),
    Case(
        "sgd_velocity_nesterov",
        lambda ss: ss.sgd(wave(0.01), momentum=0.9, nesterov=True, form="velocity"),
        keras("SGD", wave(0.01), momentum=0.9, nesterov=True),
    ),
    Case(
        "sgd_ema",
        lambda ss: ss.sgd(wave(0.05), momentum=0.9, form="ema"),
        optax("chain", call("optax.ema", 0.9, debias=False), call("optax.scale_by_learning_rate", wave(0.05))),
    ),
    Case(
        "momentum_debiased",
        lambda ss: ss.chain(ss.momentum(0.9, form="ema"), ss.unbias(0.9), ss.descend(wave(0.05))),
        optax("chain", call("optax.ema", 0.9), call("optax.scale_by_learning_rate", wave(0.05))),
    ),
]

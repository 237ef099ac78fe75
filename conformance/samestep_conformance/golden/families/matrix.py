"""Matrix methods: muon, shampoo."""

from math import sqrt
from typing import Any

from ..case import Case
from ..oracles import FLOAT64, Call, Oracle, call, keras, maker, optax
from ..problem import Schedule, wave

po = maker("pytorch_optimizer")

_FLOAT64 = {"torch.Tensor.bfloat16": "torch.Tensor.clone"}  # torch's Muon then iterates in its input's precision


def _muon(lr: float | Schedule, **kwargs: Any) -> Oracle:
    first = lr(0) if callable(lr) else lr
    return Oracle(call("torch.optim.Muon", lr=first, **kwargs), lr if callable(lr) else None, _FLOAT64)


def _muon_per_leaf(**rates: float) -> Oracle:
    """Other scales of the step: torch's is sqrt(max(1, rows / cols)), the rest is in the rate of each leaf."""
    calls = {leaf: call("torch.optim.Muon", lr=lr, weight_decay=0.0) for leaf, lr in rates.items()}
    return Oracle(calls, patches=_FLOAT64)


def _axes(**leaves: tuple) -> Call:
    """Which axes of a leaf optax takes for the columns and for the rows of its matrices; the others are a batch."""
    return call("builtins.dict", **{leaf: call("optax.contrib.MuonDimensionNumbers", *a) for leaf, a in leaves.items()})


CASES = [
    Case("muon", lambda ss: ss.muon(), _muon(0.02, weight_decay=0.0), problem="matrix"),
    Case(
        "muon_decay",
        lambda ss: ss.muon(wave(0.02), momentum=0.9, weight_decay=0.1),
        _muon(wave(0.02), momentum=0.9, weight_decay=0.1),
        problem="matrix",
    ),
    Case(
        "muon_match_rms",
        lambda ss: ss.muon(0.02, nesterov=False, scale="match_rms"),
        _muon(0.02, weight_decay=0.0, nesterov=False, adjust_lr_fn="match_rms_adamw"),
        problem="matrix",
    ),
    Case(
        "muon_in_out",
        lambda ss: ss.muon(wave(0.02), bias_correction=True, layout="in_out"),
        optax("contrib.muon", wave(0.02), eps=0.0),
        problem="matrix",
    ),
    Case(
        "muon_coefficients",
        lambda ss: ss.muon(
            0.02, nesterov=False, bias_correction=True, ns_coeffs="dion", scale="match_rms", layout="in_out"
        ),
        optax("contrib.muon", 0.02, nesterov=False, ns_coeffs="dion", consistent_rms=0.2, eps=0.0),
        problem="matrix",
    ),
    Case(
        "muon_spectral",
        lambda ss: ss.muon(scale="spectral"),
        _muon_per_leaf(w=0.02, u=0.02 * sqrt(4 / 6)),
        problem="matrix",
    ),
    Case(
        "muon_unscaled",
        lambda ss: ss.muon(scale="none"),
        _muon_per_leaf(w=0.02 / sqrt(5 / 4), u=0.02),
        problem="matrix",
    ),
    Case(
        "muon_aux",
        lambda ss: ss.muon(
            0.02, aux_lr=0.003, weight_decay=0.1, ns_steps=3, ns_coeffs=(2.0, -1.5, 0.5), beta1=0.8, beta2=0.9, eps=1e-4
        ),
        Oracle(
            {
                "w": call("torch.optim.Muon", lr=0.02, weight_decay=0.1, ns_steps=3, ns_coefficients=(2.0, -1.5, 0.5)),
                "b": call("torch.optim.AdamW", lr=0.003, betas=(0.8, 0.9), eps=1e-4, weight_decay=0.1, foreach=False),
            },
            patches=_FLOAT64,
        ),
    ),
    Case(
        "muon_bfloat16",
        lambda ss: ss.muon(ns_dtype="bfloat16"),
        Oracle(call("torch.optim.Muon", lr=0.02, weight_decay=0.0)),
        problem="matrix",
        tolerance=1e-4,
        remark="an entry of a product halfway between two of bfloat16 goes either way, with the order of its sum: 1e-5",
    ),
    Case(
        "muon_flatten",
        lambda ss: ss.muon(0.02, bias_correction=True, reshape="flatten", ns_eps=1e-3, ns_eps_mode="add"),
        optax("contrib.muon", 0.02, eps=1e-3, muon_weight_dimension_numbers=_axes(w=((1, 2), 0), k=((1, 2, 3), 0))),
        problem="tensor",
    ),
    Case(
        "muon_batch",
        lambda ss: ss.muon(0.02, bias_correction=True, reshape="batch", scale="match_rms"),
        optax(
            "contrib.muon",
            0.02,
            eps=0.0,
            consistent_rms=0.2,
            muon_weight_dimension_numbers=_axes(w=(-1, -2), k=(-1, -2)),
        ),
        problem="tensor",
    ),
    Case(  # its momentum is a sum, 1 / (1 - momentum) of ours: so much more than eps
        "muon_keras",
        lambda ss: ss.muon(
            wave(0.02), weight_decay=0.1, scale="match_rms", ns_eps=1e-7 * (1 - 0.95), ns_eps_mode="add"
        ),
        Oracle(keras("Muon", wave(0.02), weight_decay=0.1).calls, wave(0.02), FLOAT64["keras"]),
        problem="matrix",
    ),
    Case(
        "shampoo",
        lambda ss: ss.shampoo(0.1),
        Oracle(call("pytorch_optimizer.Shampoo", lr=0.1)),
        problem="matrix",
        exceptions={"recorded": (1e-9, "inverse roots of nearly singular sums: 1.3e-12 seen, part C 4")},
    ),
    Case(
        "shampoo_coupled",
        lambda ss: ss.shampoo(wave(0.1), eps=0.1, weight_decay=0.1, decay="coupled"),
        po("Shampoo", wave(0.1), matrix_eps=0.1, weight_decay=0.1),
        problem="tensor",
    ),
]

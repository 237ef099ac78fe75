"""Modifiers around other optimizers."""

from ..case import Case
from ..oracles import call, optax
from ..problem import wave

CASES = [
    Case(
        "clip_sgd",
        lambda ss: ss.chain(ss.clip_by_global_norm(10.0), ss.sgd(0.02, momentum=0.9)),
        optax("chain", call("optax.clip_by_global_norm", 10.0), call("optax.sgd", 0.02, momentum=0.9)),
    ),
    Case(
        "clip_adamw",
        lambda ss: ss.chain(ss.clip_by_global_norm(1.0), ss.adamw(0.01, weight_decay=0.1)),
        optax("chain", call("optax.clip_by_global_norm", 1.0), call("optax.adamw", 0.01, weight_decay=0.1)),
    ),
    Case(
        "clip_nonfinite",
        lambda ss: ss.chain(ss.clip_by_global_norm(1.0, nonfinite="torch"), ss.sgd(0.1)),
        optax("chain", call("optax.clip_by_global_norm", 1.0), call("optax.sgd", 0.1)),
        problem="bursts",
    ),
    Case(
        "accumulate_adam",
        lambda ss: ss.chain(ss.accumulate(4), ss.adam(0.01)),
        optax("MultiSteps", call("optax.adam", 0.01), 4, accumulator_dtype="float64"),
    ),
    Case(
        "accumulate_adamw_schedule",
        lambda ss: ss.chain(ss.accumulate(3), ss.adamw(wave(0.02), weight_decay=0.1)),
        optax("MultiSteps", call("optax.adamw", wave(0.02), weight_decay=0.1), 3, accumulator_dtype="float64"),
    ),
    Case(
        "accumulate_sum",
        lambda ss: ss.chain(ss.accumulate(3, mean=False), ss.sgd(0.01, momentum=0.9)),
        optax("MultiSteps", call("optax.sgd", 0.01, momentum=0.9), 3, use_grad_mean=False, accumulator_dtype="float64"),
    ),
    Case(
        "skip_nonfinite",
        lambda ss: ss.chain(ss.skip_nonfinite(3), ss.adam(wave(0.02))),
        optax("apply_if_finite", call("optax.adam", wave(0.02)), 3),
        problem="bursts",
    ),
    Case(
        "skip_nonfinite_gives_up",
        lambda ss: ss.chain(ss.skip_nonfinite(2), ss.adam(0.01)),
        optax("apply_if_finite", call("optax.adam", 0.01), 2),
        problem="bursts",
    ),
    Case(
        "lookahead",
        lambda ss: ss.chain(ss.adam(0.01), ss.lookahead()),
        optax("lookahead", call("optax.adam", 0.01), 5, 0.5),
    ),
    Case(
        "lookahead_reset",
        lambda ss: ss.chain(ss.adam(0.01), ss.lookahead(k=6, alpha=0.8, reset="state")),
        optax("lookahead", call("optax.adam", 0.01), 6, 0.8, reset_state=True),
    ),
]

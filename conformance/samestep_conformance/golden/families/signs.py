"""Steps that read nothing but signs: signum, tiger, rprop."""

from ..case import Case
from ..oracles import optax, po, torch
from ..problem import wave

CASES = [
    Case("signum", lambda ss: ss.signum(), optax("signum", 1e-3), tolerance=0.0),
    Case(
        "signum_decoupled",
        lambda ss: ss.signum(wave(0.02), beta=0.8, weight_decay=0.1),
        po("SignSGD", wave(0.02), momentum=0.8, weight_decay=0.1, weight_decouple=True),
        tolerance=0.0,
    ),
    Case("signsgd", lambda ss: ss.signum(wave(0.02), beta=0.0), optax("sign_sgd", wave(0.02)), tolerance=0.0),
    Case("tiger", lambda ss: ss.tiger(), po("Tiger", 1e-3, weight_decay=0.0)),
    Case(
        "tiger_decoupled",
        lambda ss: ss.tiger(wave(0.02), beta=0.945, weight_decay=0.1),
        po("Tiger", wave(0.02), beta=0.945, weight_decay=0.1, weight_decouple=True),
    ),
    Case("rprop", lambda ss: ss.rprop(), torch("Rprop", 1e-2), tolerance=0.0),
    Case(
        "rprop_bounds",
        lambda ss: ss.rprop(0.1, eta_minus=0.3, eta_plus=1.5, step_min=0.02, step_max=0.3),
        torch("Rprop", 0.1, etas=(0.3, 1.5), step_sizes=(0.02, 0.3)),
        tolerance=0.0,
    ),
]

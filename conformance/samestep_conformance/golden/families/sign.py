"""The sign of a momentum: lion."""

from ..case import Case
from ..oracles import lion, po
from ..problem import wave

CASES = [
    Case("lion", lambda ss: ss.lion(0.01), lion("Lion", 0.01), tolerance=0.0),
    Case(
        "lion_decoupled",
        lambda ss: ss.lion(wave(0.02), beta1=0.95, beta2=0.98, weight_decay=0.1),
        lion("Lion", wave(0.02), betas=(0.95, 0.98), weight_decay=0.1),
    ),
    Case(  # their option divides the decay by the first lr
        "lion_independent_lion",
        lambda ss: ss.chain(ss.scale_by_lion(), ss.decay(0.01, mode="independent"), ss.descend(0.02)),
        lion("Lion", 0.02, weight_decay=0.01, decoupled_weight_decay=True),
    ),
    Case(
        "lion_independent",
        lambda ss: ss.chain(ss.scale_by_lion(), ss.decay(0.01, mode="independent"), ss.descend(wave(0.02))),
        po("Lion", wave(0.02), weight_decay=0.01, fixed_decay=True),
    ),
]

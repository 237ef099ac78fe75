"""The authors' own cautious optimizers: c_adamw, c_lion."""

from ..case import Case
from ..oracles import po, timm
from ..problem import wave

CASES = [
    Case("c_adamw", lambda ss: ss.c_adamw(), timm("adamw.AdamWLegacy", 1e-3, eps=1e-6, caution=True, weight_decay=0.0)),
    Case(
        "c_lion",
        lambda ss: ss.c_lion(wave(0.02), weight_decay=0.1),
        po("Lion", wave(0.02), betas=(0.95, 0.98), weight_decay=0.1, cautious=True),
    ),
]

"""Moments of older gradients, and a decay made of the step: adashift, amos."""

from ..case import Case
from ..oracles import Named, po
from ..problem import wave

CASES = [
    Case("adashift", lambda ss: ss.adashift(0.01), po("AdaShift", 0.01)),
    Case(
        "adashift_mean",
        lambda ss: ss.adashift(wave(0.02), beta1=0.8, beta2=0.9, keep=3, reduce="mean", eps=1e-4),
        po("AdaShift", wave(0.02), betas=(0.8, 0.9), keep_num=3, reduce_func=Named("torch.mean"), eps=1e-4),
    ),
    Case(
        "adashift_each",
        lambda ss: ss.adashift(0.01, keep=1, reduce="none", eps=1e-2),
        po("AdaShift", 0.01, keep_num=1, reduce_func=None, eps=1e-2),
    ),
    Case("amos", lambda ss: ss.amos(0.1), po("Amos", 0.1, eps=1e-30)),
    Case(
        "amos_momentum",
        lambda ss: ss.amos(wave(0.2), beta=0.98, momentum=0.9, c=0.5, d=0.1),
        po("Amos", wave(0.2), beta=0.98, momentum=0.9, c_coef=0.5, d_coef=0.1, eps=1e-30),
        problem="tensor",
    ),
]

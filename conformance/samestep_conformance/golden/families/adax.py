"""AdaX and AdaXW, by torch's Adam and AdamW with their numbers set before each step."""

from math import expm1, log1p

from ..case import Case
from ..oracles import torch
from ..problem import wave


def long_memory(lr, weight_decay=0.0, beta1=0.9, beta2=1e-4, eps=1e-12):
    """Adam's numbers, such that it takes a step of AdaX: beta2 of a step t is 1 - rho."""

    def numbers(count: int) -> dict:
        t, rate = count + 1, lr(count) if callable(lr) else lr
        decay = 1 - beta2 / expm1(t * log1p(beta2)) if t > 1 else 0.0
        root = (1 - decay**t) ** 0.5
        driven = rate * (1 - beta1**t) / root
        found = {"betas": (beta1, decay), "lr": driven, "eps": eps / root}
        return found | ({"weight_decay": weight_decay * rate / driven} if weight_decay else {})

    shown = [getattr(lr, "__qualname__", repr(lr)), *map(repr, (weight_decay, beta1, beta2, eps))]
    numbers.__qualname__ = f"long_memory({', '.join(shown)})"
    return numbers


CASES = [
    Case("adax", lambda ss: ss.adax(), torch("Adam", 0.1, weight_decay=5e-4, driven=long_memory(1.5e-3))),
    Case(
        "adax_schedule",
        lambda ss: ss.adax(wave(0.02), beta1=0.8, beta2=1e-2, eps=1e-3, weight_decay=0.0),
        torch("Adam", 0.1, driven=long_memory(wave(0.02), beta1=0.8, beta2=1e-2, eps=1e-3)),
    ),
    Case("adaxw", lambda ss: ss.adaxw(), torch("AdamW", 0.1, driven=long_memory(5e-3, 5e-2))),
]

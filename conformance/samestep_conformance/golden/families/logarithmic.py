"""Online RMSprop, by torch's RMSprop with its numbers set before each step."""

from ..case import Case
from ..oracles import torch
from ..problem import wave


def online(c: float, a, d: float):
    """RMSprop with beta = 1 - c / t, lr = a / sqrt(t) and eps = d / sqrt(t)."""

    def numbers(count: int) -> dict[str, float]:
        t = count + 1
        return {"alpha": 1 - c / t, "lr": (a(count) if callable(a) else a) / t**0.5, "eps": d / t**0.5}

    numbers.__qualname__ = f"online(c={c}, a={getattr(a, '__qualname__', a)}, d={d})"
    return numbers


CASES = [
    Case("online_rmsprop", lambda ss: ss.online_rmsprop(0.1), torch("RMSprop", 0.1, driven=online(0.9, 0.1, 1e-8))),
    Case(
        "online_rmsprop_schedule",
        lambda ss: ss.online_rmsprop(wave(0.1), gamma=0.5, eps=1e-3),
        torch("RMSprop", 0.1, driven=online(0.5, wave(0.1), 1e-3)),
    ),
]

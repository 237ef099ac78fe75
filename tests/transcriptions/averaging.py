"""Schedule-Free+ (part A 21, what is newer than the package), as its authors have it: x, y and z each in full."""

import math

import numpy as np


def loss(t):
    """Far enough below zero at times that there is no step."""
    return 0.5 + math.cos(t)


def schedule_free_plus(
    s, params, grads, t, *, lr=1.0, b1=0.9, b2=0.95, eps=1e-4, sf=0.9, sf_max=0.965, anneal=0, wd=0.0, r=0.0, power=2.0,
    decay=0.0, hold=0,
):  # fmt: skip
    """All leaves; the loss is made up."""
    if t == 1:
        s |= {"x": dict(params), "z": dict(params), "l1": 0.0, "most": 0.0, "sum": 0.0}
        s["m"], s["v"] = ({k: 0.0 * p for k, p in params.items()} for _ in range(2))
    if anneal:
        along = min((t - 1) / anneal, 1.0)
        sf = 1 - math.exp(math.log(1 - sf) * (1 - along) + math.log(1 - sf_max) * along)
    inner = sf * sum(np.sum(g * (s["z"][k] - s["x"][k])) for k, g in grads.items())
    s["l1"] = decay * s["l1"] + (1 - decay) * math.sqrt(math.pi / 2) * sum(np.abs(g).sum() for g in grads.values())
    polyak = max(0.0, loss(t) + inner) / (s["l1"] / (1 - decay**t))
    rate = lr * polyak
    s["most"] = max(s["most"], rate)
    c = 1.0
    if t > hold:
        weight = t**r * s["most"] ** power
        s["sum"] += weight
        c = weight / s["sum"] if s["sum"] else 0.0
    moved = {}
    for k, g in grads.items():
        s["m"][k] = b1 * s["m"][k] + (1 - b1) * g
        s["v"][k] = b2 * s["v"][k] + (1 - b2) * g * g
        z = s["z"][k] - rate * rate * wd * params[k]
        z = z - rate * (s["m"][k] / (1 - b1**t)) / (np.sqrt(s["v"][k] / (1 - b2**t)) + eps)
        s["x"][k] = (1 - c) * s["x"][k] + c * z
        s["z"][k] = z
        moved[k] = sf * s["x"][k] + (1 - sf) * z
    return moved


def annealed(s, params, grads, t):
    """Everything but the defaults, which stand in the matrix of modifiers."""
    return schedule_free_plus(
        s, params, grads, t, lr=0.5, b1=0.8, b2=0.9, sf=0.7, anneal=20, wd=2.0, r=1.0, power=1.0, decay=0.9, hold=5
    )  # fmt: skip


WHOLE = {
    "schedule_free_plus_annealed": (
        lambda ss: ss.schedule_free_plus(
            0.5, beta1=0.8, beta2=0.9, eps=1e-4, momentum=0.7, anneal=20, weight_decay=2.0, r=1.0, weight_lr_power=1.0,
            polyak_beta=0.9, c_warmup=5,
        ),
        annealed,
    ),
}  # fmt: skip
GIVEN = dict.fromkeys(WHOLE, lambda t: {"loss": loss(t)})

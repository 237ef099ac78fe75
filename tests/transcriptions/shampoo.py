"""Shampoo's options, from part A, card 19; pytorch_optimizer has another momentum, and its moving average no bias."""

import numpy as np


def shampoo(s, p, g, t, *, lr=0.01, eps=1e-6, b2=1.0, every=1, start=1, root=None, mu=0.0, graft=None):
    """The factors sum (b2 = 1, from eps I) or decay (from 0; eps is added to the eigenvalues of the unbiased mean)."""
    u, k = g, g.ndim
    for i, d in enumerate(g.shape):
        flat = np.moveaxis(g, i, 0).reshape(d, -1)
        h = s.get(("h", i), (eps if b2 == 1 else 0.0) * np.eye(d))
        s["h", i] = h + flat @ flat.T if b2 == 1 else b2 * h + (1 - b2) * (flat @ flat.T)
        if t >= start and (t - start) % every == 0:
            values, q = np.linalg.eigh(s["h", i] if b2 == 1 else s["h", i] / (1 - b2**t))
            values = np.maximum(values, eps) if b2 == 1 else values - min(values.min(), 0.0) + eps
            s["r", i] = (q * values ** (-1 / (root or 2 * k))) @ q.T
        if t < start:
            continue
        u = np.moveaxis(np.tensordot(s["r", i], u, axes=[[1], [i]]), 0, i)
    if graft == "adagrad":
        s["n"] = s.get("n", 0.0) + g * g
        reference = g / (np.sqrt(s["n"]) + 1e-10)
    elif graft == "adam":
        s["n"] = 0.95 * s.get("n", 0.0) + 0.05 * g * g
        reference = g / (np.sqrt(s["n"] / (1 - 0.95**t)) + 1e-10)
    else:
        reference = g
    if t < start:
        u = reference
    elif graft:
        u = u * np.linalg.norm(reference) / (np.linalg.norm(u) + 1e-16)
    s["m"] = mu * s.get("m", 0.0) + u
    return p - lr * (s["m"] if mu else u)


def every_third(s, p, g, t):
    """The roots of steps 1, 4, 7, ..., grafted on the gradient's norm, with momentum behind."""
    return shampoo(s, p, g, t, eps=1.0, every=3, mu=0.9, graft="sgd")


def averaged(s, p, g, t):
    """A moving average, and the norm of AdaGrad's step."""
    return shampoo(s, p, g, t, eps=1.0, b2=0.9, graft="adagrad")


def late(s, p, g, t):
    """Adam's steps until the fourth, and then roots of steps 4, 7, ..., square ones, grafted on Adam's norm."""
    return shampoo(s, p, g, t, eps=1.0, every=3, start=4, root=2, mu=0.9, graft="adam")


TRANSCRIPTIONS = {
    "shampoo_every_third": (lambda ss: ss.shampoo(0.01, eps=1.0, freq=3, momentum=0.9, graft="sgd"), every_third),
    "shampoo_averaged": (lambda ss: ss.shampoo(0.01, eps=1.0, beta2=0.9, graft="adagrad"), averaged),
    "shampoo_late": (
        lambda ss: ss.shampoo(0.01, eps=1.0, freq=3, start=4, root=2, momentum=0.9, graft="adam", graft_beta2=0.95),
        late,
    ),
}

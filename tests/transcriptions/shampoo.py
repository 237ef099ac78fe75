"""Shampoo's options, from part A, card 19; pytorch_optimizer has another momentum, and its moving average no bias."""

import numpy as np


def shampoo(
    s, p, g, t, *, lr=0.01, eps=1e-6, b1=0.0, b2=1.0, b3=None, every=1, start=1, root=None, mu=0.0, graft=None,
    wd=0.0, ahead=False, biased=False, relative=False,
):  # fmt: skip
    """The factors sum (b2 = 1, from eps I) or decay (from 0; eps is added to the eigenvalues of the unbiased mean).

    Meta's filter: what is preconditioned and grafted is a mean of gradients. Google's: a mean that starts at eps I and
    keeps its bias, and a ridge in proportion to the largest eigenvalue. Both add the decay to what momentum takes in.
    """
    k = g.ndim
    b3 = b1 if b3 is None else b3
    u = filtered = (b3 * s.get("f", 0.0) + (1 - b3) * g) / (1 if biased else 1 - b3 * b1 ** (t - 1))
    s["f"] = b1 * s.get("f", 0.0) + (1 - b1) * g
    for i, d in enumerate(g.shape):
        flat = np.moveaxis(g, i, 0).reshape(d, -1)
        h = s.get(("h", i), (eps if b2 == 1 or biased else 0.0) * np.eye(d))
        s["h", i] = h + flat @ flat.T if b2 == 1 else b2 * h + (1 - b2) * (flat @ flat.T)
        if t >= start and (t - start) % every == 0:
            values, q = np.linalg.eigh(s["h", i] if b2 == 1 or biased else s["h", i] / (1 - b2**t))
            if relative:
                values = values + eps * max(values.max(), 1e-6)
            else:
                values = np.maximum(values, eps) if b2 == 1 else values - min(values.min(), 0.0) + eps
            s["r", i] = (q * values ** (-1 / ((root or {}).get(k) or 2 * k))) @ q.T
        if t < start:
            continue
        u = np.moveaxis(np.tensordot(s["r", i], u, axes=[[1], [i]]), 0, i)
    if graft == "adagrad":
        s["n"] = s.get("n", 0.0) + g * g
        reference = filtered / (np.sqrt(s["n"]) + 1e-10)
    elif graft == "adam":
        s["n"] = 0.95 * s.get("n", 0.0) + 0.05 * g * g
        reference = filtered / (np.sqrt(s["n"] / (1 - 0.95**t)) + 1e-10)
    else:
        reference = filtered
    if t < start:
        u = reference
    elif graft:
        u = u * np.linalg.norm(reference) / (np.linalg.norm(u) + 1e-16)
    u = u + wd * p
    s["m"] = mu * s.get("m", 0.0) + u
    return p - lr * (u + mu * s["m"] if ahead else s["m"])


def every_third(s, p, g, t):
    """The roots of steps 1, 4, 7, ..., grafted on the gradient's norm, with momentum behind."""
    return shampoo(s, p, g, t, eps=1.0, every=3, mu=0.9, graft="sgd")


def averaged(s, p, g, t):
    """A moving average, and the norm of AdaGrad's step."""
    return shampoo(s, p, g, t, eps=1.0, b2=0.9, graft="adagrad")


def late(s, p, g, t):
    """Adam's steps until the fourth, and then roots of steps 4, 7, ..., square ones, grafted on Adam's norm."""
    return shampoo(s, p, g, t, eps=1.0, every=3, start=4, root={1: 2, 2: 2}, mu=0.9, graft="adam")


def meta(s, p, g, t):
    """A mean of gradients that looks ahead, their exponent for vectors, and decay in the momentum."""
    return shampoo(s, p, g, t, eps=1.0, b1=0.9, b2=0.99, b3=0.8, root={1: 3}, mu=0.5, graft="adam", wd=0.1)


def google(s, p, g, t):
    """Nothing is debiased; a ridge for the largest eigenvalue; Nesterov's momentum, with the decay in it."""
    return shampoo(
        s, p, g, t, eps=1e-2, b1=0.5, b2=0.9, start=5, mu=0.9, graft="sgd", wd=0.1, ahead=True, biased=True,
        relative=True,
    )  # fmt: skip


TRANSCRIPTIONS = {
    "shampoo_every_third": (lambda ss: ss.shampoo(0.01, eps=1.0, freq=3, momentum=0.9, graft="sgd"), every_third),
    "shampoo_averaged": (lambda ss: ss.shampoo(0.01, eps=1.0, beta2=0.9, graft="adagrad"), averaged),
    "shampoo_late": (
        lambda ss: ss.shampoo(0.01, eps=1.0, freq=3, start=4, root=2, momentum=0.9, graft="adam", graft_beta2=0.95),
        late,
    ),
    "shampoo_meta": (
        lambda ss: ss.shampoo(
            0.01, eps=1.0, beta1=0.9, beta2=0.99, beta3=0.8, root=(3,), momentum=0.5, graft="adam", graft_beta2=0.95,
            weight_decay=0.1, decay="direction",
        ),
        meta,
    ),
    "shampoo_google": (
        lambda ss: ss.shampoo(
            0.01, eps=1e-2, beta1=0.5, beta2=0.9, bias_correction=False, ridge="relative", start=5, momentum=0.9,
            nesterov=True, graft="sgd", weight_decay=0.1, decay="direction",
        ),
        google,
    ),
}  # fmt: skip

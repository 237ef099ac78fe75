"""SOAP as in its authors' file (part A, card 20), in float64; m is kept in the rotated coordinates, as there."""

import numpy as np


def turned(x, bases, *, back=False):
    """Every axis that has a basis goes into it, or back."""
    for q in bases:
        x = np.moveaxis(x, 0, -1) if q is None else np.tensordot(x, q, axes=[[0], [1 if back else 0]])
    return x


def soap(
    s, p, g, t, *, lr=0.01, b1=0.95, b2=0.95, sb=None, eps=1e-8, wd=0.01, every=10, longest=10000, vectors=False,
    unbiased=True, collect=1, normed=False,
):  # fmt: skip
    sb = b2 if sb is None else sb
    rotates = [(g.ndim > 1 or vectors) and d <= longest for d in g.shape]
    if t > collect:
        k = t - collect
        rotated = turned(g, s["q"])
        s["m"] = b1 * s["m"] + (1 - b1) * rotated
        s["v"] = b2 * s["v"] + (1 - b2) * rotated**2
        step = lr * np.sqrt(1 - b2**k) / (1 - b1**k) if unbiased else lr
        u = turned(s["m"] / (np.sqrt(s["v"]) + eps), s["q"], back=True)
        p = p - step * (u / (1e-30 + np.sqrt(np.mean(u**2))) if normed else u)
        p = p - lr * wd * p
    elif t == 1:
        s["m"], s["v"] = np.zeros(g.shape), np.zeros(g.shape)
        s["gg"] = [np.zeros((d, d)) for d in g.shape]
    for i, d in enumerate(g.shape):
        unfolded = np.moveaxis(g, i, 0).reshape(d, -1)
        s["gg"][i] = sb * s["gg"][i] + (1 - sb) * (unfolded @ unfolded.T)
    if t == collect:
        s["q"] = [np.linalg.eigh(h)[1][:, ::-1] if r else None for h, r in zip(s["gg"], rotates, strict=True)]
    elif t > collect and (t - collect) % every == 0:
        m = turned(s["m"], s["q"], back=True)
        for i, q in enumerate(s["q"]):
            if q is not None:
                order = np.argsort(-np.einsum("ij,ik,kj->j", q, s["gg"][i], q), kind="stable")
                s["v"] = np.take(s["v"], order, axis=i)
                s["q"][i] = np.linalg.qr(s["gg"][i] @ q[:, order])[0]
        s["m"] = turned(m, s["q"])
    return p


def options(s, p, g, t):
    """Everything but the defaults; an axis of 6, 10 or 64 keeps its coordinates."""
    return soap(s, p, g, t, b1=0.9, sb=0.8, eps=1e-6, wd=0.1, every=3, longest=5, unbiased=False)


def rotated_vectors(s, p, g, t):
    """A vector is rotated too; eps hides what rounding leaves in a coordinate whose gradients are all zero."""
    return soap(s, p, g, t, eps=1e-4, every=7, longest=9, vectors=True)


def collected(s, p, g, t):
    """Twelve calls collect, so that each factor has its full rank; the step has RMS lr."""
    return soap(s, p, g, t, every=4, eps=1e-4, collect=12, normed=True, longest=9)


TRANSCRIPTIONS = {
    "soap_options": (
        lambda ss: ss.soap(
            0.01, beta1=0.9, shampoo_beta=0.8, eps=1e-6, weight_decay=0.1, freq=3, max_dim=5, bias_correction=False
        ),
        options,
    ),
    "soap_collected": (
        lambda ss: ss.soap(0.01, freq=4, eps=1e-4, init_steps=12, normalize=True, max_dim=9),
        collected,
    ),
    "soap_1d": (lambda ss: ss.soap(0.01, eps=1e-4, freq=7, max_dim=9, precondition_1d=True), rotated_vectors),
}

"""Gradient accumulation hidden in the momentum (part A 5); plain NumPy, written from the card."""

import numpy as np

K, B1, B2, LR = 4, 0.9, 0.99, 0.02


def chi(n):
    return 1.0 if n % K == 0 else 0.0


def wave(outer):
    return LR * (1 + outer % 4) / 4


def hidden_adam(s, p, g, t):
    """m and v take a k-th of each gradient and square; exponents t / k; the outer index for lr; decay where p moves."""
    s["m"] = (1 + (B1 - 1) * chi(t - 1)) * s.get("m", 0) + (1 - B1) / K * g
    s["v"] = (1 + (B2 - 1) * chi(t - 1)) * s.get("v", 0) + (1 - B2) / K * g * g
    m_hat, v_hat = s["m"] / (1 - B1 ** (t / K)), s["v"] / (1 - B2 ** (t / K))
    lr = wave(-(-t // K) - 1)
    return p - chi(t) * lr * (m_hat / (np.sqrt(v_hat) + 1e-8) + 0.1 * p)


def fewer_updates(s, p, g, t):
    """Adam as it is with every gradient, and lr times chi(t)."""
    s["m"] = B1 * s.get("m", 0) + (1 - B1) * g
    s["v"] = B2 * s.get("v", 0) + (1 - B2) * g * g
    m_hat, v_hat = s["m"] / (1 - B1**t), s["v"] / (1 - B2**t)
    return p - chi(t) * wave(-(-t // K) - 1) * m_hat / (np.sqrt(v_hat) + 1e-8)


TRANSCRIPTIONS = {
    "hidden_adam": (
        lambda ss: ss.chain(ss.hidden_accumulation(K), ss.adamw(wave, beta2=B2, weight_decay=0.1)),
        hidden_adam,
    ),
    "hidden_fewer_updates": (
        lambda ss: ss.chain(ss.hidden_accumulation(K, fewer_updates=True), ss.adam(wave, beta2=B2)),
        fewer_updates,
    ),
}

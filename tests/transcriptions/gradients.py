"""Gradient parts that no package has, in plain NumPy from part C 2: annealed noise, and the estimate of Adan."""

from zlib import crc32

import numpy as np

M = 0xFFFFFFFF


def mix(x):
    x ^= x >> 16
    x = x * 0x21F0AAAD & M
    x ^= x >> 15
    x = x * 0xD35A2D97 & M
    return x ^ x >> 15


def fold(k, w):
    return mix((k + 0x9E3779B9 & M) ^ mix(w))


def normal(seed, step, name, size):
    k = 0
    for w in (seed & M, seed >> 32, step & M, step >> 32, crc32(name)):
        k = fold(k, w)
    k0, k1 = fold(k, 0), fold(k, 1)
    words = [[mix((mix(4 * i + q ^ k0) + k1) & M) for q in range(4)] for i in range(size)]
    return np.array([(sum((w >> 16) + (w & 0xFFFF) for w in four) - 262140) * 1.8688124e-05 for four in words])


def add_noise(s, params, grads, t):
    def noise(leaf, g):
        return np.sqrt(0.1 / t**0.55) * normal(3, t - 1, f"{leaf}\0add_noise".encode(), g.size).reshape(g.shape)

    return {leaf: p - 0.1 * (grads[leaf] + noise(leaf, grads[leaf])) for leaf, p in params.items()}


def nesterov_grad(s, p, g, t):
    u = g + 0.9 * (g - s.get("g", g))
    s["g"] = g
    return p - 0.01 * u


TRANSCRIPTIONS = {
    "nesterov_estimate_grad": (
        lambda ss: ss.chain(ss.nesterov_estimate(0.9, first="grad"), ss.sgd(0.01)),
        nesterov_grad,
    )
}
WHOLE = {"add_noise": (lambda ss: ss.chain(ss.add_noise(0.1, seed=3), ss.sgd(0.1)), add_noise)}

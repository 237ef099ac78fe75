"""The optimizers that the suite runs: those of the golden cases, and ten that together use every operation there is."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import samestep as ss
from samestep.catalogue import OPTIMIZER, entries
from samestep.trace.namespace import eye_like

from .golden.families import CASES


@ss.direction(m=ss.zeros)
def elementwise(u, m, *, beta=0.9):
    """Every elementwise operation that kernels spell and that is correctly rounded, and the exact reductions."""
    xp = ss.array_namespace(u)
    m = beta * m + (1 - beta) * u
    a, b = abs(u), -m
    usual = (a >= 1e-3) & (a < 1e3) & xp.logical_not(xp.isnan(m) | xp.isinf(m)) & xp.isfinite(b)
    whole = xp.floor(a) - xp.ceil(xp.minimum(a, 7.5)) + xp.sign(m)
    ends = xp.where((xp.max(a) > xp.min(b)) & (u != m), 1.0, 0.5)
    count = xp.count_nonzero(usual | (a <= 1e-6) | (u == b)) / xp.maximum(u.size, 1.0)
    d = xp.sqrt(xp.maximum(a, 1e-12)) / (1.0 + a) + xp.full_like(u, 0.125)
    return {"u": xp.copysign(d, u) * ends * (0.5 + count) + 1e-3 * xp.where(usual, whole, 0.0), "m": m}


@ss.direction()
def transcendental(u):
    """Every operation that libraries round as they like, and sums."""
    xp = ss.array_namespace(u)
    s = 0.9 * u / (1.0 + abs(u))
    waves = xp.sin(3.0 * s) + xp.cos(s) + xp.acos(s) + xp.tanh(s)
    powers = xp.exp(s) + xp.expm1(s) + xp.log(2.0 + s) + xp.log1p(s) + (1.0 + abs(s)) ** s
    return {"u": waves + powers - xp.mean(s) / xp.sqrt(1.0 + xp.sum(s * s))}


@ss.direction()
def shapes(u):
    """Of a matrix every operation over axes, the factorisations, and what no kernel spells; other leaves stay."""
    xp = ss.array_namespace(u)
    if u.ndim != 2 or u.size == 0:
        return {"u": u}
    s = u / (1.0 + abs(u))
    sums = xp.sum(s, axis=0) + xp.max(s, axis=0) - xp.min(s, axis=0)
    means = xp.expand_dims(xp.squeeze(xp.mean(s, axis=1, keepdims=True), 1), axis=-1)
    turned = xp.roll(xp.flip(s, axis=0), 1, axis=1)
    ordered = xp.take(s, xp.argsort(xp.permute_dims(sums, (0,)), axis=0), axis=1)
    one = eye_like(u, u.shape[1])
    gram = one + xp.matmul(s.mT, s) / (1.0 + xp.sum(xp.reshape(s * s, (-1,)), axis=0))
    values, vectors = xp.linalg.eigh(gram)
    left, singular, right = xp.linalg.svd(gram)
    q, r = xp.linalg.qr(xp.concat([gram, one], axis=0))
    whole = xp.matmul(vectors * xp.sqrt(values), vectors.mT) + xp.matmul(left * singular, right)
    modulo = s % 0.3 + 0.01 * (s // 0.3)
    again = xp.matmul(q, r)[1:]  # its signs are a matter of taste, the product is not
    return {
        "u": xp.matmul(s, whole) + ordered + turned + modulo + (means + sums / sums.size) * xp.sum(again) / again.size
    }


@ss.update()
def drawn(p, t, *, seed: int = 7):
    """Random numbers, and the roundings of a parameter."""
    near = ss.rounded(p + 1e-3 * ss.uniform(p, t, seed=seed))
    return {"p": ss.rounded(near + 1e-3 * near, ss.random_bits(p, t, seed=seed, stream="rounding"))}


OWN = {
    "every elementwise operation": lambda ss: ss.chain(elementwise(), ss.descend(0.01)),
    "every random operation": lambda ss: ss.chain(ss.descend(0.01), drawn()),
    "every transcendental operation": lambda ss: ss.chain(transcendental(), ss.descend(0.01)),
    "every operation over axes": lambda ss: ss.chain(shapes(), ss.descend(0.01)),
}
SHORT = {  # epochs of so few steps that a check sees a few, of more options than the examples of the catalogue have
    "svrg": lambda ss: ss.svrg(0.1, every=3),
    "svrg_average": lambda ss: ss.svrg(0.1, every=3, iterate="average"),
    "svrg_random": lambda ss: ss.svrg(0.1, every=3, iterate="random"),
    "katyusha": lambda ss: ss.katyusha(0.1, every=3),
    "katyusha_convex": lambda ss: ss.katyusha(0.1, every=3, convexity=0.5, option="I", l1=0.1),
    "natasha": lambda ss: ss.natasha(0.1, sigma=0.01, every=4, parts=2),
    "adam_on_snapshots": lambda ss: ss.chain(ss.variance_reduced(), ss.snapshot_by_coin(), ss.adam(0.01)),
}
COVERING = (  # whatever compiles slowly runs these; with OWN, ten that use every operation of the table
    "adamw",
    "lion_cautious",
    "lamb_clipped",
    "skip_nonfinite",
    "adafactor",
    "muon",
    *OWN,
)


@cache
def optimizers() -> dict[str, ss.Optimizer]:
    """By name: the golden cases', our own, and those of the library that have no golden case."""
    found = {case.name: case.ours(ss) for case in CASES} | {name: make(ss) for name, make in (OWN | SHORT).items()}
    covered = {str(optimizer).partition("(")[0] for optimizer in found.values()}
    for name, entry in entries().items():
        if entry.kind == OPTIMIZER and name not in covered:
            assert entry.example is not None
            found.setdefault(name, entry.example)
    return found


def first_alike(chosen: Sequence[str]) -> dict[str, str]:
    """Of each that has the structure and the options of one before it, which: other numbers make no other program."""
    first: dict[Any, str] = {}
    structures = {name: tuple(chain and chain.structure for chain in optimizers()[name].chains) for name in chosen}
    found = {name: first.setdefault(structure, name) for name, structure in structures.items()}
    return {name: like for name, like in found.items() if like != name}

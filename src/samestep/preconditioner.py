"""What the page of Shampoo is made of: its factors and their roots, and what other versions put around them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from .blocks import identities
from .hypers import Domain


def _counts(root: Any) -> bool:
    return all(type(n) is int and n > 0 for n in (root if isinstance(root, tuple) else (root,)))


Orders = Annotated[Literal[None] | tuple | int, Domain("at least 1, or a tuple of such", _counts)]


def started(name: str, axis: int, p: Any, *, eps: Any, beta2: Any, bias_correction: bool, block: int | None) -> Any:
    """The factors h of an axis, and their roots r, which the first step computes; a leaf without it has none."""
    scale = eps if name == "h" and (beta2 is None or not bias_correction) else 0.0
    return scale * identities(p, axis, block) if axis < int(p.ndim) else p


def order(root: tuple | int | None, factors: int) -> int:
    """Which root is taken of each of so many factors: of a tuple its entry for that number, if it has one."""
    if isinstance(root, tuple):
        root = root[factors - 1] if 0 < factors <= len(root) else None
    return root or 2 * factors


def inverse_roots(xp: Any, h: Any, order: int, eps: Any, shifted: bool, relative: bool, number: tuple) -> Any:
    """h^(-1 / order) of each; its eigenvalues are held at eps, or all shifted, to be eps at least, or by eps times the
    largest (which counts as 1e-6 if it is less).
    """
    values, vectors = xp.linalg.eigh((h + h.mT) / 2)
    least = xp.minimum(xp.min(values, axis=-1, keepdims=True), 0.0) if shifted or relative else None
    if relative:
        eps = eps * xp.maximum(xp.max(values, axis=-1, keepdims=True), 1e-6)
    values = xp.maximum(values, eps) if least is None else values - least + eps
    roots = values ** (-1 / order)
    return xp.matmul(vectors * (xp.expand_dims(roots, axis=-2) if number else roots), vectors.mT)


def filtered(u: Any, m: Any, t: Any, beta1: Any, beta3: Any, bias_correction: bool) -> tuple[Any, dict]:
    """What is preconditioned in the place of the gradient u, and its mean, which is kept."""
    if beta1 is None:
        return u, {}
    ahead = beta1 if beta3 is None else beta3
    mean = ahead * m + (1 - ahead) * u
    mean = mean / (1 - ahead * beta1 ** (t - 1)) if bias_correction else mean
    return mean, {"m_g": beta1 * m + (1 - beta1) * u}


def reference(xp: Any, u: Any, g: Any, n: Any, t: Any, graft: str, beta2: Any) -> tuple[Any, dict]:
    """The step along u whose norm is grafted, by the squares of the gradient g, and what is kept for it."""
    if graft in ("none", "sgd"):
        return u, {}
    n = n + g * g if graft == "adagrad" else beta2 * n + (1 - beta2) * g * g
    return u / (xp.sqrt(n / (1 - beta2**t) if graft == "adam" else n) + 1e-10), {"n": n}

"""The Newton-Schulz iteration towards the orthogonal factor of a matrix, and published lists of its coefficients."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .errors import HyperparameterError

Triples = tuple[tuple[float, float, float], ...]

PUBLISHED: dict[str, Triples] = {
    # five steps by numerical search: Cesista, You, Jordan, 2025, https://leloykun.github.io/ponder/muon-opt-coeffs/
    "dion": (
        (4.0848, -6.8946, 2.9270),
        (3.9505, -6.3029, 2.6377),
        (3.7418, -5.5913, 2.3037),
        (2.8769, -3.1427, 1.2046),
        (2.8366, -3.0525, 1.2012),
    ),
    # the minimax polynomials of Amsel et al., "The Polar Express", 2025, https://arxiv.org/abs/2505.16932
    "polar_express": (
        (8.237312490495555, -23.157747414558198, 16.680568411445915),
        (4.082441999064835, -2.893047735332586, 0.5252849256975648),
        (3.9263479922546582, -2.8547468034765298, 0.5318022422894988),
        (3.2982187133085143, -2.424541981026706, 0.48632008358844075),
        (2.2970369434552573, -1.63662558125903, 0.4002628455953627),
        (1.8763805351440397, -1.2347896577722228, 0.35891887501668385),
        (1.8564423485617974, -1.2132449880935525, 0.3568003487825883),
        (1.8749994008682747, -1.2499988017229169, 0.3749994008546422),
    ),
}


def triples(coeffs: tuple | str, steps: int) -> Triples:
    """One (a, b, c) for each step. Of a published list the first ones; its last one goes on."""
    if isinstance(coeffs, str):
        known = PUBLISHED[coeffs]
        return known[:steps] + known[-1:] * (steps - len(known))
    found = coeffs if coeffs and isinstance(coeffs[0], tuple) else (coeffs,) * steps
    if len(found) != steps or any(len(triple) != 3 for triple in found):
        raise HyperparameterError(f"ns_coeffs is one triple, or one for each of ns_steps={steps}; got {coeffs!r}")
    return found


def orthogonalized(xp: Any, x: Any, tall: bool, coeffs: Triples, held: Callable[[Any], Any] = lambda x: x) -> Any:
    """X <- a X + (b A + c A A) X with A = X X^T, for each (a, b, c), over the last two axes; the norm of x is 1.

    Each product is taken as `held` makes it.
    """
    x = x.mT if tall else x
    for a, b, c in coeffs:
        gram = held(xp.matmul(x, x.mT))
        x = held(a * x + xp.matmul(held(b * gram + c * xp.matmul(gram, gram)), x))
    return x.mT if tall else x


def bfloat16(xp: Any, u: Any) -> Callable[[Any], Any]:
    """What rounds to the 8 digits of bfloat16, by Dekker's splitting, arrays that are computed as u is."""
    dropped = 2.0**-7 / xp.minimum(xp.finfo(u).eps, 2.0**-23) + 1  # params of 16 bits are computed in float32

    def held(x: Any) -> Any:
        large = x * dropped
        return large - (large - x)

    return held

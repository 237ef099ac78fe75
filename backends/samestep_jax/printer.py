"""How JAX spells a stage: as any array library does, with fences where XLA would round otherwise than written.

XLA contracts a product and a sum, multiplies by reciprocals, and turns (a / b) / c into a / (b * c) and a / sqrt(b)
into a product. `xp.fence(x)` is x, and `xp.apart(d, x)` is d, one for each entry of x; but neither can be seen through.
"""

from __future__ import annotations

from samestep.trace.python import PYTHON

SPELLING: dict[str, str] = PYTHON | {
    "multiply": "xp.fence({0} * {1})",
    "divide": "xp.fence({0} / xp.apart({1}, {0}))",
    "full_like": "xp.broadcast_to({1}, {0}.shape)",
}

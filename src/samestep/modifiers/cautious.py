"""Cautious: drop the entries of a direction that disagree with the gradient.

Liang, Chen, Liu, Liu, "Cautious Optimizers: Improving Training with One Line of Code", 2024, https://arxiv.org/abs/2411.16085.

    mask = u g > 0
    u <- u mask / max(mean(mask), floor)      "mean", the authors' code since 2025
    u <- u mask size / (sum(mask) + 1)        "count", the paper
    u <- u mask                               "none", its theory, which allows any phi(u g) for the mask
    mask = 1 where u g > 0, else cautious_factor                as lion_pytorch has it, with floor=1e-5
"""

from collections.abc import Callable
from typing import Literal

from array_api_compat import array_namespace

from ..errors import HyperparameterError
from ..page import Part, direction, fraction, positive

Masks = Literal[False, "mean", "count", "none"]  # the argument `cautious` of the named constructors


@direction(behind=True)
def cautious(
    u,
    g,
    *,
    scale: Literal["mean", "count", "none"] = "mean",
    floor: positive = 1e-3,
    cautious_factor: fraction | None = None,
    phi: Callable | None = None,
):
    """Mask a direction where it lacks the gradient's sign, scale up the rest: help("samestep.modifiers.cautious").

    Args:
        scale: "mean", "count" or "none"; the mean and the count are over one leaf.
        floor: the least mean that is divided by, 1e-3.
        cautious_factor: what is kept of the other entries, None: nothing; 1 masks nothing.
        phi: the mask as a function of the array u g, entry by entry; None: 1 above 0, else 0. Optimizers with the same
            function are equal, and one of a module can be pickled.

    Decay is not touched; one that asks the direction too is `decay(mode="cautious")`. The scale lr S / (S + 1) of an
    article lost the factor `size`, so it never scales up, and put lr in it, of which decay then has too little.

    Raises:
        HyperparameterError: at `init`, both phi and cautious_factor.

    >>> import samestep as ss
    >>> ss.chain(ss.adamw(1e-3), ss.cautious()) == ss.adamw(1e-3, cautious="mean")
    True
    """
    xp = array_namespace(u)
    agree = u * g > 0
    if phi is not None:
        if cautious_factor is not None:
            raise HyperparameterError("phi is the whole mask, so cautious_factor would be lost: leave one of them out")
        mask = phi(u * g)
        kept = xp.sum(mask)
    else:
        kept = xp.count_nonzero(agree)
        kept = kept if cautious_factor is None else kept + cautious_factor * (u.size - kept)
    if scale == "mean":
        factor = 1 / xp.maximum(kept / u.size, floor)
    elif scale == "count":
        factor = u.size / (kept + 1)
    else:
        factor = 1.0
    if phi is not None:
        return {"u": u * mask * factor}
    return {"u": xp.where(agree, u * factor, 0.0 if cautious_factor is None else u * (cautious_factor * factor))}


def masked(scale: Masks) -> Part | None:
    """The part that a constructor's argument `cautious` asks for."""
    return cautious(scale=scale) if scale else None

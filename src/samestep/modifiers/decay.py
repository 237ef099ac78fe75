"""Weight decay in its four words, and a fifth that shrinks only what the step shrinks.

Loshchilov, Hutter, "Decoupled Weight Decay Regularization", 2019, https://arxiv.org/abs/1711.05101.
Chen et al., "Cautious Weight Decay", 2025, https://arxiv.org/abs/2510.12402, cautious.

    coupled      u <- u + weight_decay p              before the moments: an L2 term of the loss
    decoupled    p <- p (1 - lr weight_decay)         then the step
    independent  p <- p (1 - weight_decay)            then the step; the paper's, lr is not in it
    proximal     p <- p / (1 + lr weight_decay)       after the step: written behind descend
    cautious     decoupled where u p > 0              u as it is there, behind the mask of `cautious`, too; as
                                                      lion_pytorch has it: in the paper, also where u is 0

The proximal step in the metric of an adaptive optimizer, (p - eta u) / (1 + eta weight_decay) with the eta of each
entry, needs that eta, which a rule of the composition says and no other part: that of Adam is
mirror_descent(lr, rule="adam", momentum=0.9, bias_correction=True, l2=weight_decay), and with
l2_schedule="decoupled" it is (p - eta u) / (1 + weight_decay).
"""

from typing import Literal

from array_api_compat import array_namespace

from ..errors import HyperparameterError, names
from ..page import Part, gradient, nonnegative, update

Mode = Literal["coupled", "decoupled", "independent", "proximal", "cautious"]
Coupling = Literal["coupled", "decoupled"]  # what most constructors take as `decay`


@gradient()
def coupled_decay(u, p, *, weight_decay: nonnegative):
    """Add the parameter to the gradient."""
    return {"u": u + weight_decay * p}


@update()
def decoupled_decay(p, *, lr: nonnegative, weight_decay: nonnegative):
    """Shrink the parameter by lr times weight_decay, before the step."""
    return {"p": p * (1 - lr * weight_decay)}


@update()
def independent_decay(p, *, weight_decay: nonnegative):
    """Shrink the parameter by weight_decay, whatever lr is, before the step."""
    return {"p": p * (1 - weight_decay)}


@update(behind=True)
def proximal_decay(p, *, lr: nonnegative, weight_decay: nonnegative):
    """Shrink the parameter implicitly, after the step."""
    return {"p": p / (1 + lr * weight_decay)}


@update()
def cautious_decay(p, u, *, lr: nonnegative, weight_decay: nonnegative):
    """Shrink the parameter by lr times weight_decay, before the step, where the step goes towards 0 too."""
    return {"p": array_namespace(p).where(u * p > 0, p * (1 - lr * weight_decay), p)}


MODES = {
    "coupled": coupled_decay,
    "decoupled": decoupled_decay,
    "independent": independent_decay,
    "proximal": proximal_decay,
    "cautious": cautious_decay,
}


def decay(weight_decay, *, mode: Mode = "decoupled", name: str | None = None) -> Part:
    """Weight decay as a part of a chain.

    Args:
        weight_decay: how much, at least 0; may be a schedule.
        mode: coupled, decoupled, independent, cautious, or proximal (write this one behind `descend`).
        name: a name for the part.

    Raises:
        HyperparameterError: another mode.

    >>> import samestep as ss
    >>> ss.chain(ss.scale_by_lion(), ss.decay(0.1), ss.descend(1e-4))
    chain(scale_by_lion(beta1=0.9, beta2=0.99), decoupled_decay(weight_decay=0.1), descend(lr=0.0001))
    """
    if mode not in MODES:
        raise HyperparameterError(f"mode must be one of {names(MODES)}; got {mode!r}")
    return MODES[mode](weight_decay=weight_decay, name=name)


def decay_if(weight_decay, mode: Mode = "decoupled") -> Part | None:
    """The same for a constructor: a zero leaves the part out."""
    return MODES[mode](weight_decay=weight_decay) if weight_decay else None

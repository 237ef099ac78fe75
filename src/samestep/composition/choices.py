"""What `mirror_descent` and `ftrl_proximal` have in common: the rule, the mean of gradients, the weights.

Kingma, Ba, "Adam: A Method for Stochastic Optimization", 2015, https://arxiv.org/abs/1412.6980, section 3.

    m <- momentum m + (1 - momentum) g;   u = m, or m / (1 - momentum^t) with bias correction
"""

from typing import Any, Literal

from ..algorithms.sgd import heavy_ball
from ..errors import HyperparameterError
from ..page import Part, direction, unit
from . import rules

Rule = Literal["constant", "adagrad", "rmsprop", "online_rmsprop", "adam", "amsgrad", "radam"] | Part


@direction()
def unbias(u, t, *, momentum: unit = 0.9):
    """Divide a mean of gradients by the sum of its weights, as Adam does: help("samestep.composition.choices").

    Args:
        momentum: the decay of the mean, which `momentum` with form="ema" makes, 0.9.

    >>> import samestep as ss
    >>> ss.chain(ss.momentum(0.9, form="ema"), ss.unbias(0.9), ss.descend(0.1)).hyperparameters(0)["momentum"]
    0.9
    """
    return {"u": u / (1 - momentum**t)}


def mean(momentum: Any, bias_correction: bool) -> list[Part]:
    """The parts that make u out of the gradient."""
    if not momentum:
        if bias_correction:
            raise HyperparameterError("bias_correction is of the mean of gradients: give momentum=... too")
        return []
    average = heavy_ball(momentum=momentum, form="ema")
    return [average, unbias(momentum)] if bias_correction else [average]


def ruled(rule: str | Part, lr: Any) -> Part:
    """The rule's part, with the lr of the optimizer."""
    part = rule if isinstance(rule, Part) else getattr(rules, rule)()
    own = dict(part.values)
    if "lr" not in part.page.hypers:
        raise HyperparameterError(
            f"rule={part}: a rule has a number lr, of which its h is made: take one of samestep.rules"
        )
    if own.setdefault("lr", lr) != lr:
        raise HyperparameterError(f"rule={part}: lr is the optimizer's, here {lr!r}: leave it out in the rule")
    return part.page(name=part.name, **own)


def weighed(l1_schedule: Any = "incremental", **weights: Any) -> dict[str, Any]:
    """The weights that are not 0, if they go together."""
    one = [name for name in ("half", "group_l2", "group_half") if weights[name]]
    if len(one) > 1:
        raise HyperparameterError(f"{' and '.join(one)} together have no closed form: give one of them")
    if weights["group_l2"] and (l1_schedule == "adaptive" or callable(l1_schedule)):
        raise HyperparameterError(
            "group_l2 has one weight in each group, and this l1_schedule one for each coordinate: take another, "
            "or group_half, whose groups share one h"
        )
    return {name: weight or None for name, weight in weights.items()}

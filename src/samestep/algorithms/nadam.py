"""NAdam: Adam with Nesterov's look-ahead in its mean.

Dozat, "Incorporating Nesterov Momentum into Adam", 2016, https://openreview.net/forum?id=OM0jvwB8jIp57ZJjtNEZ.

    mu_t = beta1 (1 - 0.96^(t psi) / 2),     P <- P mu_t
    m <- beta1 m + (1 - beta1) g,     v <- beta2 v + (1 - beta2) g^2
    u = ((1 - mu_t) / (1 - P) g + mu_(t+1) / (1 - P mu_(t+1)) m) / s          "dozat"
    u = ((1 - beta1) / (1 - beta1^t) g + beta1 / (1 - beta1^(t+1)) m) / s     "none"
    s = sqrt(v / (1 - beta2^t) + eps_root) + eps
"""

from typing import Literal

from array_api_compat import array_namespace

from ..constructor import named
from ..modifiers.decay import Coupling, decay_if
from ..modifiers.descend import descend
from ..page import direction, nonnegative, unit, zeros


@direction(m=zeros, v=zeros, mu_product=1.0)
def scale_by_nadam(
    u,
    m,
    v,
    mu_product,
    t,
    *,
    beta1: unit = 0.9,
    beta2: unit = 0.999,
    eps: nonnegative = 1e-8,
    psi: nonnegative = 4e-3,
    schedule: Literal["dozat", "none"] = "dozat",
    eps_root: nonnegative = 0.0,
):
    """The direction of NAdam; its equations and source: help("samestep.algorithms.nadam").

    Args:
        beta1, beta2: the decay of the means, 0.9 and 0.999.
        eps: keeps the quotient finite, 1e-8.
        psi: how fast mu_t rises from beta1 / 2 to beta1, 4e-3.
        schedule: "dozat", or "none": mu_t = beta1.
        eps_root: added below the root, 0.

    >>> import samestep as ss
    >>> ss.scale_by_nadam(psi=1.0)
    scale_by_nadam(beta1=0.9, beta2=0.999, eps=1e-08, psi=1.0, schedule='dozat', eps_root=0.0)
    """
    xp = array_namespace(u)
    if schedule == "dozat":
        mu = beta1 * (1 - 0.5 * 0.96 ** (t * psi))
        mu_next = beta1 * (1 - 0.5 * 0.96 ** ((t + 1) * psi))
        mu_product = mu_product * mu
        now, ahead = (1 - mu) / (1 - mu_product), mu_next / (1 - mu_product * mu_next)
    else:
        now, ahead = (1 - beta1) / (1 - beta1**t), beta1 / (1 - beta1 ** (t + 1))
    m = beta1 * m + (1 - beta1) * u
    v = beta2 * v + (1 - beta2) * u * u
    c2 = 1 - beta2**t
    s = xp.sqrt(c2)  # above and below the fraction: one division an element
    u = (s * now * u + s * ahead * m) / (xp.sqrt(v + c2 * eps_root) + s * eps)
    return {"u": u, "m": m, "v": v, "mu_product": mu_product}


@named(scale_by_nadam)
def nadam(
    lr: nonnegative = 2e-3,
    *,
    weight_decay: nonnegative = 0.0,
    decay: Coupling = "coupled",
    **hyper,
):
    """NAdam: Adam with Nesterov's look-ahead (Dozat, 2016, https://openreview.net/forum?id=OM0jvwB8jIp57ZJjtNEZ).

        p <- p - lr (a g + b m) / (sqrt(v_hat) + eps), with a = (1 - mu_t) / (1 - P) and b = mu_(t+1) / (1 - P mu_(t+1))

    Args:
        lr: step size, 2e-3.
        weight_decay: decay; 0 leaves the part out.
        decay: "coupled", added to the gradient, or "decoupled", p <- p (1 - lr weight_decay).
        beta1, beta2: the decay of m and v, 0.9 and 0.999.
        eps, eps_root: keeps the quotient finite, 1e-8; added below the root, 0.
        psi: of the schedule mu_t = beta1 (1 - 0.96^(t psi) / 2), 4e-3; Keras has 1.
        schedule: "dozat", that one, P the product of all mu so far; "none", mu_t = beta1, as in optax.
        maximize: climb instead of descend, False.
        cautious: mask the direction: False, "mean", "count" or "none".
        dialect: the conventions and numbers of "torch", "optax" or "keras", None.

    Params are floating arrays of any shape; slots `m`, `v` in the compute dtype, and the number `mu_product`.

    Raises:
        HyperparameterError: an unknown name, or a number outside its domain.

    >>> import numpy as np, samestep as ss
    >>> opt, params = ss.nadam(0.5, schedule="none", beta1=0.0, eps=0.0), np.array([1.0, -1.0])
    >>> opt.step(params, np.array([3.0, -2.0]), opt.init(params))[0]
    array([ 0.5, -0.5])
    """
    return [decay_if(weight_decay, decay), scale_by_nadam(**hyper), descend(lr)]

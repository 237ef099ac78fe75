"""RAdam: Adam that waits until its second moment has a variance to be trusted.

Liu et al., "On the Variance of the Adaptive Learning Rate and Beyond", 2020, https://arxiv.org/abs/1908.03265.

    m <- beta1 m + (1 - beta1) g,    v <- beta2 v + (1 - beta2) g^2,    c1 = 1 - beta1^t,    c2 = 1 - beta2^t
    rho_inf = 2 / (1 - beta2) - 1,   rho = rho_inf - 2 t beta2^t / c2
    r = sqrt((rho - 4) (rho - 2) rho_inf / ((rho_inf - 4) (rho_inf - 2) rho))
    where rho > threshold:  u = r m / c1 / (sqrt(v / c2) + eps)      "outside", or "inside": sqrt(v / c2 + eps)
                            u = r m / c1 sqrt(c2) / (sqrt(v) + eps)  "hat"
    elsewhere:              u = m / c1  ("sgd"), or no step ("skip")
    nesterov:               beta1 m / (1 - beta1^(t+1)) + (1 - beta1) g / c1  in place of m / c1
"""

from typing import Annotated, Literal

from array_api_compat import array_namespace

from ..constructor import named
from ..hypers import Domain
from ..modifiers.decay import Coupling, decay_if
from ..modifiers.descend import descend
from ..page import direction, nonnegative, unit, update, zeros

above_four = Annotated[float, Domain("at least 4", lambda x: x >= 4)]  # below, r is the root of a negative number


def rectifier(beta2, t, threshold, strict):
    """Whether the second moment is to be trusted after t steps, and the factor r of the step then."""
    xp = array_namespace(t)
    rho_inf = 2 / (1 - beta2) - 1
    rho = rho_inf - 2 * t * beta2**t / (1 - beta2**t)
    trusted = rho > threshold if strict else rho >= threshold
    length = xp.where(trusted, rho, rho_inf)  # what `where` drops below has derivatives too
    return trusted, xp.sqrt((length - 4) * (length - 2) * rho_inf / ((rho_inf - 4) * (rho_inf - 2) * length))


@direction(m=zeros, v=zeros)
def scale_by_radam(
    u,
    m,
    v,
    t,
    *,
    beta1: unit = 0.9,
    beta2: unit = 0.999,
    eps: nonnegative = 1e-8,
    eps_mode: Literal["outside", "inside", "hat"] = "hat",
    threshold: above_four = 5.0,
    strict: bool = True,
    fallback: Literal["sgd", "skip"] = "sgd",
    nesterov: bool = False,
):
    """The direction of RAdam; its equations and source: help("samestep.algorithms.radam").

    Args:
        beta1, beta2, eps, eps_mode, threshold, strict, fallback, nesterov: as in `radam`, with its defaults.

    >>> import samestep as ss
    >>> ss.chain(ss.scale_by_radam(threshold=4.0), ss.descend(0.01)) == ss.radam(0.01, threshold=4.0)
    True
    """
    xp = array_namespace(u)
    m = beta1 * m + (1 - beta1) * u
    v = beta2 * v + (1 - beta2) * u * u
    rectified, r = rectifier(beta2, t, threshold, strict)
    c1, s, mean = 1 - beta1**t, xp.sqrt(1 - beta2**t), m
    if nesterov:
        mean, c1 = beta1 / (1 - beta1 ** (t + 1)) * m + (1 - beta1) / c1 * u, 1.0
    beside = eps if eps_mode == "hat" else s * eps
    root = xp.sqrt(v + s * s * eps) if eps_mode == "inside" else xp.sqrt(v) + beside
    u = xp.where(rectified, r * s / c1 * mean / root, 1 / c1 * mean if fallback == "sgd" else 0.0)
    return {"u": u, "m": m, "v": v}


@update()
def rectified_decay(p, t, *, lr: nonnegative, weight_decay: nonnegative, beta2, threshold, strict: bool):
    """Decoupled decay that skips with the step; what `radam(decay="decoupled", fallback="skip")` uses.

    >>> import samestep as ss
    >>> ss.radam(0.01, weight_decay=0.1, decay="decoupled", fallback="skip").hyperparameters()["weight_decay"]
    0.1
    """
    xp = array_namespace(p)
    return {"p": p * xp.where(rectifier(beta2, t, threshold, strict)[0], 1 - lr * weight_decay, 1.0)}


@named(scale_by_radam)
def radam(lr: nonnegative = 1e-3, *, weight_decay: nonnegative = 0.0, decay: Coupling = "coupled", **hyper):
    """RAdam: rectified Adam (Liu et al., 2020, https://arxiv.org/abs/1908.03265).

        p <- p - lr r m_hat sqrt(c2) / (sqrt(v) + eps) where rho > threshold, else p <- p - lr m_hat

    Args:
        lr, dialect: step size, 1e-3; the conventions and numbers of "torch" or "optax", None.
        weight_decay, decay: 0 leaves it out; "coupled", added to the gradient, or "decoupled", p (1 - lr weight_decay).
        beta1, beta2: the decay of m and v, 0.9 and 0.999; beta2 below 2/3 never reaches the default threshold.
        eps, eps_mode: 1e-8; "hat" as above (torch); "outside": sqrt(v_hat) + eps (optax); "inside": sqrt(v_hat + eps).
        threshold: of rho, 5 and never below 4; with beta2 = 0.999 the sixth step is the first above it.
        strict: True: rho must be above it, as in torch; False: at it is enough, as in optax and the authors' code.
        fallback: "sgd" as above; "skip": no step and no decay until then, as in the authors' code.
        nesterov: look one step ahead in m_hat, False; as in optax.
        maximize, cautious: climb instead of descend, False; mask the direction: False, "mean", "count" or "none".

    Params are floating arrays of any shape; slots `m`, `v` in the compute dtype.

    Raises:
        HyperparameterError: an unknown name, or a number outside its domain.

    >>> import numpy as np, samestep as ss
    >>> opt, params = ss.radam(0.5), np.array([1.0, -1.0])
    >>> opt.step(params, np.array([1.0, -2.0]), opt.init(params))[0]
    array([0.5, 0. ])
    """
    shrink = decay_if(weight_decay, decay)
    if weight_decay and decay == "decoupled" and hyper["fallback"] == "skip":
        shrink = rectified_decay(lr, weight_decay, hyper["beta2"], hyper["threshold"], hyper["strict"])
    return [shrink, scale_by_radam(**hyper), descend(lr)]

"""Learning-rate rules: each says h, the inverse of the step size, of the solvers `mirror_descent` and `ftrl_proximal`.

Joulani, Gyorgy, Szepesvari, "A Modular Analysis of Adaptive (Non-)Convex Optimization", 2017,
https://arxiv.org/abs/1709.02726, for rules and solvers that are chosen apart; each rule's own source stands with it.

    constant         h = 1 / lr                                    lr may be any schedule
    adagrad          n <- n + g^2,                                 h = (sqrt(n) + eps) / lr
    rmsprop          v <- rho v + (1 - rho) g^2,                   h = (sqrt(v) + eps) / lr
    online_rmsprop   v <- (1 - gamma / t) v + gamma / t g^2,       h = (sqrt(t v) + eps) / lr
    adam             v as rmsprop,                                 h = (sqrt(v / (1 - beta2^t)) + eps) / lr
    amsgrad          v as rmsprop, v_max <- max(v_max, v),         h = (sqrt(v_max) + eps) / lr
    radam            v as rmsprop,                                 h as adam's over r_t, or 1 / lr while r_t is unknown

They read g, the gradient before momentum. A rule of one's own is any direction page that returns "h". h_t has the lr
of its own step: a handbook has that of step t in h_{t-1} too, and then the differences do not add up to h_t.
"""

from array_api_compat import array_namespace

from ..algorithms.online_rmsprop import part_of_one
from ..algorithms.radam import above_four, rectifier
from ..page import direction, full, nonnegative, positive, unit, zeros

__all__ = ["adagrad", "adam", "amsgrad", "constant", "online_rmsprop", "radam", "rmsprop"]


@direction()
def constant(*, lr: positive):
    """One step size for all coordinates: lr, whatever its schedule.

    >>> import samestep as ss
    >>> ss.mirror_descent(0.1) == ss.mirror_descent(0.1, rule=ss.rules.constant())
    True
    """
    return {"h": 1 / lr}


@direction(n=full("initial_accumulator"))
def adagrad(g, n, *, lr: positive, eps: nonnegative = 0.0, initial_accumulator: nonnegative = 0.0):
    """AdaGrad (Duchi et al., 2011, https://jmlr.org/papers/v12/duchi11a.html): falls like 1 / sqrt(t).

    Args:
        eps, initial_accumulator: added to the root, and where n starts, 0; FTRL calls eps beta.

    >>> import samestep as ss
    >>> ss.ftrl_proximal(0.1, rule=ss.rules.adagrad(eps=1.0)).hyperparameters(0)["eps"]
    1.0
    """
    xp = array_namespace(g)
    now = n + g * g
    return {"h": (xp.sqrt(now) + eps) / lr, "h0": (initial_accumulator**0.5 + eps) / lr, "n": now}


@direction(v=full("initial_accumulator"))
def rmsprop(g, v, *, lr: positive, rho: unit = 0.99, eps: nonnegative = 1e-8, initial_accumulator: nonnegative = 0.0):
    """RMSprop (Tieleman, Hinton, 2012): no fall of its own.

    Args:
        rho, eps, initial_accumulator: the decay of the mean, 0.99; added to the root, 1e-8; where v starts, 0.
    """
    xp = array_namespace(g)
    v = rho * v + (1 - rho) * g * g
    return {"h": (xp.sqrt(v) + eps) / lr, "h0": (initial_accumulator**0.5 + eps) / lr, "v": v}


@direction(v=zeros)
def online_rmsprop(g, v, t, *, lr: positive, gamma: part_of_one = 0.9, eps: nonnegative = 1e-8):
    """Online RMSprop (Mukkamala, Hein, 2017, https://arxiv.org/abs/1706.05507): falls like 1 / sqrt(t).

    Args:
        gamma, eps: the weight of a new square, 0.9; added to the root, 1e-8.
    """
    xp = array_namespace(g)
    v = (1 - gamma / t) * v + gamma / t * g * g
    return {"h": (xp.sqrt(t * v) + eps) / lr, "h0": eps / lr, "v": v}


@direction(v=zeros)
def adam(g, v, t, *, lr: positive, beta2: unit = 0.999, eps: nonnegative = 1e-8):
    """Adam (Kingma, Ba, 2015, https://arxiv.org/abs/1412.6980); its mean is `momentum` with `bias_correction`.

    Args:
        beta2, eps: the decay of the mean, 0.999; added to the root, 1e-8.

    >>> import samestep as ss
    >>> ss.mirror_descent(1e-3, rule="adam", momentum=0.9, bias_correction=True).hyperparameters(0)["beta2"]
    0.999
    """
    xp = array_namespace(g)
    v = beta2 * v + (1 - beta2) * g * g
    return {"h": (xp.sqrt(v / (1 - beta2**t)) + eps) / lr, "h0": eps / lr, "v": v}


@direction(v=zeros, v_max=zeros)
def amsgrad(g, v, v_max, *, lr: positive, beta2: unit = 0.999, eps: nonnegative = 1e-8):
    """AMSGrad (Reddi et al., 2018, https://arxiv.org/abs/1904.09237, algorithm 2): h never falls.

    Args:
        beta2, eps: the decay of the mean, 0.999; added to the root, 1e-8.
    """
    xp = array_namespace(g)
    v = beta2 * v + (1 - beta2) * g * g
    v_max = xp.maximum(v_max, v)
    return {"h": (xp.sqrt(v_max) + eps) / lr, "h0": eps / lr, "v": v, "v_max": v_max}


@direction(v=zeros)
def radam(g, v, t, *, lr: positive, beta2: unit = 0.999, eps: nonnegative = 1e-8, threshold: above_four = 5.0):
    """RAdam (Liu et al., 2020, https://arxiv.org/abs/1908.03265): plain steps of lr until the rectification is known.

    Args:
        beta2, eps, threshold: as in `samestep.radam`, 0.999, 1e-8 and 5.
    """
    xp = array_namespace(g)
    v = beta2 * v + (1 - beta2) * g * g
    rectified, r = rectifier(beta2, t, threshold, strict=True)
    root = (xp.sqrt(v / (1 - beta2**t)) + eps) / r
    return {"h": xp.where(rectified, root, 1.0) / lr, "v": v}

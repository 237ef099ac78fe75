"""The union of the moment methods' conventions: one page, of which gradient descent to NAdam are settings.

It exists for `compare`: what two optimizers differ in may be an option that no constructor of ours has.

    m <- beta1 m + weight g, weight 1 - beta1 ("ema") or 1; "velocity" has lr in the buffer
    v <- beta2 v + (1 - beta2) g^2 ("mean"), or v + g^2 ("sum"), from initial_accumulator
    p <- p - lr (look-ahead of m) / root, with m of g ("before") or of g / root ("after")
"""

from typing import Any, Literal

from samestep import array_namespace, full, nonnegative, unit, update, zeros
from samestep.constructor import named


def _root(xp, v, v_max, c2, eps, eps_root, eps_mode, amsgrad):
    """The denominator, from the second moment and its bias correction; and what replaces v_max."""
    x = v
    if amsgrad == "pre":
        x, c2 = xp.maximum(v_max, 1 / c2 * v), 1.0
    elif amsgrad in ("post", "paper"):
        x = xp.maximum(v_max, v)
    if eps_mode == "inside":
        return xp.sqrt(x / c2 + eps_root + eps), x
    if eps_mode == "outside":
        return xp.sqrt(x / c2 + eps_root) + eps, x
    return (xp.sqrt(x + eps_root) + eps) / xp.sqrt(c2), x


@update(m=zeros, v=full("initial_accumulator"), v_max=zeros, product=1.0)
def moments_step(
    p,
    u,
    m,
    v,
    v_max,
    product,
    t,
    *,
    lr: nonnegative,
    beta1: unit = 0.9,
    beta2: unit = 0.999,
    eps: nonnegative = 1e-8,
    eps_root: nonnegative = 0.0,
    eps_mode: Literal["outside", "inside", "hat"] = "outside",
    bias_correction: Literal[True, False, "m", "v"] = True,
    initial_accumulator: nonnegative = 0.0,
    amsgrad: Literal[False, "post", "pre", "paper", "inplace"] = False,
    second: Literal["mean", "sum", "none"] = "mean",
    form: Literal["ema", "classical", "velocity", "ema velocity"] = "ema",
    place: Literal["before", "after"] = "before",
    nesterov: Literal[False, True, "ahead"] = False,
    schedule: Literal["none", "dozat", "dozat mean"] = "none",
    psi: nonnegative = 4e-3,
):
    """One step of any moment method; help("samestep_conformance.moments").

    Args:
        lr, beta1, beta2, eps, eps_root: as in Adam.
        eps_mode, amsgrad: as in Adam; bias_correction: of both moments, True, of none, or of one.
        initial_accumulator: where v starts.
        second: "mean" of squares, their "sum", or "none": no denominator.
        form: of m: "ema", "classical", or either with lr inside, "ema velocity" and "velocity".
        place: m "before" the quotient, of gradients, or "after" it, of directions.
        nesterov: False; True: beta1 m + weight g for m; "ahead": each with its own bias correction (NAdam).
        schedule, psi: of beta1: "none"; "dozat", in the look-ahead alone, as NAdam; "dozat mean", in m too.
    """
    xp = array_namespace(p)
    corrects = bias_correction if amsgrad != "paper" else False
    mu, mu_next = beta1, beta1
    if schedule != "none":
        mu, mu_next = (beta1 * (1 - 0.5 * 0.96 ** (s * psi)) for s in (t, t + 1))
    product = product * mu
    keep = mu if schedule == "dozat mean" else beta1
    c1 = (1 - (product if schedule == "dozat mean" else beta1**t)) if corrects in (True, "m") else 1.0
    c2 = 1 - beta2**t if corrects in (True, "v") and second == "mean" else 1.0
    root, top = 1.0, v
    if second == "mean" and amsgrad == "inplace":
        v = v + (1 - beta2) / c2 * xp.maximum(u * u - v, 0.0)
        root, top = _root(xp, v, v_max, 1.0, eps, eps_root, eps_mode, False)
    elif second != "none":
        v = v + u * u if second == "sum" else beta2 * v + (1 - beta2) * u * u
        root, top = _root(xp, v, v_max, c2, eps, eps_root, eps_mode, amsgrad)
    inside = lr if "velocity" in form else 1.0
    weight = 1 - keep if "ema" in form else 1.0
    fed = inside * (u / root if place == "after" else u)
    m = keep * m + weight * fed
    if nesterov == "ahead":
        first = 1 - product if corrects in (True, "m") else 1.0
        second_one = 1 - product * mu_next if corrects in (True, "m") else 1.0
        step = (1 - mu if "ema" in form else 1.0) / first * fed + mu_next / second_one * m
    else:
        step = (keep * m + weight * fed if nesterov else m) / c1
    step = step if place == "after" else step / root
    moved = step if "velocity" in form else lr * step
    return {"p": p - moved, "m": m, "v": v, "v_max": top if amsgrad and top is not v else v_max, "product": product}


@named(moments_step)
def moments(lr: nonnegative = 1e-3, **hyper):
    """A moment method with every convention as an option: help("samestep_conformance.moments")."""
    return [moments_step(lr=lr, **hyper)]


FAMILIES: dict[str, dict[str, Any]] = {  # our constructors in these words; the tests hold each to its own page
    "adam": {},
    "nadam": {"nesterov": "ahead", "schedule": "dozat"},
    "sgd": {"second": "none", "form": "classical", "bias_correction": False, "beta1": 0.0},
    "rmsprop": {"form": "classical", "place": "after", "bias_correction": False, "beta1": 0.0, "beta2": 0.99},
    "adagrad": {"second": "sum", "form": "classical", "bias_correction": False, "beta1": 0.0, "eps": 1e-10},
}

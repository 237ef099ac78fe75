"""Muon: momentum, made orthogonal by a Newton-Schulz iteration; other leaves run AdamW.

Jordan et al., "Muon: An optimizer for hidden layers in neural networks", 2024, https://kellerjordan.github.io/posts/muon/.

    m <- momentum m + (1 - momentum) g;   x = momentum m + (1 - momentum) g
    X = x / max(|x|, ns_eps);   ns_steps times: A = X X^T;  X <- a X + (b A + c A A) X
    p <- p (1 - lr weight_decay) - lr s X        s = sqrt(max(1, rows / cols))
"""

from typing import Literal

from array_api_compat import array_namespace

from ..constructor import named
from ..errors import HyperparameterError
from ..page import count, direction, nonnegative, unit, update, zeros
from .adam import scale_by_adam

QUINTIC = (3.4445, -4.7750, 2.0315)


@direction(m=zeros, v=zeros)
def scale_by_muon(
    u,
    m,
    v,
    t,
    *,
    momentum: unit = 0.95,
    nesterov: bool = True,
    bias_correction: bool = False,
    ns_steps: count = 5,
    ns_coeffs: tuple = QUINTIC,
    ns_eps: nonnegative = 1e-7,
    scale: Literal["original", "match_rms", "spectral", "none"] = "original",
    layout: Literal["out_in", "in_out"] = "out_in",
    beta1: unit = 0.9,
    beta2: unit = 0.95,
    eps: nonnegative = 1e-8,
):
    """The direction of Muon for matrices, of Adam for others; equations and source: help("samestep.algorithms.muon").

    Args:
        momentum, nesterov, bias_correction, ns_steps, ns_coeffs, ns_eps, scale, layout, beta1, beta2, eps: see `muon`.

    >>> import samestep as ss
    >>> ss.scale_by_muon() in ss.muon().chains[0].parts
    True
    """
    if u.ndim != 2:
        found = scale_by_adam.function(u, m, v, v, t, beta1=beta1, beta2=beta2, eps=eps)
        return {name: found[name] for name in ("u", "m", "v")}
    xp = array_namespace(u)
    m = momentum * m + (1 - momentum) * u
    now, next = (1 - momentum**t, 1 - momentum ** (t + 1)) if bias_correction else (1, 1)
    x = momentum * m / next + (1 - momentum) * u / now if nesterov else m / now
    rows, cols = u.shape if layout == "out_in" else u.shape[::-1]
    factor = {
        "original": lambda: xp.sqrt(xp.maximum(1.0, rows / cols)),
        "match_rms": lambda: 0.2 * xp.sqrt(xp.maximum(rows, cols)),
        "spectral": lambda: xp.sqrt(rows / cols),
        "none": lambda: 1.0,
    }[scale]()
    tall = u.shape[0] > u.shape[1]
    x = x / xp.maximum(xp.linalg.vector_norm(x), ns_eps)
    x = x.mT if tall else x
    for a, b, c in _triples(ns_coeffs, ns_steps):
        gram = xp.matmul(x, x.mT)
        x = a * x + xp.matmul(b * gram + c * xp.matmul(gram, gram), x)
    return {"u": factor * (x.mT if tall else x), "m": m}


def _triples(ns_coeffs, ns_steps):
    """One (a, b, c) for each step."""
    triples = ns_coeffs if ns_coeffs and isinstance(ns_coeffs[0], tuple) else (ns_coeffs,) * ns_steps
    if len(triples) != ns_steps or any(len(triple) != 3 for triple in triples):
        raise HyperparameterError(f"ns_coeffs is one triple, or one for each of ns_steps={ns_steps}; got {ns_coeffs!r}")
    return triples


@update()
def muon_step(p, u, *, lr: nonnegative, aux_lr: nonnegative | None = None, weight_decay: nonnegative | None = None):
    """Decay and descend, by `lr` for matrices and by `aux_lr` (None: lr) for every other leaf."""
    rate = lr if aux_lr is None or p.ndim == 2 else aux_lr
    return {"p": (p if weight_decay is None else p * (1 - rate * weight_decay)) - rate * u}


@named(scale_by_muon)
def muon(lr: nonnegative = 0.02, *, aux_lr: nonnegative | None = None, weight_decay: nonnegative = 0.0, **hyper):
    """Muon: orthogonal momentum for matrices (Jordan et al., 2024, https://kellerjordan.github.io/posts/muon/).

        m <- momentum m + (1 - momentum) g;  X = orthogonalize(momentum m + (1 - momentum) g)
        p <- p (1 - lr weight_decay) - lr s X                 leaves that are no matrices: AdamW

    Args:
        lr, aux_lr: step size, 0.02; that of the leaves that are no matrices, None: lr.
        momentum, nesterov: the decay of m, 0.95; mix the gradient in once more, True; else X comes from m.
        bias_correction: divide both terms by what their weights add up to, as optax does, False.
        ns_steps, ns_eps: Newton-Schulz iterations, 5; the least norm that is divided by, 1e-7.
        ns_coeffs: (a, b, c), or one such triple for each iteration; (3.4445, -4.775, 2.0315).
        scale, layout: s: "original" sqrt(max(1, rows / cols)), "match_rms" 0.2 sqrt(max(rows, cols)),
            "spectral" sqrt(rows / cols), "none" 1; matrices lie "out_in"; "in_out" swaps rows and cols in s.
        beta1, beta2, eps, weight_decay: AdamW's for the others, 0.9, 0.95, 1e-8; decoupled for both, 0; s is not in it.
        maximize, cautious: climb instead of descend, False; mask the direction: False, "mean", "count" or "none".

    Params are floating arrays; slot `m`, and `v` where a leaf is no matrix, in the compute dtype. Give embeddings and
    heads another optimizer through `groups`.

    Raises:
        HyperparameterError: an unknown name, or a number outside its domain.

    >>> import numpy as np, samestep as ss
    >>> opt, params = ss.muon(0.1), {"w": np.eye(1), "b": np.zeros(2)}
    >>> opt.step(params, params, opt.init(params))[0]["w"].round(2)
    array([[0.93]])
    """
    part = scale_by_muon(**hyper)
    options = dict(part.options)
    _triples(options["ns_coeffs"], options["ns_steps"])
    return [part, muon_step(lr=lr, aux_lr=aux_lr, weight_decay=weight_decay or None)]

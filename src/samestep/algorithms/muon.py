"""Muon: momentum, made orthogonal by a Newton-Schulz iteration; other leaves run AdamW.

Jordan et al., "Muon: An optimizer for hidden layers in neural networks", 2024, https://kellerjordan.github.io/posts/muon/.

    m <- momentum m + (1 - momentum) g;   x = momentum m + (1 - momentum) g
    X = x / max(|x|, ns_eps);   ns_steps times: A = X X^T;  X <- a X + (b A + c A A) X
    p <- p (1 - lr weight_decay) - lr s X        s = sqrt(max(1, rows / cols))
"""

from typing import Literal

from array_api_compat import array_namespace

from ..compose import chain, groups
from ..constructor import named
from ..modifiers.cautious import Masks, masked
from ..modifiers.decay import decay_if
from ..modifiers.descend import descend
from ..orthogonal import bfloat16, orthogonalized, triples
from ..page import count, direction, nonnegative, unit, zeros
from .adam import scale_by_adam

QUINTIC = (3.4445, -4.7750, 2.0315)


@direction(m=zeros, v=zeros)
def scale_by_muon(
    u, m, v, t, *, aux_lr: nonnegative | None = None, momentum: unit = 0.95, nesterov: bool = True,
    bias_correction: bool = False, ns_steps: count = 5,
    ns_coeffs: Literal["dion", "polar_express"] | tuple = QUINTIC, ns_eps: nonnegative = 1e-7,
    ns_eps_mode: Literal["max", "add"] = "max", ns_dtype: Literal[None, "bfloat16"] = None,
    scale: Literal["original", "match_rms", "spectral", "none"] = "original",
    layout: Literal["out_in", "in_out"] = "out_in", reshape: Literal["none", "flatten", "batch"] = "none",
    beta1: unit = 0.9, beta2: unit = 0.95, eps: nonnegative = 1e-8,
):  # fmt: skip
    """The direction of Muon for matrices, of Adam for others; equations and source: help("samestep.algorithms.muon").

    Args:
        momentum, nesterov, bias_correction, ns_steps, ns_coeffs, ns_eps, ns_eps_mode, ns_dtype: see `muon`.
        scale, layout, reshape, beta1, beta2, eps, aux_lr: see `muon`.

    >>> import samestep as ss
    >>> ss.scale_by_muon() in ss.muon().chains[0].parts
    True
    """
    if not _is_matrix(u, reshape):
        found = scale_by_adam.function(u, m, v, v, t, beta1=beta1, beta2=beta2, eps=eps)
        return {name: found[name] for name in ("u", "m", "v")} | ({} if aux_lr is None else {"lr": aux_lr})
    xp = array_namespace(u)
    m = momentum * m + (1 - momentum) * u
    mean, last = momentum * m if nesterov else m, (1 - momentum) * u
    if bias_correction:
        now = 1 - momentum**t
        mean, last = mean / (1 - momentum ** (t + 1) if nesterov else now), last / now
    held = bfloat16(xp, u) if ns_dtype else lambda x: x
    x = held(mean + last if nesterov else mean)
    one = u.ndim == 2 or reshape == "flatten"
    rows, cols = (u.shape[0], u.size / u.shape[0]) if one else u.shape[-2:]
    x = xp.reshape(x, (u.shape[0], -1)) if one and u.ndim > 2 else x
    whole = {} if one and ns_dtype is None else {"axis": (-2, -1), "keepdims": True}
    norm = held(xp.linalg.vector_norm(x, **whole))
    x = held(x / (xp.maximum(norm, ns_eps) if ns_eps_mode == "max" else norm + ns_eps))
    x = orthogonalized(xp, x, rows > cols, triples(ns_coeffs, ns_steps), held)
    out, into = (rows, cols) if layout == "out_in" else (cols, rows)
    factor = {
        "original": lambda: xp.sqrt(xp.maximum(1.0, out / into)),
        "match_rms": lambda: 0.2 * xp.sqrt(xp.maximum(rows, cols)),
        "spectral": lambda: xp.sqrt(out / into),
        "none": lambda: 1.0,
    }[scale]()
    return {"u": factor * xp.reshape(x, u.shape) if one and u.ndim > 2 else factor * x, "m": m}


def _is_matrix(x, reshape):
    return x.ndim == 2 or (reshape != "none" and x.ndim > 2 and x.size > 0)


@direction()
def aux_step(*, aux_lr: nonnegative):
    """The step size of what is no matrix."""
    return {"lr": aux_lr}


@named(scale_by_muon)
def muon(lr: nonnegative = 0.02, *, weight_decay: nonnegative = 0.0, select: tuple = (), cautious: Masks = False,
         **hyper):  # fmt: skip
    """Muon: orthogonal momentum for matrices (Jordan et al., 2024, https://kellerjordan.github.io/posts/muon/).

        m <- momentum m + (1 - momentum) g;  X = orthogonalize(momentum m + (1 - momentum) g)
        p <- p (1 - lr weight_decay) - lr s X                 others: AdamW, with aux_lr

    Args:
        lr, aux_lr: step size, 0.02; that of the leaves that are no matrices, None: lr.
        momentum, nesterov: the decay of m, 0.95; x as above, True, or m. For Keras, which sums: ns_eps (1 - momentum).
        bias_correction: divide both terms by what their weights add up to, as optax does, False.
        ns_steps, ns_eps, ns_eps_mode: iterations, 5; the least norm that is divided by, 1e-7, "max", or "add" to it.
        ns_coeffs: (a, b, c), or one such triple for each step, (3.4445, -4.775, 2.0315); "dion" or "polar_express".
        scale, layout: s: "original" sqrt(max(1, rows / cols)), "match_rms" 0.2 sqrt(max(rows, cols)),
            "spectral" sqrt(rows / cols), "none" 1; matrices lie "out_in"; "in_out" swaps rows and cols in s.
        reshape: of more dimensions: "flatten", one matrix of d0 rows; "batch", one for the last two; AdamW, "none".
        ns_dtype: None; "bfloat16" rounds the products of the iteration to it, to the authors' numbers, in no less time.
        select: patterns of paths, as in `groups`, of matrices that are no such: embeddings and heads, (); AdamW.
        beta1, beta2, eps, weight_decay: AdamW's for the others, 0.9, 0.95, 1e-8; decoupled for both, 0; s is not in it.
        maximize, cautious: climb instead of descend, False; mask the direction: False, "mean", "count" or "none".

    Params are floating arrays; slot `m`, and `v` where a leaf runs AdamW, in the compute dtype.

    Raises:
        HyperparameterError: an unknown name, or a number outside its domain. At `init` ChainError: an idle pattern.

    >>> import numpy as np, samestep as ss
    >>> opt, params = ss.muon(0.1), {"w": np.eye(1), "b": np.zeros(2)}
    >>> opt.step(params, params, opt.init(params))[0]["w"].round(2)
    array([[0.93]])
    """
    triples(hyper["ns_coeffs"], hyper["ns_steps"])  # which says what is wrong with them
    behind = [part for part in (masked(cautious), decay_if(weight_decay), descend(lr)) if part is not None]
    own, rate = [scale_by_muon(**hyper), *behind], [] if hyper["aux_lr"] is None else [aux_step(hyper["aux_lr"])]
    adam = [scale_by_adam(**{name: hyper[name] for name in ("beta1", "beta2", "eps")}), *rate, *behind]
    return [groups(dict.fromkeys(select, chain(*adam)), default=chain(*own))] if select else own

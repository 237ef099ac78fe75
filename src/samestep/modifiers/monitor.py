"""Monitor: what a step did, per leaf, left in the state; no paper, common practice.

grad_norm = |gradient|            nonfinite_count = its entries that are infinite or nan
clipped = the share of entries whose size the gradient parts changed
update_norm = |p - start|         param_norm = |p|         effective_lr = update_norm / |gradient behind the parts|
sigma_negative = the share of coordinates where h, the inverse of the step size, fell: sigma < 0
"""

from array_api_compat import array_namespace

from ..compose import chain
from ..optimizer import Optimizer
from ..page import Part, scalar, update, zeros


def _norm(xp, x):
    return xp.sqrt(xp.sum(x * x))


@update(behind=True, h_seen=zeros, sigma_negative=scalar(0.0))
def monitor_sigma(h, h_seen):
    """The share of coordinates with sigma < 0, behind what says h: help("samestep.modifiers.monitor").

    >>> import samestep as ss
    >>> ss.monitor_sigma()
    monitor_sigma()
    """
    xp = array_namespace(h_seen)
    falls = xp.count_nonzero(h - h_seen < 0)
    return {"h_seen": h, "sigma_negative": falls / xp.maximum(h_seen.size, 1.0)}


@update(
    behind=True,
    grad_norm=scalar(0.0),
    nonfinite_count=scalar(0.0),
    clipped=scalar(0.0),
    update_norm=scalar(0.0),
    param_norm=scalar(0.0),
    effective_lr=scalar(0.0),
)
def monitor_step(p, g, start, grad):
    """Norms, counts and shares of a step, per leaf: help("samestep.modifiers.monitor").

    >>> import samestep as ss
    >>> ss.monitor_step()
    monitor_step()
    """
    xp = array_namespace(p)
    moved, entering = _norm(xp, p - start), _norm(xp, g)
    return {
        "grad_norm": _norm(xp, grad),
        "nonfinite_count": xp.count_nonzero(xp.logical_not(xp.isfinite(grad))),
        "clipped": xp.count_nonzero(abs(g) != abs(grad)) / xp.maximum(p.size, 1.0),
        "update_norm": moved,
        "param_norm": _norm(xp, p),
        "effective_lr": xp.where(entering > 0, moved / entering, 0.0),
    }


def monitor(*, sigma: bool = False, name: str | None = None) -> Part | Optimizer:
    """Leave in the state what each step did, leaf by leaf.

    Args:
        sigma: also the share of coordinates whose step size grew, False; behind `ftrl`, `ftrl_proximal`,
            `mirror_descent` or another chain with a rule that says h.
        name: a name for the parts, where two of them stand in a chain.

    Slots, one number per leaf: `grad_norm`, `nonfinite_count`, `clipped`, `update_norm`, `param_norm`, `effective_lr`,
    and `sigma_negative` with an array `h_seen`. `clipped` counts what any gradient part changed, coupled decay too.
    Write it last. A step that is skipped, or only accumulates, leaves them as they were. Inside a trace (jax.jit,
    torch.compile, recorded steps) nothing is fetched; elsewhere sums are on the host, here as in any other part.

    >>> import numpy as np, samestep as ss
    >>> opt, params = ss.chain(ss.sgd(0.5), ss.monitor()), np.array([3.0, 4.0])
    >>> params, state = opt.step(params, np.array([6.0, 8.0]), opt.init(params))
    >>> float(state["grad_norm"]), float(state["update_norm"]), float(state["effective_lr"])
    (10.0, 5.0, 0.5)
    """
    step = monitor_step(name=name)
    return chain(monitor_sigma(name=name), step) if sigma else step

"""Skip steps whose gradients are not finite; no paper, optax's apply_if_finite.

bad <- 0 if every entry of every gradient is finite, else bad + 1
no step while 0 < bad <= max_consecutive
"""

from array_api_compat import array_namespace

from ..page import count, gradient
from ..trace.namespace import sum_over_params


@gradient(bad=0.0, nonfinite=0.0, good=0.0)
def skip_nonfinite(u, bad, nonfinite, good, *, max_consecutive: count | None = 10):
    """Take no step when a gradient has an infinity or a nan: help("samestep.modifiers.skip_nonfinite").

    Args:
        max_consecutive: so many bad steps in a row are skipped, 10; the next one goes through, so that the trouble is
            seen. None never gives up.

    A skipped step leaves params and state as they are. What follows in the chain counts the steps that were taken; clip
    behind it. The state has the numbers `bad` (bad steps in a row), `nonfinite` (bad steps so far) and `good` (steps
    taken; leaf by leaf once a leaf has slept).

    Raises:
        TraceError: at `init`, a part before it that keeps what a skipped step has left in it, such as grokfast.

    >>> import numpy as np, samestep as ss
    >>> opt, params = ss.chain(ss.skip_nonfinite(), ss.sgd(1.0)), np.array([1.0])
    >>> opt.step(params, np.array([np.nan]), opt.init(params))
    (array([1.]), {'step': 1, 'bad': 1.0, 'nonfinite': 1.0, 'good': 0.0})
    """
    xp = array_namespace(u)
    finite = sum_over_params(xp.count_nonzero(xp.logical_not(xp.isfinite(u)))) == 0
    bad = xp.where(finite, 0.0, bad + 1)
    taken = finite if max_consecutive is None else finite | (bad > max_consecutive)
    return {
        "bad": bad,
        "nonfinite": xp.where(finite, nonfinite, nonfinite + 1),
        "good": xp.where(taken, good + 1, good),
        "t": good + 1,
        "when": taken,
    }

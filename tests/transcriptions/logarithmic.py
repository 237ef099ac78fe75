"""SC-AdaGrad and SC-RMSprop of arXiv 1706.05507, which no package has; in plain NumPy (part B 7).

The authors' Keras file (mmahesh/variants-of-rmsprop-and-adagrad, new_optimizers.py at 0acf67e) has the same lines and
the defaults of our pages; its `decay` has no effect.
"""

import numpy as np


def sc_adagrad(s, p, g, t):
    """Algorithm 2 with the authors' delta: 0.1 exp(-0.1 v)."""
    s["v"] = s.get("v", 0) + g**2
    return p - 0.5 * g / (s["v"] + 0.1 * np.exp(-0.1 * s["v"]))


def sc_rmsprop(s, p, g, t):
    """Algorithm 5: alpha_t = alpha / t, epsilon_t = delta_t / t."""
    beta = 1 - 0.7 / t
    s["v"] = beta * s.get("v", 0) + (1 - beta) * g**2
    delta = 0.2 * np.exp(-0.3 * t * s["v"])
    return p - 0.5 / t * g / (s["v"] + delta / t)


TRANSCRIPTIONS = {
    "sc_adagrad": (lambda ss: ss.sc_adagrad(0.5), sc_adagrad),
    "sc_rmsprop": (lambda ss: ss.sc_rmsprop(0.5, gamma=0.7, xi1=0.3, xi2=0.2), sc_rmsprop),
}

"""What no package has of the methods without a learning rate; in plain NumPy, from part C."""

import numpy as np


def ldog(s, p, g, t):
    """Part C, C12, per_leaf: the norms of DoG over one leaf."""
    s.setdefault("p0", p)
    s["r"] = max(s.get("r", 1e-2 * (1 + np.linalg.norm(p))), np.linalg.norm(p - s["p0"]))
    s["G"] = s.get("G", 0.0) + np.sum(g**2)
    return p - 0.3 * s["r"] / np.sqrt(s["G"] + 1e-8) * g


TRANSCRIPTIONS = {"dog_per_leaf": (lambda ss: ss.dog(0.3, reps_rel=1e-2, per_leaf=True), ldog)}

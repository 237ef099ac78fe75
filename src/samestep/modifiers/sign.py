"""Sign: only the direction's signs.

Bernstein, Wang, Azizzadenesheli, Anandkumar, "signSGD: Compressed Optimisation for Non-Convex Problems", 2018,
https://arxiv.org/abs/1802.04434.

    u <- sign(u),    sign(0) = 0
"""

from array_api_compat import array_namespace

from ..page import direction


@direction()
def sign(u):
    """Keep nothing but the signs of a direction: help("samestep.modifiers.sign").

    >>> import numpy as np, samestep as ss
    >>> opt, params = ss.chain(ss.sign(), ss.descend(0.5)), np.zeros(3)
    >>> opt.step(params, np.array([3.0, -0.1, 0.0]), opt.init(params))[0]
    array([-0.5,  0.5,  0. ])
    """
    return {"u": array_namespace(u).sign(u)}

"""SOAP, beside a package whose QR factors are taken in float64."""

from typing import Any

from ..case import Case
from ..oracles import Oracle, call
from ..problem import Schedule, wave

_RANK = "the first gradient is not of full rank, and the rest of the basis is left to the library: part A 20"
_UNSURE = {"rosenbrock": (None, _RANK), "digits": (None, _RANK)}
_FLOAT64 = {"torch.float32": "torch.float64"}  # to which it casts before the factors


def _soap(lr: float | Schedule, **kwargs: Any) -> Oracle:
    first = lr(0) if callable(lr) else lr
    return Oracle(call("pytorch_optimizer.SOAP", lr=first, **kwargs), lr if callable(lr) else None, _FLOAT64)


CASES = [
    Case("soap", lambda ss: ss.soap(), _soap(3e-3), exceptions=_UNSURE),
    Case(
        "soap_options",
        lambda ss: ss.soap(
            wave(0.01), beta1=0.9, beta2=0.99, shampoo_beta=0.8, eps=1e-6, weight_decay=0.1, freq=3, max_dim=4,
            bias_correction=False,
        ),
        _soap(
            wave(0.01), betas=(0.9, 0.99), shampoo_beta=0.8, eps=1e-6, weight_decay=0.1, precondition_frequency=3,
            max_precondition_dim=4, correct_bias=False,
        ),
    ),
]  # fmt: skip

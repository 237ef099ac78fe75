"""SOAP, beside a package whose QR factors are taken in float64; Shampoo's grafting and momentum."""

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


def _summed(count: int) -> dict[str, Any]:
    """The weight 1 of a sum, which the constructor refuses."""
    return {"betas": (0.9, 1.0)}


def _unmoved(count: int) -> dict[str, Any]:
    return {"betas": (0.0, 1.0)}


def _grafted(
    kind: int, block: int = 512, start: int = 1, driven: Any = _summed, ahead: bool = False, **more: Any
) -> Oracle:
    """Roots that come of SVD in every step; vectors it leaves as they are."""
    named = {"block_size": block, "shape_interpretation": False, "use_svd": True, "nesterov": ahead, "matrix_eps": 0.01}
    when = {"start_preconditioning_step": start, "preconditioning_compute_steps": 1, **more}
    called = call("pytorch_optimizer.ScalableShampoo", lr=0.01, betas=(0.9, 0.99), graft_type=kind, **named, **when)
    return Oracle(called, driven=driven)


def _fading(count: int) -> float:
    """Its mean starts at 0.01 I, and is not debiased: so much is left in ours, which is; the scale is grafted."""
    left = 0.99 ** (count + 1)
    return 0.01 * left / (1 - left)


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
    Case(
        "soap_normalized",
        lambda ss: ss.soap(wave(0.01), eps=1e-30, normalize=True),
        _soap(wave(0.01), eps=1e-30, normalize_gradient=True),
    ),
    Case(
        "soap_merged",
        lambda ss: ss.soap(0.01, freq=3, max_dim=4, merge_dims=True),
        _soap(0.01, precondition_frequency=3, max_precondition_dim=4, merge_dims=True),
        problem="tensor",
    ),
    Case(
        "shampoo_sgd",
        lambda ss: ss.shampoo(0.01, eps=0.01, momentum=0.9, graft="sgd"),
        _grafted(1),
        problem="matrix",
    ),
    Case(
        "shampoo_block",
        lambda ss: ss.shampoo(0.01, eps=0.01, momentum=0.9, graft="sgd", block=3),
        _grafted(1, block=3),
        problem="matrix",
    ),
    Case(
        "shampoo_adagrad",
        lambda ss: ss.shampoo(
            0.01, eps=0.01, momentum=0.9, nesterov=True, graft="adagrad", weight_decay=0.1, decay="direction"
        ),
        _grafted(2, ahead=True, weight_decay=0.1),
        problem="matrix",
    ),
    Case(
        "shampoo_rmsprop",
        lambda ss: ss.shampoo(0.01, eps=_fading, beta2=0.99, momentum=0.9, graft="rmsprop", graft_beta2=0.99),
        _grafted(3, driven=None),
        problem="matrix",
    ),
    Case(
        "shampoo_start",
        lambda ss: ss.shampoo(0.01, eps=0.01, graft="sgd", start=5, root=3),
        _grafted(1, start=5, driven=_unmoved, inverse_exponent_override=3),
        problem="matrix",
    ),
]  # fmt: skip

"""More of descent: sgdw, asgd, madgrad, novograd."""

from ..case import Case
from ..oracles import maker, optax, timm, torch
from ..problem import wave

torch_optimizer = maker("torch_optimizer")

CASES = [
    Case("sgdw", lambda ss: ss.sgdw(0.01, weight_decay=0.1), timm("SGDW", 0.01, momentum=0.9, weight_decay=0.1)),
    Case(
        "sgdw_nesterov",
        lambda ss: ss.sgdw(wave(0.01), nesterov=True, weight_decay=0.1),
        timm("SGDW", wave(0.01), momentum=0.9, weight_decay=0.1, nesterov=True),
    ),
    Case("asgd", lambda ss: ss.asgd(), torch("ASGD", 0.01)),
    Case(
        "asgd_schedule",
        lambda ss: ss.asgd(wave(0.02), lambd=0.1, alpha=0.5, t0=10.0, weight_decay=0.1),
        torch("ASGD", wave(0.02), lambd=0.1, alpha=0.5, t0=10.0, weight_decay=0.1),
    ),
    Case("madgrad", lambda ss: ss.madgrad(), torch_optimizer("MADGRAD", 0.01)),
    Case(
        "madgrad_plain",
        lambda ss: ss.madgrad(0.02, momentum=0.0, weight_decay=0.1),
        torch_optimizer("MADGRAD", 0.02, momentum=0.0, weight_decay=0.1),
    ),
    Case(
        "madgrad_decoupled",
        lambda ss: ss.madgrad(wave(0.02), eps=1e-4, weight_decay=0.1, decay="decoupled"),
        timm("MADGRAD", wave(0.02), eps=1e-4, weight_decay=0.1, decoupled_decay=True),
    ),
    Case("novograd", lambda ss: ss.novograd(), optax("novograd", 1e-3, b1=0.95, b2=0.98, eps=1e-8)),
    Case(
        "novograd_inside",
        lambda ss: ss.novograd(wave(0.02), beta1=0.9, beta2=0.25, eps=1e-6, weight_decay=0.1),
        optax("novograd", wave(0.02), weight_decay=0.1),
    ),
    Case(
        "novograd_averaging",
        lambda ss: ss.novograd(wave(0.02), weight_decay=0.1, grad_averaging=True),
        timm("NvNovoGrad", wave(0.02), weight_decay=0.1, grad_averaging=True),
    ),
    Case(
        "novograd_decoupled",
        lambda ss: ss.novograd(wave(0.02), weight_decay=0.1, decay="decoupled"),
        timm("NvNovoGrad", wave(0.02), weight_decay=0.1, decoupled_decay=True),
    ),
]

"""In proportion to norms: lamb, trust_ratio, dog."""

from ..case import Case
from ..oracles import call, maker, optax, timm
from ..problem import wave

torch_optimizer = maker("torch_optimizer")

CASES = [
    Case("lamb", lambda ss: ss.lamb(0.01), optax("lamb", 0.01)),
    Case("lamb_decay", lambda ss: ss.lamb(wave(0.02), weight_decay=0.1), optax("lamb", wave(0.02), weight_decay=0.1)),
    Case(
        "lamb_clipped",
        lambda ss: ss.chain(ss.clip_by_global_norm(1.0), ss.lamb(0.01, weight_decay=0.1, bias_correction=False)),
        timm("lamb.Lamb", 0.01, weight_decay=0.1, bias_correction=False, foreach=False),
    ),
    Case(
        "lamb_ratio_clipped",
        lambda ss: ss.lamb(wave(0.02), eps=50.0, weight_decay=0.1, clip=True, grad_averaging=False),
        timm("Lamb", wave(0.02), eps=50.0, max_grad_norm=None, weight_decay=0.1, trust_clip=True, grad_averaging=False),
    ),
    Case(
        "lamb_phi",
        lambda ss: ss.lamb(0.01, weight_decay=0.1, phi=(0.0, 2.0), bias_correction=False),
        torch_optimizer("Lamb", 0.01, weight_decay=0.1, clamp_value=2.0),
    ),
    Case(
        "trust_ratio",
        lambda ss: ss.chain(ss.trust_ratio(trust_coefficient=0.5, min_norm=1.0, norm_eps=0.1), ss.descend(0.1)),
        optax(
            "chain",
            call("optax.scale_by_trust_ratio", min_norm=1.0, trust_coefficient=0.5, eps=0.1),
            call("optax.scale", -0.1),
        ),
    ),
    Case("dog", lambda ss: ss.dog(), optax("contrib.dog")),
    Case(
        "dog_reps",
        lambda ss: ss.dog(wave(1.0), reps_rel=0.01, eps=1e-4, weight_decay=0.1),
        optax("contrib.dog", wave(1.0), ("heuristic", 0.01), 1e-4, weight_decay=0.1),
    ),
]

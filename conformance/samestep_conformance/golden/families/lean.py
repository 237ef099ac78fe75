"""By layers and with little memory: lars, mars, came, sm3."""

from ..case import Case
from ..oracles import call, maker, optax, po, timm
from ..problem import wave

came = maker("came_pytorch")

CASES = [
    Case(
        "lars",
        lambda ss: ss.lars(2.0, weight_decay=0.1, trust_coefficient=0.01),
        timm("lars.Lars", 2.0, momentum=0.9, weight_decay=0.1, trust_coeff=0.01, eps=0.0, always_adapt=True),
    ),
    Case(
        "lars_outside",
        lambda ss: ss.lars(
            wave(0.05), trust_coefficient=0.3, eps=1e-2, nesterov=True, lr_inside=False, clip=True
        ),  # a is held at lr in 66 of 100 steps
        timm(
            "lars.Lars",
            wave(0.05),
            momentum=0.9,
            nesterov=True,
            trust_coeff=0.3,
            eps=1e-2,
            trust_clip=True,
            always_adapt=True,
        ),
    ),
    Case(
        "lars_combined",
        lambda ss: ss.lars(wave(2.0), weight_decay=0.1, eps=1e-3, norm="combined", nesterov=True),
        optax("lars", wave(2.0), weight_decay=0.1, eps=1e-3, nesterov=True),
    ),
    Case(
        "lars_dampening",
        lambda ss: ss.lars(wave(2.0), weight_decay=0.1, trust_coefficient=0.01, dampening=0.5, lr_inside=False),
        timm("lars.Lars", wave(2.0), momentum=0.9, dampening=0.5, weight_decay=0.1, trust_coeff=0.01, eps=0.0),
    ),
    Case(
        "mars",
        lambda ss: ss.mars(0.01, weight_decay=0.1),
        timm("mars.Mars", 0.01, betas=(0.95, 0.99), weight_decay=0.1, optimize_1d=True),
    ),
    Case(
        "mars_1d",
        lambda ss: ss.mars(
            wave(0.01),
            beta1=0.9,
            beta2=0.95,
            gamma=0.05,
            weight_decay=0.1,
            weight_decay_1d=0.1,
            eps=1e-4,
            optimize_1d=False,
            beta1_1d=0.8,
            beta2_1d=0.9,
        ),
        timm(
            "mars.Mars",
            wave(0.01),
            betas=(0.9, 0.95),
            gamma=0.05,
            weight_decay=0.1,
            eps=1e-4,
            betas_1d=(0.8, 0.9),
            lr_1d_factor=1.0,
        ),
    ),
    Case(
        "mars_cautious",
        lambda ss: ss.mars(0.01, weight_decay=0.1, cautious="mean"),
        timm("mars.Mars", 0.01, betas=(0.95, 0.99), weight_decay=0.1, optimize_1d=True, caution=True),
    ),
    Case("came", lambda ss: ss.came(0.01, weight_decay=0.1), came("CAME.CAME", 0.01, weight_decay=0.1)),
    Case(
        "came_numbers",
        lambda ss: ss.came(wave(0.01), beta1=0.8, beta2=0.99, beta3=0.95, eps=1e-6, eps2=1e-4, clip_threshold=0.5),
        came("CAME.CAME", wave(0.01), betas=(0.8, 0.99, 0.95), eps=(1e-6, 1e-4), clip_threshold=0.5),
        problem="tensor",
    ),
    Case("sm3", lambda ss: ss.sm3(), po("SM3", 0.1, momentum=0.9)),
    Case("sm3_eps", lambda ss: ss.sm3(0.1, eps=1e-8), optax("sm3", 0.1)),
    Case(
        "sm3_beta",
        lambda ss: ss.sm3(wave(0.1), momentum=0.0, beta=0.9, eps=1e-4),
        po("SM3", wave(0.1), momentum=0.0, beta=0.9, eps=1e-4),
        problem="tensor",
    ),
    Case(
        "sm3_falling",
        lambda ss: ss.sm3(wave(0.1), momentum=0.0, beta=0.9, falling=True, eps=1e-4, weight_decay=0.1),
        optax(
            "chain",
            call("optax.scale_by_sm3", b1=0.0, b2=0.9, eps=1e-4),
            call("optax.add_decayed_weights", 0.1),
            call("optax.scale_by_learning_rate", wave(0.1)),
        ),
    ),
]

"""Without a learning rate: prodigy, dadapt_adam, dog's options, dowg."""

from ..case import Case
from ..oracles import maker, optax
from ..problem import wave

prodigyopt, dadaptation = maker("prodigyopt"), maker("dadaptation")

ULP = "measured 3.3e-12: the estimate of d amplifies; our own runs from params one ulp apart are 2e-11 apart"

CASES = [
    Case("prodigy", lambda ss: ss.prodigy(), prodigyopt("Prodigy", 1.0)),
    Case(
        "prodigy_decoupled",
        lambda ss: ss.prodigy(wave(1.0), weight_decay=0.1, beta1=0.8, beta2=0.99, beta3=0.95, eps=1e-4, d0=1e-3),
        prodigyopt("Prodigy", wave(1.0), weight_decay=0.1, betas=(0.8, 0.99), beta3=0.95, eps=1e-4, d0=1e-3),
    ),
    Case(
        "prodigy_coupled",
        lambda ss: ss.prodigy(weight_decay=0.1, decay="coupled", d_coef=0.5, growth_rate=1.5),
        prodigyopt("Prodigy", 1.0, weight_decay=0.1, decouple=False, d_coef=0.5, growth_rate=1.5),
    ),
    Case(
        "prodigy_bias_correction",
        lambda ss: ss.prodigy(0.5, bias_correction=True, safeguard_warmup=True),
        prodigyopt("Prodigy", 0.5, use_bias_correction=True, safeguard_warmup=True),
    ),
    Case(
        "dadapt_adam",
        lambda ss: ss.dadapt_adam(),
        dadaptation("DAdaptAdam", 1.0, decouple=True),
        exceptions={
            "rosenbrock": (
                1e-11,
                ULP,
            )
        },
    ),
    Case(
        "dadapt_adam_decoupled",
        lambda ss: ss.dadapt_adam(wave(1.0), weight_decay=0.1, beta1=0.8, beta2=0.99, eps=1e-4, d0=1e-3),
        dadaptation("DAdaptAdam", wave(1.0), decouple=True, weight_decay=0.1, betas=(0.8, 0.99), eps=1e-4, d0=1e-3),
    ),
    Case(
        "dadapt_adam_coupled",
        lambda ss: ss.dadapt_adam(weight_decay=0.1, decay="coupled", growth_rate=1.5, bias_correction=True),
        dadaptation("DAdaptAdam", 1.0, weight_decay=0.1, growth_rate=1.5, use_bias_correction=True),
    ),
    Case(
        "dog_distance",
        lambda ss: ss.dog(init="distance", first=0.01),
        optax("contrib.dog", 1.0, ("distance", 0.01)),
    ),
    Case(
        "dog_learning_rate",
        lambda ss: ss.dog(init="learning_rate", first=0.01),
        optax("contrib.dog", 1.0, ("learning_rate", 0.01)),
    ),
    Case("dowg", lambda ss: ss.dowg(), optax("contrib.dowg")),
    Case(
        "dowg_first",
        lambda ss: ss.dowg(wave(1.0), first=0.01, eps=1e-3, weight_decay=0.1),
        optax("contrib.dowg", wave(1.0), 0.01, 1e-3, weight_decay=0.1),
    ),
]

"""Factored second moments: adafactor."""

from ..case import Case
from ..oracles import FLOAT64, Named, Oracle, call, po, timm, torch
from ..problem import wave

CASES = [
    Case("adafactor", lambda ss: ss.adafactor(), po("AdaFactor", 1.0, betas=(None, 0.999))),
    Case(
        "adafactor_momentum",
        lambda ss: ss.adafactor(beta1=0.9, weight_decay=0.1),
        timm("adafactor.Adafactor", None, min_dim_size_to_factor=0, betas=(0.9, 0.999), weight_decay=0.1),
    ),
    Case(
        "adafactor_warmup",
        lambda ss: ss.adafactor(warmup_init=True),
        po("AdaFactor", 1.0, betas=(None, 0.999), warmup_init=True),
    ),
    Case(
        "adafactor_absolute",
        lambda ss: ss.adafactor(wave(0.05), relative_step=False, scale_parameter=False),
        timm("adafactor.Adafactor", wave(0.05), min_dim_size_to_factor=0),
    ),
    Case(
        "adafactor_scaled",
        lambda ss: ss.adafactor(wave(0.1), relative_step=False, decay_rate=0.6, clip_threshold=0.5),
        po("AdaFactor", wave(0.1), betas=(None, 0.999), relative_step=False, decay_rate=-0.6, clip_threshold=0.5),
    ),
    Case(
        "adafactor_cautious",
        lambda ss: ss.adafactor(beta1=0.9, cautious="mean"),
        timm("adafactor.Adafactor", None, min_dim_size_to_factor=0, betas=(0.9, 0.999), caution=True),
    ),
    Case(
        "adafactor_cautious_count",
        lambda ss: ss.adafactor(beta1=0.9, cautious="count"),
        po("AdaFactor", 1.0, betas=(0.9, 0.999), momentum_dtype=Named("torch.float64"), cautious=True),
    ),
    Case(
        "adafactor_floor",
        lambda ss: ss.adafactor(
            wave(0.05),
            decay_rate=0.7,
            eps=0.01,
            eps_mode="floor",
            eps2=0.01,
            clip_threshold=1.5,
            weight_decay=0.1,
            decay="decoupled",
        ),
        torch("Adafactor", wave(0.05), beta2_decay=-0.7, eps=(0.01, 0.01), d=1.5, weight_decay=0.1),
        problem="tensor",
    ),
    Case(
        "adafactor_tensor",
        lambda ss: ss.adafactor(0.05),
        Oracle(call("keras.optimizers.Adafactor", learning_rate=0.05), patches=FLOAT64["keras"]),
        problem="tensor",
    ),
    Case(
        "adafactor_min_dim",
        lambda ss: ss.adafactor(
            wave(0.05),
            min_dim=3,
            factor="largest",
            beta1=0.9,
            relative_step=False,
            weight_decay=0.01,
            decay="independent",
        ),
        Oracle(
            call(
                "optax.adafactor",
                wave(0.05),
                min_dim_size_to_factor=3,
                momentum=0.9,
                dtype_momentum=Named("jax.numpy.float64"),
                weight_decay_rate=0.01,
            ),
            patches=FLOAT64["optax"],
        ),
        problem="tensor",  # of 3, 4 and 2 the first two factor; of 2, 3, 2 and 2 none
    ),
]

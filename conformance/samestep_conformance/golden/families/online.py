"""Online and sparse: ftrl."""

from ..case import Case
from ..oracles import Oracle, call, keras, po, torch
from ..problem import wave

CASES = [
    Case("ftrl", lambda ss: ss.ftrl(0.1, z0="zeros"), po("FTRL", 0.1)),
    Case(
        "ftrl_prox",
        lambda ss: ss.ftrl(0.1, beta=1.0, initial_accumulator=0.1),
        torch("Adagrad", 0.1, eps=1.0, initial_accumulator_value=0.1),
    ),
    Case("ftrl_schedule", lambda ss: ss.ftrl(wave(0.1), beta=1.0), torch("Adagrad", wave(0.1), eps=1.0)),
    Case(
        "ftrl_framework_sigma",
        lambda ss: ss.ftrl(wave(0.1), beta=1.0, framework_sigma=True, z0="zeros"),
        po("FTRL", wave(0.1), beta=1.0),
    ),
    Case(
        "ftrl_l1_l2",
        lambda ss: ss.ftrl(0.1, beta=1.0, l1=0.5, l2=0.1, z0="zeros"),
        po("FTRL", 0.1, beta=1.0, lambda_1=0.5, lambda_2=0.1),
    ),
    Case(
        "ftrl_shrinkage",
        lambda ss: ss.ftrl(0.1, beta=0.5, l1=0.1, l2=0.2, l2_shrinkage=0.01, initial_accumulator=0.1, z0="zeros"),
        keras(
            "Ftrl",
            0.1,
            beta=0.5,
            l1_regularization_strength=0.1,
            l2_regularization_strength=0.1,
            l2_shrinkage_regularization_strength=0.01,
        ),
    ),
    Case(
        "ftrl_lr_power",
        lambda ss: ss.ftrl(0.1, lr_power=-0.7, initial_accumulator=0.1, z0="zeros"),
        keras("Ftrl", 0.1, learning_rate_power=-0.7),
    ),
    Case(
        "ftrl_vowpalwabbit",
        lambda ss: ss.ftrl(0.1, beta=0.5, l1=0.5, l2=0.1, z0="zeros"),
        Oracle(
            call(
                "vowpalwabbit.Workspace",
                "--ftrl --ftrl_alpha 0.1 --ftrl_beta 0.5 --l1 0.5 --l2 0.1 --loss_function hinge --noconstant --quiet",
            )
        ),
        tolerance=1e-6,
        remark="its weights and sums are float32, 6e-8 of each; CI has no vowpalwabbit",
    ),
]

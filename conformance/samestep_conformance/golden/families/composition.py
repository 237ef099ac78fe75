"""The composition: its unpenalised rules as other libraries have them, and FTRL's conventions."""

from ..case import Case
from ..oracles import keras, optax, po, torch
from ..problem import wave
from .logarithmic import online

CASES = [
    Case("mirror_descent", lambda ss: ss.mirror_descent(0.1), torch("SGD", 0.1)),
    Case(
        "mirror_descent_adagrad",
        lambda ss: ss.mirror_descent(wave(0.1), rule=ss.rules.adagrad(eps=1e-10, initial_accumulator=0.1)),
        torch("Adagrad", wave(0.1), initial_accumulator_value=0.1),
    ),
    Case(
        "mirror_descent_rmsprop",
        lambda ss: ss.mirror_descent(wave(0.01), rule="rmsprop"),
        torch("RMSprop", wave(0.01)),
    ),
    Case(
        "mirror_descent_online_rmsprop",
        lambda ss: ss.mirror_descent(wave(0.1), rule="online_rmsprop"),
        torch("RMSprop", 0.1, driven=online(0.9, wave(0.1), 1e-8)),
    ),
    Case(
        "mirror_descent_amsgrad",
        lambda ss: ss.mirror_descent(0.01, rule=ss.rules.amsgrad(beta2=0.9), momentum=0.9),
        optax("amsgrad", 0.01, b2=0.9, bias_correction_mu=False, bias_correction_nu=False),
    ),
    Case(
        "ftrl_proximal",
        lambda ss: ss.ftrl_proximal(wave(0.02), rule="adam", momentum=0.9, bias_correction=True),
        torch("Adam", wave(0.02)),
    ),
    Case(
        "ftrl_proximal_radam",
        lambda ss: ss.ftrl_proximal(wave(0.02), rule=ss.rules.radam(eps=1e-5), momentum=0.9, bias_correction=True),
        optax("radam", wave(0.02), eps=1e-5),
    ),
    Case(
        "ftrl_proximal_keras",
        lambda ss: ss.ftrl_proximal(
            0.1,
            rule=ss.rules.adagrad(eps=0.5, initial_accumulator=0.1),
            l1=0.1,
            l2=0.2,
            l1_schedule="fixed",
            l2_schedule="fixed",
            z0="zeros",
        ),
        keras("Ftrl", 0.1, beta=0.5, l1_regularization_strength=0.1, l2_regularization_strength=0.1),
    ),
    Case(
        "ftrl_proximal_framework",
        lambda ss: ss.ftrl_proximal(
            wave(0.1),
            rule=ss.rules.adagrad(eps=1.0),
            l1=0.5,
            l2=0.1,
            l1_schedule="fixed",
            l2_schedule="fixed",
            framework_sigma=True,
            z0="zeros",
        ),
        po("FTRL", wave(0.1), beta=1.0, lambda_1=0.5, lambda_2=0.1),
    ),
]

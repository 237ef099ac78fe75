"""The cautious mask on every kind of direction."""

from ..case import Case
from ..oracles import c_lion, po, power, timm
from ..problem import wave

CASES = [
    Case(
        "adamw_cautious",
        lambda ss: ss.adamw(0.01, weight_decay=0.1, cautious="mean"),
        timm("adamw.AdamWLegacy", 0.01, weight_decay=0.1, caution=True, foreach=False),
    ),
    Case(
        "adamw_cautious_count",
        lambda ss: ss.chain(ss.adamw(wave(0.02), weight_decay=0.1), ss.cautious(scale="count")),
        po("AdEMAMix", wave(0.02), alpha=0.0, weight_decay=0.1, weight_decouple=True, cautious=True),
    ),
    Case(
        "lion_cautious",
        lambda ss: ss.lion(0.01, weight_decay=0.1, cautious="mean"),
        c_lion("Lion", 0.01, weight_decay=0.1),
    ),
    Case(
        "lion_cautious_count",
        lambda ss: ss.lion(0.01, beta1=0.95, beta2=0.98, weight_decay=0.1, cautious="count"),
        po("Lion", 0.01, betas=(0.95, 0.98), weight_decay=0.1, cautious=True),
    ),
    Case(  # it computes the decay's factor in float32: one that is exact there
        "lion_cautious_partly",
        lambda ss: ss.chain(
            ss.scale_by_lion(),
            ss.cautious(cautious_factor=0.3, floor=1e-5),
            ss.decay(0.125, mode="cautious"),
            ss.descend(2**-6),
        ),
        c_lion("Lion", 2**-6, weight_decay=0.125, cautious_factor=0.3, cautious_wd=True),
    ),
    Case(
        "adopt_cautious",
        lambda ss: ss.chain(ss.adopt(0.01), ss.cautious()),
        timm("adopt.Adopt", 0.01, clip_exp=0.25, caution=True, foreach=False),
    ),
    Case(
        "adopt_cautious_count",
        lambda ss: ss.adopt(0.01, cautious="count"),
        po("ADOPT", 0.01, clip_lambda=power(0.25, shift=1), cautious=True),
    ),
    Case(
        "adan_cautious",
        lambda ss: ss.adan(0.01, beta2=0.0, cautious="mean"),
        timm("adan.Adan", 0.01, betas=(0.98, 0.0, 0.99), caution=True, foreach=False),
    ),
    Case(
        "sgd_cautious",
        lambda ss: ss.sgd(0.01, momentum=0.9, cautious="mean"),
        timm("sgdw.SGDW", 0.01, momentum=0.9, weight_decay=0.0, caution=True, foreach=False),
    ),
    Case(
        "sgd_nesterov_cautious",
        lambda ss: ss.sgd(0.01, momentum=0.9, nesterov=True, cautious="mean"),
        timm("sgdw.SGDW", 0.01, momentum=0.9, weight_decay=0.0, nesterov=True, caution=True, foreach=False),
    ),
    Case(
        "rmsprop_cautious",
        lambda ss: ss.rmsprop(
            wave(0.02), rho=0.9, eps=1e-10, eps_mode="inside", initial_accumulator=1.0, momentum=0.9, cautious="mean"
        ),
        timm("rmsprop_tf.RMSpropTF", wave(0.02), momentum=0.9, lr_in_momentum=False, caution=True, foreach=False),
    ),
    Case(
        "lamb_cautious",
        lambda ss: ss.lamb(0.01, weight_decay=0.1, cautious="mean"),
        timm("lamb.Lamb", 0.01, weight_decay=0.1, max_grad_norm=None, caution=True, foreach=False),
    ),
]

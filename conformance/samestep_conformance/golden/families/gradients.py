"""What is done to gradients before an optimizer sees them, and lookahead in other people's forms."""

from dataclasses import dataclass
from pkgutil import resolve_name

from ..case import Case
from ..oracles import Call, Oracle, c_lion, call, keras, optax, po, torch
from ..problem import wave


@dataclass(frozen=True)
class Around(Call):
    """A class that takes an optimizer: the first argument is the call of that one."""

    def __call__(self, *params):
        inner, *args = self.args
        return resolve_name(self.path)(inner(*params), *args, **self.kwargs)


SGD = call("torch.optim.SGD", lr=0.01, momentum=0.9, foreach=False)


def half(x):
    """A mask that keeps half of what disagrees, as the authors' cautious_factor does."""
    import samestep

    return samestep.array_namespace(x).where(x > 0, 1.0, 0.5)


CASES = [
    Case(
        "clip_by_value",
        lambda ss: ss.chain(ss.clip_by_value(0.5), ss.sgd(0.02, momentum=0.9)),
        optax("chain", call("optax.clip", 0.5), call("optax.sgd", 0.02, momentum=0.9)),
    ),
    Case(
        "clip_by_norm",
        lambda ss: ss.chain(ss.clip_by_norm(2.0), ss.sgd(wave(0.01), momentum=0.9, form="velocity")),
        keras("SGD", wave(0.01), momentum=0.9, clipnorm=2.0),
    ),
    Case(
        "clip_scaled",
        lambda ss: ss.chain(ss.clip_by_global_norm(1.0, scale="max"), ss.adam(0.01)),
        optax("chain", call("optax.clip_by_global_norm", 1.0), call("optax.adam", 0.01)),
    ),
    Case(
        "adaptive_clip_in_out",
        lambda ss: ss.chain(ss.adaptive_clip(0.1, unit_axis=-1), ss.sgd(0.02, momentum=0.9)),
        optax("chain", call("optax.adaptive_grad_clip", 0.1), call("optax.sgd", 0.02, momentum=0.9)),
    ),
    Case(
        "centralize",
        lambda ss: ss.chain(ss.centralize(), ss.adam(0.01)),
        optax("chain", call("optax.centralize"), call("optax.adam", 0.01)),
    ),
    Case(
        "nesterov_estimate",
        lambda ss: ss.chain(ss.nesterov_estimate(0.9), ss.sgd(0.01, momentum=0.9)),
        torch("SGD", 0.01, momentum=0.9, nesterov=True),
    ),
    Case(
        "grokfast",
        lambda ss: ss.chain(ss.grokfast(grok_alpha=0.9, grok_lamb=1.5), ss.adam(0.01, eps=1e-30)),
        po(
            "GrokFastAdamW",
            0.01,
            betas=(0.9, 0.999),
            grokfast_alpha=0.9,
            grokfast_lamb=1.5,
            grokfast_after_step=0,
            eps=1e-30,
            weight_decay=0.0,
            normalize_lr=False,
        ),
    ),
    Case(
        "sign",
        lambda ss: ss.chain(ss.sign(), ss.descend(wave(0.02))),
        optax("sign_sgd", wave(0.02)),
        tolerance=0.0,
    ),
    Case(  # the mask of their decay is of float32, so its numbers are powers of 2
        "lion_cautious_factor",
        lambda ss: ss.chain(
            ss.scale_by_lion(),
            ss.cautious(phi=half, floor=1e-5),
            ss.decay(0.5, mode="cautious"),
            ss.descend(2**-6),
        ),
        c_lion("Lion", 2**-6, weight_decay=0.5, cautious_factor=0.5, cautious_wd=True),
    ),
    Case(
        "lookahead_late",
        lambda ss: ss.chain(ss.sgd(0.01, momentum=0.9), ss.lookahead(6, start="late")),
        Oracle(Around("timm.optim.lookahead.Lookahead", (SGD,), {"k": 6})),
    ),
    Case(
        "lookahead_first",
        lambda ss: ss.chain(ss.sgd(0.01, momentum=0.9), ss.lookahead(4, 0.8, start="late", first=1)),
        Oracle(Around("torch_optimizer.Lookahead", (SGD,), {"k": 4, "alpha": 0.8})),
    ),
    Case(
        "lookahead_pullback",
        lambda ss: ss.chain(ss.sgd(0.01, momentum=0.9), ss.lookahead(4, 0.3, reset="pullback")),
        Oracle(Around("pytorch_optimizer.Lookahead", (SGD,), {"k": 4, "alpha": 0.3, "pullback_momentum": "pullback"})),
    ),
]

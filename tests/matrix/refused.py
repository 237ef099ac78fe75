"""The one table of what does not go together: every other pair of the matrix is accepted, and equal to plain NumPy.

A row refuses each of `these` modifiers with each of `those` optimizers or modifiers. `says` stands in the error that a
user reads; `why` is the reason, from the mathematics or from api.md. Modifiers refuse each other in both orders, but
where `these` must not stand first.
"""

from typing import NamedTuple

import samestep as ss

OPTIMIZERS = tuple(name for name in ss.__all__ if hasattr(getattr(ss, name), "pages"))
DIRECTIONS = ("agd", "cautious", "sign", "trust_ratio")
FREE = ("schedule_free_adamw", "schedule_free_plus", "schedule_free_radam", "schedule_free_sgd")
SNAPSHOTS = ("katyusha", "l_katyusha", "l_svrg", "natasha", "svrg")  # they have one of their own
RULED = ("ftrl_proximal", "mirror_descent")  # a rule in them says h, as FTRL does itself
TAKEN = ("snapshot_at_random", "snapshot_by_coin", "snapshot_every")
UPDATES = (  # they have no direction, and their formula is not p - lr u
    *("agd_velocity", "amos", "asgd", "egd", "egd_pm", "ftrl", "katyusha", "l_katyusha", "madgrad", "natasha", "rprop"),
    *FREE,
)
OWNERS = ("amos", "ftrl", "katyusha", "l_katyusha", "madgrad", "natasha", *FREE)  # the page says why: `alone`
GATES = ("accumulate", "loss_scaling", "skip_nonfinite", "unscale")
HIDDEN = ("hidden_accumulation", "hidden_accumulation, fewer updates")


class Refusal(NamedTuple):
    """Some pairs, and one reason."""

    these: tuple[str, ...]
    those: tuple[str, ...]
    says: str
    why: str
    ordered: bool = False  # these before those; the other way round they go together, or stand in another row


TABLE = [
    Refusal(
        DIRECTIONS,
        ("amos",),
        "its decay is made of its step",
        "api.md, Chain. Its decay is derived from the size of its own step (Tian, Parikh, 2022).",
    ),
    Refusal(
        DIRECTIONS,
        ("ftrl",),
        "z sums the gradients and p is solved from z",
        "api.md, Chain. z is the sum of all gradients, and p the argmin of it: what is no gradient has no place in it.",
    ),
    Refusal(
        DIRECTIONS,
        ("madgrad",),
        "it averages all gradients so far",
        "Dual averaging, as ftrl: s and n are sums of gradients and of their squares, from the first one on.",
    ),
    Refusal(
        DIRECTIONS,
        ("katyusha", "l_katyusha"),
        "its point of query and its momentum are made for the gradient itself",
        "api.md, Chain. The gradient is taken between p, z and the snapshot, with weights that fit z's own step.",
    ),
    Refusal(
        DIRECTIONS,
        ("natasha",),
        "it retracts to a centre among its own steps",
        "Each sub-epoch ends at the mean of its own iterates, which are those of the reduced gradient.",
    ),
    Refusal(
        DIRECTIONS,
        FREE,
        "it moves z by the gradient at p and averages",
        "api.md, Chain. z moves by the gradient at p, a mean of z and x: the proof of the average is of gradients.",
    ),
    Refusal(
        ("monitor_sigma",),
        ("agd_velocity", *(name for name in OPTIMIZERS if name not in ("ftrl", *RULED))),
        "write one of samestep.rules",
        "sigma is the change of h, the inverse step size; only FTRL and the composition's optimizers have one.",
    ),
    Refusal(
        ("kahan", "amos_schedule"),
        (*UPDATES, "adafactor", "dadapt_adam", "lars", *RULED),
        "takes the place of descend, which this chain lacks",
        "It is another form of the step p - lr u, and these move p by another formula.",
    ),
    Refusal(
        ("kahan",),
        ("amos_schedule",),
        "takes the place of descend, which this chain lacks",
        "Two steps along one direction: each is a form of p - lr u.",
    ),
    Refusal(
        TAKEN,
        SNAPSHOTS,
        "a chain has one of them",
        "api.md, Optimizers: a step takes the gradient at one snapshot, and the optimizer has its own.",
    ),
    *(
        Refusal(
            (one,),
            TAKEN[i + 1 :],
            "a chain has one of them",
            "api.md, Optimizers: a step takes one gradient at a snapshot.",
        )
        for i, one in enumerate(TAKEN[:-1])
    ),
    Refusal(
        ("warm_restart", "lookahead, reset"),
        (*SNAPSHOTS, *TAKEN),
        "cannot bring the full gradient at a new snapshot",
        "Started again, a snapshot is at p, and its full gradient is not known within a step: restart, and refresh.",
    ),
    Refusal(
        ("reduce_on_plateau",),
        ("agd", "l_katyusha"),
        "which only a step has",
        "The point of their query hangs on lr, and lr on the metric that the next step is told: after the query.",
    ),
    Refusal(
        ("reduce_on_plateau",),
        ("rprop",),
        "no part behind it takes its lr from there",
        "lr is where Rprop's step sizes begin: from then on they are its own.",
    ),
    Refusal(
        ("agd",),
        ("prodigy",),
        "which only a step has",
        "The point is lr ahead, and Prodigy makes its lr of the gradient: after the query.",
    ),
    Refusal(
        ("agd",),
        ("adafactor", "dadapt_adam", "mirror_descent"),
        "is lr ahead, but no part behind it moves p by lr u",
        "The point is where a step of lr along the momentum leads, and theirs is another step.",
    ),
    Refusal(
        ("agd",),
        ("agd_velocity",),
        "a chain has one of them",
        "api.md, Optimizers: x is one point.",
    ),
    Refusal(
        ("decay, cautious",),
        ("agd_velocity", "katyusha", "l_katyusha"),
        "which only a step has",
        "Which entries decay before the step hangs on the gradient, and the point of their query on the decayed p.",
    ),
    Refusal(
        (
            *("decay, cautious", "decay, decoupled", "decay, independent", "decay, proximal"),
            *("lookahead", "snapshot_at_random"),
        ),
        ("egd_pm",),
        "makes p of its slots alone",
        "p is the difference of two slots: what another part does to p is gone with the next step.",
    ),
    Refusal(
        ("lookahead, pullback",),
        (
            *(name for name in UPDATES if name not in ("agd_velocity", "schedule_free_plus")),
            *("adadelta", "adafactor", "adagrad", "adashift", "dog", "dowg", "eg_gains", "l_svrg", "online_rmsprop"),
            *("rmsprop", "sc_adagrad", "sc_rmsprop", "sgd", "shampoo", "svrg", *RULED),
        ),
        "it borrows slot 'm', and no part before it writes an array there",
        "Decision 0025. What is pulled back is a momentum, and as these are written they have none.",
    ),
    Refusal(
        ("adaptive_clip", "add_noise", "clip_by_global_norm", "clip_by_norm", "clip_by_value", "decay, coupled"),
        ("loss_scaling", "unscale"),
        "with a scale on what is not in proportion",
        "A bound, a noise or a decay of so much means a gradient without the scale (torch: unscale before clipping).",
        ordered=True,
    ),
    Refusal(
        ("accumulate",),
        ("unscale",),
        "which has kept something of the gradient",
        "found_inf is told of one gradient: of the call that steps alone, it would not see what is in the sum.",
        ordered=True,
    ),
    Refusal(
        ("skip_nonfinite",),
        ("loss_scaling",),
        "which skips the steps that tell it that its scale is too large",
        "The scale falls with a gradient that is not finite, and never sees one: no step is taken any more.",
        ordered=True,
    ),
    Refusal(("loss_scaling",), ("unscale",), "which has one: leave one out", "A loss has one scale."),
    Refusal(
        ("grokfast", "nesterov_estimate"),
        ("loss_scaling", "unscale"),
        "with a scale on what is not in proportion",
        "What they keep has the scale of another step.",
        ordered=True,
    ),
    Refusal(
        ("loss_scaling", "unscale"),
        (*SNAPSHOTS, *TAKEN),
        "kept at a snapshot, with the scale of that time",
        "The full gradient has the scale of its refresh, and those of a batch that of their step.",
    ),
    Refusal(
        ("grokfast", "nesterov_estimate"),
        ("skip_nonfinite",),
        "which has kept something of the gradient",
        "An infinity that a skipped step has left in what they keep is in the gradient of the next one, or of all.",
        ordered=True,
    ),
    Refusal(
        ("kahan", "stochastic_rounding"),
        ("master_weights",),
        "is there not to do",
        "Both keep a parameter of 16 bits from losing small steps: rounded to 16 bits, the copy keeps nothing more.",
    ),
    Refusal(
        ("stochastic_rounding",),
        ("kahan",),
        "nothing is left to chance",
        "The card has one or the other: compensated p is a number of 16 bits, which lies between no two others.",
    ),
    # hidden accumulation: slots that are s <- c s + h(g) with h linear or a square take in each gradient of a step
    Refusal(
        ("hidden_accumulation",),
        (*UPDATES, "l_svrg", "sgd", "svrg"),
        "needs a direction part that keeps a mean of the gradient",
        "It needs a mean of gradients that moves p; here the gradient itself does, or sums that also are p's.",
    ),
    Refusal(
        ("hidden_accumulation",),
        (
            *("adafactor", "adagrad", "c_adamw", "lars", "muon", "nadam", "online_rmsprop", "rmsprop"),
            *("sc_adagrad", "sc_rmsprop", "simplified_ademamix", *RULED, "cautious"),
        ),
        "it reads the gradient, and not only slots",
        "The direction has the gradient itself in it, of which only the last of k is there when p moves.",
    ),
    Refusal(
        ("hidden_accumulation",),
        ("c_lion", "dog", "dowg", "lion"),
        "it reads a slot as it was before",
        "The direction has the mean without the last gradient in it; in parts there is no such mean.",
    ),
    Refusal(
        ("hidden_accumulation",),
        ("adadelta", "adamax", "adashift", "dadapt_adam", "eg_gains", "padam", "prodigy", "yogi"),
        "does not become a number times itself and something without it",
        "A maximum, a product, a queue or a sign of the slot is no recurrence c s + h(g): its parts do not add up.",
    ),
    Refusal(
        ("hidden_accumulation",),
        ("adabelief", "adan", "adopt", "came", "laprop", "mars", "novograd", "sm3", "agd"),
        "which a cycle completes last",
        "What the slot takes in is made of another slot, which is whole only when all k gradients are in.",
    ),
    Refusal(
        ("hidden_accumulation",),
        ("shampoo", "soap"),
        "neither linear in the gradient nor in its square",
        "Products of different entries of g: what k gradients add up to is not known of each alone.",
    ),
    Refusal(
        ("hidden_accumulation",),
        ("monitor",),
        "of which only the last part is known",
        "It shows the norm of the gradient of a step, which is in no slot.",
    ),
    Refusal(
        HIDDEN,
        GATES,
        "it must stand before hidden_accumulation",
        "api.md, State: what gates has an inner clock for all behind it; here each of the k calls must be one of it.",
        ordered=True,
    ),
    Refusal(
        ("warm_restart",),
        HIDDEN,
        "it must stand before what restarts others",
        "A restart in the midst of k calls would leave a slot with less than a whole step in it.",
        ordered=True,
    ),
    Refusal(
        ("hidden_accumulation, fewer updates",),
        ("warm_restart",),
        "which has the last word on 'restart'",
        "The slots step with each gradient and p with the k-th: whose count a restart waits for is not said.",
        ordered=True,
    ),
    Refusal(
        ("hidden_accumulation, fewer updates",),
        ("lookahead, reset",),
        "which has the last word on 'reset'",
        "The slots step with each gradient and p with the k-th: whose count a restart waits for is not said.",
    ),
    Refusal(
        ("hidden_accumulation",),
        ("hidden_accumulation, fewer updates",),
        "it must stand before hidden_accumulation",
        "Both say in which call p moves.",
    ),
]


def pairs(modifiers):
    """(what stands first, the other): its row of the table. An optimizer stands second."""
    found = {}
    for row in TABLE:
        for a in row.these:
            for b in row.those:
                for pair in [(a, b)] if row.ordered or b not in modifiers else [(a, b), (b, a)]:
                    assert found.setdefault(pair, row) is row, f"{pair} stands in two rows"
    return found

"""The drift finder: it says where two optimizers part, how it grows, and which conventions are behind it."""

import dataclasses
import io
import itertools
import json

import numpy as np
import pytest

import samestep as ss
from samestep.cli import main
from samestep_conformance import compare
from samestep_conformance.adapters import Subject, subject
from samestep_conformance.conventions import Search
from samestep_conformance.drift import built_as, ulps
from samestep_conformance.golden.problem import wave
from samestep_conformance.models import TEMPLATES, Model, defaults, fitted, options, required
from samestep_conformance.moments import FAMILIES, moments
from samestep_conformance.problems import PROBLEMS, find
from samestep_conformance.specs import SpecError, parse, schedule
from samestep_conformance.traces import record


@dataclasses.dataclass
class Family:
    """Somebody's optimizer, in plain NumPy, with eight conventions as switches."""

    eps_inside: bool = False
    corrected: bool = True
    decoupled: bool = False
    averages: bool = True
    accumulator: float = 0.0
    looks_ahead: bool = False
    keeps_peak: bool = False
    warms_beta1: bool = False
    lr: float = 0.01
    b1: float = 0.9
    b2: float = 0.99
    epsilon: float = 1e-6
    weight_decay: float = 0.1

    def init(self, params):
        zeros = {k: np.zeros_like(p) for k, p in params.items()}
        return 0, 1.0, zeros, {k: np.full_like(p, self.accumulator) for k, p in params.items()}, zeros

    def step(self, params, grads, state):
        t, product, m, v, peak = state
        t += 1
        b1 = self.b1 * (1 - 0.5 * 0.96 ** (0.004 * t)) if self.warms_beta1 else self.b1
        product, shrink = product * b1, self.lr * self.weight_decay
        new, ms, vs, peaks = {}, {}, {}, {}
        for k, p in params.items():
            g = grads[k] if self.decoupled else grads[k] + self.weight_decay * p
            share = 1 - b1 if self.averages else 1.0
            ms[k] = b1 * m[k] + share * g
            vs[k] = self.b2 * v[k] + (1 - self.b2) * g**2
            peaks[k] = np.maximum(peak[k], vs[k])
            up = b1 * ms[k] + share * g if self.looks_ahead else ms[k]
            below = peaks[k] if self.keeps_peak else vs[k]
            if self.corrected:
                up, below = up / (1 - product), below / (1 - self.b2**t)
            root = np.sqrt(below + self.epsilon) if self.eps_inside else np.sqrt(below) + self.epsilon
            new[k] = (p * (1 - shrink) if self.decoupled else p) - self.lr * up / root
        return new, (t, product, ms, vs, peaks)


SWITCHES = {
    "eps placement": {"eps_inside": True},
    "bias correction": {"corrected": False},
    "decay coupling": {"decoupled": True},
    "momentum form": {"averages": False},
    "initial accumulator": {"accumulator": 0.1},
    "Nesterov form": {"looks_ahead": True},
    "AMSGrad form": {"keeps_peak": True},
    "schedule of beta1": {"warms_beta1": True},
}


@pytest.mark.parametrize(
    "changed",
    [(name,) for name in SWITCHES] + list(itertools.combinations(SWITCHES, 2)),
    ids=" and ".join,
)
def test_a_plain_callable_with_one_convention_changed_and_with_two(changed):
    switched = {key: value for name in changed for key, value in SWITCHES[name].items()}
    found = compare(Family(), Family(**switched), steps=30)
    assert not found.same and found.first is not None
    assert found.explanation.closes and set(found.conventions) == set(changed)
    assert found.explanation.after < 1e-12 < found.explanation.before


@dataclasses.dataclass
class Ball:
    """Somebody's momentum, with the forms that show only with it."""

    lr: float = 0.01
    momentum: float = 0.9
    inside: bool = False
    nesterov_like: bool = False

    def init(self, params):
        return {k: np.zeros_like(p) for k, p in params.items()}

    def step(self, params, grads, state, lr=None):
        rate = self.lr if lr is None else lr
        scale = rate if self.inside else 1.0
        state = {k: self.momentum * m + scale * grads[k] for k, m in state.items()}
        moved = {k: self.momentum * m + scale * grads[k] if self.nesterov_like else m for k, m in state.items()}
        return {k: p - (1.0 if self.inside else rate) * moved[k] for k, p in params.items()}, state


@pytest.mark.parametrize(
    ("changed", "conventions"),
    [
        ({"inside": True}, {"momentum form"}),
        ({"nesterov_like": True}, {"Nesterov form"}),
        ({"inside": True, "nesterov_like": True}, {"momentum form", "Nesterov form"}),
    ],
)
def test_a_plain_momentum_under_a_changing_rate(changed, conventions):
    found = compare(Ball(), Ball(**changed), steps=30, lr=wave(0.02))
    assert found.explanation.closes and set(found.conventions) == conventions


LIBRARIES = {
    "Adam": ("torch:Adam(lr=1e-3)", "keras:Adam(1e-3)", None, {"eps placement", "eps value"}),
    "AMSGrad": (
        "torch:Adam(lr=0.01, betas=(0.9, 0.9), amsgrad=True)",
        "optax:amsgrad(0.01, b2=0.9)",
        None,
        {"AMSGrad form"},
    ),
    "RMSprop": ("torch:RMSprop(lr=0.01, alpha=0.9)", "optax:rmsprop(0.01)", None, {"eps placement"}),
    "momentum": ("torch:SGD(momentum=0.9)", "keras:SGD(momentum=0.9)", wave(0.02), {"momentum form"}),
    "NAdam": ("torch:NAdam(lr=0.01)", "optax:nadam(0.01)", None, {"schedule of beta1"}),
    "Adan": ("optax:adan(0.01)", "timm:Adan(lr=0.01)", None, {"Nesterov form", "eps value"}),
    "Adagrad": (
        "torch:Adagrad(lr=0.01, eps=1e-7)",
        "keras:Adagrad(0.01)",
        None,
        {"eps placement", "initial accumulator"},
    ),
}


@pytest.mark.parametrize("name", LIBRARIES)
def test_what_libraries_differ_in(name):
    a, b, lr, conventions = LIBRARIES[name]
    found = compare(a, b, steps=25, lr=lr)
    assert not found.same and found.explanation.closes
    assert set(found.conventions) == conventions
    assert found.explanation.after < 1e-12 < found.explanation.before


def test_a_decay_that_looks_at_the_step_is_named():
    masked = ss.chain(ss.scale_by_adam(), ss.decay(0.1, mode="cautious"), ss.descend(0.01))
    assert compare("adam(0.01, weight_decay=0.1)", masked, steps=20).conventions == ("decay coupling",)


def test_one_of_ours_is_known_by_what_it_was_built_as():
    """Also with more options than are sought, which are one or two."""
    given = "adamw(0.01, weight_decay=0.05, decay='independent', cautious='count', maximize=True)"
    one = subject(given, "float64", None)
    trace = record(one, find("quadratic"), 5, "float64")
    found = Search(trace, one.numbers, built_as(one)).fit()
    assert found.settings["decay"] == "independent" and found.template == "adamw"


class Silent:
    """Somebody's optimizer that tells none of its numbers."""

    __slots__ = ("_inner",)

    def __init__(self, inner):
        self._inner = inner

    def init(self, params):
        return self._inner.init(params)

    def step(self, params, grads, state):
        return self._inner.step(params, grads, state)


def test_numbers_that_are_not_told_are_solved_for():
    usual = {"lr": 0.003, "b1": 0.85, "b2": 0.97, "weight_decay": 0.0, "epsilon": 3e-6}
    found = compare(Silent(Family(**usual)), Silent(Family(**usual, eps_inside=True, keeps_peak=True)), steps=30)
    assert found.explanation.closes and set(found.conventions) == {"eps placement", "AMSGrad form"}
    assert found.explanation.a_is == "moments(0.003, beta1=0.85, beta2=0.97, eps=3e-06)"


def test_what_is_the_same():
    ours = compare("adamw(0.01, weight_decay=0.1)", ss.adamw(0.01, weight_decay=0.1), steps=20)
    assert ours.identical and ours.same and ours.first is None and ours.explanation is None
    theirs = compare("adamw(0.01)", "torch:AdamW(lr=0.01)", steps=20)
    assert theirs.same and not theirs.identical and theirs.first is None
    assert "the same to rounding" in str(theirs)


def test_momentum_forms_are_the_same_under_one_rate_but_keep_other_state():
    found = compare("sgd(0.01, momentum=0.9)", "sgd(0.01, momentum=0.9, form='velocity')", steps=20)
    assert found.same and found.first_state.step == 1 and found.first_state.entry.startswith("m ")


def test_the_first_parting_is_the_first():
    class Late:
        """Adam's steps, but for one entry of `b` from step 7 on."""

        def init(self, params):
            return ss.adam(0.01).init(params)

        def step(self, params, grads, state):
            params, state = ss.adam(0.01).step(params, grads, state)
            if state["step"] == 7:
                params["b"][3] += 1e-9
            return params, state

    found = compare("adam(0.01)", Late(), steps=10)
    assert (found.first.step, found.first.kind, found.first.entry) == (7, "parameter", "b[3]")
    assert found.first.absolute == pytest.approx(1e-9, rel=1e-6) and found.first.ulp > 1000
    assert found.first_state.step == 8, "the state learns of it a step later"
    assert not found.conventions and not found.explanation.closes
    assert "why: not found" in str(found) and "A is our adam(0.01)" in str(found)
    assert compare("sgd(0.1)", "sgd(0.2)", steps=1, explain=False).first.entry == "w[0, 0]"
    turned = compare(Late(), "adam(0.01)", steps=8)
    assert not turned.conventions and "B is our adam(0.01)" in str(turned)


def test_ulps():
    one = np.float64(1.0)
    assert ulps(one, np.nextafter(one, 2)) == 1 and ulps(np.float64(0.0), np.float64(-0.0)) == 0
    tiny = np.finfo(np.float32).smallest_subnormal
    assert ulps(tiny, -tiny) == 2 and ulps(one, np.float64("nan")) is None


@pytest.mark.parametrize(
    ("slope", "words"),
    [
        (lambda p, t: 30 * p, "shrinks again"),
        (lambda p, t: -10 * p, "grows exponentially, doubling every"),
        (lambda p, t: 0 * p + (t == 1), "stays"),
        (lambda p, t: 0 * p + 1, "grows linearly"),
        (lambda p, t: 0 * p + t, "grows as the power 2.0"),
    ],
)
def test_growth(slope, words):
    found = compare("sgd(0.01)", "sgd(0.011)", steps=60, problem=Slope(slope), explain=False)
    assert words in found.order
    assert [d.step for d in found.growth] == [1, 2, 5, 10, 20, 50, 60]


@dataclasses.dataclass
class Slope:
    """One leaf, from 1, and its gradient as a function of it and of the step."""

    slope: object

    def params(self):
        return {"p": np.ones(3)}

    def gradient(self, params, t):
        return {"p": self.slope(params["p"], t)}


def test_float32_is_explained_by_its_precision_where_float64_agrees():
    class Rough:
        """Adam, whose rate is another one in float32 alone."""

        def init(self, params):
            return ss.adam(0.01).init(params)

        def step(self, params, grads, state):
            rate = 0.01 * (1.001 if params["b"].dtype == np.float32 else 1.0)
            return ss.adam(0.01).step(params, grads, state, lr=rate)

    found = compare("adam(0.01)", Rough(), steps=5, dtype="float32")
    assert not found.same and "in float64 the two are the same" in found.remark and found.remark in str(found)


# The problems


@pytest.mark.parametrize("name", PROBLEMS)
def test_problems(name):
    same = compare("sgd(1e-4)", "sgd(1e-4, momentum=0.0)", steps=3, problem=name)
    other = compare("sgd(1e-4)", "sgd(2e-4)", steps=3, problem=name, explain=False)
    assert same.identical and other.first.step == 1


@dataclasses.dataclass
class Begin:
    """Somebody's problem: a bowl, from anywhere."""

    start: object

    def params(self):
        return self.start

    def gradient(self, params, t):
        return params


def test_a_problem_may_have_a_leaf_without_entries():
    problem = Begin({"none": np.zeros((0, 3)), "one": np.array(1.0)})
    assert compare("sgd(0.1)", "sgd(0.2)", steps=3, problem=problem).conventions == ("lr value",)


def test_what_cannot_step_these_leaves_explains_nothing():
    """Of our optimizers one takes no leaf of so many axes."""
    problem = Begin({"deep": np.ones((1, 1, 1, 1, 1, 2))})
    assert compare("sgd(0.1)", "sgd(0.2)", steps=3, problem=problem).conventions == ("lr value",)


@pytest.mark.parametrize(
    ("start", "words"),
    [
        ({}, "something to move; got nothing"),
        ({"none": np.zeros((0, 3))}, r"got none: float64\[0, 3\]"),
        ({"layer": {"w": np.ones(2)}}, "one level deep"),
        (np.ones(2), "one level deep"),
    ],
)
def test_a_problem_that_is_none(start, words):
    with pytest.raises(SpecError, match=words):
        compare("sgd(0.1)", "sgd(0.2)", steps=3, problem=Begin(start))


def test_the_recorded_problem_has_zeros_and_sparse_rows():
    grads = [PROBLEMS["recorded"]().gradient({}, t) for t in (1, 2, 3)]
    assert all((g["bias"] == 0).sum() == 1 for g in grads)
    assert all((g["table"] == 0).all(axis=1).sum() == 4 for g in grads)


# The space that is searched


@pytest.mark.parametrize(
    ("named", "family", "more"),
    [
        (ss.adam(0.01), "adam", {}),
        (ss.adam(0.01, beta2=0.9, amsgrad="pre"), "adam", {"beta2": 0.9, "amsgrad": "pre"}),
        (ss.adam(0.01, beta2=0.9, amsgrad="post"), "adam", {"beta2": 0.9, "amsgrad": "post"}),
        (ss.adam(0.01, beta2=0.9, amsgrad="paper"), "adam", {"beta2": 0.9, "amsgrad": "paper"}),
        (ss.adam(0.01, beta2=0.9, amsgrad="inplace"), "adam", {"beta2": 0.9, "amsgrad": "inplace"}),
        (ss.adam(0.01, eps=1e-5, eps_mode="hat"), "adam", {"eps": 1e-5, "eps_mode": "hat"}),
        (ss.adam(0.01, eps=1e-5, eps_mode="inside"), "adam", {"eps": 1e-5, "eps_mode": "inside"}),
        (ss.nadam(0.01), "nadam", {}),
        (ss.nadam(0.01, schedule="none"), "nadam", {"schedule": "none"}),
        (ss.sgd(0.01, momentum=0.9), "sgd", {"beta1": 0.9}),
        (ss.sgd(0.01, momentum=0.9, form="ema"), "sgd", {"beta1": 0.9, "form": "ema"}),
        (
            ss.sgd(0.01, momentum=0.9, form="velocity", nesterov=True),
            "sgd",
            {"beta1": 0.9, "form": "velocity", "nesterov": True},
        ),
        (ss.rmsprop(0.01, momentum=0.9), "rmsprop", {"beta1": 0.9}),
        (ss.adagrad(0.01, initial_accumulator=0.1), "adagrad", {"initial_accumulator": 0.1}),
    ],
)
def test_moments_holds_our_constructors(named, family, more):
    found = compare(named, moments(0.01, **FAMILIES[family] | more), steps=40, explain=False)
    assert found.same


def test_two_gradients_a_step_are_told_apart_too():
    found = compare("svrg(0.05, every=10)", "svrg(0.1, every=20)", steps=30)
    assert found.first.step == 1 and found.explanation.closes
    assert [told for _, told in found.explanation.changes] == [
        "B has lr = 0.1; A has lr = 0.05",
        "B has every = 20; A has every = 10",
    ]
    assert compare("l_svrg(0.05)", "l_svrg(0.05)", steps=30).identical
    assert not compare("svrg(0.05, every=10)", "sgd(0.05)", steps=10, explain=False).same


def test_the_full_gradient_is_the_mean_over_the_run():
    trace = record(Subject(ss.svrg(0.5, every=2), "svrg", None), Slope(lambda p, t: p * t), 3, "float64")
    asked = [{name: g["p"][0] for name, g in given.items()} for given in trace.grads]
    assert asked == [
        {"full": 2.0, "x": 1.0, "snapshot": 1.0},  # of 1, 2 and 3, at 1
        {"x": 0.0, "snapshot": 2.0},
        {"full": 0.0, "x": 0.0, "snapshot": 0.0},
    ]


def test_the_space_is_read_off_the_constructors():
    assert options("adam")["amsgrad"] == (False, "post", "pre", "paper", "inplace")
    assert options("nadam")["schedule"] == ("dozat", "none") and options("sgd")["nesterov"] == (False, True)
    assert options("lion")["cautious"] == (False, "mean", "count", "none")
    assert {"adam", "rmsprop", "shampoo", "moments"} <= TEMPLATES.keys()
    assert defaults("adamw")["weight_decay"] == 0.01 and defaults("lion")["decay"] == "native"
    for name in TEMPLATES:
        assert fitted(name, {"lr": 0.01} | dict.fromkeys(required(name), 20.0)).build() is not None


def test_a_model_is_written_as_it_can_be_built():
    model = Model("adam", ()).but({"weight_decay": 0.1, "decay": "proximal", "eps": 1e-7})
    assert str(model) == "chain(adam(0.001, eps=1e-07), decay(0.1, mode='proximal'))"
    assert eval(str(model), vars(ss).copy()) == model.build()
    assert str(model.but({"decay": "native"})) == "adam(0.001, eps=1e-07, weight_decay=0.1)"
    exact = model.but({"lr": 0.0123456789, "weight_decay": 0.123456789})  # no digit is left out
    assert eval(str(exact), vars(ss).copy()) == exact.build()


# What is read, and what is refused


def test_a_spec_is_read_as_literals():
    spec = parse(" torch:AdamW(1e-3, betas=(0.9, 0.99), amsgrad=True) ")
    assert (spec.library, spec.name, spec.args) == ("torch", "AdamW", (1e-3,))
    assert spec.kwargs == {"betas": (0.9, 0.99), "amsgrad": True}
    assert parse("optax:contrib.muon").name == "contrib.muon" and parse("lion").library == "samestep"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("adam(lr=__import__('os').getpid())", "never evaluated"),
        ("adam(**{'lr': 1})", "never evaluated"),
        ("adam(lr=1e-3", r"\[library:\]Name"),
        ("adam()()", r"\[library:\]Name"),
        ("", r"\[library:\]Name"),
        ("os:_exit(0)", r"\[library:\]Name"),
        ("os:system('true')", "is no optimizer"),
        ("subprocess:Popen('true')", "is no optimizer"),
        ("samestep:chain()", "is no optimizer"),
        ("adam(learning=1)", "learning"),
        ("adam(lr=-1.0)", "at least 0"),
        ("torch:adamm()", "has no 'adamm'; is it 'Adam'"),
        ("torch:AdamW(learning=1)", "is refused by AdamW"),
        ("optax:adam()", "is refused by adam"),
        ("keras:Adam(lr=1)", "is refused by Adam"),
        ("optax:apply_updates", "is no optimizer"),
        ("torch:LBFGS()", "fails in step 1"),
        ("nowhere_at_all:Adam()", "needs nowhere_at_all, which is not installed here: check its spelling"),
    ],
)
def test_wrong_usage(text, words, capsys):
    with pytest.raises(SpecError if "learning=1" not in text or ":" in text else ss.SamestepError, match=words):
        compare("adam(0.01)", text, steps=2)
    assert main(["compare", "adam(0.01)", text, "--steps", "2"]) == 2
    assert capsys.readouterr().err.startswith("samestep: error: ")


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"steps": 0}, "at least 1; got 0"),
        ({"dtype": "int8"}, "'float64' or 'float32'; got 'int8'"),
        ({"problem": "hard"}, "must be one of .* got 'hard'"),
        ({"problem": 3}, "a problem has params"),
        ({"lr": 0.1}, "callable of the count"),
    ],
)
def test_wrong_arguments(given, words):
    with pytest.raises(SpecError, match=words):
        compare("adam(0.01)", "sgd(0.01)", **given)


def test_what_is_no_optimizer():
    with pytest.raises(SpecError, match="compare takes text"):
        compare("adam", object())

    class Shrinks:
        def init(self, params):
            return None

        def step(self, params, grads, state):
            return {k: p.astype(np.float32) for k, p in params.items()}, state

    with pytest.raises(SpecError, match="step keeps shape and dtype"):
        compare("adam", Shrinks(), steps=1)

    class Loses(Shrinks):
        def step(self, params, grads, state):
            return {"w": params["w"]}, state

    with pytest.raises(SpecError, match="params with leaves 'w', 'b'; got leaves 'w'"):
        compare("adam", Loses(), steps=1)
    with pytest.raises(SpecError, match="a changing learning rate needs"):
        compare("adam", Shrinks(), lr=wave(0.1))


@pytest.mark.parametrize("line", ["sys.exit(0)", "raise ValueError('no')", "import nowhere_at_all"])
def test_a_module_that_cannot_be_imported(line, tmp_path, monkeypatch, capsys):
    """Whatever it does: one that exits is not the same as another."""
    (tmp_path / "unimportable.py").write_text(f"import sys\n{line}\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert main(["compare", "adam", "unimportable:Adam()"]) == 2
    assert "unimportable cannot be imported" in capsys.readouterr().err


@pytest.mark.parametrize("verb", ["__init__", "init", "step"])
def test_an_optimizer_that_exits_is_not_the_same(verb, monkeypatch):
    def leave(*given):
        raise SystemExit(0)

    monkeypatch.setattr(Ball, verb, leave)
    with pytest.raises(SpecError, match="Ball"):
        compare("sgd(0.01)", f"{__name__}:Ball()", steps=2)


def test_a_state_may_refer_to_itself():
    class Ring(Ball):
        def init(self, params):
            state = {"m": super().init(params)}
            return state | {"self": [state], "again": state}

        def step(self, params, grads, state):
            state["self"].append(state)
            return super().step(params, grads, state["m"])[0], state

    assert compare(Ring(momentum=0.0), "sgd(0.01)", steps=2).same


def test_the_rate_of_an_optax_transformation_may_be_written_by_place():
    for text in ("optax:sgd(0.1, 0.9)", "optax:sgd(0.1, momentum=0.9)", "optax:sgd(learning_rate=0.1, momentum=0.9)"):
        assert compare(text, "sgd(0.1, momentum=0.9)", steps=3, lr=wave(0.1)).same


def test_schedules_are_read():
    assert schedule("cosine(0.1, steps=100)") == ss.schedules.cosine(0.1, 100)
    with pytest.raises(SpecError, match="a learning rate that changes is one of"):
        schedule("adam(0.1)")


def test_an_optax_transformation_and_a_keras_optimizer_themselves():
    import keras
    import optax

    assert compare(optax.sgd(0.01), "sgd(0.01)", steps=3).same
    assert compare(keras.optimizers.SGD(0.5), "sgd(0.5)", steps=3).same
    with pytest.raises(SpecError, match="write it as text"):
        compare(optax.sgd(0.01), "sgd(0.01)", lr=wave(0.1))


def test_keras_on_numpy_is_refused(monkeypatch):
    import keras

    monkeypatch.setattr(keras.backend, "backend", lambda: "numpy")
    with pytest.raises(SpecError, match="set KERAS_BACKEND=jax"):
        compare("adam", "keras:Adam()")


# The command


def test_the_command(tmp_path, capsys):
    file = tmp_path / "out" / "drift.json"
    call = ["compare", "adam(0.01)", "adam(0.01, eps_mode='hat')", "--steps", "12", "--json", str(file)]
    assert main(call) == 1
    shown = capsys.readouterr().out
    assert "why: eps placement" in shown and "the largest difference falls from" in shown and "\x1b" not in shown
    record = json.loads(file.read_text())
    assert record["conventions"] == ["eps placement"] and record["first"]["step"] == 1 and len(record["growth"]) == 5
    assert main(["compare", "adam", "adam()", "--steps", "3"]) == 0
    assert "the same bits over 3 steps" in capsys.readouterr().out


def test_the_command_takes_a_schedule(capsys):
    a, b = "sgd(momentum=0.9)", "sgd(momentum=0.9, form='velocity')"
    assert main(["compare", a, b, "--steps", "9"]) == 0
    assert main(["compare", a, b, "--steps", "9", "--lr", "cosine(0.1, steps=9)", "--problem", "recorded"]) == 1
    assert "why: momentum form" in capsys.readouterr().out
    assert main(["compare", a, b, "--lr", "0.1"]) == 2
    assert main(["compare", a, b, "--json", "/dev/null/file", "--steps", "1"]) == 2


def test_a_terminal_gets_tables():
    from rich.console import Console

    from samestep_conformance.drift_report import show

    console = Console(record=True, force_terminal=True, width=150, file=io.StringIO())
    show(compare("sgd(0.01)", "sgd(0.02)", steps=3), console)
    assert "┃" in console.export_text(clear=False) and "lr value" in console.export_text()


def test_what_is_not_finite_can_be_written():
    from samestep_conformance.drift_report import to_json

    found = compare("sgd(0.01)", "sgd(1e200)", steps=5, explain=False)
    assert json.loads(to_json(found))["first"]["step"] == 1 and "becomes infinite" in str(found)

"""The matrix: every modifier with every optimizer, and with every other modifier, equal to plain NumPy around it.

20 steps in float64, each from our own params; what rounds takes float16. The formulas stand in tests/matrix, written
without the pages; what does not go together is refused, and stands in tests/matrix/refused.py with the reason.
"""

import re
import runpy
from dataclasses import replace
from functools import cache
from itertools import combinations
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import samestep as ss
from samestep.catalogue import MODIFIER, OPTIMIZER, entries

options, optimizers, refused = (
    SimpleNamespace(**runpy.run_path(str(Path(__file__).parent / "matrix" / f"{name}.py")))
    for name in ("options", "optimizers", "refused")
)
modifiers = options.modifiers
Reference, STEPS, COINS = modifiers.stages.Reference, modifiers.STEPS, modifiers.COINS
TOLD = {"coin": COINS, "loss": modifiers.LEVELS}  # the steps of optimizers that ask for it
MODIFIERS, OPTIMIZERS = modifiers.ROWS, optimizers.ROWS
ALL = MODIFIERS | options.ROWS
REFUSED = refused.pairs(MODIFIERS)
START = {"w": np.linspace(-1.0, 1.2, 6).reshape(3, 2), "b": np.array([0.5, -0.7])}
ONE = {"w": START["w"]}  # pairs that look at no other leaf have one; each by itself has both
SPANNING = ("clip_by_global_norm", "skip_nonfinite", "loss_scaling")  # they look at all leaves
HALVES = ("master_weights", "kahan", "stochastic_rounding")  # they do something to params of 16 bits


def orders():
    """Every two modifiers, in both orders where these are two chains: where both are of one kind."""
    kinds = {name: {stage.kind for stage in row.stages} for name, row in MODIFIERS.items()}
    for a, b in combinations(MODIFIERS, 2):
        yield a, b
        if kinds[a] & kinds[b]:
            yield b, a


ORDERS = list(orders())


def base(option):
    """The modifier that an option is of."""
    return option if option in MODIFIERS else option.partition(",")[0]


def chained(names, made):
    """As a user would write it."""
    made_of = {name: ALL[name].make() for name in names}
    front, behind = ([p for n, ps in made_of.items() if ALL[n].behind is side for p in ps] for side in (False, True))
    return ss.chain(*front, made, *behind)


@cache
def noise(n):
    rng = np.random.default_rng([7, n])
    return {leaf: rng.uniform(-1, 1, p.shape) for leaf, p in START.items()}


def gradients(at, n, bad=False):
    grads = {leaf: p.astype(np.float64) + noise(n)[leaf] for leaf, p in at.items()}
    if bad and n in (4, 9, 10):
        [*grads.values()][-1].flat[1] = np.inf
    return grads


def apart(found, wanted, tolerance):
    """Where the two are farther from each other than that, in proportion to what is above 1."""
    both = [(np.asarray(found[leaf], np.float64), np.asarray(x, np.float64)) for leaf, x in wanted.items()]
    return np.concatenate([np.ravel(~(abs(y - x) <= tolerance * np.maximum(abs(x), 1.0))) for y, x in both])


def close(found, wanted, what, tolerance):
    assert all(np.isfinite(x).all() for x in wanted.values()), f"{what} is not finite"
    assert not apart(found, wanted, tolerance).any(), f"{what}: {found} is not {wanted}"


def compare(names, row, start=START):
    """Our chain, step by step beside the formulas."""
    opt, halves = chained(names, row.make()), any(base(name) in HALVES for name in names)
    rows = [ALL[name] for name in names]
    bad = bool(rows) and rows[0].bad
    front, behind = ([stage for mod in rows if mod.behind is side for stage in mod.stages] for side in (False, True))
    ref = Reference([*front, *row.stages, *behind], row.lr, halves)
    given = {key: values for key, values in TOLD.items() if key in opt.stepper.declared}
    given |= {key: values for mod in rows for key, values in mod.given.items()}
    params = {k: p.astype(np.float16) for k, p in start.items()} if halves else start
    tolerance, off = 2e-3 if halves else 1e-12, []
    with ss.use_backend("numpy"), np.errstate(all="ignore"):
        state = opt.init(params)
        first = opt.query(params, state)
        asks = first.keys() != {"x"} or first["x"] is not params
        assert first.keys() == ref.points(params).keys()
        for n in range(1, STEPS + 1):
            points = opt.query(params, state) if asks else {"x": params}
            for point, wanted in ref.points(params).items():
                if points[point] is not wanted:
                    close(points[point], wanted, f"{point!r} of the query before step {n}", tolerance)
            assert opt.needs_refresh(state) is ref.due(), f"whether a refresh is due before step {n}"
            if ref.due():
                ref.refresh(points["snapshot"])
                state = opt.refresh(params, points["snapshot"], state)
            grads = {point: gradients(at, n, bad and point == "x") for point, at in points.items()}
            told = grads if len(grads) > 1 else grads["x"]
            new, state = opt.step(
                params,
                told,
                state,
                **{key: values(n, params) if callable(values) else values[n] for key, values in given.items()},
            )
            expected = ref.step(params, grads["x"], grads.get("snapshot"))
            close(new, expected, f"step {n}", tolerance)
            for slot, value in ref.shown().items() if not halves else ():
                close(state[slot], value, f"{slot} after step {n}", tolerance)
            if halves:
                off += [apart(new, expected, 0.0), *(apart(state[k], x, 1e-5) for k, x in ref.shown().items())]
                ref.follow(state)
            params = new
        close(opt.eval_params(params, state), ref.evaluated(params), "eval_params", tolerance)
    # float32 is rounded to 16 bits this way or that where it lies half way between
    assert not off or np.concatenate(off).mean() <= 0.01, "more than a hundredth is rounded otherwise"


def together(pairs, row_of):
    """Every pair that the table does not refuse."""
    for a, b in pairs:
        if (a, b) not in REFUSED:
            names, row = row_of(a, b)
            noted(f"{a} with {b}", names, row, START if {a, b}.intersection(SPANNING) else ONE)


def noted(note, *compared):
    try:
        compare(*compared)
    except Exception as error:
        error.add_note(note)
        raise


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_modifier_with(name):
    row = OPTIMIZERS[name]
    compare([], row)
    together(((modifier, name) for modifier in MODIFIERS), lambda modifier, _: ([modifier], row))


@pytest.mark.parametrize("name", MODIFIERS)
def test_every_other_modifier_behind(name):
    compare([name], optimizers.AROUND)
    together((pair for pair in ORDERS if pair[0] == name), lambda a, b: ([a, b], optimizers.AROUND))


@pytest.mark.parametrize("name", options.FEW)
def test_every_option_with(name):
    for option in options.ROWS:
        if (base(option), name) not in REFUSED:
            noted(f"{option} with {name}", [option], OPTIMIZERS[name])


def test_an_option_is_not_what_is_had_without(monkeypatch):
    for option, row in options.ROWS.items():
        if option not in options.SAME:
            monkeypatch.setitem(ALL, option, replace(row, stages=MODIFIERS[base(option)].stages))
            with pytest.raises(AssertionError):
                compare([option], OPTIMIZERS["adamw"])
                pytest.fail(f"{option} makes no difference", pytrace=False)


def test_every_choice_has_a_row():
    """Each word and each None that a modifier takes, and of each number one that is not its default."""
    taken, told = {}, {}
    for row in ALL.values():
        for made in row.make():
            for part in made.chains[0].parts if isinstance(made, ss.Optimizer) else [made]:
                told[part.page] = part.page.hypers
                for key, value in part.values:
                    taken.setdefault((part.page, key), []).append(value)
    for page, hypers in told.items():
        for key, hyper in hypers.items():
            values = taken.get((page, key), [])
            wanted = {True, False} if hyper.type is bool else set(hyper.choices or ())
            assert wanted <= set(values), f"{page.__name__} has no row for {key}={wanted.difference(values)}"
            assert not hyper.optional or None in values, f"{page.__name__} has no row for {key}=None"
            plain = hyper.required or hyper.default in wanted
            assert plain or any(x != hyper.default for x in values), f"{page.__name__} has no row for another {key}"


def test_the_recommended_order():
    """All that stands in a chain at once, as part C 2 has it."""
    compare(options.RECOMMENDED, OPTIMIZERS["adamw"])


@pytest.mark.parametrize("name", sorted({a for a, _ in REFUSED}))
def test_what_is_refused_with(name):
    for (a, b), refusal in REFUSED.items():
        if a == name:
            row, names = (OPTIMIZERS[b], [a]) if b in OPTIMIZERS else (optimizers.AROUND, [a, b])
            with pytest.raises((ss.ChainError, ss.TraceError), match=re.escape(refusal.says)):
                chained(names, row.make()).init(START)
                pytest.fail(f"{a} and {b} go together")


@pytest.mark.parametrize("name", MODIFIERS)
def test_the_matrix_sees_what_is_left_out(name, monkeypatch):
    def nothing(stage):
        shown = stage.shows.values()
        return replace(stage, run=lambda s, c: s.update({key: dict.fromkeys(c.p, -1.0) for key in shown}), leads=False)

    row = MODIFIERS[name]
    monkeypatch.setitem(ALL, name, replace(row, stages=[nothing(stage) for stage in row.stages]))
    with pytest.raises(AssertionError):
        compare([name], optimizers.AROUND)


def test_everything_public_has_a_row():
    known = {kind: {name for name, entry in entries().items() if entry.kind == kind} for kind in (MODIFIER, OPTIMIZER)}
    within = modifiers.WITHIN.keys()
    assert known[OPTIMIZER] | {"agd_velocity"} == OPTIMIZERS.keys()
    assert known[MODIFIER] == {name.partition(",")[0] for name in MODIFIERS} | within
    assert MODIFIERS.keys() | OPTIMIZERS.keys() >= {name for pair in REFUSED for name in pair}
    assert all(refusal.why for refusal in refused.TABLE)

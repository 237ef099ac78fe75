"""From a page to a Program: what is recorded, folded, asked of a shape, and refused; and how often it is traced."""

import functools
import math
import runpy
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from array_api_compat import array_namespace

import samestep as ss
from samestep.chain import traces
from samestep.errors import ChainError, HyperparameterError, TraceError
from samestep.trace.graph import Graph, Kind, Rank, reachable
from samestep.trace.namespace import Tracer
from samestep_numba import cache

loop = SimpleNamespace(**runpy.run_path(str(Path(__file__).with_name("node_loop.py"))))
harness = SimpleNamespace(**runpy.run_path(str(Path(__file__).with_name("harness.py"))))

SHAPES = [(), (3,), (0,), (2, 5), (300,)]


def program(*parts, shape=(3,)):
    return ss.chain(*parts, ss.descend(0.5)).branches[0].chain.program(shape)


def ops(program):
    return [node.op for node in program.nodes]


def leaves_for(program, dtype=np.float64, shapes=SHAPES, seed=0):
    """Random arrays for every input, and a number for every scalar slot."""
    rng = np.random.default_rng(seed)
    names = ["p", "grad", *program.slots]
    scalars = {name for name in program.slots if not program.outputs[name].is_array}
    return [{n: float(rng.random()) if n in scalars else rng.random(s).astype(dtype) for n in names} for s in shapes]


def everywhere(program, number=lambda name, clock: 0.25, dtypes=(np.float32, np.float64), shapes=SHAPES, **kwargs):
    """The same bits in the node loop and on every backend, fresh and in place; what came out, in float64."""
    for dtype in dtypes:
        leaves = leaves_for(program, dtype, shapes)
        wanted = loop.run(program, leaves, number=number, **kwargs)
        for backend in harness.BACKENDS:
            if backend == "numba" and program.free:
                continue
            for donate in (False, True):
                found = harness.run(backend, program, leaves, donate=donate, number=number, **kwargs)
                harness.compare(found, wanted, f"{backend} {dtype.__name__} donate={donate}")
    return leaves, wanted


# -- the graph ---------------------------------------------------------------------------------------------------------


def test_the_same_operation_is_the_same_node():
    tracer = Tracer((3,))
    x = tracer.source("input", "p", Kind(Rank.ARRAY, full=True))
    assert (x + 1).node is (x + 1.0).node
    assert (x + 1).node is not (1 + x).node
    assert (x * x).node is (x**2).node is tracer.namespace.square(x).node
    assert (x**1) is x and (+x) is x
    assert (x**0.5).node is tracer.namespace.sqrt(x).node
    assert [node.op for node in tracer.graph.nodes].count("multiply") == 1


def test_constants_that_compare_equal_are_not_the_same():
    tracer = Tracer(())
    nodes = [tracer.symbol(value).node for value in (0.0, -0.0, False, 1, True, math.nan, math.inf)]
    assert len(set(nodes)) == len(nodes)
    assert tracer.symbol(math.nan).node is tracer.symbol(float("nan")).node
    assert tracer.symbol(1).node is tracer.symbol(1.0).node and tracer.symbol(np.float64(1)).node is nodes[3]
    assert math.copysign(1, tracer.symbol(-0.0).node.attr) == -1


def test_zeros_of_either_sign_reach_the_arrays():
    @ss.direction(a=ss.zeros, b=ss.zeros)
    def zeros_of_two_signs(u, a, b):
        xp = array_namespace(u)
        return {"a": xp.where(u > 0, 0.0, -0.0), "b": xp.copysign(u, -0.0) * 0.0, "u": xp.full_like(u, -0.0)}

    _, found = everywhere(program(zeros_of_two_signs()), lambda name, clock: 0.0)
    assert not np.signbit(found[1]["a"]).any() and np.signbit(found[1]["b"]).all()


def test_where_with_two_equal_branches_is_no_where():
    graph = Graph()
    c, x = (graph.source("input", n, Kind(Rank.ARRAY, truth=n == "c", full=True)) for n in "cx")
    assert graph.apply("where", c, x, x) is x
    assert graph.apply("where", c, x, graph.apply("negative", x)).op == "where"


def test_kinds_ranks_and_levels():
    @ss.gradient()
    def of_every_rank(u, t, *, a=0.5):
        xp = array_namespace(u)
        norm = xp.linalg.vector_norm(u)  # leaf
        total = ss.sum_over_params(norm * a)  # total
        mean = xp.mean(xp.where(u > 0, u, a * t) / total)  # leaf again
        return {"u": u * mean + xp.mean(u, axis=-1, keepdims=True)}

    p = program(of_every_rank())
    by_op = {node.op: node for node in p.nodes}
    levels = {"t": 0, "number": 0, "sum_squares": 1, "total": 2, "where": 0, "sum": 3, "mean_axis": 0}
    ranks = {"t": "HOST", "number": "HOST", "size": "LEAF", "sum_squares": "LEAF", "total": "TOTAL", "sum": "LEAF"}
    assert {op: by_op[op].level for op in levels} == levels
    assert {op: by_op[op].kind.rank.name for op in ranks} == ranks
    assert by_op["greater"].kind == Kind(Rank.ARRAY, truth=True, full=True)
    assert by_op["mean_axis"].kind == Kind(Rank.ARRAY) and p.outputs["p"].kind == Kind(Rank.ARRAY, full=True)
    assert p.depth == 3 and p.free and p.exactness == "call"
    assert [node.index for node in p.nodes] == sorted(node.index for node in p.nodes)
    everywhere(p, shapes=[(3,), (2, 5)])


def test_the_class_of_a_program_is_that_of_its_loosest_operation():
    @ss.gradient()
    def as_asked(u, t, *, how: str):
        xp = array_namespace(u)
        match how:
            case "exact":
                return {"u": u / (xp.max(u) + xp.count_nonzero(u) + 0.9**t)}  # a power of numbers: the host's
            case "reduce":
                return {"u": u / ss.sum_over_params(u)}
            case "transcendental":
                return {"u": xp.exp(u) + xp.sum(u)}
            case "call":
                return {"u": u @ u + xp.exp(u)}

    for how in ("exact", "reduce", "transcendental", "call"):
        assert program(as_asked(how=how)).exactness == how


def test_what_a_page_raises_names_the_page():
    @ss.direction()
    def foreign(u):
        return {"u": math.sqrt(None) * u}

    with pytest.raises(TypeError) as caught:
        program(foreign())
    assert "in page foreign, while it is traced" in caught.value.__notes__[0]


# -- slots that nothing needs ------------------------------------------------------------------------------------------


@ss.direction(m=ss.zeros, v_max=ss.zeros, count=0.0)
def maybe_max(u, m, v_max, count, *, amsgrad: bool = False):
    xp = array_namespace(u)
    m = m + u
    if amsgrad:
        v_max = xp.maximum(v_max, m)
        m, count = v_max, count + 1
    return {"u": m, "m": m, "v_max": v_max, "count": count}


@ss.gradient()
def gate(u):
    return {"when": array_namespace(u).all(u > 0)}


@ss.gradient()
def again(t, *, k: int = 2):
    return {"reset": (t - 1) % k == 0, "t": (t - 1) % k + 1}


def test_a_slot_that_nothing_needs_is_dropped():
    plain, full = program(maybe_max()), program(maybe_max(amsgrad=True))
    assert (plain.slots, plain.numbers) == (("m",), ())
    assert (full.slots, full.numbers) == (("m", "v_max"), ("count",))
    assert set(ss.chain(maybe_max(), ss.descend(0.1)).init(np.zeros(2))) == {"step", "m"}


def test_a_gate_does_not_revive_a_slot():
    assert program(gate(), maybe_max()).slots == ("m",)


def test_a_reset_does_not_revive_a_slot():
    assert program(again(), maybe_max()).slots == ("m",)


# -- what is refused ---------------------------------------------------------------------------------------------------

KEPT = []


def returning(value):
    return lambda u, m, xp: value(u, m, xp)


REFUSED = {
    "if u > 0": (lambda u, m, xp: u if u > 0 else -u, r"truth of a traced value.*xp\.where\(condition, a, b\)"),
    "max": (lambda u, m, xp: max(u, 0.0), r"xp\.maximum for max"),
    "and": (lambda u, m, xp: (u > 0) and u, r"xp\.where"),
    "math.sqrt": (lambda u, m, xp: math.sqrt(u), r"number of a traced value.*xp\.sqrt for math\.sqrt"),
    "int": (lambda u, m, xp: int(u), "integer of a traced value"),
    "range": (lambda u, m, xp: list(range(u)), "integer of a traced value"),
    "index": (lambda u, m, xp: u[0], r"cannot index a symbol \(got \[0\]\): use xp\.where"),
    "mask": (lambda u, m, xp: u[u > 0], "cannot index a symbol"),
    "write": (
        lambda u, m, xp: u.__setitem__(0, 1.0),
        r"cannot write into a symbol \(got \[0\] = ",
    ),
    "loop": (lambda u, m, xp: sum(x for x in u), "cannot loop over a symbol"),
    "unknown": (
        lambda u, m, xp: xp.erf(u),
        r"xp\.erf is not known to the tracer\. Known: abs, .*, full_like, greater, .*sqrt",
    ),
    "linalg": (lambda u, m, xp: xp.linalg.inv(u), r"xp\.linalg\.inv is not known to the tracer\. Known: .*eigh"),
    "attribute": (lambda u, m, xp: u.T, r"cannot read \.T of a symbol"),
    "method": (lambda u, m, xp: u.sum(), r"cannot read \.sum of a symbol.*array_namespace\(u\)"),
    "item": (lambda u, m, xp: u.item(), r"cannot read \.item"),
    "arity": (lambda u, m, xp: xp.where(u > 0, u), r"xp\.where takes 3 argument\(s\) in a page, got 2"),
    "array": (lambda u, m, xp: u + np.ones(3), "computes with its arguments and with numbers; got ndarray"),
    "string": (lambda u, m, xp: u + "1", "got str: '1'"),
    "complex": (lambda u, m, xp: u * 1j, "got complex"),
    "reduced twice": (lambda u, m, xp: u * xp.sum(xp.sum(u)), r"xp\.sum reduces an array; .* is a number already"),
    "norm of a number": (lambda u, m, xp: u * xp.linalg.vector_norm(xp.sum(u)), "reduces an array"),
    "size of a number": (lambda u, m, xp: u * xp.sum(u).size, r"has \.size in a page"),
    "ndim of a row": (lambda u, m, xp: u * xp.sum(u, axis=0).ndim, r"has \.ndim in a page"),
    "condition times number": (lambda u, m, xp: (u > 0) * u, r"multiply of a condition and a number.*xp\.where"),
    "condition summed": (lambda u, m, xp: u * xp.sum(u > 0), r"sum of a condition.*xp\.count_nonzero"),
    "where of numbers": (lambda u, m, xp: xp.where(u, u, m), "where of a number and a number and a number"),
    "where of both": (lambda u, m, xp: xp.where(u > 0, u, u > 0), "where of a condition and a number and a condition"),
    "and of numbers": (lambda u, m, xp: xp.where(u & m, u, m), "logical_and of a number and a number"),
    "full of arrays": (lambda u, m, xp: xp.full_like(u, m), "full_like takes a number to fill with"),
    "kept": (lambda u, m, xp: KEPT.append(u) or KEPT[0], "a symbol of another trace was kept"),
    "total of what": (lambda u, m, xp: u * ss.sum_over_params(1.0), "sum_over_params belongs in a page"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_a_page_cannot_say_is_refused_by_name(case):
    body, message = REFUSED[case]
    if case == "kept":
        KEPT.append(Tracer((3,)).symbol(1.0))

    @ss.direction(m=ss.zeros)
    def broken(u, m):
        return {"u": body(u, m, array_namespace(u)), "m": m}

    with pytest.raises(TraceError, match=message) as caught:
        program(broken())
    assert str(caught.value).startswith("in page broken: ")


@pytest.mark.parametrize(
    ("result", "message"),
    [
        ({"w": 1.0}, "must return a dict with some of 'h', 'h0', 'lr', 'm', 'n', 's', 'u'; got 'w'"),
        ({"p": 1.0}, "got 'p'"),
        (None, "got NoneType"),
        ([1.0], "got list"),
        ({"u": "1"}, "got str"),
        ({"n": "array"}, "'n' of .* is one number in the state"),
        ({"n": "leaf"}, "'n' of .* is one number in the state"),
        ({"s": "array"}, "'s' of .* is one number per leaf"),
    ],
)
def test_what_a_page_cannot_return_is_refused_by_name(result, message):
    @ss.direction(m=ss.zeros, n=1.0, s=ss.scalar(1.0))
    def broken(u, m, n, s):
        values = {"array": u, "leaf": u.size}
        return {k: values.get(v, v) for k, v in result.items()} if isinstance(result, dict) else result

    with pytest.raises(TraceError, match=message):
        program(broken())


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda u, t, xp: {"when": t}, "'when' of steers must be a condition"),
        (lambda u, t, xp: {"reset": t}, "'reset' of steers must be a condition"),
        (lambda u, t, xp: {"when": u > 0}, r"'when' of steers is one condition for the leaf: write xp\.all"),
        (lambda u, t, xp: {"reset": u > 0}, "'reset' of steers is one condition for the leaf"),
        (lambda u, t, xp: {"u": u > 0}, r"'u' of steers must be a number or an array.*xp\.where"),
        (lambda u, t, xp: {"own": u > 0}, "'own' of steers must be a number or an array"),
        (lambda u, t, xp: {"t": u.size}, "'t' of steers is one clock for all leaves"),
        (lambda u, t, xp: {"t": u}, "'t' of steers is one clock for all leaves"),
        (lambda u, t, xp: {"when": xp.all(u > 0)}, "'scale' of counted is one number in the state"),
    ],
)
def test_what_steers_a_chain_is_of_one_kind(make, message):
    @ss.gradient(own=ss.zeros)
    def steers(u, own, t):
        return make(u, t, array_namespace(u))

    with pytest.raises(TraceError, match=message):
        program(steers(), counted())


def test_a_number_of_all_leaves_has_no_reset_of_one():
    @ss.gradient()
    def steers(u):
        return {"reset": array_namespace(u).all(u > 0)}

    with pytest.raises(TraceError, match="'scale' of counted is one number in the state"):
        program(steers(), counted())


def test_a_wrapped_page_gets_its_hyperparameters():
    def logged(function):
        return functools.wraps(function)(lambda *args, **hyper: function(*args, **hyper))

    @ss.direction()
    @logged
    def scaled(u, *, by=0.5):
        return {"u": u * by}

    opt, p = ss.chain(scaled(by=0.25), ss.descend(1.0)), np.array([1.0])
    assert opt.step(p, p, opt.init(p))[0] == 0.75


def test_a_slot_called_h_is_no_rule():
    with pytest.raises(TraceError, match="reads h, which no part before it says"):
        ss.chain(ss.grokfast(), ss.greedy_step(l1=0.1)).init(np.ones(2))


def test_what_a_page_cannot_read_is_refused_when_it_is_written():
    with pytest.raises(
        ChainError,
        match=r"reads 'v': positional parameters are u, p, g, t, h, h0, .*, g_snapshot or a declared slot \(",
    ):

        @ss.direction(m=ss.zeros)
        def reads_what_is_not_there(u, m, v):
            return {"u": u}

    for name in ("p", "u", "grad", "t", "lr"):
        with pytest.raises(ChainError, match=f"has a slot '{name}', the chain's own name"):
            ss.direction(**{name: ss.zeros})(lambda u: {"u": u})
    with pytest.raises(ChainError, match=r"eval page of <lambda> reads 'mean': positional"):
        ss.update(eval=lambda mean: {"p": mean})(lambda p: {"p": p})
    with pytest.raises(ChainError, match=r"query page of <lambda> has 'ahead', which is no number of the page"):
        ss.update(query=lambda p, *, ahead: {"x": p})(lambda p: {"p": p})
    with pytest.raises(ChainError, match="a page is a function"):
        ss.direction()(functools.partial(lambda u, k: {"u": u * k}, k=2.0))
    with pytest.raises(ss.HyperparameterError, match=r"weights=\[1\] cannot be hashed"):
        ss.direction()(lambda u, *, weights=[1]: {"u": u})

    with pytest.raises(ChainError, match="a slot is zeros, ones"):

        @ss.direction(m="zeros")
        def keeps_a_string(u, m):
            return {"u": u}


def test_an_error_of_python_stays_what_it_is():
    @ss.direction()
    def divides(u):
        return {"u": u * (1 / 0)}

    with pytest.raises(ZeroDivisionError):
        program(divides())


def test_a_failed_trace_can_be_tried_again():
    fails = [True]

    @ss.direction()
    def once(u):
        return {"u": u[0] if fails.pop() else u}

    optimizer = ss.chain(once(), ss.descend(1.0))
    with pytest.raises(TraceError):
        optimizer.init(np.ones(2))
    fails.append(False)
    assert optimizer.step(np.ones(2), np.ones(2), optimizer.init(np.ones(2)))[0].tolist() == [0, 0]


# -- questions about shapes --------------------------------------------------------------------------------------------


def traced(make, shapes):
    """How many programs are traced for these shapes."""
    chain = ss.chain(make, ss.descend(0.5)).branches[0].chain
    before = traces()
    programs = [chain.program(shape) for shape in shapes]
    assert traces() - before == len(set(map(id, programs)))
    return traces() - before


@ss.direction()
def asks(u, *, what: str = "nothing"):
    xp = array_namespace(u)
    match what:
        case "matrix":
            return {"u": u * 2 if u.ndim == 2 else u}
        case "ndim":
            return {"u": u * u.ndim}  # a number, not a question
        case "wide":
            return {"u": u * 2 if u.ndim == 2 and u.shape[0] < u.shape[1] else u}
        case "small":
            return {"u": u if u.size <= 4 else -u}
        case "ratio":
            return {"u": u * xp.sqrt(u.shape[0] / u.shape[1]) if u.ndim >= 2 else u}
        case "minimum":
            return {"u": u * min(u.shape) if u.ndim >= 2 else u}
        case "integer":
            return {"u": u * float(u.size)}
    return {"u": u / u.size}


@pytest.mark.parametrize(
    ("what", "programs"),
    [
        ("nothing", 1),
        ("ndim", 1),
        ("matrix", 2),
        ("wide", 3),
        ("small", 2),
        ("ratio", 3),
        ("minimum", 4),
        ("integer", 7),
    ],
)
def test_one_program_for_each_answer(what, programs):
    shapes = [(), (1,), (3,), (7,), (2, 3), (2, 5), (3, 2), (2, 2), (2, 3, 4)]
    assert traced(asks(what=what), shapes) == programs


@pytest.mark.parametrize("what", ["nothing", "ndim", "ratio", "minimum"])
def test_shapes_are_numbers_of_the_leaf(what):
    chain = ss.chain(asks(what=what), ss.descend(0.5)).branches[0].chain
    shapes = [(2, 3), (2, 5)]
    assert chain.program(shapes[0]) is chain.program(shapes[1])
    leaves, found = everywhere(chain.program(shapes[0]), lambda name, clock: 1.0, shapes=shapes)
    factor = {
        "nothing": lambda s: 1 / (s[0] * s[1]),
        "ndim": len,
        "ratio": lambda s: (s[0] / s[1]) ** 0.5,
        "minimum": min,
    }
    for leaf, result, shape in zip(leaves, found, shapes, strict=True):
        np.testing.assert_allclose(result["p"], leaf["p"] - leaf["grad"] * factor[what](shape), rtol=1e-15)


def test_reshape_keeps_the_dimensions_of_the_leaf():
    @ss.direction()
    def flattens(u):
        xp = array_namespace(u)
        if u.ndim < 2:
            return {"u": u}
        flat = xp.reshape(u, (u.shape[0], -1))
        return {"u": xp.reshape(flat - xp.mean(flat, axis=1, keepdims=True), u.shape)}

    chain = ss.chain(flattens(), ss.descend(0.5)).branches[0].chain
    assert traced(flattens(), [(2, 3), (4, 5), (7, 1)]) == 1
    program = chain.program((2, 3))
    for shape in [(2, 3), (4, 5)]:
        rng = np.random.default_rng(0)
        leaves = [{key: rng.random(shape) for key in ("p", "grad")}]
        for backend in ("numpy", "strict"):
            found = harness.run(backend, program, leaves, number=lambda name, clock: 1.0)
            g = leaves[0]["grad"]
            np.testing.assert_allclose(found[0]["p"], leaves[0]["p"] - (g - g.mean(1, keepdims=True)), rtol=1e-15)


# -- no number is baked in ---------------------------------------------------------------------------------------------


@ss.direction(m=ss.zeros, scale=1.0)
def counted(u, m, t, scale, *, beta: ss.unit = 0.9, power: float = 2.0, nesterov: bool = False):
    """Only for the test below: no other test compiles it."""
    m = beta * m + (1 - beta**t) * u
    return {"u": (m + u if nesterov else m) * scale * 3.0**power, "m": m, "scale": scale + 1}


def made():
    stats = cache.stats()
    return stats.compiled + stats.from_disk


def test_one_trace_and_one_kernel_for_each_structure_and_dtype():
    def build(lr=0.1, **kwargs):
        return ss.chain(counted(**kwargs), ss.decay(0.1), ss.descend(lr))

    def steps(optimizer, params, count=2, **overrides):
        state = optimizer.init(params)
        for _ in range(count):
            params, state = optimizer.step(params, [np.ones_like(p) for p in params], state, **overrides)
        return params

    vector = [np.ones(3)]
    with ss.use_backend("numba"):
        steps(build(), vector)
        before = traces(), made()
        results = [
            steps(build(lr), vector, **overrides)
            for lr in (0.1, 1e-3, 0, lambda count: 0.1 / (1 + count))
            for overrides in ({}, {"lr": 0.5}, {"beta": 0.0}, {"weight_decay": 1.0})
        ]
        assert len({float(p[0][0]) for p in results}) > 8  # the numbers do count
        for kwargs in ({"beta": 0.5}, {"beta": lambda count: 0.5}, {"power": 3}, {"power": -1.5}):
            steps(build(**kwargs), vector)
        for shapes in ([()], [(4,), (2, 3)], [(1000,), (0,), (5, 1, 2)]):
            steps(build(), [np.ones(s) for s in shapes], 30)
        steps(
            ss.groups({"1": {"lr": 0.3, "beta": 0.1}, "2": ss.freeze()}, default=build()),
            [np.ones(2) for _ in range(3)],
        )
        steps(build(0.1).__class__(build(0.2).branches), vector)
        late = build()
        state = late.init([np.ones(2), np.ones(3)])
        for first in (None, np.ones(2)):
            _, state = late.step([np.ones(2), np.ones(3)], [first, np.ones(3)], state)
        assert (traces(), made()) == before
        steps(build(nesterov=True), vector)
        assert (traces(), made()) == (before[0] + 1, before[1] + 1)
        steps(build(), [np.ones(3, np.float32)])
        assert (traces(), made()) == (before[0] + 1, before[1] + 2)
        steps(build(), [np.ones(3, np.float32), np.ones(3), np.ones(3, np.float16)])
        assert (traces(), made()) == (before[0] + 1, before[1] + 3)  # float16 beside the other two


# -- parts -------------------------------------------------------------------------------------------------------------


def test_named_parts_have_their_own_slots_and_numbers():
    optimizer = ss.chain(counted(beta=0.5, name="fast"), counted(beta=0.9, name="slow"), ss.descend(0.1))
    assert set(optimizer.init(np.zeros(2))) == {"step", "fast.m", "fast.scale", "slow.m", "slow.scale"}
    assert optimizer.hyperparameters() == {
        "fast.beta": 0.5, "fast.power": 2.0, "slow.beta": 0.9, "slow.power": 2.0, "lr": 0.1,
    }  # fmt: skip
    program = optimizer.branches[0].chain.program((2,))
    numbers = [node.attr for node in program.nodes if node.op == "number"]
    assert sorted(numbers) == sorted(optimizer.hyperparameters())
    values = optimizer.hyperparameters()
    everywhere(program, lambda name, clock: values[name], slots={"fast.scale": 1.0, "slow.scale": 2.0}, t=3)


def test_one_part_alone_refuses_another():
    @ss.update(alone="it keeps the sum of all gradients")
    def owner(p, u):
        return {"p": p - u}

    with pytest.raises(ChainError, match="owner takes no direction part such as counted: it keeps the sum"):
        ss.chain(counted(), owner())
    assert ss.chain(gate(), owner()).init(np.ones(2)) == {"step": 0}


@ss.direction(v=ss.scalar(0.25), m=ss.zeros, s=ss.kept(ss.ones), n=ss.kept(2.0))
def layerwise(u, v, m, s, n, *, beta: ss.unit = 0.5):
    """NovoGrad-like: one number per leaf."""
    xp = array_namespace(u)
    v = beta * v + (1 - beta) * xp.sum(u * u)
    m = beta * m + u / (xp.sqrt(v) + 1)
    return {"u": m * s, "v": v, "m": m, "s": s + 1, "n": n + 1}


def test_a_scalar_slot_is_one_number_per_leaf():
    program_ = program(layerwise())
    assert program_.slots == ("v", "m", "s") and program_.numbers == ("n",)
    leaves, found = everywhere(program_, slots={"n": 1.0})
    for leaf, result in zip(leaves, found, strict=True):
        np.testing.assert_allclose(result["v"], 0.25 * leaf["v"] + 0.75 * (leaf["grad"] ** 2).sum(), rtol=1e-14)
    params = {"a": np.ones(2, np.float32), "b": np.full((2, 2), 2.0, np.float32)}
    optimizer = ss.chain(layerwise(), ss.descend(0.5))
    state = optimizer.init(params)
    assert all(x.shape == () and x.dtype == np.float32 and x == 0.25 for x in state["v"].values())
    _, state = optimizer.step(params, params, state)
    assert {k: float(x) for k, x in state["v"].items()} == {"a": 0.125 + 1, "b": 0.125 + 8}


def test_kept_slots_survive_a_restart():
    optimizer, params = ss.chain(layerwise(), ss.descend(0.5)), [np.ones(2)]
    params, state = optimizer.step(params, params, optimizer.init(params))
    again = optimizer.restart(params, state)
    assert (again["step"], again["n"], again["s"][0].tolist()) == (0, 3.0, [2, 2])
    assert (float(again["v"][0]), again["m"][0].tolist()) == (0.25, [0, 0])


def test_rows_and_columns():
    @ss.direction(r=ss.rows, c=ss.cols)
    def factored(u, r, c):
        xp = array_namespace(u)
        r = r + xp.mean(u * u, axis=-1, keepdims=True)
        c = c + xp.mean(u * u, axis=-2, keepdims=True)
        return {"u": u * xp.mean(r) / (r * c), "r": r, "c": c}

    optimizer = ss.chain(factored(), ss.descend(1.0))
    g = np.random.default_rng(0).random((3, 4)) + 0.5
    state = optimizer.init(np.zeros((3, 4)))
    assert (state["r"].shape, state["c"].shape) == ((3, 1), (1, 4))
    p, state = optimizer.step(np.zeros((3, 4)), g, state)
    r, c = (g * g).mean(1, keepdims=True), (g * g).mean(0, keepdims=True)
    np.testing.assert_allclose(p, -g * r.mean() / (r * c), rtol=1e-14)
    np.testing.assert_allclose(state["r"], r, rtol=1e-15)
    assert optimizer.state_bytes(np.zeros((3, 4))) == 7 * 8


@ss.gradient(loss=ss.given, floor=ss.given(0.5))
def polyak(u, loss, floor):
    return {"u": u * (loss - floor)}


def test_inputs_that_only_a_step_can_give():
    optimizer, params = ss.chain(polyak(), ss.descend(1.0)), np.ones(2)
    assert optimizer.init(params) == {"step": 0}
    with pytest.raises(HyperparameterError, match=r"needs loss: write step\(params, grads, state, loss=\.\.\.\)"):
        optimizer.step(params, params, {"step": 0})
    assert optimizer.step(params, params, {"step": 0}, loss=0.75)[0].tolist() == [0.75, 0.75]
    assert optimizer.step(params, params, {"step": 0}, loss=0.75, floor=0.0)[0].tolist() == [0.25, 0.25]
    everywhere(program(polyak()), givens={"loss": 2.0, "floor": 0.25})


@ss.gradient(acc=ss.zeros)
def collect(u, acc, t, *, k: int = 3):
    full = t % k == 0
    acc = acc + u
    return {"u": acc / k, "acc": array_namespace(u).where(full, 0.0, acc), "t": (t + k - 1) // k, "when": full}


def test_behind_a_gate_everything_waits_and_sees_the_inner_clock():
    seen = []

    def schedule(count):
        seen.append(count)
        return 0.1 * (count + 1)

    @ss.direction(ts=ss.zeros, calls=0.0)
    def clock(u, ts, calls, t):
        return {"u": u, "ts": ts + t, "calls": calls + 1}

    optimizer, params = ss.chain(collect(), clock(), ss.descend(schedule)), np.zeros(1)
    state = optimizer.init(params)
    for i in range(7):
        params, state = optimizer.step(params, np.full(1, float(i)), state)
    assert set(seen) == {0, 1, 2} and seen == sorted(seen)  # the inner count of completed steps
    assert (state["step"], state["calls"], float(state["ts"][0]), float(state["acc"][0])) == (7, 2.0, 1 + 2, 6.0)
    np.testing.assert_allclose(params, -(0.1 * (0 + 1 + 2) / 3 + 0.2 * (3 + 4 + 5) / 3), rtol=1e-15)
    chain = optimizer.branches[0].chain
    for t in ([3, 4, 6, 1, 9], [1, 2, 1, 5, 7]):
        everywhere(chain.program((3,)), lambda name, clock: 0.1 * clock, slots={"calls": 1.0}, t=t)


def test_two_gates_are_both_needed():
    chain = ss.chain(gate(), collect(k=2), maybe_max(), ss.descend(1.0)).branches[0].chain
    leaves, found = everywhere(chain.program((3,)), t=2)
    assert all(np.any(a["p"] != b["p"]) or not a["p"].size for a, b in zip(leaves, found, strict=True))
    p, m = np.ones(3), np.ones(3)
    for t, g, moved in ((2, 1.0, True), (1, 1.0, False), (2, -1.0, False)):
        leaf = {"p": p, "grad": np.full(3, g), "acc": p, "m": m}
        result = loop.run(chain.program((3,)), [leaf], t=t, number=lambda name, clock: 1.0)[0]
        assert bool(np.any(result["p"] != p)) is bool(np.any(result["m"] != m)) is moved


@ss.direction(m=ss.zeros, anchor=ss.copy, size=lambda p, *, eps: p * p + eps, n=0.0)
def anchored(u, p, m, anchor, size, n, t, *, eps=0.5):
    m = m + u
    return {"u": m / size + t * (p - anchor), "m": m, "size": size, "n": n + 1}


def test_a_reset_starts_every_later_slot_again():
    """Also those that the page reads and never writes."""
    optimizer, params = ss.chain(again(k=3), anchored(), ss.descend(0.1)), np.full(2, 4.0)
    state = optimizer.init(params)
    for i in range(7):
        if i % 3 == 0:
            expected, fresh = params, optimizer.init(params)
        params, state = optimizer.step(params, np.ones(2), state)
        expected, fresh = optimizer.step(expected, np.ones(2), {**fresh, "step": i % 3})
        harness.same_bits(params, expected, f"p after step {i}")
        for slot in ("m", "anchor", "size"):
            harness.same_bits(state[slot], fresh[slot], f"{slot} after step {i}")
    chain = optimizer.branches[0].chain
    for t in ([1, 2, 3, 4, 5], 4):
        everywhere(chain.program((3,)), slots={"n": 1.0}, t=t)


def test_a_reset_takes_infinite_parameters_as_they_are():
    optimizer = ss.chain(again(k=1), anchored(), ss.descend(0.1))
    state, params = optimizer.init(np.ones(2)), np.array([np.inf, -0.0])
    _, state = optimizer.step(params, np.zeros(2), state)
    harness.same_bits(state["anchor"], params)


def test_the_gradient_that_directions_see():
    @ss.gradient()
    def twice(u, g):
        return {"u": 2 * g + u}

    @ss.direction()
    def reads(u, g):
        return {"u": u * 100 + g}

    optimizer = ss.chain(reads(), reads(name="b"), twice(), ss.descend(1.0))
    p, _ = optimizer.step(np.zeros(1), np.ones(1), {"step": 0})
    assert p.tolist() == [-(100 * (100 * 3 + 3) + 3)]


# -- totals ------------------------------------------------------------------------------------------------------------


@ss.gradient(mean=0.0)
def centred(u, mean, *, weight=0.5):
    """Over all leaves: of arrays, of leaf numbers, of a number of the host, of a condition of each leaf."""
    xp = array_namespace(u)
    everything, elements = ss.sum_over_params(u), ss.sum_over_params(u.size)
    leaves, awake = ss.sum_over_params(u.size * 0 + 1), ss.sum_over_params(xp.max(u) * weight)
    mean = weight * mean + everything / elements
    return {"u": u - mean + awake / leaves, "mean": mean}


def test_totals_over_all_leaves():
    leaves, found = everywhere(program(centred()), slots={"mean": 2.0}, shapes=[(3,), (2, 5), (300,), ()])
    total = math.fsum(float(leaf["grad"].sum()) for leaf in leaves) / sum(leaf["grad"].size for leaf in leaves)
    assert {result["mean"] for result in found} == {found[0]["mean"]}
    assert found[0]["mean"] == pytest.approx(0.25 * 2.0 + total, rel=1e-14)


def test_totals_span_their_group_and_shared_ones_span_all():
    @ss.gradient()
    def show(u):
        return {"u": u * 0 + ss.sum_over_params(u)}

    @ss.direction()
    def shift(u):
        return {"u": u}

    def step(optimizer):
        params = {"a": np.ones(2), "b": np.full(3, 10.0), "c": np.full(1, 100.0)}
        zeros = {k: 0 * v for k, v in params.items()}
        return {k: -v[0] for k, v in optimizer.step(zeros, params, optimizer.init(zeros))[0].items()}

    inner = ss.chain(show(), ss.descend(1.0))
    alone = ss.groups({"a": {"lr": 1.0}}, default=inner)
    assert step(alone) == {"a": 2, "b": 130, "c": 130}
    plain = ss.groups({"a": {"lr": 2.0}}, default=ss.chain(shift(), ss.descend(1.0)))
    assert step(ss.chain(show(), plain)) == {"a": 264, "b": 132, "c": 132}


def test_the_same_total_in_a_shared_part_and_in_a_group_is_two():
    @ss.gradient(norm=0.0)
    def watch(u, norm):
        return {"norm": ss.sum_over_params(u)}

    @ss.gradient()
    def show(u):
        return {"u": u * 0 + ss.sum_over_params(u)}

    inner = ss.chain(show(), ss.descend(1.0))
    optimizer = ss.chain(watch(), ss.groups({"a": {"lr": 1.0}}, default=inner))
    params = {"a": np.ones(2), "b": np.full(3, 10.0)}
    new, state = optimizer.step(params, params, optimizer.init(params))
    assert (new["a"].tolist(), new["b"].tolist()) == ([-1, -1], [-20, -20, -20])
    assert set(state["norm"].values()) == {32.0}


def test_numbers_of_a_leaf_that_are_powers_of_a_constant():
    """A constant with a sign, in every printer."""

    @ss.direction()
    def alternating(u):
        return {"u": u * (-2.0) ** u.size}

    optimizer = ss.chain(alternating(), ss.descend(1.0))
    for backend in ("numpy", "numba"):
        with ss.use_backend(backend):
            new, _ = optimizer.step([np.zeros(2), np.zeros(3)], [np.ones(2), np.ones(3)], {"step": 0})
        assert [x.tolist() for x in new] == [[-4, -4], [8, 8, 8]]


# -- pages of a user's own module --------------------------------------------------------------------------------------

USER = '''
"""A page of a user's own; no paper."""
import samestep as ss
from array_api_compat import array_namespace


@ss.direction(m=ss.zeros)
def mine(u, m, *, beta: ss.unit = 0.5):
    """My own momentum."""
    xp = array_namespace(u)
    m = beta * m + u
    return {"u": xp.sign(m), "m": m}
'''


def test_a_page_of_a_users_own_module(tmp_path, monkeypatch):
    import pickle

    (tmp_path / "user_of_samestep.py").write_text(USER)
    monkeypatch.syspath_prepend(tmp_path)
    import user_of_samestep

    assert user_of_samestep.mine.__doc__ == "My own momentum."
    optimizer = ss.chain(user_of_samestep.mine(beta=0.25), ss.descend(1.0))
    assert pickle.loads(pickle.dumps(optimizer)) == optimizer
    assert repr(optimizer) == "chain(mine(beta=0.25), descend(lr=1.0))"
    everywhere(optimizer.branches[0].chain.program((3,)))
    with pytest.raises(HyperparameterError, match=r"beta must be in \[0, 1\)"):
        user_of_samestep.mine(beta=1.0)


def test_only_what_an_output_needs_is_in_the_program():
    p = program(maybe_max())
    assert {node.index for node in p.nodes} == {node.index for node in reachable(p.outputs.values())}
    assert "maximum" not in ops(p) and ops(p).count("input") == 3


def test_totals_agree_over_programs_of_different_depth():
    """Leaves that reach a total later make the others wait; a total that only some leaves have is refused."""

    @ss.gradient(b=0.0)
    def scaled(u, b):
        xp = ss.array_namespace(u)
        if u.ndim == 2:
            u = u / xp.linalg.vector_norm(u)
        return {"u": u, "b": ss.sum_over_params(u)}

    params = [np.ones((2, 2)), np.ones(3)]
    optimizer = ss.chain(scaled(), ss.descend(1.0))
    assert optimizer.step(params, params, optimizer.init(params))[1]["b"] == 5.0

    @ss.gradient(a=0.0)
    def some(u, a):
        return {"u": u, "a": ss.sum_over_params(u) if u.ndim == 2 else a}

    optimizer = ss.chain(some(), ss.descend(1.0))
    with pytest.raises(ss.TraceError, match="leaf '1' has no part in a sum_over_params"):
        optimizer.step(params, params, optimizer.init(params))


def test_a_total_spans_groups_where_a_branch_does_not_need_it():
    @ss.gradient()
    def normalized(u):
        return {"u": u / ss.sum_over_params(u)}

    @ss.direction()
    def ignoring(u):
        return {"u": 0.0}

    still = ss.groups({"0": ss.chain(ignoring(), ss.descend(1.0))}, default=ss.chain(ss.descend(1.0)))
    optimizer, params = ss.chain(normalized(), still), [np.ones((2, 2)), np.ones(3)]
    assert np.all(optimizer.step(params, params, optimizer.init(params))[0][1] == 1 - 1 / 7)


def test_totals_are_matched_by_where_the_page_asks_for_them():
    """A page that sums in another order for other shapes still sums the same things."""

    @ss.gradient(b=0.0)
    def either(u, p, b):
        if u.ndim == 2:
            first, second = ss.sum_over_params(u), ss.sum_over_params(p)
        else:
            second, first = ss.sum_over_params(p), ss.sum_over_params(u)
        return {"u": u, "b": first - 2 * second}

    params, grads = [np.ones((2, 2)), np.ones(3)], [np.full((2, 2), 2.0), np.full(3, 2.0)]
    optimizer = ss.chain(either(), ss.descend(1.0))
    with pytest.raises(ss.TraceError, match="has no part in a sum_over_params"):
        optimizer.step(params, grads, optimizer.init(params))


def test_a_sum_of_squares_squares_in_float64():
    params = np.zeros(2, np.float32)
    optimizer = ss.chain(ss.clip_by_global_norm(1.0), ss.descend(1.0))
    grads = np.array([3e20, 4e20], np.float32)
    assert np.allclose(optimizer.step(params, grads, optimizer.init(params))[0], [-0.6, -0.8])
    state = ss.dog().init(np.ones(2))
    assert ss.dog().step(np.ones(2), np.ones(2), state)[1]["G"] == 2.0


def test_a_slot_that_is_read_and_never_returned():
    @ss.direction(m=ss.zeros)
    def forgetful(u, m, *, beta=0.9):
        return {"u": beta * m + u}

    rule = "page forgetful reads slot 'm' and never returns it: it would be 0 in every step"
    with pytest.raises(TraceError, match=rule):
        ss.chain(forgetful(), ss.descend(0.1)).init(np.ones(2))


@pytest.mark.parametrize("first", [ss.scale_by_muon, ss.scale_by_shampoo])
def test_a_direction_behind_a_product_of_matrices_has_the_shape_of_the_leaf(first):
    """It may ask for it, as if the direction before it had been its gradient."""
    rng = np.random.default_rng(0)
    params = {leaf: rng.normal(size=shape) for leaf, shape in (("tall", (3, 2)), ("wide", (2, 3)), ("b", (4,)))}
    before, behind = ss.chain(first(), ss.descend(1.0)), ss.chain(ss.scale_by_sm3(), ss.descend(0.1))
    both = ss.chain(first(), ss.scale_by_sm3(name="second"), ss.descend(0.1))
    states = [opt.init(params) for opt in (before, behind, both)]
    ours = wanted = params
    for _ in range(3):
        grads = {leaf: rng.normal(size=p.shape) for leaf, p in params.items()}
        at = {leaf: 0.0 * p for leaf, p in params.items()}
        moved, states[0] = before.step(at, grads, states[0])
        wanted, states[1] = behind.step(wanted, {leaf: -u for leaf, u in moved.items()}, states[1])
        ours, states[2] = both.step(ours, grads, states[2])
        for leaf, p in wanted.items():
            np.testing.assert_array_equal(ours[leaf], p)

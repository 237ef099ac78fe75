"""Every operation, in every language, on the values where languages differ."""

import runpy
import string
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from samestep import backend as backends
from samestep.backend import Signature
from samestep.errors import BackendError
from samestep.trace import ops
from samestep.trace.graph import Kind, Program, Rank
from samestep.trace.namespace import Tracer
from samestep.trace.ops import ELEMENTWISE, FREE, OPS, OWN, REDUCTIONS, TRANSCENDENTAL, ULP
from samestep.trace.python import HOST, PYTHON
from samestep_numba.printer import ABSENT, ROUNDED, SPELLING
from samestep_numba.printer import REDUCTIONS as KERNEL_REDUCTIONS

loop = SimpleNamespace(**runpy.run_path(str(Path(__file__).with_name("node_loop.py"))))
harness = SimpleNamespace(**runpy.run_path(str(Path(__file__).with_name("harness.py"))))

FLOATS = (np.float32, np.float64)
LOGICAL = ("logical_and", "logical_or", "logical_not")
LOOSE = {name for name, op in OPS.items() if op.exactness == TRANSCENDENTAL}
SLOTTED = (*ELEMENTWISE, "sum", "sum_squares", "count_nonzero", "max", "min")


# -- the tables --------------------------------------------------------------------------------------------------------


def test_every_operation_has_a_definition():
    assert set(loop.ELEMENTWISE) == set(ELEMENTWISE)
    assert set(loop.REDUCTIONS) == set(REDUCTIONS)
    assert set(loop.FREE) == set(FREE)
    assert set(loop.OWN) == set(OWN)


def test_every_operation_is_spelled_or_absent_with_its_reason():
    assert set(PYTHON) == set(OPS)
    assert set(HOST) - {"number", "fold"} == set(ELEMENTWISE)  # numbers have no axes, and their reductions are given
    spelled = set(SPELLING) | set(KERNEL_REDUCTIONS)
    assert spelled | set(ABSENT) == set(OPS)
    assert not spelled & set(ABSENT)
    assert all(ABSENT.values())


@pytest.mark.parametrize("name", OPS)
def test_spellings_use_every_argument(name):
    def fields(text):
        return {field.partition("[")[0] for _, field, _, _ in string.Formatter().parse(text) if field is not None}

    wanted = {str(i) for i in range(OPS[name].arity)}
    assert fields(PYTHON[name]) - {"attr", "param"} == wanted
    if name in HOST and name != "full_like":
        assert fields(HOST[name]) == wanted
    if name in SPELLING and name != "full_like":
        kernel = (ROUNDED["bfloat16"] | ROUNDED["float16"]).get(name, SPELLING[name])
        shape = {"0"} if name == "random_bits" else set()
        assert fields(" ".join([kernel] if isinstance(kernel, str) else kernel)) - {"T", "attr"} == wanted - shape


def test_every_class_is_known():
    assert {op.exactness for op in OPS.values()} == set(ops.CLASSES)


# -- elementwise, on arrays --------------------------------------------------------------------------------------------


def combinations(name, array, number, truth):
    """Arguments of an operation: arrays, numbers that meet arrays, constants; by a name for the case."""
    a, b = array
    c, d = truth
    n = number
    match name:
        case "logical_not":
            return {"": [c]}
        case "logical_and" | "logical_or":
            return {"": [c, d], "n": [c, n > 0], "const": [True, d]}
        case "where":
            return {"": [c, a, b], "n": [c, n, b], "host": [n > 0, a, b], "both": [d, n, -0.0], "truth": [c, d, n > 0]}
        case "full_like":
            return {"": [a, n], "const": [a, -0.0]}
    if ELEMENTWISE[name].arity == 1:
        return {"": [a]}
    return {"": [a, b], "an": [a, n], "na": [n, a], "const": [a, -3.0], "tsnoc": [-2.5, a]}


def elementwise(names):
    """A program with one output for each operation and combination, and which operation each output is."""
    tracer = Tracer((3,))
    array = [tracer.source("input", name, Kind(Rank.ARRAY, full=True)) for name in ("p", "grad")]
    number = tracer.source("state_number", "n", Kind(Rank.HOST))
    truth = [array[0] > 0, array[1] < number]
    outputs, owner = {"p": array[0].node}, {"p": "negative"}
    for name in names:
        for case, arguments in combinations(name, array, number, truth).items():
            result = tracer.apply(name, *arguments)
            if result.node.kind.truth:
                result = tracer.apply("where", result, 1.0, 0.0)
            outputs[f"{name} {case}"] = result.node
            owner[f"{name} {case}"] = name
    outputs["n"] = number.node
    return Program(outputs, tuple(outputs)[1:-1], ("n",), ()), owner


def leaves_of(dtype):
    """Every special value against every special value, and numbers over 60 decades against each other."""
    values = harness.specials(dtype)
    pairs = [(values, np.full_like(values, v)) for v in values]
    pairs.append((harness.decades(dtype, 1000, 1), harness.decades(dtype, 1000, 2)))
    leaves = [{"p": a, "grad": b} for a, b in pairs]
    return leaves, [{"n": float(leaf["grad"][0])} for leaf in leaves]


def root_of_numpy(x, y):
    """Where `x ** y` is the square root to NumPy, not the power of the standard: -0 and nan instead of 0 and inf."""
    return (y == 0.5) & (np.signbit(x) & ((x == 0) | np.isinf(x)))


def with_outputs(leaves, program):
    """Room for each output."""
    return [leaf | {name: np.zeros_like(leaf["p"]) for name in program.slots} for leaf in leaves]


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("backend", ["numpy", "strict"])
def test_elementwise_in_python(backend, dtype):
    program, _ = elementwise(ELEMENTWISE)
    leaves, numbers = leaves_of(dtype)
    leaves = with_outputs(leaves, program)
    harness.compare(harness.run(backend, program, leaves, slots=numbers), loop.run(program, leaves, slots=numbers))


@pytest.mark.parametrize("dtype", FLOATS)
def test_elementwise_in_a_kernel(dtype):
    program, owner = elementwise([name for name in ELEMENTWISE if name in SPELLING])
    leaves, numbers = leaves_of(dtype)
    leaves = with_outputs(leaves, program)
    found = harness.run("numba", program, leaves, slots=numbers)
    for k, (a, b) in enumerate(zip(found, loop.run(program, leaves, slots=numbers), strict=True)):
        for name in program.slots:
            if owner[name] in LOOSE:
                excepted = name == "pow an" and root_of_numpy(leaves[k]["p"], numbers[k]["n"])
                apart = np.where(excepted, 0, harness.ulps(a[name], b[name]))
                assert apart.max() <= ULP, (
                    f"{name}, leaf {k}: {apart.max()} units, at {leaves[k]['p'][apart.argmax()]!r}"
                )
            else:
                harness.same_bits(a[name], b[name], f"{name}, leaf {k}")


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("name", sorted(LOOSE))
def test_transcendental_within_its_units(name, dtype):
    """Densely, where the functions are not trivial."""
    rng = np.random.default_rng(3)
    x = np.concatenate([rng.uniform(-end, end, 20000) for end in (1, 20, 700)]).astype(dtype)
    y = np.concatenate([rng.uniform(-end, end, 30000) for end in (3, 30)]).astype(dtype)
    if name in ("log", "pow"):
        x = np.abs(x)
    program, _ = elementwise([name])
    leaves = with_outputs([{"p": x, "grad": y}], program)
    found, wanted = (harness.run(backend, program, leaves, slots={"n": 0.9})[0] for backend in ("numba", "numpy"))
    for output in program.slots:
        apart = harness.ulps(found[output], wanted[output])
        assert apart.max() <= ULP, f"{output}: {apart.max()} units at {x[apart.argmax()]!r}"


# -- numbers -----------------------------------------------------------------------------------------------------------


def numbers_only():
    """Every operation on numbers: of a row, of a leaf, and constants."""
    tracer = Tracer((3,))
    p = tracer.source("input", "p", Kind(Rank.ARRAY, full=True))
    n, m = (tracer.source("state_number", name, Kind(Rank.HOST)) for name in "nm")
    r, s = (tracer.source("state_scalar", name, Kind(Rank.LEAF)) for name in "rs")
    outputs, owner = {"p": p.node}, {}
    for name in ELEMENTWISE:
        for rank, (x, y, z) in {"host": (n, m, m), "leaf": (r, s, s), "mixed": (r, m, n)}.items():
            for case, arguments in combinations(name, [x, y], z, [x > 0, y < 1]).items():
                if name == "where" and case == "truth":
                    continue
                output = f"{rank} {name} {case}"
                outputs[output], owner[output] = tracer.apply(name, *arguments).node, name
    hosts = tuple(key for key, node in outputs.items() if not node.is_array and node.kind.rank is Rank.HOST)
    outputs |= {"n": n.node, "m": m.node, "r": r.node, "s": s.node}
    scalars = tuple(key for key, node in outputs.items() if node.kind.rank is Rank.LEAF)
    return Program(outputs, scalars, (*hosts, "n", "m"), ()), owner


def test_elementwise_on_numbers():
    program, owner = numbers_only()
    values = harness.specials(np.float64).tolist()
    pairs = [(x, y) for x in values for y in values] + harness.decades(float, 400, 5).reshape(-1, 2).tolist()
    zero = dict.fromkeys([*program.slots, *program.numbers], 0.0)
    p = np.zeros(1)
    leaves = [zero | {"p": p, "grad": p, "r": x, "s": y} for x, y in pairs]
    slots = [zero | {"n": x, "m": y} for x, y in pairs]
    found = harness.run("numpy", program, leaves, slots=slots)
    wanted = loop.run(program, leaves, slots=slots)
    for output, name in owner.items():
        a, b = (np.array([float(result[output]) for result in results]) for results in (found, wanted))
        if name in LOOSE:
            apart = harness.ulps(a, b)
            assert apart.max() <= ULP, f"{output}: {apart.max()} units at {pairs[apart.argmax()]}"
        else:
            harness.same_bits(a, b, output)


# -- shapes of their own -----------------------------------------------------------------------------------------------


def free(name):
    """A program whose p is made with one operation on a 4 by 4 matrix, or on p and the gradient."""
    tracer = Tracer((4, 4))
    p, g = (tracer.source("input", key, Kind(Rank.ARRAY, full=True)) for key in ("p", "grad"))
    attrs = {"permute_dims": (1, 0), "reshape": (2, 8), "eye": (4,), "roll": (1, 0), "argsort": (1, True)}
    attrs |= dict.fromkeys(("expand_dims", "squeeze", "flip", "concat", "take"), 0)
    attr = attrs.get(name, ((-1,), True) if "axis" in name else None)
    arguments = [p, g][: FREE[name].arity]
    if name in ("eigh", "qr", "svd"):
        pair = tracer.apply(name, p + tracer.apply("matrix_transpose", p))
        result = tracer.apply("item", pair, attr=0) * tracer.apply("item", pair, attr=1)
    elif name == "squeeze":
        result = tracer.apply(name, tracer.apply("expand_dims", p, attr=0), attr=attr)
    elif name == "index":
        result = (
            tracer.apply(name, p, attr="2") + tracer.apply(name, p, attr=":1") + tracer.apply(name, p, attr="::-2")[1]
        )
    elif name == "concat":
        result = tracer.apply("sum_axis", tracer.apply(name, p, g, attr=attr), attr=((0,), True))
    elif name in ("argsort", "take"):  # SOAP's use: columns in the order of a vector
        order = tracer.apply("argsort", tracer.apply("sum_axis", p, attr=((0,), False)), attr=(0, True))
        result = tracer.apply("take", p, order, attr=1)
    elif name == "item":
        result = tracer.apply("item", tracer.apply("svd", p), attr=2)
    else:
        result = tracer.apply(name, *arguments, attr=attr)
    if name == "reshape":
        result = tracer.apply("reshape", result, attr=(4, 4))
    return Program({"p": (result + p).node}, (), (), ())


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("name", FREE)
def test_shapes_of_their_own(name, dtype):
    program = free(name)
    rng = np.random.default_rng(4)
    leaves = [
        {"p": rng.normal(size=(4, 4)).astype(dtype), "grad": rng.normal(size=(4, 4)).astype(dtype)} for _ in range(3)
    ]
    wanted = loop.run(program, leaves)
    harness.compare(harness.run("numpy", program, leaves), wanted, "numpy")
    harness.compare(harness.run("strict", program, leaves), wanted, "strict")


@pytest.mark.parametrize("name", ["remainder", "floor_divide", *FREE])
def test_what_a_kernel_cannot_do_is_refused(name):
    program = free(name) if name in FREE else elementwise([name])[0]
    signature = Signature("float32", "float32", "float32")
    reason = backends.load("numba").refuses(program, signature)
    assert name in ABSENT and (ABSENT[name] in reason if name in ELEMENTWISE else "NumPy does itself" in reason)
    with backends.use_backend("numba"), pytest.raises(BackendError, match=r"use_backend\('numba'\): "):
        backends.choose(np.zeros(3, np.float32), program, signature)
    with backends.use_backend("numpy"):
        assert backends.choose(np.zeros(3, np.float32), program, signature).backend.name == "numpy"
    assert backends.choose(np.zeros(3, np.float32), program, signature).reason.startswith("not numba: ")


def test_a_spelling_is_no_promise_of_a_dtype():
    program, _ = elementwise(["add"])
    reason = backends.load("numba").refuses(program, Signature("bfloat16", "float32", "float32"))
    assert reason is not None and "bfloat16" in reason

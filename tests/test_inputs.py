"""What params and gradients may be: containers, shapes, dtypes, layouts in memory; what donation does and refuses."""

import contextlib
import tempfile
from collections import OrderedDict, namedtuple

import array_api_strict
import ml_dtypes
import numpy as np
import optree
import pytest
import torch
from optree.registry import __GLOBAL_NAMESPACE as GLOBAL

import samestep as ss
from samestep.algorithms.adafactor import adafactor
from samestep.algorithms.adan import adan
from samestep.algorithms.ftrl import ftrl
from samestep.algorithms.nadam import nadam
from samestep.backend import load
from samestep.errors import DonationError, LeafError

BACKENDS = ["numpy", "automatic"]
OPTIMIZERS = {
    "sgd": ss.sgd(0.1),
    "adamw": ss.adamw(0.1),
    "cautious": nadam(0.1, cautious="mean"),
    "clipped": ss.chain(ss.clip_by_global_norm(0.5), ss.lion(0.1)),
    "adan": adan(0.1),
    "ftrl": ftrl(0.1),
    "adafactor": adafactor(),
    "copying": ss.chain(
        ss.sgd(0.1), ss.update(last=ss.copy, seen=ss.zeros)(lambda p, u, last, seen: {"last": p, "seen": u})()
    ),
}
each = pytest.mark.parametrize("opt", OPTIMIZERS.values(), ids=OPTIMIZERS)
backends = pytest.mark.parametrize("backend", BACKENDS)


def on(backend):
    return contextlib.nullcontext() if backend == "automatic" else ss.use_backend(backend)


def leaves(tree):
    return [x for x in optree.tree_leaves(tree) if isinstance(x, np.ndarray)]


def bits(tree):
    return [x.tobytes() if isinstance(x, np.ndarray) else x for x in optree.tree_leaves(tree, none_is_leaf=True)]


def values(seed=0, shape=(4, 6), dtype="f8"):
    return np.random.default_rng(seed).normal(size=shape).astype(dtype)


# Containers


@optree.register_pytree_node_class(namespace=GLOBAL)
class Linear:
    """As a dataclass of layers would be registered."""

    TREE_PATH_ENTRY_TYPE = optree.GetAttrEntry

    def __init__(self, weight, bias):
        self.weight, self.bias = weight, bias

    def __tree_flatten__(self):
        return (self.weight, self.bias), None, ("weight", "bias")

    @classmethod
    def __tree_unflatten__(cls, metadata, children):
        return cls(*children)


Pair = namedtuple("Pair", ["left", "right"])
CONTAINERS = {
    "bare": lambda a, b: a,
    "dict": lambda a, b: {"z": a, "y": b},
    "integer keys": lambda a, b: {1: a, 0: b},
    "ordered": lambda a, b: OrderedDict(z=a, y=b),
    "list": lambda a, b: [a, b],
    "tuple": lambda a, b: (a, b),
    "namedtuple": lambda a, b: Pair(a, b),
    "node": lambda a, b: Linear(a, b),
    "deep": lambda a, b: {"k": [(a,), Pair(b, {})], "e": [], "n": Linear(values(7), [values(8)])},
}


@backends
@pytest.mark.parametrize("donate", [False, True])
@pytest.mark.parametrize("build", CONTAINERS.values(), ids=CONTAINERS)
def test_containers(build, donate, backend):
    opt = nadam(0.1)
    params, grads = build(values(1), values(2)), build(values(3), values(4))
    state = opt.init(params)
    with on(backend):
        for k in range(3):
            new, state = opt.step(params, grads, state, donate=donate)
            assert optree.tree_structure(new) == optree.tree_structure(params), k
            assert optree.tree_structure(state["m"]) == optree.tree_structure(params)
            assert [x is y for x, y in zip(leaves(new), leaves(params), strict=True)] == [donate] * len(leaves(params))
            params = new
    alone = values(1)
    s = opt.init(alone)
    for _ in range(3):
        alone, s = opt.step(alone, values(3), s)
    assert alone.tobytes() in bits(params)


def test_wakes_late_in_a_node():
    opt = nadam(0.1)
    params = Linear(values(1), values(2))
    new, state = opt.step(params, Linear(None, values(3)), opt.init(params))
    assert (state["step"].weight, state["step"].bias) == (0, 1)
    assert state["mu_product"].weight == 1.0 != state["mu_product"].bias
    _, state = opt.step(new, Linear(values(3), values(3)), state)
    assert (state["step"].weight, state["step"].bias) == (1, 2)


@pytest.mark.parametrize("empty", [{}, [], (), {"a": []}])
def test_empty_trees(empty):
    for opt in OPTIMIZERS.values():
        state = opt.init(empty)
        assert state == {"step": 0}
        for donate in (False, True):
            assert opt.step(empty, empty, state, donate=donate) == (empty, {"step": 1})
        assert opt.state_bytes(empty) == 0 and opt.update(empty, empty, state) == (empty, {"step": 1})


def test_order_of_keys_is_kept():
    params = {"z": values(1), "a": values(2)}
    opt = ss.adam(0.1)
    state = opt.init(params)
    for k in range(3):
        params, state = opt.step(params, {"a": values(2), "z": values(1)} if k else params, state)
        assert list(params) == ["z", "a"] == list(state["m"])


@backends
def test_a_container_of_another_kind_is_kept_too(backend):
    opt, arrays = ss.adam(0.1), {"z": values(1), "a": values(2)}
    with on(backend):
        for kind in (dict, OrderedDict, dict, lambda d: Pair(*d.values()), lambda d: tuple(d.values())):
            params = kind(arrays)
            new, state = opt.step(params, params, opt.init(params))
            assert type(new) is type(state["m"]) is type(params)
            assert optree.tree_structure(new) == optree.tree_structure(params)


def test_a_dict_of_another_kind_inside_is_kept_too():
    opt, arrays = ss.adam(0.1), {"z": values(1), "a": values(2)}
    state = opt.init([arrays])
    for kind in (dict, OrderedDict, dict):
        new, _ = opt.step([kind(arrays)], [arrays], state)
        assert type(new[0]) is kind and list(new[0]) == list(arrays)


# Shapes


@backends
@pytest.mark.parametrize("donate", [False, True])
@each
def test_empty_and_0d_arrays(opt, donate, backend):
    shapes = [(), (0,), (3, 0) if opt != OPTIMIZERS["adafactor"] else (0,), (1, 1), (2, 3)]

    def tree(k):
        return [values(k, shape) for shape in shapes]

    with on(backend):
        params, state = tree(1), opt.init(tree(1))
        for k in range(3):
            params, state = opt.step(params, tree(k), state, donate=donate)
    assert [type(p) for p in params] == [np.ndarray] * 5
    assert [p.shape for p in params] == shapes
    assert all(np.all(np.isfinite(x)) for x in leaves(state)) and np.all(np.isfinite(params[0]))
    assert all(isinstance(x, np.ndarray) for slot in state if slot != "step" for x in leaves(state[slot]))


def test_numpy_scalars_are_0d_arrays():
    opt = ss.adam(0.1)
    expected = opt.step(np.array(1.0), np.array(2.0), opt.init(np.array(1.0)))
    found = opt.step(np.float64(1.0), np.float64(2.0), opt.init(np.float64(1.0)))
    assert bits(found) == bits(expected) and type(found[0]) is np.ndarray
    with pytest.raises(DonationError, match="read-only"):
        opt.step(np.float64(1.0), np.array(2.0), opt.init(np.array(1.0)), donate=True)


# Dtypes


@backends
@pytest.mark.parametrize("donate", [False, True])
@pytest.mark.parametrize("name", ["adamw", "clipped", "cautious"])
def test_all_dtypes_in_one_tree(name, donate, backend):
    opt = OPTIMIZERS[name]
    dtypes = ["f2", "f4", "f8", "c8", "c16", ml_dtypes.bfloat16]
    params = {str(np.dtype(d)): values(k).astype(d) for k, d in enumerate(dtypes)}
    grads = {key: values(9).astype(p.dtype) for key, p in params.items()}
    state = opt.init(params)
    slots = {
        "float16": "f4",
        "bfloat16": "f4",
        "float32": "f4",
        "float64": "f8",
        "complex64": "c8",
        "complex128": "c16",
    }
    before = bits(params)
    with on(backend):
        for _ in range(2):
            params, state = opt.step(params, grads, state, donate=donate)
    assert all(p.dtype.name == key for key, p in params.items()) and bits(params) != before
    assert all(state["m"][key].dtype == slots[key] for key in params)
    with on(backend):
        assert bits(opt.step(params, grads, state)) == bits(opt.step(params, grads, state, donate=True))


@backends
@pytest.mark.parametrize("dtype", ["f2", ml_dtypes.bfloat16])
def test_half_precision_is_float32_rounded_once(dtype, backend):
    opt, p, g = ss.adamw(0.1), values(1, (300,)).astype(dtype), values(2, (300,)).astype(dtype)
    with on(backend):
        state = opt.init(p)
        for _ in range(3):
            wide, after = opt.step(p.astype("f4"), g.astype("f4"), state)
            p, state = opt.step(p, g, state)
            assert p.tobytes() == wide.astype(dtype).tobytes() and bits(state) == bits(after)


def test_bfloat16_is_evaluated():
    assert ss.explain(ss.adam(), values().astype(ml_dtypes.bfloat16)).backend("") == "numpy"


@backends
@pytest.mark.parametrize("param", ["f2", "f4", "f8"])
@pytest.mark.parametrize("grad", ["f2", "f4", "f8", ml_dtypes.bfloat16, ">f8"])
def test_gradients_of_another_dtype_are_cast(param, grad, backend):
    opt, p, g = OPTIMIZERS["cautious"], values(1).astype(param), values(2).astype(grad)
    g.flat[0] = 1e3
    compute = np.dtype("f8" if param == "f8" else "f4")
    with on(backend):
        found = opt.step(p, g, opt.init(p))
        assert bits(found) == bits(opt.step(p, g.astype(compute), opt.init(p)))
        assert found[0].dtype == param


@backends
def test_a_gradient_that_overflows_its_cast_is_infinite(backend):
    p, g = np.ones(2, "f4"), np.array([1e300, -1.0])
    with on(backend):
        new, _ = ss.sgd(1.0).step(p, g, {"step": 0})
    assert new.tolist() == [-np.inf, 2.0]


@backends
@pytest.mark.parametrize("donate", [False, True])
@pytest.mark.parametrize("dtype", ["c8", "c16", ">c16"])
def test_complex_is_stepped_as_pairs_as_torch_does(dtype, donate, backend):
    rng = np.random.default_rng(0)
    start = (rng.normal(size=(4, 3)) + 1j * rng.normal(size=(4, 3))).astype(dtype)
    theirs = torch.tensor(start.astype(start.dtype.newbyteorder("=")), requires_grad=True)
    torch_adam = torch.optim.Adam([theirs], lr=0.1)
    opt, params = ss.adam(0.1), start.copy()
    pairs = np.stack([start.real, start.imag], -1).astype("f4" if dtype == "c8" else "f8")
    with on(backend):
        state, twin = opt.init(params), opt.init(pairs)
        for _ in range(20):
            g = (rng.normal(size=(4, 3)) + 1j * rng.normal(size=(4, 3))).astype(dtype)
            theirs.grad = torch.tensor(g.astype(g.dtype.newbyteorder("=")))
            torch_adam.step()
            old = params
            params, state = opt.step(params, g, state, donate=donate)
            assert (params is old) == donate
            halves = np.stack([g.real, g.imag], -1).astype(pairs.dtype)
            pairs, twin = opt.step(pairs, halves, twin)
    assert params.dtype.name == np.dtype(dtype).name and state["m"].dtype.name == params.dtype.name
    native = params.astype(params.dtype.newbyteorder("="))
    assert native.tobytes() == pairs.tobytes() and state["v"].tobytes() == twin["v"].tobytes()
    np.testing.assert_allclose(native, theirs.detach().numpy(), rtol=2e-5 if dtype == "c8" else 1e-12)


def test_complex_on_strict_is_complex_on_numpy():
    opt, p, g = ss.adamw(0.1), values(1) + 1j * values(2), values(3) - 1j * values(4)
    found, state = opt.step(
        array_api_strict.asarray(p), array_api_strict.asarray(g), opt.init(array_api_strict.asarray(p))
    )
    expected, plain = opt.step(p, g, opt.init(p))
    assert np.from_dlpack(found).tobytes() == expected.tobytes()
    assert np.from_dlpack(state["v"]).tobytes() == plain["v"].tobytes()


def test_complex_leaves_whose_shape_is_read_are_refused():
    with pytest.raises(LeafError, match=r"leaf 'w' is complex128, stepped as pairs of reals.*pass the real"):
        adafactor().init({"w": values() + 0j})


# Layouts in memory


class Mine(np.ndarray):
    """A subclass."""


def misaligned(x):
    raw = np.zeros(x.nbytes + 1, np.uint8)
    out = raw[1:].view(x.dtype).reshape(x.shape)
    out[...] = x
    return out


def sliced(x):
    out = np.zeros((2 * x.shape[0], 3 * x.shape[1]), x.dtype)[::2, 1::3]
    out[...] = x
    return out


def read_only(x):
    x = x.copy()
    x.flags.writeable = False
    return x


def memmap(x):
    with tempfile.TemporaryFile() as file:
        out = np.memmap(file, x.dtype, "w+", shape=x.shape)
    out[...] = x
    return out


def matrix(x):
    return np.asmatrix(x.copy())


LAYOUTS = {
    "fortran": np.asfortranarray,
    "transposed": lambda x: x.T.copy().T,
    "sliced": sliced,
    "reversed": lambda x: x[::-1, ::-1].copy()[::-1, ::-1],
    "misaligned": misaligned,
    "swapped": lambda x: x.astype(x.dtype.newbyteorder()),
    "subclass": lambda x: x.copy().view(Mine),
    "matrix": matrix,
    "memmap": memmap,
}
NATIVE = {**LAYOUTS, "read-only": read_only}


@pytest.mark.filterwarnings("ignore:the matrix subclass:PendingDeprecationWarning")
@backends
@pytest.mark.parametrize("dtype", ["f2", "f4", "f8"])
@pytest.mark.parametrize("layout", NATIVE)
@pytest.mark.parametrize("name", ["cautious", "copying", "adafactor", "sgd"])
def test_any_layout_gives_the_same_bits(name, layout, dtype, backend):
    opt, turn = OPTIMIZERS[name], NATIVE[layout]
    p, g = values(1, dtype=dtype), values(2, dtype=dtype)
    with on(backend):
        expected = opt.init(p)
        state = opt.init(turn(p))
        assert bits(state) == bits(expected) and all(type(x) is np.ndarray and x.flags.writeable for x in leaves(state))
        expected = opt.step(p, g, expected)
        strange = {k: turn(v) if isinstance(v, np.ndarray) and v.shape == p.shape else v for k, v in state.items()}
        inputs = (turn(p), turn(g), strange)
        before = bits(inputs)
        found = opt.step(*inputs)
        assert bits(found) == bits(expected) and bits(inputs) == before
        assert all(type(x) is np.ndarray and x.dtype.isnative and x.flags.writeable for x in leaves(found))
        assert bits(opt.step(p, turn(g), state)) == bits(expected)
        assert bits(opt.update(*inputs)) == bits(opt.update(p, g, state))


@pytest.mark.filterwarnings("ignore:the matrix subclass:PendingDeprecationWarning")
@backends
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("name", ["cautious", "copying", "adafactor", "sgd"])
def test_any_layout_is_donated_in_place(name, layout, backend):
    opt, turn = OPTIMIZERS[name], LAYOUTS[layout]
    p, g = values(1), values(2)
    expected = opt.step(p, g, opt.init(p))
    state = {k: turn(v) if isinstance(v, np.ndarray) and v.shape == p.shape else v for k, v in opt.init(p).items()}
    given, grad = turn(p), turn(g)
    with on(backend):
        new, after = opt.step(given, grad, state, donate=True)
    assert new is given and all(x is y for x, y in zip(leaves(after), leaves(state), strict=True))
    assert np.array_equal(new, expected[0]) and bits(grad) == bits(turn(g))
    for slot, value in expected[1].items():
        assert np.array_equal(after[slot], value)


@backends
def test_broadcast_arrays(backend):
    opt = ss.adam(0.1)
    p, g = np.broadcast_to(values(1, (6,)), (4, 6)), np.broadcast_to(values(2, ()), (4, 6))
    with on(backend):
        state = opt.init(p)
        assert state["m"].shape == (4, 6)
        state["m"] = np.broadcast_to(0.0, (4, 6))
        found = opt.step(p, g, state)
        assert bits(found) == bits(opt.step(p.copy(), g.copy(), opt.init(p.copy())))


# Nothing of a pure step is shared


@backends
@each
def test_a_pure_step_modifies_and_aliases_nothing(opt, backend):
    def tree(k):
        return {"a": values(k), "b": [values(k, (7,), "f4"), values(k, (3, 2), "f2")], "c": values(k, (70000,), "f4")}

    kept, before = [], []
    with on(backend):
        params, state = tree(0), opt.init(tree(0))
        for k in range(4):
            grads = tree(k)
            if k == 2:
                grads["b"][0] = None
            kept += leaves([params, grads, state])
            before += bits(leaves([params, grads, state]))
            params, state = opt.step(params, grads, state)
            outputs = leaves([params, state])
            for i, x in enumerate(outputs):
                assert not any(np.shares_memory(x, y) for y in [*kept, *outputs[:i]] if x.nbytes)
    assert bits(kept) == before


@pytest.mark.parametrize("make", [np.array, torch.tensor], ids=["numpy", "torch"])
def test_results_that_are_views_are_copied(make):
    def views(p, u, a, b, c, d):
        xp = ss.array_namespace(p)
        flat = xp.reshape(p, (3,))
        same, turned = xp.squeeze(xp.expand_dims(p, axis=0), 0), xp.flip(a, axis=0)
        return {"p": p - u, "a": same, "b": ss.rounded(flat), "c": turned, "d": ss.rounded(b)}

    opt = ss.chain(ss.update(a=ss.zeros, b=ss.zeros, c=ss.zeros, d=ss.zeros)(views)())
    params = make([1.0, 2.0, 3.0])
    state = opt.init(params)
    with ss.use_backend("numpy" if make is np.array else "torch"):
        new, after = opt.step(params, make([1.0, 1.0, 1.0]), state)
    arrays = [x for x in [params, *state.values(), new, *after.values()] if hasattr(x, "dtype")]
    memories = [np.from_dlpack(x) for x in arrays]
    assert not any(np.shares_memory(x, y) for i, x in enumerate(memories) for y in memories[:i])


@each
def test_strict_arrays_alias_nothing(opt):
    if opt == OPTIMIZERS["copying"]:
        p, g = array_api_strict.asarray(values(1)), array_api_strict.asarray(values(2))
        new, state = opt.step(p, g, opt.init(p))
        new[...] = 0.0
        assert np.array_equal(np.from_dlpack(p), values(1)) and np.array_equal(np.from_dlpack(g), values(2))
        assert np.any(np.from_dlpack(state["last"]) != 0)
    p, g = array_api_strict.asarray(values(1)), array_api_strict.asarray(values(2))
    state = opt.init(p)
    new, after = opt.step(p, g, state, donate=True)
    assert new is p and all(after[k] is state[k] for k in state if hasattr(state[k], "dtype"))


# What cannot be donated


def overlapping(case):
    flat = values(1, (12,))
    state = ss.adam().init({"a": values(1, (6,)), "b": values(2, (6,))})
    params, grads = {"a": flat[:6], "b": flat[6:]}, {"a": values(3, (6,)), "b": values(4, (6,))}
    if case == "fine":
        pass
    elif case == "interleaved":
        params = {"a": flat[::2], "b": flat[1::2]}
    elif case == "params":
        params = {"a": flat[:6], "b": flat[5:11]}
    elif case == "same":
        params = {"a": flat[:6], "b": flat[:6]}
    elif case == "same object":
        params["b"] = params["a"]
    elif case == "slot":
        state["m"]["b"] = params["a"]
    elif case == "slots":
        state["v"]["b"] = state["m"]["b"][:]
    elif case == "gradient":
        grads["b"] = params["a"][::-1]
    elif case == "gradient is param":
        grads["a"] = params["a"]
    elif case == "gradient is slot":
        grads["a"] = state["m"]["a"]
    elif case == "gradients":
        grads["b"] = grads["a"]
    elif case == "sleeping":
        params["b"], grads["b"] = params["a"][:], None
    elif case == "read-only":
        params["b"].flags.writeable = False
    elif case == "read-only slot":
        state["v"]["a"].flags.writeable = False
    elif case == "itself":
        params["a"] = np.lib.stride_tricks.as_strided(flat, (6,), (0,))
    return params, grads, state


@backends
@pytest.mark.parametrize("warm", [False, True], ids=["first", "after a step"])
@pytest.mark.parametrize(
    ("case", "message"),
    [
        ("params", "param of leaf 'a' and param of leaf 'b' overlap in memory"),
        ("same", "param of leaf 'a' and param of leaf 'b' overlap"),
        ("same object", "param of leaf 'a' and param of leaf 'b' overlap"),
        ("slot", "param of leaf 'a' and slot 'm' of leaf 'b' overlap"),
        ("slots", "slot 'm' of leaf 'b' and slot 'v' of leaf 'b' overlap"),
        ("gradient", "param of leaf 'a' and gradient of leaf 'b' overlap"),
        ("gradient is param", "param of leaf 'a' and gradient of leaf 'a' overlap"),
        ("gradient is slot", "slot 'm' of leaf 'a' and gradient of leaf 'a' overlap"),
        ("sleeping", "param of leaf 'a' and param of leaf 'b' overlap"),
        ("read-only", "param of leaf 'b' is read-only and cannot be donated: pass a writable copy, or donate=False"),
        ("read-only slot", "slot 'v' of leaf 'a' is read-only"),
        ("itself", r"param of leaf 'a' overlaps itself in memory \(shape \(6,\), strides \(0,\)\)"),
    ],
)
def test_donation_refused(case, message, warm, backend):
    opt = ss.adam(0.1)
    with on(backend):
        if warm:
            opt.step(*overlapping("fine"), donate=True)
        args = overlapping(case)
        before = bits(args)
        with pytest.raises(DonationError, match=message):
            opt.step(*args, donate=True)
        assert bits(args) == before
        found = opt.step(*args)  # without donation all of this is allowed
        assert bits(args) == before
        fresh = optree.tree_map(np.copy, overlapping(case)[:2])
        assert bits(found[0]) == bits(opt.step(*fresh, optree.tree_map(np.copy, args[2]))[0])


@backends
@pytest.mark.parametrize("case", ["fine", "interleaved", "gradients"])
def test_donation_of_disjoint_parts_of_one_array(case, backend):
    opt = ss.adam(0.1)
    with on(backend):
        expected = opt.step(*overlapping(case))
        params, grads, state = overlapping(case)
        new, after = opt.step(params, grads, state, donate=True)
    assert bits([new, after]) == bits(list(expected))
    assert new["a"] is params["a"] and after["v"]["b"] is state["v"]["b"]


@pytest.mark.parametrize("backend", ["numpy", "jax-jit", "torch", "torch-compile"])
def test_a_program_that_fails_leaves_the_donated_leaves_of_others(backend):
    @ss.direction()
    def squared(u):
        return {"u": ss.array_namespace(u).matmul(u, u) if u.ndim == 2 else u}

    opt, make = ss.chain(squared(), ss.descend(0.1)), load(backend).arrays().asarray
    params, grads = ({"a": make([1.0, 2.0]), "w": make([[1.0, 2.0]] * 3)} for _ in range(2))
    with ss.use_backend(backend), pytest.raises((ValueError, TypeError, RuntimeError)):
        opt.step(params, grads, opt.init(params), donate=True)
    assert params["a"].tolist() == [1.0, 2.0]


@pytest.mark.parametrize("donate", [False, True])
@pytest.mark.parametrize("backend", ["numpy", "jax-jit", "torch", "torch-compile"])
def test_a_page_that_returns_another_shape_is_refused(backend, donate):
    @ss.update(m=ss.zeros)
    def mean_of_rows(p, u, m):
        xp = ss.array_namespace(p)
        return {"p": xp.mean(p - u, axis=-1, keepdims=True), "m": m + u}

    opt, make = ss.chain(mean_of_rows()), load(backend).arrays().asarray
    params, grads = make([[1.0, 2.0], [3.0, 5.0]]), make([[1.0, 1.0], [1.0, 1.0]])
    with ss.use_backend(backend), pytest.raises(LeafError, match=r"'p' of shape \(2, 1\) .* where it has \(2, 2\)"):
        opt.step(params, grads, opt.init(params), donate=donate)


@optree.register_pytree_node_class(namespace=GLOBAL)
class Strict(Linear):
    """As a dataclass is whose fields are checked."""

    def __init__(self, weight, bias):
        if not all(isinstance(x, np.ndarray | ss.RowSparse | None) for x in (weight, bias)):
            raise TypeError("fields are arrays")
        super().__init__(weight, bias)


@pytest.mark.parametrize("grad", [values(3), ss.RowSparse([1], values(3, (1, 6)))], ids=["dense", "rows"])
def test_a_container_that_takes_no_counts_leaves_what_was_donated(grad):
    opt, params = ss.adam(0.1), Strict(values(1), values(2))
    state = opt.init(params)
    before = bits((params, state))
    with pytest.raises(TypeError, match="fields are arrays"):
        opt.step(params, Strict(None, grad), state, donate=True)
    assert bits((params, state)) == before


def test_tied_weights_are_refused_at_init():
    x = values(1)
    for tied in ({"a": x, "b": x}, {"a": x, "b": x[:2]}, {"a": x[1:3], "b": x.T}):
        with pytest.raises(LeafError, match="leaf 'a' and leaf 'b' share memory: tied weights would be stepped twice"):
            ss.adam().init(tied)
    strict = array_api_strict.asarray(x)
    with pytest.raises(LeafError, match="leaf 'a' and leaf 'b' share memory"):
        ss.adam().init({"a": strict, "b": strict})
    with pytest.raises(LeafError, match="leaf 'a' and leaf 'b' share memory"):
        ss.adam().init({"a": strict, "b": strict[:2, ...]})
    ss.adam().init({"a": x[:2], "b": x[2:]})
    empty = values(1, (0,))
    ss.adam().init({"a": empty, "b": empty})


def test_strict_donation_refuses_overlap():
    opt, p = ss.sgd(0.1), array_api_strict.asarray(values(1))
    with pytest.raises(DonationError, match=r"param of the leaf .* and gradient of the leaf .* overlap"):
        opt.step(p, p, {"step": 0}, donate=True)


def test_buffers_are_those_of_one_step_however_many_plans():
    """Other patterns of None gradients are other plans; only the last one that stepped keeps its buffers."""
    params = {k: np.ones(100_000, np.float32) for k in "abcd"}
    opt = ss.adamw()
    state = opt.init(params)
    for sleeping in "abcd":
        params, state = opt.step(params, {**params, sleeping: None}, state)
    with_buffers = [
        plan
        for plan in opt.stepper.plans.values()
        if any(recycler.held_bytes for batch in plan.batches for recycler in batch.compiled.recyclers.values())
    ]
    assert len(opt.stepper.plans) == 4 and len(with_buffers) == 1

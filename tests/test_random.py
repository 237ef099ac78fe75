"""Random numbers and rounding inside a page: what the cards say (part C, 2 and 2.2), the same bits on every backend."""

import contextlib
import functools
import runpy
import zlib
from pathlib import Path
from types import SimpleNamespace

import array_api_strict
import ml_dtypes
import numpy as np
import pytest
from array_api_compat import array_namespace

import samestep as ss
from samestep import pinned
from samestep.errors import TraceError
from samestep.trace import words
from samestep.trace.graph import Kind, Program, Rank
from samestep.trace.namespace import Tracer
from samestep.trace.noise import _draw
from samestep_numba.threads import use_threads

loop = SimpleNamespace(**runpy.run_path(str(Path(__file__).with_name("node_loop.py"))))
harness = SimpleNamespace(**runpy.run_path(str(Path(__file__).with_name("harness.py"))))

ARRAY = Kind(Rank.ARRAY, full=True)
HALVES = ("float16", "bfloat16")
PRINTED = (*harness.BACKENDS, "cuda-shim")
PLACES = [(backend, dtype) for backend in PRINTED for dtype in ("float32", "float64")]


# -- the hash ----------------------------------------------------------------------------------------------------------

KEYS = {  # seed, step (from 0), leaf -> both keys and the first words, as part C has them
    (0, 0, "w"): (0xC993C9D1, 0xBEBE140F, "89D6BDE9 BA83A087 BBB1575F F96927D0 5C8AAC2D 2AD29190 5A18D283 A55C1C6F"),
    (0, 1, "w"): (0x1643D02B, 0xA5984350, "28B66622 41BCF36A 1DACB81F 495F88A9"),
    (1, 0, "w"): (0x455D79CA, 0x11C9A302, "597FF381 8BF6F542 4D59F6A1 F493E5F9"),
    (2**40 + 7, 123456789012, "layer.0.weight"): (0x5D7604E3, 0x49AEC049, "1C246EB0 D2A584CF 2BBB290C EE595C92"),
}
FAR = {2**31: 0xF9A53B32, 2**32 + 5: 0xF2896638}  # of the first key


def ints(text):
    return [int(word, 16) for word in text.split()]


@pytest.mark.parametrize("hash", [words, loop], ids=["words", "definition"])
def test_the_vectors_of_the_card(hash):
    mixed = [hash.mix(x) for x in (0, 1, 2, 0xFFFFFFFF, 0x12345678)]
    assert mixed == ints("00000000 06D3FA73 0DA7F4E7 D9B56683 F6E6B6BD")
    assert [hash.fold(0, 0), hash.fold(0, 1), hash.fold(1, 0)] == ints("C4631032 BC3618FB FE2C5772")
    assert [zlib.crc32(b"w"), zlib.crc32(b"layer.0.weight")] == ints("1C630B12 28590CCD")


def keys_of(seed, step, path):
    """The two keys, as the numbers of a program give them, in halves."""
    tracer = Tracer((3,))
    x, t = tracer.source("input", "p", ARRAY), tracer.source("t", None, Kind(Rank.HOST))
    halves = _draw(x, t, seed, "", 16, 1).node.args[1:]
    outputs = {"p": x.node, **{f"half {i}": node for i, node in enumerate(halves)}}
    program = Program(outputs, tuple(outputs)[1:], (), ())
    leaf = {"p": np.zeros(3), "grad": np.zeros(3)} | dict.fromkeys(program.slots, 0.0)
    found = harness.run("numpy", program, [leaf], t=step + 1, paths=[path])[0]
    return [int(found[f"half {i}"]) * 65536 + int(found[f"half {i + 1}"]) for i in (0, 2)]


@pytest.mark.parametrize("key", KEYS)
def test_keys_and_words_of_the_card(key):
    k0, k1, first = KEYS[key]
    assert keys_of(*key) == [k0, k1]
    assert [words.word_at(i, k0, k1) for i in range(len(ints(first)))] == ints(first)
    assert [loop.word(i, k0, k1) for i in range(len(ints(first)))] == ints(first)


def test_a_seed_may_be_negative_and_a_hyperparameter():
    assert keys_of(-1, 0, "w") == keys_of(2**64 - 1, 0, "w") != keys_of(2**32 - 1, 0, "w")
    fixed, given = (steps(make, shapes={"w": (9,)}) for make in (drawn(seed=5), drawn_by_number(seed=5.0)))
    assert np.array_equal(fixed["w"], given["w"])


def far_words(backend, start, size, bits, draws):
    """What an element beyond 2**32 words would draw, were the leaf so large: only the loop over a chunk is run."""
    k0, k1 = KEYS[0, 0, "w"][:2]
    halves = [float(h) for k in (k0, k1) for h in (k >> 16, k & 0xFFFF)]
    if backend == "numba":
        from numba import njit

        from samestep_numba.words import random_bits

        body = f"for i in range({size}):\n        out[i] = random_bits(at, i, a, b, c, d, {bits}, {draws})"
        scope = {"random_bits": random_bits}
        exec(f"def run(out, at, a, b, c, d):\n    {body}", scope)
        out = np.empty(size)
        njit(scope["run"])(out, start, *halves)
        return out
    from samestep_cupy.printer import PRELUDE
    from samestep_cupy.shim import Processor

    call = f"random_bits<{bits}, {draws}>({start}LL + j, h[0], h[1], h[2], h[3])"
    kernel = 'extern "C" __global__ void far(const double *h, const void *, const void *, const void *, const void *, '
    kernel += f"double *out) {{ PHASE(j) if (j < {size}) out[j] = {call}; }}"
    out, device = np.empty(size), Processor()
    device.launch(device.load(PRELUDE + kernel, ["far"])["far"], 1, [np.array(halves), out, out, out, out, out])
    return out


@pytest.mark.parametrize("backend", ["numba", "cuda-shim"])
def test_places_beyond_32_bits(backend):
    k0, k1 = KEYS[0, 0, "w"][:2]
    assert {place: loop.word(place, k0, k1) for place in FAR} == FAR
    for place, word in FAR.items():
        start = place // 65536 * 65536
        found = far_words(backend, start, 200, 24, 1)
        assert found[place - start] == word >> 8
        assert found.tolist() == [loop.word(start + i, k0, k1) >> 8 for i in range(200)]
    found = far_words(backend, 2**30 + 65536, 5, 16, 8)  # four words each
    for i, total in enumerate(found):
        four = [loop.word(4 * (2**30 + 65536 + i) + q, k0, k1) for q in range(4)]
        assert total == sum((w >> 16) + (w & 0xFFFF) for w in four)


def test_places_beyond_the_reach_of_an_index(monkeypatch):
    """With words of 32 bits still, but only 16 of them under one key."""
    monkeypatch.setattr(pinned, "WORDS", 16)
    k0, k1 = KEYS[0, 0, "w"][:2]
    halves = [np.float64(h) for k in (k0, k1) for h in (k >> 16, k & 0xFFFF)]
    for attr in ((24, 1), (16, 8)):
        found = pinned.Pinned(np).random_bits(np.zeros((7, 3)), *halves, attr)
        for i, total in enumerate(found.reshape(-1)):
            places = [i] if attr == (24, 1) else range(4 * i, 4 * i + 4)
            drawn = [words.word_at(p % 16, k0, words.fold(k1, p // 16) if p // 16 else k1) for p in places]
            assert total == (drawn[0] >> 8 if attr == (24, 1) else sum((w >> 16) + (w & 0xFFFF) for w in drawn))


# -- every operation, against the definition ---------------------------------------------------------------------------


def program(*made):
    """A program of one output each, beside p; made from p, the gradient and t."""
    tracer = Tracer((3,))
    p, g = (tracer.source("input", name, ARRAY) for name in ("p", "grad"))
    t = tracer.source("t", None, Kind(Rank.HOST))
    found = {f"out {i}": make(p, g, t).node for i, make in enumerate(made)}
    return Program({"p": p.node, **found}, tuple(found), (), ())


def with_outputs(leaves, made):
    return [leaf | {name: np.zeros(leaf["p"].shape, compute(leaf["p"])) for name in made.slots} for leaf in leaves]


def compute(x):
    return np.float32 if str(x.dtype) in HALVES else x.dtype.type


DRAWS = program(
    lambda p, g, t: ss.random_bits(p, t, seed=0),
    lambda p, g, t: ss.random_bits(g, t, seed=2**63 + 5, bits=1, stream="coin"),
    lambda p, g, t: ss.uniform(p + g, t, seed=1),
    lambda p, g, t: ss.normal(p, t, seed=0),
    lambda p, g, t: g + array_namespace(p).sum(ss.uniform(p, t, seed=3)) * ss.normal(p, t, seed=4),
)


@functools.cache
def draws(dtype, large):
    """Leaves of all shapes, one of them of more than a chunk if asked for, their steps, and what is drawn for them."""
    shapes = [(), (0, 3), (5,), (7, 40), *([(70_000,)] if large else [])]
    leaves = with_outputs([{"p": np.ones(s, dtype), "grad": np.zeros(s, dtype)} for s in shapes], DRAWS)
    ts = [1, 2, 2**33, 4, 5][: len(shapes)]
    return leaves, ts, loop.run(DRAWS, leaves, t=ts)


@pytest.mark.parametrize("donate", [False, True])
@pytest.mark.parametrize(("backend", "dtype"), [*PLACES, *((b, "float16") for b in PRINTED if b != "strict")])
def test_draws_against_the_definition(backend, dtype, donate, monkeypatch):
    monkeypatch.setattr("samestep_numba.compiled.BREAK_EVEN", 0)
    leaves, ts, wanted = draws(dtype, large=dtype == "float32" and donate)
    with use_threads(1 + donate):
        harness.compare(harness.run(backend, DRAWS, leaves, donate=donate, t=ts), wanted, backend)


ROUNDS = program(lambda p, g, t: ss.rounded(g), lambda p, g, t: ss.rounded(g, ss.random_bits(g, t, seed=0)))


def numbers(dtype):
    """Special values, 60 decades, any bits, and what lies between two numbers of a dtype of 16 bits, or half-way."""
    rng = np.random.default_rng(0)
    anything = np.frombuffer(rng.bytes(8000), np.float32)
    lattice = np.frombuffer(rng.bytes(4000), np.float16).astype(np.float32)
    brain = np.frombuffer(rng.bytes(4000), np.uint16).astype(np.uint32) << 16
    with np.errstate(all="ignore"):
        between = [lattice, lattice * np.float32(1 + 2**-11), lattice + np.float32(2**-25), lattice + np.float32(1e-6)]
        between += [(brain + k).astype(np.uint32).view(np.float32) for k in (0, 0x8000, 0x7FFF, 1, 0xFFFF)]
        edges = np.array([65504, 65519.99, 65520, 65535, 65536, 3.39e38, 2**-14, 2**-24, 2**-25, 1e-8], np.float32)
        found = [harness.specials(np.float32), edges, -edges, harness.decades(np.float32, 2000), anything, *between]
        return np.concatenate(found).astype(dtype)


ON_NUMPY = [("numpy", "bfloat16"), *((backend, "float16") for backend in ("numpy", "numba", "cuda-shim"))]


@pytest.mark.parametrize(("backend", "param"), [*PLACES, *ON_NUMPY])
def test_rounding_against_the_definition(backend, param):
    rounding(backend, param)


def rounding(backend, param, library=None):
    """To nearest and by bits, of arrays, numbers and nothing."""
    x = numbers("float64" if param == "float64" else "float32")
    given = [x, np.asarray(x[77]), x[:0]]
    leaves = with_outputs([{"p": np.zeros(g.shape, param), "grad": g} for g in given], ROUNDS)
    wanted = loop.run(ROUNDS, leaves, t=1)
    found = harness.run(backend, ROUNDS, leaves, t=1, library=library)
    for a, b in zip(found, wanted, strict=True):
        for output in ROUNDS.slots:
            harness.same_bits(a[output], b[output], f"{backend} {param} {output}")


def test_the_stochastic_vector_of_the_card():
    stochastic_vector("numpy", lambda x: x, lambda x: x)


def stochastic_vector(backend, give, take):
    """Seed 0, step 0, leaf "w": every special value."""
    given = ints("3F800000 3F808000 3F804000 BF808000 40490FDB 000116C2 80000001 00000000 80000000 7F7F0000 7F7FFFFF")
    given += ints("7F800000 FF800000 7FC00000")
    *wanted, _ = ints("3F80 3F81 3F80 BF81 4049 0001 8000 0000 8000 7F7F 7F80 7F80 FF80 7FC0")
    x = np.array(given, np.uint32).view(np.float32)
    p = {"w": give(np.zeros(x.size, ml_dtypes.bfloat16))}
    *found, nan = take(steps_of(ss.chain(replace(), ss.stochastic_rounding()), p, {"w": give(x)}, backend)["w"]).view(
        np.uint16
    )
    assert found == wanted
    assert nan & 0x7FFF > 0x7F80  # libraries have their own NaN


# -- pages -------------------------------------------------------------------------------------------------------------


@ss.update()
def draw(p, t, *, seed: int = 0, stream: str = ""):
    return {"p": ss.uniform(p, t, seed=seed, stream=stream)}


@ss.update()
def draw_by_number(p, t, *, seed):
    return {"p": ss.uniform(p, t, seed=seed)}


@ss.update()
def replace(p, u):
    return {"p": u}


@ss.gradient()
def shaken(u, t, *, size: ss.nonnegative = 0.1, seed: int = 0):
    return {"u": u + size * ss.normal(u, t, seed=seed) + ss.uniform(u, t, seed=seed, stream="more")}


PAGES = {
    "noise": ss.chain(shaken(), ss.momentum(0.9), ss.descend(0.1)),
    "stochastic": ss.chain(ss.adamw(1e-2), ss.stochastic_rounding(7)),
    "kahan": ss.chain(ss.adam(1e-3), ss.kahan()),
    "master": ss.chain(ss.adamw(1e-2), ss.master_weights()),
}
SHAPES = {"matrix": (30, 7), "large": (70_001,), "scalar": (), "empty": (0, 3), "deep": (2, 3, 4)}
LIBRARIES = {
    "numpy": (np.array, np.asarray),
    "strict": (array_api_strict.asarray, lambda x: x._array),
}
RUNS = [("numba", "numpy", 1), ("numba", "numpy", 2), ("cuda-shim", "numpy", 1), ("strict", "strict", 1)]


def drawn(**hyper):
    return ss.chain(ss.descend(0.0), draw(**hyper))


def drawn_by_number(**hyper):
    return ss.chain(ss.descend(0.0), draw_by_number(**hyper))


def steps_of(optimizer, params, grads, backend=None, count=1):
    """Params after so many steps with the same gradients."""
    with ss.use_backend(backend) if backend else contextlib.nullcontext():
        state = optimizer.init(params)
        for _ in range(count):
            params, state = optimizer.step(params, grads, state)
    return params


def steps(optimizer, count=1, shapes=SHAPES, dtype="float32", backend=None):
    params = {name: np.zeros(shape, dtype) for name, shape in shapes.items()}
    return steps_of(optimizer, params, params, backend, count)


def trajectory(optimizer, backend, arrays, dtype, *, donate=False, threads=1, shapes=SHAPES, count=3):
    """Params and slots after a few steps, as NumPy arrays."""
    give, take = LIBRARIES[arrays] if isinstance(arrays, str) else arrays

    def tree(seed):
        rng = np.random.default_rng(seed)
        return {name: give(np.asarray(rng.normal(size=shape)).astype(dtype)) for name, shape in shapes.items()}

    with ss.use_backend(backend), use_threads(threads):
        params, state = tree(0), optimizer.init(tree(0))
        for t in range(count):
            params, state = optimizer.step(params, tree(t + 1), state, donate=donate)
    slots = {f"{slot} {k}": x for slot, each in state.items() if slot != "step" for k, x in each.items()}
    return {name: take(x) for name, x in (params | slots).items()}


def hold_together(found, wanted, where):
    for name in wanted:
        a, b = (x[name].astype(np.float64) for x in (found, wanted))
        assert found[name].dtype == wanted[name].dtype
        harness.same_bits(a, b, f"{where} {name}")


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16"])
@pytest.mark.parametrize("page", PAGES)
def test_pages_give_the_same_bits_everywhere(page, dtype, monkeypatch):
    monkeypatch.setattr("samestep_numba.compiled.BREAK_EVEN", 0)
    same_everywhere(page, dtype, [run for run in RUNS if (run[0], dtype) != ("strict", "float16")])


def same_everywhere(page, dtype, runs, **options):
    """As NumPy evaluated, on each (backend, arrays, threads), fresh and donated."""
    wanted = trajectory(PAGES[page], "numpy", "numpy", dtype, **options)
    for backend, arrays, threads in runs:
        for donate in (False, True):
            found = trajectory(PAGES[page], backend, arrays, dtype, donate=donate, threads=threads, **options)
            hold_together(found, wanted, f"{backend}, {threads} threads, donate={donate}:")


def test_large_results_pass_the_caches(monkeypatch):
    """The elements of a block that waits in the frame still know their places."""
    monkeypatch.setattr("samestep_numba.compiled.FAR", 0)
    shapes = {"aligned": (64, 1100), "odd": (331,)}
    wanted = trajectory(PAGES["noise"], "numpy", "numpy", "float32", shapes=shapes)
    hold_together(trajectory(PAGES["noise"], "numba", "numpy", "float32", shapes=shapes), wanted, "far")


def test_layout_and_company_do_not_matter():
    """Strides, byte order, the other leaves of the step and their order: the path and the place alone decide."""
    x = np.zeros((40, 30), np.float32)
    alone = steps_of(drawn(), {"w": x}, {"w": x})["w"]
    for other in (np.asfortranarray(x), np.zeros((80, 60), np.float32)[::2, ::-2], x.astype(">f4")):
        assert np.array_equal(steps_of(drawn(), {"w": other}, {"w": other})["w"], alone)
    many = {"a": np.zeros(5, np.float32), "w": x, "z": np.zeros((), np.float64)}
    assert np.array_equal(steps_of(drawn(), many, many)["w"], alone)
    flat = {"w": x.reshape(-1)}
    assert np.array_equal(steps_of(drawn(), flat, flat)["w"], alone.reshape(-1))
    nested = {"w": [x, x.copy()]}
    first, second = steps_of(drawn(), nested, nested)["w"]
    assert not np.array_equal(first, second) and not np.array_equal(first, alone)
    bare = steps_of(drawn(), x, x)
    assert not np.array_equal(bare, alone)


def test_a_leaf_that_wakes_late_has_the_numbers_of_its_own_count():
    x = np.zeros(50)
    optimizer, params = drawn(), {"a": x, "w": x.copy()}
    state = optimizer.init(params)
    params, state = optimizer.step(params, {"a": x, "w": None}, state)
    params, state = optimizer.step(params, {"a": x, "w": x}, state)
    assert np.array_equal(params["w"], steps(drawn(), 1, {"w": (50,)}, "float64")["w"])
    assert np.array_equal(params["a"], steps(drawn(), 2, {"a": (50,)}, "float64")["a"])


def test_complex_leaves_are_pairs():
    z = np.zeros(7, np.complex64)
    found = steps_of(drawn(), {"w": z}, {"w": z})["w"]
    pairs = steps(drawn(), shapes={"w": (7, 2)})["w"]
    assert np.array_equal(found.view(np.float32).reshape(7, 2), pairs)
    assert np.array_equal(found, steps_of(drawn(), {"w": z}, {"w": z}, "numpy")["w"])


def test_accumulated_steps_draw_once():
    """The count is that of the inner clock."""
    optimizer = ss.chain(ss.accumulate(2), ss.descend(0.0), draw())
    assert np.array_equal(steps(optimizer, 4)["matrix"], steps(drawn(), 2)["matrix"])


def test_numbers_differ_by_all_that_they_depend_on():
    shapes = {"a": (1000,), "b": (1000,)}
    found = [
        steps(drawn(), 1, shapes)["a"],
        steps(drawn(), 1, shapes)["b"],
        steps(drawn(), 2, shapes)["a"],
        steps(drawn(seed=1), 1, shapes)["a"],
        steps(drawn(seed=2**32), 1, shapes)["a"],
        steps(drawn(stream="other"), 1, shapes)["a"],
    ]
    for i, a in enumerate(found):
        for b in found[:i]:
            assert (a == b).mean() < 0.01 and abs(np.corrcoef(a, b)[0, 1]) < 0.15


def test_a_stream_is_the_name_behind_the_path():
    """Behind a byte that no path has, so that no other leaf draws the same."""
    at = steps(drawn(stream="m"), shapes={"w": (9,)})["w"]
    assert np.array_equal(at, steps(drawn(), shapes={"w\0m": (9,)})["w\0m"])
    assert not np.array_equal(at, steps(drawn(), shapes={"w/m": (9,)})["w/m"])


def test_one_program_and_one_kernel_for_all_steps_and_seeds():
    from samestep.backend import Signature
    from samestep.chain import traces
    from samestep_numba.printer import KernelPrinter

    optimizer = drawn_by_number(seed=1.0)
    params = {"w": np.zeros(9)}
    state = optimizer.init(params)
    before = traces()
    numbers = [optimizer.step(params, params, state, seed=s)[0]["w"] for s in (1.0, 2.0, 3.0)]
    assert traces() <= before + 1 and len({x.tobytes() for x in numbers}) == 3
    columns = {"p": 0, "grad": 1, "new p": 2}
    float32 = Signature("float32", "float32", "float32")
    programs = [drawn(seed=seed).chains[0].program((9,)) for seed in (1, 2)]
    assert programs[0] is not programs[1]
    assert len({KernelPrinter(program, float32, columns).source()[0] for program in programs}) == 1


def test_other_kernels_are_as_they_were():
    from samestep.backend import Signature
    from samestep_numba.printer import KernelPrinter

    columns = {"p": 0, "grad": 1, "new p": 2}
    printer = KernelPrinter(ss.sgd(0.1).chains[0].program((9,)), Signature("float32", "float32", "float32"), columns)
    source = printer.source()[0]
    assert "samestep_numba.words" not in source and "at = " not in source


def test_the_class_is_exact():
    assert {PAGES[page].chains[0].program((3,)).exactness for page in PAGES} == {"exact"}


# -- what they are worth -----------------------------------------------------------------------------------------------

SIZE = 2**16


@pytest.fixture(scope="module")
def samples():
    """Uniform numbers of 12 steps, as whole numbers of 24 bits; a row for each step."""
    optimizer, x = ss.chain(ss.descend(0.0), draw()), np.zeros(SIZE)
    params, state, found = {"w": x}, None, []
    state = optimizer.init(params)
    for _ in range(12):
        params, state = optimizer.step(params, {"w": x}, state)
        found.append(params["w"] * 2**24)
    return np.array(found, np.int64)


def test_uniform_numbers_are_uniform(samples):
    u = samples / 2**24
    assert samples.min() >= 0 and samples.max() < 2**24 and (samples == np.round(samples)).all()
    n = u.size
    assert abs(u.mean() - 0.5) < 4 * (1 / 12 / n) ** 0.5
    assert abs(u.var() - 1 / 12) < 4 * (1 / 180 / n) ** 0.5
    for shift in (16, 8, 0):  # 256 classes each
        counts = np.bincount((samples >> shift & 255).reshape(-1), minlength=256)
        chi2 = ((counts - n / 256) ** 2 / (n / 256)).sum()
        assert abs(chi2 - 255) < 4 * (2 * 255) ** 0.5, (shift, chi2)


def test_every_bit_is_fair(samples):
    for bit in range(24):
        ones = (samples >> bit & 1).sum()
        assert abs(ones - samples.size / 2) < 4.5 * samples.size**0.5 / 2, bit


def test_neighbours_and_steps_are_uncorrelated(samples):
    u = (samples / 2**24 - 0.5) * 12**0.5
    for lag in (1, 2, 3, 8, 64, 256):
        assert abs((u[:, lag:] * u[:, :-lag]).mean()) < 4.5 / u[:, lag:].size ** 0.5, lag
    for ahead in (1, 2, 5):
        assert abs((u[ahead:] * u[:-ahead]).mean()) < 4.5 / u[ahead:].size ** 0.5, ahead


@ss.update()
def draw_normal(p, t, *, seed: int = 0):
    return {"p": ss.normal(p, t, seed=seed)}


def test_normal_numbers():
    x = {"w": np.zeros(2**18)}
    z = steps_of(ss.chain(ss.descend(0.0), draw_normal()), x, x)["w"]
    sums = np.round(z / 1.8688124e-05) + 262140
    assert sums[:4].tolist() == [317202, 242559, 148059, 214263]  # part C
    n = z.size
    assert abs(z.mean()) < 4 / n**0.5 and abs(z.var() - 1) < 4 * (2 / n) ** 0.5
    assert abs((z**4).mean() - 2.85) < 4 * (96 / n) ** 0.5 and abs(z).max() <= 4.9


def test_stochastic_rounding_is_unbiased():
    """2000 times +1e-4 on 1.0 in bfloat16: 1.2 on average, where rounding to nearest stays at 1.0."""
    ones, grads = {"w": np.ones(4096, ml_dtypes.bfloat16)}, {"w": np.full(4096, -1.0, np.float32)}
    found = steps_of(ss.chain(ss.descend(1e-4), ss.stochastic_rounding()), ones, grads, count=2000)["w"]
    assert abs(found.astype(float).mean() - 1.2003) < 1e-3
    assert (steps_of(ss.chain(ss.descend(1e-4)), ones, grads, count=20)["w"] == 1).all()


def test_kahan_keeps_what_rounding_loses():
    one, grad = {"w": np.ones(3, ml_dtypes.bfloat16)}, {"w": np.full(3, -1.0, np.float32)}
    assert steps_of(ss.chain(ss.kahan(1e-4)), one, grad, count=2000)["w"].tolist() == [1.203125] * 3


# -- misuse ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda u, t: ss.random_bits(u, t, seed=0, bits=25), "bits=25"),
        (lambda u, t: ss.random_bits(u, t, seed=0, bits=0), "bits=0"),
        (lambda u, t: ss.uniform(u, t, seed=1.5), "got 1.5"),
        (lambda u, t: ss.uniform(t, t, seed=1), "on an array such as u or p"),
        (lambda u, t: ss.rounded(t), "on an array such as u or p"),
        (lambda u, t: ss.rounded(u, u > 0), "a condition"),
        (lambda u, t: ss.rounded(u, 3), "what rounded adds belongs in a page"),
        (
            lambda u, t: ss.rounded(u, ss.random_bits(u, t, seed=0, bits=24)),
            r"takes one draw of 16 bits, .* got \(bits, draws\) \(24, 1\)",
        ),
        (lambda u, t: ss.normal(np.zeros(3), 1, seed=0), "on an array such as u or p"),
    ],
)
def test_what_no_page_can_mean_is_refused(make, says):
    @ss.gradient()
    def page(u, t):
        return {"u": make(u, t)}

    with pytest.raises(TraceError, match=says):
        ss.chain(page(), ss.descend(0.1)).chains[0].program((3,))

"""The CUDA source on the processor: bit for bit what NumPy and the definition give."""

import runpy
import shutil
import subprocess
import sys
import threading
from pathlib import Path
from types import SimpleNamespace

import ml_dtypes
import numpy as np
import pytest

import samestep as ss
from samestep import backend as backends
from samestep.errors import BackendError
from samestep.pinned import LANES, TILE
from samestep.trace.graph import Kind, Program, Rank
from samestep.trace.namespace import Tracer
from samestep.trace.ops import ELEMENTWISE, ULP
from samestep_conformance import checks
from samestep_cupy import cache, shim
from samestep_cupy.compiled import CHUNK

TESTS = Path(__file__).parents[1]
exact, ops, drawn, sums = (
    SimpleNamespace(**runpy.run_path(str(TESTS / f"test_{name}.py")))
    for name in ("exact", "ops", "random_programs", "pinned")
)
loop, harness = ops.loop, ops.harness

FLOATS = (np.float32, np.float64)
NAME = "cuda-shim"
BOTH = ((NAME, False), (NAME, True))
EDGES = [CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK + 5, TILE - 1, TILE, TILE + 1, TILE + LANES + 1, 2 * TILE + 77]


def on_arrays(result):
    """A program of one operation: p becomes `result(p, grad)`."""
    tracer = Tracer((3,))
    p, g = (tracer.source("input", name, Kind(Rank.ARRAY, full=True)) for name in ("p", "grad"))
    return Program({"p": result(p, g).node}, (), (), ())


# -- operations --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", FLOATS)
def test_elementwise(dtype):
    program, owner = ops.elementwise(ELEMENTWISE)
    leaves, numbers = ops.leaves_of(dtype)
    leaves = ops.with_outputs(leaves, program)
    found = harness.run(NAME, program, leaves, slots=numbers)
    for k, (a, b) in enumerate(zip(found, loop.run(program, leaves, slots=numbers), strict=True)):
        for name in program.slots:
            if owner[name] in ops.LOOSE:
                excepted = name == "pow an" and ops.root_of_numpy(leaves[k]["p"], numbers[k]["n"])
                apart = np.where(excepted, 0, harness.ulps(a[name], b[name]))
                assert apart.max() <= ULP, f"{name}, leaf {k}: {apart.max()} units at {apart.argmax()}"
            else:
                harness.same_bits(a[name], b[name], f"{name}, leaf {k}")


@pytest.mark.parametrize("dtype", FLOATS)
def test_remainder_and_floor_divide_densely(dtype):
    """They are not one instruction anywhere, and NumPy's own recipe."""
    rng = np.random.default_rng(0)
    x = np.concatenate([rng.normal(size=20000) * 50, np.round(rng.normal(size=20000) * 20)]).astype(dtype)
    y = np.concatenate([rng.normal(size=20000), np.round(rng.normal(size=20000) * 3)]).astype(dtype)
    for name in ("remainder", "floor_divide"):
        found = harness.run(NAME, on_arrays(lambda p, g, name=name: p.tracer.apply(name, p, g)), [{"p": x, "grad": y}])
        with np.errstate(all="ignore"):
            harness.same_bits(found[0]["p"], getattr(np, name)(x, y), name)


@pytest.mark.parametrize("dtype", FLOATS)
def test_constants(dtype):
    values = [np.pi, 1e-45, 5e-324, 1e300, -0.0, np.inf, -np.inf, np.nan, float(np.finfo(dtype).max)]
    tracer = Tracer((3,))
    p = tracer.source("input", "p", Kind(Rank.ARRAY, full=True))
    outputs = {f"s{i}": tracer.apply("full_like", p, value).node for i, value in enumerate(values)}
    leaf = {name: np.zeros(3, dtype) for name in ("p", "grad", *outputs)}
    found = harness.run(NAME, Program({"p": p.node, **outputs}, tuple(outputs), (), ()), [leaf])[0]
    with np.errstate(over="ignore", under="ignore"):
        for name, value in zip(outputs, values, strict=True):
            harness.same_bits(found[name], np.full(3, value, dtype), str(value))


# -- half precision ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("half", [np.float16, ml_dtypes.bfloat16])
def test_every_half_is_read_exactly(half):
    x = np.arange(65536).astype(np.uint16).view(half)
    p = np.zeros(65536, np.float32)
    with np.errstate(invalid="ignore"):  # signalling NaN among them
        found = harness.run(NAME, on_arrays(lambda p, g: g), [{"p": p, "grad": x}])
        harness.same_bits(found[0]["p"], x.astype(np.float32))


@pytest.mark.parametrize("half", [np.float16, ml_dtypes.bfloat16])
def test_halves_are_rounded_to_the_nearest_even(half):
    bits = np.random.default_rng(1).integers(0, 2**32, 300_000, dtype=np.uint32).view(np.float32)
    with np.errstate(all="ignore"):
        every = np.arange(65536).astype(np.uint16).view(half).astype(np.float32)
        ties = (every[:-1] + (every[1:] - every[:-1]) / 2).astype(np.float32)
        near = [np.nextafter(ties, np.float32(end)) for end in (-np.inf, np.inf)]
        scaled = np.random.default_rng(2).normal(size=100_000).astype(np.float32) * np.float32(2.0**-14)
        g = np.concatenate([bits, every, ties, *near, scaled])
        wanted = g.astype(half)
    found = harness.run(NAME, on_arrays(lambda p, g: g), [{"p": np.zeros(g.size, half), "grad": g}])[0]["p"]
    assert found.dtype == half
    nan = np.isnan(g)
    assert np.array_equal(found.view(np.uint16)[~nan], wanted.view(np.uint16)[~nan]) and np.isnan(found[nan]).all()


# -- sums --------------------------------------------------------------------------------------------------------------


def hold(arrays):
    wanted = loop.run(sums.reducing(), sums.leaves(arrays))
    harness.compare(harness.run(NAME, sums.reducing(), sums.leaves(arrays)), wanted)


@pytest.mark.parametrize("dtype", FLOATS)
def test_sums_around_lanes_and_tiles(dtype):
    hold([harness.decades(dtype, size, size) for size in (*sums.SIZES, *sums.LARGE)])


@pytest.mark.parametrize("dtype", FLOATS)
def test_sums_of_special_values(dtype):
    rows = [[-0.0], [0.0, -0.0], [np.nan], [1, np.nan], [np.inf, -np.inf], [-np.inf, 1], [], [-1, -0.0], [-0.0] * 300]
    rows += [np.where(np.arange(TILE + 9) == place, v, -1.0) for place in (3, TILE + 8) for v in (np.nan, 5, -np.inf)]
    hold([np.array(row, dtype) for row in rows])


@pytest.fixture
def backwards(monkeypatch):
    """The threads of a block in the other order."""
    monkeypatch.setattr(shim, "SHIM", "#define SAMESTEP_REVERSED\n" + shim.SHIM)
    shim._module.cache_clear()
    yield
    shim._module.cache_clear()


RACE = """
enum { THREADS = 256 };
extern "C" void race(const void *, const void *, const void *, const void *, const void *, double *out) {
    __shared__ double x[THREADS];
    PHASE(j) x[j] = j;
    PHASE(j) if (j > 0) x[j] = x[j - 1];
    out[0] = x[2];
}
"""


def race():
    out = np.zeros(1)
    shim.Processor().launch(shim.Processor().load(RACE, ["race"])["race"], 1, [out] * 6)
    return out[0]


def test_no_thread_reads_what_another_writes_before_the_barrier(request):
    """Else the order of the threads would be seen."""
    assert race() == 0
    request.getfixturevalue("backwards")
    assert race() == 1
    hold([harness.decades(np.float32, size, size) for size in (7, 300, TILE + 300)])
    checks.same_bits(ss.lamb(), (NAME, True), steps=3)


# -- programs ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "dtype"), exact.BRIEF)
def test_same_bits(name, dtype):
    """Fresh and in place, step by step; infinities and NaN from the middle on."""
    optimizer, shapes = exact.Called(exact.OPTIMIZERS[name]), exact.LEAVES.get(name, exact.SMALL)
    checks.same_bits(optimizer, *BOTH, dtype=dtype, steps=10, bad_from=6, shapes=shapes)


@pytest.mark.parametrize("name", ["adamw", "lion_cautious", "lamb", "clip_adamw", "dog"])
def test_same_bits_over_chunks_and_tiles(name):
    shapes = {f"size {size}": (size,) for size in EDGES} | {"empty": (0,), "scalar": ()}
    for dtype in ("float16", "float32", "float64"):
        checks.same_bits(exact.PROGRAMS[name](ss), *BOTH, dtype=dtype, steps=2, shapes=shapes)


def test_a_thousand_steps():
    checks.same_bits(exact.PROGRAMS["clip_adamw"](ss), (NAME, True), steps=1000, shapes=exact.SMALL)


def test_a_step_changes_nothing_else():
    checks.pure(ss.adamw(cautious="mean"), NAME)
    checks.resumes(ss.lamb(), NAME)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("seed", list(drawn.SEEDS)[:6])
def test_random_programs(seed, dtype):
    steps = {"t": [1, 2, 2, 3, 1, 4, 5], "number": lambda name, clock: 0.1 / clock, "slots": {"n": 0.5}}
    program, data = drawn.Maker(seed).program(), drawn.leaves(dtype, seed)
    wanted = loop.run(program, data, **steps)
    for donate in (False, True):
        harness.compare(harness.run(NAME, program, data, donate=donate, **steps), wanted, f"donate={donate}")


# -- arrays as they come -----------------------------------------------------------------------------------------------


def arrays_of_all_kinds():
    rng = np.random.default_rng(5)
    x = rng.normal(size=(6, 40)).astype(np.float32)
    off = np.empty(4 * 30 + 1, np.uint8)[1:].view(np.float32)  # not aligned to its own size
    off[:] = rng.normal(size=30)
    return {
        "fortran": np.asfortranarray(x),
        "strided": x.copy()[::2, ::-3],
        "swapped": x.astype(">f4"),
        "odd": np.append(x.reshape(-1), x[0])[1:38],  # aligned to 4 bytes, not to 16
        "unaligned": off,
        "scalar": np.array(2.5, np.float32),
    }


@pytest.mark.parametrize("donate", [False, True])
def test_arrays_of_all_kinds(donate):
    optimizer = ss.chain(ss.clip_by_global_norm(1.0), ss.adamw(1e-2))
    found = {}
    for name in ("numpy", NAME):
        params = arrays_of_all_kinds()
        with ss.use_backend(name):
            state = optimizer.init(params)
            for t in range(3):
                grads = {k: (x * (t + 1)).astype(x.dtype) for k, x in arrays_of_all_kinds().items()}
                new, state = optimizer.step(params, grads, state, donate=donate)
                assert not donate or all(new[k] is params[k] for k in params)
                params = new
        found[name] = params, state
    checks.equal(checks.host(found[NAME]), checks.host(found["numpy"]), 3, "results")


def test_threads_do_not_share_a_block():
    """Shared memory is each thread's own."""
    x = [harness.decades(np.float32, 50_000, seed) for seed in range(4)]
    wanted = loop.run(sums.reducing(), sums.leaves(x))
    failed = []

    def work():
        try:
            for _ in range(10):
                harness.compare(harness.run(NAME, sums.reducing(), sums.leaves(x)), wanted)
        except AssertionError as error:
            failed.append(error)

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed


# -- its place among the backends --------------------------------------------------------------------------------------


def test_it_is_never_chosen_by_itself():
    params = {"x": np.ones(3, np.float32)}
    assert ss.explain(ss.adamw(), params).lines[0].backend != NAME
    assert min(backends.installed(), key=lambda backend: backend.rank).name == NAME
    with ss.use_backend(NAME):
        assert ss.explain(ss.adamw(), params).lines[0].backend == NAME


def test_without_a_compiler_it_says_so(monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    entry = next(entry for entry in ss.backends() if entry.name == NAME)
    assert not entry.installed and "g++ is not installed" in entry.reason
    with pytest.raises(BackendError, match=r"g\+\+ is not installed"), ss.use_backend(NAME):
        pass


def test_what_the_compiler_says_is_passed_on():
    with pytest.raises(BackendError, match="no_such_thing"):
        shim._compile("int f() { return no_such_thing; }")


# -- the cache ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def compilations(monkeypatch, tmp_path):
    """Counts compilations; each `module` is as in a new process."""
    monkeypatch.setenv("SAMESTEP_CACHE_DIR", str(tmp_path))
    made = []

    def compiled(text, original=shim._compile):
        made.append(text)
        return original(text)

    monkeypatch.setattr(shim, "_compile", compiled)
    return made


def answer(value="42"):
    shim._module.cache_clear()
    return shim._module(f'extern "C" int answer() {{ return {value}; }}').answer()


def test_a_kernel_is_compiled_once(compilations, tmp_path):
    assert [answer(), answer(), answer("43"), answer()] == [42, 42, 43, 42]
    assert len(compilations) == 2 and len(list(tmp_path.glob("shim-*.kernel"))) == 2


DAMAGES = [lambda data: data[:-100], lambda data: b"", lambda data: data[:99] + bytes([data[99] ^ 1]) + data[100:]]


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file_is_compiled_again(compilations, tmp_path, damage):
    answer()
    (file,) = tmp_path.iterdir()
    file.write_bytes(damage(file.read_bytes()))
    assert [answer(), answer()] == [42, 42] and len(compilations) == 2


def test_nowhere_to_keep_it_is_no_error(compilations, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("SAMESTEP_CACHE_DIR", str(tmp_path / "file" / "below"))
    assert answer() == answer() == 42 and len(compilations) == 2
    monkeypatch.delenv("SAMESTEP_CACHE_DIR")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("HOME", "not absolute")
    assert cache.directory() is None and answer() == 42


def test_the_directory_is_that_of_the_other_kernels():
    from samestep_numba.cache import directory

    assert cache.directory() == directory()


def test_it_imports_neither_cupy_nor_numba():
    script = "import sys, samestep_cupy.shim; sys.exit(bool({'numba', 'cupy'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0

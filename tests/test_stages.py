"""How a Program is cut into stages, what crosses between them, what they look like, and that in place is safe."""

import runpy
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from array_api_compat import array_namespace

import samestep as ss
from samestep.backend import Signature
from samestep.trace.python import ArrayPrinter
from samestep.trace.stages import Stages
from samestep_numba import compiled
from samestep_numba.printer import KernelPrinter

loop = SimpleNamespace(**runpy.run_path(str(Path(__file__).with_name("node_loop.py"))))
harness = SimpleNamespace(**runpy.run_path(str(Path(__file__).with_name("harness.py"))))


@ss.direction(m=ss.zeros, v=ss.zeros)
def normed(u, p, m, v, *, beta: ss.unit = 0.9):
    """LAMB-like: two norms of the leaf, their ratio."""
    xp = array_namespace(u)
    m = beta * m + (1 - beta) * u
    v = beta * v + (1 - beta) * u * u
    u = m / (xp.sqrt(v) + 1e-6)
    return {"u": u * xp.linalg.vector_norm(p) / xp.linalg.vector_norm(u), "m": m, "v": v}


CHAINS = {
    "adamw": (ss.adamw(1e-3, weight_decay=0.1), 1, "exact"),
    "lion": (ss.lion(1e-3, weight_decay=0.1), 1, "exact"),
    "lamb-like": (ss.chain(normed(), ss.descend(1e-3)), 2, "reduce"),
    "cautious adamw": (ss.adamw(1e-3, cautious="mean"), 2, "exact"),
    "clip": (ss.chain(ss.clip_by_global_norm(1.0), ss.sgd(0.1)), 2, "reduce"),
    "clip, cautious adamw": (ss.chain(ss.clip_by_global_norm(1.0), ss.adamw(1e-3, cautious="mean")), 3, "reduce"),
}
SIGNATURE = Signature("float32", "float32", "float32")


def program(name):
    return CHAINS[name][0].branches[0].chain.program((5,))


def computing(program):
    return [stage for stage in Stages(program).fused if not stage.empty]


@pytest.mark.parametrize("name", CHAINS)
def test_stages(name):
    """A total is known one level after the sums that it needs: that level has nothing to do for the arrays."""
    _, stages, exactness = CHAINS[name]
    assert len(computing(program(name))) == stages
    assert len(Stages(program(name)).fused) == stages + bool(program(name).totals)
    assert program(name).exactness == exactness
    line = ss.explain(CHAINS[name][0], np.zeros(5, np.float32)).lines[0]
    assert (line.stages, line.exactness) == (stages, exactness)


@pytest.mark.parametrize("name", CHAINS)
def test_only_the_last_stage_stores_and_only_numbers_cross(name):
    *early, last = Stages(program(name)).fused
    assert {n for n, _ in last.stores} == {n for n, node in program(name).outputs.items() if node.is_array}
    assert not last.sums
    for stage in early:
        assert not stage.stores and all(not n.is_array for n in stage.sums)
    for stage in [*early, last]:
        assert not stage.carried and not stage.keeps
        known = {*stage.inputs, *stage.hosts, *stage.leaves}
        for node in stage.body:
            assert all(a in known or a.op == "const" for a in node.args)
            known.add(node)
    source, signatures = KernelPrinter(program(name), SIGNATURE, columns(program(name))).source()
    functions = source.split("def stage")[1:]
    assert len(functions) == len(signatures) == len(computing(program(name)))
    assert ["addr[k" in f and "sums[r" not in f for f in functions] == [False] * (len(functions) - 1) + [True]


def columns(program):
    names = dict.fromkeys(["p", "grad", *program.arrays])
    names = [*names, *(f"new {n}" for n, node in program.outputs.items() if node.is_array)]
    return {n: i for i, n in enumerate(names)}


@pytest.mark.parametrize("name", CHAINS)
def test_straight_line_python_computes_every_array_once(name):
    stages = Stages(program(name)).carrying
    made = [node for stage in stages for node in stage.body]
    assert len(made) == len(set(made))
    kept = set()
    for stage in stages:
        assert set(stage.carried) <= kept
        kept |= set(stage.keeps)
    assert set(kept) == {node for stage in stages for node in stage.carried}  # nothing is kept in vain
    fused = [node for stage in computing(program(name)) for node in stage.body]
    assert set(made) == set(fused)
    if CHAINS[name][1] > 2:
        assert kept and len(fused) > len(made)  # a kernel computes again what the other carries over


# -- the generated sources, so that a change is seen -------------------------------------------------------------------

LION_PYTHON = """\
def stage(xp, pinned, shape, a, n):
    x0 = a['p']
    x1 = a['grad']
    x7 = a['m']
    x8 = n[3] * x7
    x11 = n[10] * x1
    x12 = x8 + x11
    x13 = xp.sign(x12)
    x14 = n[4] * x7
    x16 = n[15] * x1
    x17 = x14 + x16
    x19 = n[18] * x13
    x20 = x0 - x19
    return (), {'p': x20, 'm': x17}
"""

SHRINK_KERNEL = """\
def stage0(chunks, cuts, counts, addr, rows, host, leaf, sums, far):
    w0 = lanes(256)
    s = claim(counts, 0)
    while s < len(cuts) - 1:
        for r in range(cuts[s], cuts[s + 1]):
            k = chunks[r, 0]
            start = chunks[r, 1]
            n = chunks[r, 2]
            a1 = addr[k, 1] + start * 4
            top = 256
            while top > 1 and top >> 1 >= n:
                top = top >> 1
            for j in range(top):
                st_f64(w0, j, 0.0)
            independent()
            for q in range(0, n, 256):
                c = min(256, n - q)
                for j in range(c):
                    i = q + j
                    x1 = ld_f32(a1, i)
                    y0_1 = float64(x1)
                    y0 = y0_1 * y0_1
                    st_f64(w0, j, ld_f64(w0, j) + y0)
                independent_by(4)
            w = top >> 1
            while w > 0:
                for j in range(w):
                    st_f64(w0, j, ld_f64(w0, j) + ld_f64(w0, j + w))
                independent()
                w = w >> 1
            sums[r, 0] = ld_f64(w0, 0) + 0.0
        claim(counts, 1)
        s = claim(counts, 0)


def stage1(chunks, cuts, counts, addr, rows, host, leaf, sums, far):
    va2 = lanes(64)
    s = claim(counts, 0)
    while s < len(cuts) - 1:
        for r in range(cuts[s], cuts[s + 1]):
            k = chunks[r, 0]
            start = chunks[r, 1]
            n = chunks[r, 2]
            row = rows[k]
            a0 = addr[k, 0] + start * 4
            a1 = addr[k, 1] + start * 4
            a2 = addr[k, 2] + start * 4
            x6 = float32(host[row, 0])
            x4 = float32(leaf[k, 0])
            d = 0 if (a2 | n * 4) & 63 else far
            b = 128 if d else n
            for q in range(0, n, b):
                c = min(b, n - q)
                ba0 = a0 + q * 4
                ba1 = a1 + q * 4
                ba2 = va2 if d else a2 + q * 4
                for i in range(c):
                    x0 = ld_f32(ba0, i)
                    x1 = ld_f32(ba1, i)
                    x5 = x1 / x4
                    x7 = x6 * x5
                    x8 = x0 - x7
                    st_f32(ba2, i, x8)
                independent()
                if d:
                    stream_copy(a2 + q * 4, va2, c * 4)
        if far:
            fence()
        claim(counts, 1)
        s = claim(counts, 0)
"""


@ss.gradient()
def shrink(u):
    return {"u": u / array_namespace(u).linalg.vector_norm(u)}


def test_the_python_of_lion():
    program = ss.lion(1e-3).branches[0].chain.program((5,))
    assert [ArrayPrinter("float32").function(stage) for stage in Stages(program).carrying] == [LION_PYTHON]


def test_the_kernels_of_a_norm():
    program = ss.chain(shrink(), ss.descend(0.1)).branches[0].chain.program((5,))
    source, _ = KernelPrinter(program, SIGNATURE, columns(program)).source()
    assert source[source.index("def ") :] == SHRINK_KERNEL


def test_printing_is_repeatable():
    sources = []
    for _ in range(2):
        chain = ss.chain(ss.clip_by_global_norm(1.0), ss.adamw(1e-3, cautious="mean")).branches[0].chain
        sources.append(KernelPrinter(chain.program((5,)), SIGNATURE, columns(chain.program((5,)))).source())
    assert sources[0] == sources[1]


# -- in place ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("param", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("far", [False, True])
def test_in_place_gives_the_bits_of_a_fresh_step(param, far, monkeypatch):
    """Also where fresh results are written past the caches: whole tiles, cut tiles, and what is not aligned."""
    if far:
        monkeypatch.setattr(compiled, "FAR", 0)
    name = "clip, cautious adamw"
    rng = np.random.default_rng(0)
    compute = np.float32 if param == np.float16 else param
    dtypes = {"p": param, "grad": param, "m": compute, "v": compute}
    shapes = [(70000,), (65536,), (1, 127), (128,), (16,), (5,), (), (0,)]
    leaves = [{n: rng.random(shape).astype(dtype) for n, dtype in dtypes.items()} for shape in shapes]
    numbers = CHAINS[name][0].hyperparameters()
    kwargs = {"t": 3, "number": lambda name, clock: numbers[name]}
    fresh = harness.run("numba", program(name), leaves, **kwargs)
    harness.compare(harness.run("numba", program(name), leaves, donate=True, **kwargs), fresh, "donated")
    harness.compare(harness.run("numpy", program(name), leaves, **kwargs), fresh, "numpy")
    small = [leaf for leaf in leaves if leaf["p"].size < 1000]
    wanted = loop.run(program(name), small, **kwargs)
    harness.compare(harness.run("numba", program(name), small, **kwargs), wanted, "node loop")


@ss.update(a=ss.zeros, b=ss.ones)
def rotate(p, u, a, b):
    """Every output is another one's input."""
    return {"p": a, "a": b, "b": p}


def test_outputs_that_are_each_others_inputs():
    program = ss.chain(rotate()).branches[0].chain.program((5,))
    rng = np.random.default_rng(1)
    leaves = [{n: rng.random(size) for n in ("p", "grad", "a", "b")} for size in (5, 300, 66000)]
    for backend in harness.BACKENDS:
        for donate in (False, True):
            found = harness.run(backend, program, leaves, donate=donate)
            for leaf, result in zip(leaves, found, strict=True):
                for new, old in (("p", "a"), ("a", "b"), ("b", "p")):
                    harness.same_bits(result[new], leaf[old], f"{backend} {new}")

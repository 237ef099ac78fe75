"""The CUDA source: its table, its text, and that nothing in it depends on the day."""

import string

import pytest

import samestep as ss
from samestep import pinned
from samestep.backend import Signature
from samestep.trace.ops import FREE, OPS
from samestep_cupy import printer
from samestep_cupy.compiled import CompiledCuda
from samestep_cupy.printer import ABSENT, REDUCTIONS, ROUNDED, SPELLING
from samestep_cupy.shim import Processor, backend

FLOAT32 = Signature("float32", "float32", "float32")


def compiled(optimizer, signature=FLOAT32):
    program = optimizer.branches[0].chain.program((5,))
    return CompiledCuda(program, signature, [(5,)], Processor())


def test_every_operation_is_spelled_or_absent_with_its_reason():
    spelled = set(SPELLING) | set(REDUCTIONS)
    assert spelled | set(ABSENT) == set(OPS) and not spelled & set(ABSENT)
    assert set(ABSENT) == {*FREE, "numel", "fold"} and all(ABSENT.values())


@pytest.mark.parametrize("name", [name for name in SPELLING if name != "full_like"])
def test_spellings_use_every_argument(name):
    text = ROUNDED["bfloat16"].get(name, SPELLING[name])
    used = {field.partition("[")[0] for _, field, _, _ in string.Formatter().parse(text) if field is not None}
    shape = {"0"} if name == "random_bits" else set()
    assert used - {"T", "f", "max", "attr"} == {str(i) for i in range(OPS[name].arity)} - shape


def test_the_threads_are_the_lanes():
    assert printer.THREADS == pinned.LANES == 256
    assert f"THREADS = {printer.THREADS}, BY = {printer.BY} " in printer.PRELUDE


def test_what_has_no_kernel_is_refused():
    program = ss.muon().chains[0].program((4, 4))
    assert "the array library does itself" in backend.refuses(program, FLOAT32)
    program = ss.sgd().chains[0].program((4,))
    assert "int8" in backend.refuses(program, Signature("float32", "int8", "float32"))
    assert backend.refuses(program, FLOAT32) is None


# -- the text, so that a change is seen --------------------------------------------------------------------------------


@ss.gradient()
def shrink(u):
    from array_api_compat import array_namespace

    return {"u": u / array_namespace(u).linalg.vector_norm(u)}


KERNELS = """\
__device__ inline void element0(const float x1, double &y0) {
    y0 = (double)x1 * (double)x1;
}

extern "C" __global__ void __launch_bounds__(256) stage0(PARAMETERS) {
    const Word *chunk = chunks + 3 * (Word)blockIdx.x;
    const Word k = chunk[0], start = chunk[1];
    const int n = (int)chunk[2];
    addresses += 3 * k;
    const float *a1 = place<const float>(addresses[1], start);
    __shared__ double w0[THREADS];
    PHASE(j) {
        double l0 = 0.0;
    #pragma unroll 4
        for (int i = j; i < n; i += THREADS) {
            double y0;
            element0((float)value(a1[i]), y0);
            l0 = l0 + y0;
        }
        w0[j] = l0;
    }
    for (int half = THREADS / 2; half > 0; half /= 2) {
        PHASE(j) if (j < half) {
            w0[j] = w0[j] + w0[j + half];
        }
    }
    PHASE(j) if (j == 0) {
        sums[1 * (Word)blockIdx.x + 0] = w0[0] + 0.0;
    }
}

extern "C" __global__ void __launch_bounds__(256) join0(PARAMETERS) {
    const Word k = blockIdx.x;
    PHASE(j) {
        if (j == 0) {
            double l = 0.0;
    #pragma unroll 4
            for (Word r = chunks[k]; r < chunks[k + 1]; ++r) {
                const double y = host[1 * r + 0];
                l = l + y;
            }
            sums[1 * k + 0] = l;
        }
    }
}

__device__ inline void element1(const float x0, const float x1, const float x6, const float x4, float &y0) {
    const float x5 = x1 / x4;
    const float x7 = x6 * x5;
    const float x8 = x0 - x7;
    y0 = x8;
}

extern "C" __global__ void __launch_bounds__(256) stage1(PARAMETERS) {
    const Word *chunk = chunks + 3 * (Word)blockIdx.x;
    const Word k = chunk[0], start = chunk[1];
    const int n = (int)chunk[2];
    addresses += 3 * k;
    const float *a0 = place<const float>(addresses[0], start);
    const float *a1 = place<const float>(addresses[1], start);
    float *a2 = place<float>(addresses[2], start);
    host += 1 * rows[k];
    const float x6 = (float)host[0];
    leaf += 1 * k;
    const float x4 = (float)leaf[0];
    const int fours = aligned(a0) && aligned(a1) && aligned(a2) ? n / BY : 0;
    PHASE(j) {
        for (int q = j; q < fours; q += THREADS) {
            float x0[BY], x1[BY], y0[BY];
            load(x0, a0 + BY * q);
            load(x1, a1 + BY * q);
    #pragma unroll
            for (int e = 0; e < BY; ++e) {
                element1(x0[e], x1[e], x6, x4, y0[e]);
            }
            store(a2 + BY * q, y0);
        }
        for (int i = BY * fours + j; i < n; i += THREADS) {
            float y0;
            element1((float)value(a0[i]), (float)value(a1[i]), x6, x4, y0);
            put(a2[i], y0);
        }
    }
}
"""


def test_the_kernels_of_a_norm():
    made = compiled(ss.chain(shrink(), ss.descend(0.1)))
    assert made.kernels == ("stage0", "join0", "stage1")
    assert made.source == printer.PRELUDE + "\n" + KERNELS.replace("PARAMETERS", printer.PARAMETERS)


def test_printing_is_repeatable():
    def source():
        return compiled(ss.chain(ss.clip_by_global_norm(1.0), ss.adamw(1e-3, cautious="mean"))).source

    assert source() == source()


def test_constants_are_rounded_here():
    source = compiled(ss.chain(ss.scale_by_lion(), ss.descend(1e-3))).source
    assert "(float)1" in source and "0.1" not in source.split("element0")[1]  # no decimals for a compiler to round

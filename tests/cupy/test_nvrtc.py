"""NVIDIA's compiler takes every generated kernel, for three generations of GPUs, and makes of it what is meant."""

import re
import runpy
from pathlib import Path
from types import SimpleNamespace

import pytest

from samestep.backend import Signature
from samestep.trace.ops import ELEMENTWISE, EXACT, OPS
from samestep_conformance.arrays import SMALL
from samestep_conformance.programs import optimizers
from samestep_cupy import nvrtc
from samestep_cupy.compiled import CompiledCuda
from samestep_cupy.printer import PRELUDE
from samestep_cupy.shim import Processor, backend

HERE = Path(__file__).parent
exact = SimpleNamespace(**runpy.run_path(str(HERE.with_name("test_exact.py"))))
ops = SimpleNamespace(**runpy.run_path(str(HERE.with_name("test_ops.py"))))
random = SimpleNamespace(**runpy.run_path(str(HERE.with_name("test_random.py"))))
binding = SimpleNamespace(**runpy.run_path(str(HERE / "nvrtc.py"))).Nvrtc()

EVERY = exact.OPTIMIZERS | optimizers()
GPUS = ("75", "80", "90")
SIGNATURES = [Signature("float32", "float32", "float32"), Signature("float64", "float64", "float64")]
HALF = [Signature("float16", "float16", "float32"), Signature("bfloat16", "float32", "float32")]


def source(program, signature):
    return CompiledCuda(program, signature, [(5,)], Processor()).source


def sources(names, signatures, shapes=((5,),)):
    """The distinct sources of these optimizers: of all leaves that have a kernel."""
    found = {}
    for chain in (chain for name in names for chain in EVERY[name].chains if chain is not None):
        for program in dict.fromkeys(map(chain.program, shapes)):
            taken = [signature for signature in signatures if backend.refuses(program, signature) is None]
            found |= dict.fromkeys(source(program, signature) for signature in taken)
    return list(found)


def together(texts):
    """One source of many: a compilation has its price, however small the source."""
    kernels = [text.removeprefix(PRELUDE) for text in texts]
    renamed = [re.sub(r"\b(element|stage|join)(?=\d)", rf"p{i}_\1", text) for i, text in enumerate(kernels)]
    return "\n".join([PRELUDE, *renamed])


def ptx(text):
    return nvrtc._compile(text, "compute_75", binding).decode()


@pytest.mark.parametrize("gpu", GPUS)
def test_every_kernel_compiles(gpu, monkeypatch):
    """With less optimisation than in use: that is what takes the time, and it is not what could refuse a source.

    What is of no class that promises bits, or is printed for vectors alone, is dealt out among the three.
    """
    texts = sources(exact.OPTIMIZERS, SIGNATURES)
    assert len(texts) > 380
    rest = sorted(set(sources(EVERY, SIGNATURES, SMALL.values())) - set(texts))
    assert len(rest) > 120
    texts += rest[GPUS.index(gpu) :: len(GPUS)]
    pages = ops.elementwise(ELEMENTWISE)[0], random.DRAWS, random.ROUNDS
    texts += [source(page, signature) for signature in (*SIGNATURES, *HALF) for page in pages]
    monkeypatch.setattr(nvrtc, "OPTIONS", (*nvrtc.OPTIONS, "--Ofast-compile=max"))
    code = nvrtc._compile(together(texts), f"sm_{gpu}", binding)
    assert code[:4] == b"\x7fELF" and code.count(b".text.p0_stage") >= 1


@pytest.mark.parametrize("gpu", GPUS)
def test_kernels_compile_as_in_use(gpu, monkeypatch, tmp_path):
    monkeypatch.setenv("SAMESTEP_CACHE_DIR", str(tmp_path))
    for text in sources(["adamw", "lamb", "clip_adamw"], SIGNATURES[:1]) + sources(["adamw"], HALF):
        code = nvrtc.binary(text, gpu, binding)
        assert code[:4] == b"\x7fELF" and b".text.stage" in code
    kept = sorted(tmp_path.glob("cuda-*.kernel"))
    assert kept
    monkeypatch.setattr(nvrtc, "_compile", None)  # now they are on the disk
    assert nvrtc.binary(text, gpu, binding) == code


def test_a_gpu_that_nvrtc_does_not_know_gets_ptx(monkeypatch, tmp_path):
    monkeypatch.setenv("SAMESTEP_CACHE_DIR", str(tmp_path))
    newest = max(binding.getSupportedArchs())
    code = nvrtc.binary(sources(["sgd"], SIGNATURES[:1])[0], "990", binding)
    assert f".target sm_{newest}".encode() in code


def test_every_operation_is_rounded_by_itself():
    """No fused multiply-add, no flushed subnormals, no approximate quotients and roots in anything that is exact.

    And no atomics: sums have one order.
    """
    names = [name for name in ELEMENTWISE if OPS[name].exactness == EXACT and name not in ("remainder", "floor_divide")]
    texts = sources(["adamw", "lamb", "ftrl", "lion_cautious"], SIGNATURES)
    pages = ops.elementwise(names)[0], random.DRAWS, random.ROUNDS
    texts += [source(page, signature) for signature in (*SIGNATURES, *HALF) for page in pages]
    found = instructions(ptx(together(texts)))
    assert {"div.rn.f32", "div.rn.f64", "sqrt.rn.f32", "sqrt.rn.f64", "mul.rn.f32"} <= found
    assert not inexact(found) and not [name for name in found if name.startswith(("atom", "red."))]


def instructions(text):
    return set(re.findall(r"^\s+(?:@!?%p\d+ )?([a-z]+\.[a-z0-9.]+)\s", text, re.MULTILINE))


def inexact(found):
    return {name for name in found if {"fma", "ftz", "approx", "full"} & set(name.split("."))}


@pytest.mark.parametrize("option", ["--fmad=true", "--ftz=true", "--prec-div=false"])
def test_another_option_would_be_seen(option, monkeypatch):
    name = option.partition("=")[0]
    monkeypatch.setattr(nvrtc, "OPTIONS", (*(o for o in nvrtc.OPTIONS if not o.startswith(name)), option))
    assert inexact(instructions(ptx(sources(["adamw"], SIGNATURES[:1])[0])))


def test_accesses_are_of_16_bytes():
    def accesses(signature):
        text = ptx(sources(["adamw"], [signature])[0])
        return re.findall(r"\b(?:ld|st)\.(?:global\.)?(v\d\.[a-z]\d+)", text)

    assert accesses(SIGNATURES[0]) == ["v4.f32"] * 7
    assert accesses(SIGNATURES[1]) == ["v2.f64"] * 14
    assert {access[:2] for access in accesses(HALF[0])} == {"v4"}


def test_an_error_says_what_the_compiler_says():
    with pytest.raises(RuntimeError, match="undefined"):
        nvrtc._compile("__global__ void f() { undefined(); }", "sm_80", binding)

"""Generated source to GPU code, by NVIDIA's run-time compiler.

Not by `cupy.RawModule`: CuPy appends `-ftz=true` to whatever options it is given, and float32 subnormals would be lost.
"""

from __future__ import annotations

from typing import Any

from . import cache

# Every operation rounded by itself, to the nearest, and subnormals kept. All but the first two are NVRTC's defaults.
OPTIONS = ("--std=c++17", "--fmad=false", "--ftz=false", "--prec-div=true", "--prec-sqrt=true")


def binary(source: str, capability: str, nvrtc: Any) -> bytes:
    """Code for a compute capability ("80"), or PTX where NVRTC is older than the GPU.

    `nvrtc` is the binding: `cupy_backends.cuda.libs.nvrtc`, or anything like it.
    """
    known = nvrtc.getSupportedArchs()
    newest = max(known)
    target = f"sm_{capability}" if int(capability) in known else f"compute_{min(int(capability), newest)}"
    made_of = (source, OPTIONS, target, nvrtc.getVersion())
    return cache.kept("cuda", made_of, lambda: _compile(source, target, nvrtc))


def _compile(source: str, target: str, nvrtc: Any) -> bytes:
    program = nvrtc.createProgram(source, "samestep.cu", (), ())
    try:
        try:
            nvrtc.compileProgram(program, (*OPTIONS, f"--gpu-architecture={target}"))
        except Exception as error:
            raise RuntimeError(f"NVRTC cannot compile for {target}: {nvrtc.getProgramLog(program)}") from error
        code = nvrtc.getCUBIN(program) if target.startswith("sm_") else nvrtc.getPTX(program)
        return code if isinstance(code, bytes) else code.encode()
    finally:
        nvrtc.destroyProgram(program)

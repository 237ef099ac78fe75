"""Compiled kernels, cached on disk across processes, keyed by what they are made of.

`load` takes the text of a module and compiles its functions with `numba.njit`. Numba's own disk cache is not used: it
wants a writable directory beside a real source file (so no read-only, ready-filled cache), spreads a kernel over
three files that two processes can mix, and runs machine code that it has not checked. Here a source is one file that
holds all its machine code behind a checksum, is replaced atomically, and is only ever read, so that nothing that
happens to it can do more than cost a compilation.
"""

from __future__ import annotations

import functools
import hashlib
import linecache
import os
import pickle
import re
import sys
import threading
import types
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import llvmlite
import numba
from numba.core.caching import NullCache
from numba.core.compiler import CompileResult
from numba.core.registry import cpu_target
from numba.core.runtime import rtsys
from numba.core.serialize import dumps

from samestep.kernel_files import directory, replace
from samestep.trace import words as core_words

# The same options for every kernel: the default error model tests each divisor and so stops vectorisation, fastmath
# changes bits.
OPTIONS = {"error_model": "numpy", "fastmath": False, "boundscheck": False}
MAGIC = b"samestep kernel, format 1\n"
DIGEST = hashlib.sha256().digest_size

Signatures = Mapping[str, tuple[str, ...]]


class Stats(NamedTuple):
    """How often `load` made a module, by how it got it. A source loaded before in this process counts nowhere."""

    compiled: int = 0
    from_disk: int = 0
    discarded: int = 0  # files found damaged or not loadable; each of these is also a compilation


_loaded: dict[tuple, dict[str, Callable]] = {}
_stats = Stats()
_lock = threading.RLock()


def load(
    name: str, source: str, signatures: Mapping[str, str | Sequence[str]], *, nogil: bool = True
) -> dict[str, Callable]:
    """Compile functions of the module text `source`, or take them from this process or the disk.

    `signatures` maps function names to one Numba signature or several, in the order of compilation. A function
    without any, `()`, is a helper: it is compiled into those that call it, has to come before them, and is not
    returned. A source may import from NumPy, Numba and this package, whose versions are part of its key. `name` only
    makes file names and tracebacks readable. `nogil=False` is for passes of a few microseconds over Python's memory.
    """
    wanted = {f: (s,) if isinstance(s, str) else tuple(s) for f, s in signatures.items()}
    asked = name, source, tuple(wanted.items()), nogil
    kernels = _loaded.get(asked)
    if kernels is None:
        with _lock:  # one compilation per source, however many threads ask for it
            kernels = _loaded.get(asked)
            if kernels is None:
                kernels = _loaded[asked] = _load(name, _key(asked), source, wanted, nogil)
    return dict(kernels)


def stats() -> Stats:
    """Counts since the process began; subtract two to see what happened between."""
    return _stats


def _key(asked: tuple) -> str:
    """A name for what `load` was asked, with these tools on this machine."""
    machine = cpu_target.target_context.codegen().magic_tuple()  # triple, CPU, features: a home directory may be shared
    python = sys.implementation.cache_tag, getattr(sys, "abiflags", "")
    tools = python, numba.__version__, llvmlite.__version__, machine, _package()
    return hashlib.sha256(repr((asked, OPTIONS, tools)).encode()).hexdigest()


@functools.cache
def _package() -> str:
    """A digest of the files beside this one: what a source imports from them is compiled into its kernels, and what
    they have from the core.
    """
    files = [*sorted(Path(__file__).parent.glob("*.py")), Path(core_words.__file__)]
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()


def _load(name: str, key: str, source: str, signatures: Signatures, nogil: bool) -> dict[str, Callable]:
    global _stats
    folder = directory()
    path = folder and folder / f"{re.sub(r'[^A-Za-z0-9_.-]+', '-', name)[:60]}-{key[:32]}.kernel"
    stored, damaged = _read(path, key) if path else (None, False)
    if stored is not None:
        try:
            kernels, _ = _build(name, key, source, signatures, nogil, stored)
        except Exception:  # whole, yet not loadable here: nothing in a cache is worth an error
            damaged = True
        else:
            _stats = _stats._replace(from_disk=_stats.from_disk + 1)
            return kernels
    kernels, made = _build(name, key, source, signatures, nogil, None)
    _stats = _stats._replace(compiled=_stats.compiled + 1, discarded=_stats.discarded + damaged)
    if path and made is not None:
        body = pickle.dumps(made, protocol=pickle.HIGHEST_PROTOCOL)
        replace(path, MAGIC + _checksum(key, body) + body)
    return kernels


def _build(
    name: str, key: str, source: str, signatures: Signatures, nogil: bool, stored: dict | None
) -> tuple[dict[str, Callable], dict | None]:
    """The kernels, and what to store of them (None if Numba cannot store one). With `stored`, nothing is compiled."""
    if numba.config.DISABLE_JIT:
        raise RuntimeError("NUMBA_DISABLE_JIT is set, so Numba compiles no kernels")
    module = types.ModuleType(f"samestep_kernel_{key[:32]}")
    module.__file__ = f"<samestep kernel {name} {key[:12]}>"
    # Errors and debuggers show the source although no file holds it; no mtime: linecache never drops it.
    linecache.cache[module.__file__] = len(source), None, source.splitlines(True), module.__file__
    sys.modules[module.__name__] = module  # before the text runs: the stored code names its module by this name
    made: dict | None = {}
    try:
        exec(compile(source, module.__file__, "exec"), module.__dict__)
        kernels = {}
        for function, wanted in signatures.items():
            kernel = numba.njit(getattr(module, function), nogil=nogil, **OPTIONS)
            setattr(module, function, kernel)  # so that later functions call the compiled one
            if not wanted:
                continue
            overloads = kernel._cache = _Overloads(function, stored)
            for signature in wanted:
                kernel.compile(signature)
            kernel.disable_compile()  # an argument of another type is an error, not a silent compilation
            made = None if made is None or overloads.refused else made | overloads.made
            kernels[function] = kernel
    except BaseException:
        del sys.modules[module.__name__]
        raise
    return kernels, made


class _Overloads(NullCache):
    """The store that Numba's dispatcher asks before it compiles a signature and tells when it has."""

    def __init__(self, function: str, stored: dict | None) -> None:
        self.function, self.stored = function, stored
        self.made: dict[tuple[str, str], bytes] = {}
        self.refused = False

    def load_overload(self, sig: Any, target_context: Any) -> CompileResult | None:
        if self.stored is None:
            return None
        # All that machine code needs of Numba. Its own cache refreshes the whole context here, which imports
        # scipy.linalg and takes longer than everything else; the first real compilation still does.
        rtsys.initialize(target_context)
        payload = self.stored[self.function, str(sig)]
        return CompileResult._rebuild(target_context, *pickle.loads(payload))

    def save_overload(self, sig: Any, cres: CompileResult) -> None:
        try:
            if cres.library.has_dynamic_globals:  # addresses of this process are in the code
                self.refused = True
            else:
                self.made[self.function, str(sig)] = dumps(cres._reduce())
        except Exception:  # what cannot be stored runs all the same
            self.refused = True


def _checksum(key: str, body: bytes) -> bytes:
    return hashlib.sha256(key.encode() + body).digest()  # with the key: another kernel's file, renamed, is no hit


def _read(path: Path, key: str) -> tuple[dict | None, bool]:
    """What a file holds, if it is whole, and whether there is one that is not."""
    try:
        data = path.read_bytes()
    except OSError:
        return None, False
    start = len(MAGIC) + DIGEST
    if not data.startswith(MAGIC) or data[len(MAGIC) : start] != _checksum(key, data[start:]):
        return None, True
    return pickle.loads(data[start:]), False


if hasattr(os, "register_at_fork"):
    # A fork waits until no other thread compiles: Numba and LLVM hold locks of their own then, which nobody would
    # release in the child.
    os.register_at_fork(before=_lock.acquire, after_in_parent=_lock.release, after_in_child=_lock.release)

"""As much of CuPy as the backend uses, on the processor: arrays of a type of its own, and kernels through the shim.

It shows that the host's part of the backend is right as far as the documentation of CuPy is followed here; what only a
GPU can show is marked `gpu`.
"""

import sys
import types
from typing import ClassVar

import numpy as np

from samestep_cupy import shim


class Pointer:
    """A MemoryPointer."""

    def __init__(self, ptr, device_id):
        self.ptr, self.device_id = ptr, device_id


class Array:
    """An array on GPU 0, unless a test says otherwise; no NumPy array, so that nothing takes it for one."""

    gpu = 0

    def __init__(self, host):
        self.host = np.asarray(host)

    @property
    def data(self):
        return Pointer(self.host.ctypes.data, self.gpu)

    @property
    def device(self):
        return Device(self.gpu)

    def __getattr__(self, name):  # shape, dtype, flags, ...
        return getattr(self.host, name)

    def __getitem__(self, key):
        return Array(self.host[key])

    def __setitem__(self, key, value):
        self.host[key] = value.host

    def __float__(self):
        return float(self.host)

    def __array_namespace__(self, api_version=None):
        return Namespace()


Array.__module__ = "cupy"


class Namespace:
    """NumPy's functions on these arrays."""

    def __getattr__(self, name):
        value = getattr(np, name)
        if not callable(value) or isinstance(value, type):
            return value

        def function(*arguments, device=None, **options):
            return Array(value(*(x.host if isinstance(x, Array) else x for x in arguments), **options))

        return function


class Device:
    """The current device; `entered` are those that were made current."""

    compute_capability = "90"
    entered: ClassVar[list] = []

    def __init__(self, number=0):
        self.id = number

    def __enter__(self):
        self.entered.append(self.id)

    def __exit__(self, *error):
        pass


class Stream:
    """A stream of another library; `entered` are those that were made current."""

    entered: ClassVar[list] = []

    def __init__(self, pointer, device):
        self.known_as = pointer, device

    def __enter__(self):
        self.entered.append(self.known_as)

    def __exit__(self, *error):
        pass


class Module:
    """`load` takes what the fake NVRTC makes, which is the source."""

    launched: ClassVar[list] = []

    def load(self, code):
        assert isinstance(code, bytes)
        self.source = code.decode()

    def get_function(self, name):
        kernel = shim.Processor().load(self.source, [name])[name]

        def launch(grid, block, arguments):
            assert len(grid) == 1 and grid[0] > 0 and block == (256,) and len(arguments) == 6
            assert all(type(x) is Array and x.flags.c_contiguous for x in arguments)
            self.launched.append(name)
            shim.Processor().launch(kernel, grid[0], [x.host for x in arguments])

        return launch


class Nvrtc:
    """Notes the options of every compilation."""

    def __init__(self):
        self.options = []

    def getVersion(self):
        return 13, 0

    def getSupportedArchs(self):
        return [75, 80, 90]

    def createProgram(self, source, name, headers, include_names):
        return source

    def compileProgram(self, program, options):
        self.options.append(options)

    def getCUBIN(self, program):
        return program.encode()

    def destroyProgram(self, program):
        pass


def modules():
    """What to put into `sys.modules`."""
    cupy = types.ModuleType("cupy")
    cupy.__spec__ = types.SimpleNamespace()
    cupy.ndarray = type("ndarray", (), {})  # else array_api_compat wants all of CuPy
    cupy.float64 = np.float64
    cupy.asarray = lambda x: Array(np.array(x))
    cupy.empty = lambda shape, dtype: Array(np.full(shape, 7, dtype))
    cupy.ascontiguousarray = lambda x: Array(np.array(x.host, order="C"))
    cupy.asnumpy = lambda x: x.host.copy()
    cupy.cuda = types.SimpleNamespace(
        Device=Device,
        ExternalStream=Stream,
        function=types.SimpleNamespace(Module=Module),
        is_available=lambda: True,
        runtime=types.SimpleNamespace(is_hip=False),
    )
    libs = types.ModuleType("cupy_backends.cuda.libs")
    libs.nvrtc = Nvrtc()
    parents = {name: types.ModuleType(name) for name in ("cupy_backends", "cupy_backends.cuda")}
    return {"cupy": cupy, **parents, "cupy_backends.cuda.libs": libs}


def forget(monkeypatch):
    """The backend's own module is imported anew."""
    monkeypatch.delitem(sys.modules, "samestep_cupy.device", raising=False)

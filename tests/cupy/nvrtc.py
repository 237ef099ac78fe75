"""NVRTC out of its wheel, with the functions that CuPy's binding has."""

import ctypes
from importlib.metadata import distribution


class Nvrtc:
    """As `cupy_backends.cuda.libs.nvrtc`."""

    def __init__(self):
        files = distribution("nvidia-cuda-nvrtc").files
        path = next(file for file in files if file.name.startswith("libnvrtc.so"))
        self.library = ctypes.CDLL(str(path.locate()))

    def _call(self, name, *arguments):
        code = getattr(self.library, name)(*arguments)
        if code:
            raise RuntimeError(f"{name}: {code}")

    def getVersion(self):
        major, minor = ctypes.c_int(), ctypes.c_int()
        self._call("nvrtcVersion", ctypes.byref(major), ctypes.byref(minor))
        return major.value, minor.value

    def getSupportedArchs(self):
        count = ctypes.c_int()
        self._call("nvrtcGetNumSupportedArchs", ctypes.byref(count))
        found = (ctypes.c_int * count.value)()
        self._call("nvrtcGetSupportedArchs", found)
        return list(found)

    def createProgram(self, source, name, headers, include_names):
        assert not headers and not include_names
        program = ctypes.c_void_p()
        self._call("nvrtcCreateProgram", ctypes.byref(program), source.encode(), name.encode(), 0, None, None)
        return program

    def compileProgram(self, program, options):
        texts = (ctypes.c_char_p * len(options))(*(option.encode() for option in options))
        self._call("nvrtcCompileProgram", program, len(options), texts)

    def destroyProgram(self, program):
        self._call("nvrtcDestroyProgram", ctypes.byref(program))

    def _text(self, program, what):
        size = ctypes.c_size_t()
        self._call(f"nvrtcGet{what}Size", program, ctypes.byref(size))
        found = ctypes.create_string_buffer(size.value)
        self._call(f"nvrtcGet{what}", program, found)
        return found.raw

    def getCUBIN(self, program):
        return self._text(program, "CUBIN")

    def getPTX(self, program):
        return self._text(program, "PTX").rstrip(b"\0").decode()

    def getProgramLog(self, program):
        return self._text(program, "ProgramLog").rstrip(b"\0").decode()

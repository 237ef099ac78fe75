"""Names of dtypes, and the dtype that arithmetic and slots have."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

COMPUTE = {  # of a parameter: of its arithmetic and its slots
    "float16": "float32",
    "bfloat16": "float32",
    "float32": "float32",
    "float64": "float64",
    "complex64": "float32",
    "complex128": "float64",
}
EPSILON = {"float16": 2.0**-10, "bfloat16": 2.0**-7, "float32": 2.0**-23, "float64": 2.0**-52}
COMPLEX = {"complex64": "float32", "complex128": "float64"}  # stepped as pairs of reals


def name(array: Any) -> str:
    """The dtype's name in the standard, whatever the library."""
    return dtype_name(array.dtype)


@lru_cache(typed=True)
def dtype_name(dtype: Any) -> str:
    """The dtype's name in the standard: `float32` for `torch.float32` and numpy's alike."""
    text = getattr(dtype, "name", None) or str(dtype)
    return text.rsplit(".", 1)[-1]

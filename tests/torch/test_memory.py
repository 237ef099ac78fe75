"""What kernels are told of tensors: by torch's guard and by asking, and the same from both."""

import subprocess
import sys

import numpy as np
import pytest
import torch

from samestep_numba.memory import Expected
from samestep_torch import memory
from samestep_torch.memory import TorchMemory


@pytest.fixture(params=["guard", "asking"])
def path(request, monkeypatch):
    if request.param == "asking":
        monkeypatch.setattr(memory, "_tested", [False])
    else:
        assert memory._trusted()


def expected(*tensors, name="p"):
    return [Expected(name, tuple(t.shape), str(t.dtype).removeprefix("torch.")) for t in tensors]


def ask(layout, leaves):
    out = np.zeros(len(leaves), np.int64)
    return layout.gather(leaves, out), out.tolist()


def test_addresses(path):
    shapes = [(), (0,), (1,), (7,), (2, 3), (2, 1, 4)]
    dtypes = [torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.complex64]
    leaves = [torch.zeros(shape, dtype=dtype) for shape in shapes for dtype in dtypes]
    layout = TorchMemory().layout(expected(*leaves))
    for _ in range(3):
        assert ask(layout, leaves) == (-1, [t.data_ptr() for t in leaves])
        leaves = [t.clone() for t in leaves]
    table = np.zeros((len(leaves), 3), np.int64)
    assert layout.gather(leaves, table[:, 1]) == -1 and not table[:, [0, 2]].any()
    assert ask(TorchMemory().layout([]), []) == (-1, [])


def misaligned():
    return torch.frombuffer(bytearray(29), dtype=torch.float32, count=6, offset=1).reshape(2, 3)


def freed():
    found = torch.zeros(2, 3)
    found.untyped_storage().resize_(0)
    return found


HOSTILE = {
    "None": lambda: None,
    "number": lambda: 1.0,
    "array": lambda: np.zeros((2, 3), np.float32),
    "dtype": lambda: torch.zeros(2, 3, dtype=torch.float64),
    "int": lambda: torch.zeros(2, 3, dtype=torch.int32),
    "shape": lambda: torch.zeros(3, 2),
    "fewer": lambda: torch.zeros(6),
    "more": lambda: torch.zeros(2, 3, 1),
    "transposed": lambda: torch.zeros(3, 2).T,
    "gaps": lambda: torch.zeros(2, 6)[:, ::2],
    "expanded": lambda: torch.zeros(3).expand(2, 3),
    "negated": lambda: torch._neg_view(torch.zeros(2, 3)),
    "meta": lambda: torch.zeros(2, 3, device="meta"),
    "sparse": lambda: torch.zeros(2, 3).to_sparse(),
    "subclass": lambda: torch.zeros(2, 3).as_subclass(type("Own", (torch.Tensor,), {})),
    "history": lambda: torch.zeros(2, 3, requires_grad=True) * 2,
    "misaligned": misaligned,
    "freed": freed,
}


@pytest.mark.parametrize("warm", [False, True])
@pytest.mark.parametrize("kind", HOSTILE)
@pytest.mark.parametrize("at", [0, 2])
def test_the_first_unfit_leaf_is_named(path, kind, at, warm):
    leaves = [torch.zeros(2, 3) for _ in range(3)]
    layout = TorchMemory().layout(expected(*leaves))
    for _ in range(2 * warm):
        assert ask(layout, leaves)[0] == -1
    leaves[at] = HOSTILE[kind]()
    for _ in range(2):
        assert ask(layout, leaves)[0] == at
    leaves[at] = torch.ones(2, 3)
    assert ask(layout, leaves)[0] == -1


def test_conjugated(path):
    plain, pending = torch.zeros(3, dtype=torch.complex64), torch.zeros(3, dtype=torch.complex64).conj()
    layout = TorchMemory().layout(expected(plain))
    assert [ask(layout, [x])[0] for x in (plain, pending, plain)] == [-1, 0, -1]


def test_who_may_require_grad(path):
    """Params that are leaves; gradients and slots never."""
    plain, leaf = torch.zeros(3), torch.nn.Parameter(torch.zeros(3))
    layout = TorchMemory().layout(expected(plain))
    assert [ask(layout, [x])[0] for x in (plain, leaf, leaf * 2, plain.clone().requires_grad_())] == [-1, -1, 0, -1]
    for name in ("grad", "m"):
        layout = TorchMemory().layout(expected(plain, name=name))
        assert [ask(layout, [x])[0] for x in (plain, leaf, leaf * 2, plain)] == [-1, 0, 0, -1]


def test_inside_torch_func(path):
    seen = []
    layout = TorchMemory().layout(expected(torch.zeros(3)))
    assert ask(layout, [torch.zeros(3)])[0] == -1
    torch.func.vmap(lambda x: seen.append((ask(layout, [x])[0], TorchMemory().accepts(x))) or x)(torch.zeros(2, 3))
    assert seen == [(0, False)]


def test_a_guard_keeps_nothing_alive(path):
    import weakref

    leaves = [torch.zeros(3), torch.zeros(2)]
    layout = TorchMemory().layout(expected(*leaves))
    ask(layout, leaves)
    watch = weakref.ref(leaves[0])
    del leaves
    assert watch() is None


def test_wrapped_arrays_share_memory():
    for dtype in ("float16", "float32", "float64", "bfloat16"):
        array = np.zeros(4, np.uint16 if dtype == "bfloat16" else dtype)
        (tensor,) = TorchMemory().wrap([array], dtype)
        assert str(tensor.dtype) == f"torch.{dtype}" and tensor.data_ptr() == array.ctypes.data


def test_nobody_imports_torch_before_its_first_tensor():
    code = """
import sys, numpy as np, samestep as ss
opt, p = ss.adamw(), {"w": np.ones(3)}
print(ss.explain(opt, p)); ss.backends()
opt.step(p, p, opt.init(p))
assert "torch" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=300)

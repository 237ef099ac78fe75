"""Torch's tensors of GPUs on the CUDA kernels: against a stand-in for CuPy, and the real thing where there is a GPU."""

import runpy
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

import samestep as ss
import samestep_cupy
from samestep import backend as backends
from samestep_conformance import checks
from samestep_torch.gpu import TorchGpuMemory

stand_in = SimpleNamespace(**runpy.run_path(str(Path(__file__).with_name("fake_cupy.py"))))
REASON = samestep_cupy.backend.missing() or (None if torch.cuda.is_available() else "torch was built without CUDA")
SHAPES = {"matrix": (24, 18), "bias": (7,), "scalar": (), "empty": (0, 3), "tile": (70_000,)}
OPTIMIZERS = {
    "adamw": ss.adamw(1e-2),
    "lamb": ss.lamb(1e-2),
    "clipped": ss.chain(ss.clip_by_global_norm(1.0), ss.lion(1e-2), ss.cautious()),
}


@pytest.fixture
def gpu(monkeypatch, tmp_path):
    """CPU tensors, taken for those of GPU 0; kernels run on the processor."""
    monkeypatch.setenv("SAMESTEP_CACHE_DIR", str(tmp_path))
    for name, module in stand_in.modules().items():
        monkeypatch.setitem(sys.modules, name, module)
    stand_in.forget(monkeypatch)
    stand_in.Stream.entered.clear()
    monkeypatch.setattr(TorchGpuMemory, "accepts", lambda self, array: True)
    monkeypatch.setattr(TorchGpuMemory, "home", lambda self, array: 0)
    monkeypatch.setattr(TorchGpuMemory, "stream", lambda self, home: 7)
    with ss.use_backend("cupy"):
        yield
    sys.modules.pop("samestep_cupy.device", None)


def same(optimizer, device, dtype, donate=False, steps=3):
    """Bit for bit what NumPy has; the tensors themselves when donated."""
    ours = {name: torch.tensor(x, device=device) for name, x in checks.params(dtype, SHAPES).items()}
    theirs = checks.params(dtype, SHAPES)
    grads = checks.gradients(dtype, SHAPES, bad_from=steps)
    state, expected = optimizer.init(ours), optimizer.init(theirs)
    for t in range(1, steps + 1):
        given = {name: torch.tensor(g, device=device) for name, g in grads(t).items()}
        new, state = optimizer.step(ours, given, state, donate=donate)
        assert not donate or all(new[name] is ours[name] for name in new)
        with ss.use_backend("numpy"):
            theirs, expected = optimizer.step(theirs, grads(t), expected)
        ours = new
        checks.equal({name: x.cpu().numpy() for name, x in ours.items()}, theirs, t, "params")


@pytest.mark.parametrize("donate", [False, True])
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_the_host_part(name, dtype, donate, gpu):
    same(OPTIMIZERS[name], "cpu", dtype, donate)
    assert set(stand_in.Stream.entered) == {(7, 0)}, "on torch's own stream"


def test_bfloat16_is_read_as_it_lies_there(gpu):
    optimizer, g = ss.adamw(1e-1), torch.linspace(-1, 1, 9, dtype=torch.bfloat16)
    p = torch.ones(9, dtype=torch.bfloat16)
    new, _ = optimizer.step(p, g, optimizer.init(p))
    with ss.use_backend("torch"):
        expected, _ = optimizer.step(p, g, optimizer.init(p))
    assert new.dtype is torch.bfloat16 and torch.equal(new, expected)


def test_autograd_is_told_of_a_write(gpu):
    optimizer, p = ss.adamw(1e-1), torch.ones(4, requires_grad=True)
    before = p._version
    new, _ = optimizer.step(p, torch.ones(4), optimizer.init(p), donate=True)
    assert new is p and p._version > before


def test_strided_tensors_keep_their_memory(gpu):
    optimizer, base = ss.adamw(1e-1), torch.ones(4, 6)
    p = base[:, ::2]
    new, _ = optimizer.step(p, torch.ones(4, 3), optimizer.init(p), donate=True)
    assert new is p and torch.all(base[:, 1::2] == 1) and torch.all(p != 1)


def test_tensors_of_the_processor_are_not_taken():
    assert not backends.load("cupy").accepts(torch.ones(3))


@pytest.mark.gpu
@pytest.mark.skipif(REASON is not None, reason=f"needs a GPU: {REASON}")
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_same_bits(name, dtype):
    assert ss.explain(OPTIMIZERS[name], torch.ones(3, device="cuda")).lines[0].backend == "cupy"
    for donate in (False, True):
        same(OPTIMIZERS[name], "cuda", dtype, donate, steps=50)

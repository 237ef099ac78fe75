"""Kernels on disk: found again, never believed when damaged, never an error when there is no place for them."""

import os
import stat
import subprocess
import sys
import threading
import traceback
from pathlib import Path

import numpy as np
import pytest

from samestep.trace import words
from samestep_numba import cache

# Each test has its own source, since what this process has once loaded it does not look up again.
SOURCE = """
def half(x):
    return x * 0.5

def kernel(a, out):
    # {tag}
    for i in range(a.size):
        out[i] = half(a[i]) + 1 / a[i]
"""
SIGNATURES = {"half": (), "kernel": ["void(float32[::1], float32[:])", "void(float64[::1], float64[:])"]}

# The same, in a process of its own: prints what the kernel gives and what the cache counted.
PROCESS = f"""
import sys, numpy as np
from samestep_numba import cache
source = {SOURCE!r}.format(tag=sys.argv[1])
kernel = cache.load("kernel", source, {SIGNATURES!r})["kernel"]
out = np.zeros(2)
kernel(np.array([1.0, 4.0]), out)
print(out.tolist(), *cache.stats())
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("SAMESTEP_CACHE_DIR", str(tmp_path / "kernels"))
    return tmp_path / "kernels"


@pytest.fixture
def forget(monkeypatch):
    """As if this process had loaded nothing yet."""

    def forget():
        monkeypatch.setattr(cache, "_loaded", {})

    return forget


def load(tag):
    return cache.load("kernel", SOURCE.format(tag=tag), SIGNATURES)


def difference(before):
    return tuple(now - then for now, then in zip(cache.stats(), before, strict=True))


def start(tag, **environment):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), **environment}
    command = [sys.executable, "-W", "error", "-c", PROCESS, tag]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def outcome(process):
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    assert not err
    return out.strip()


def check(kernels):
    for dtype in (np.float32, np.float64):
        out = np.zeros(2, dtype)
        kernels["kernel"](np.array([1, 4], dtype), out)
        assert out.tolist() == [1.5, 2.25]


def test_compiles_once_and_comes_from_disk_then(folder, forget):
    before = cache.stats()
    kernels = load("once")
    check(kernels)
    assert difference(before) == (1, 0, 0)
    assert set(kernels) == {"kernel"}  # a helper is not one of them
    assert load("once")["kernel"] is kernels["kernel"]
    assert difference(before) == (1, 0, 0)
    forget()
    check(load("once"))
    assert difference(before) == (1, 1, 0)
    assert len(list(folder.iterdir())) == 1


def test_key_is_the_content(folder, forget):
    before = cache.stats()
    load("content a")
    load("content b")
    cache.load("kernel", SOURCE.format(tag="content a"), {"half": (), "kernel": SIGNATURES["kernel"][0]})
    cache.load("kernel", SOURCE.format(tag="content a"), SIGNATURES, nogil=False)
    assert difference(before) == (4, 0, 0)


def test_key_has_what_kernels_take_from_the_core(tmp_path, monkeypatch):
    before = cache._package.__wrapped__()
    changed = tmp_path / "words.py"
    changed.write_text(Path(words.__file__).read_text() + "\n")
    monkeypatch.setattr(words, "__file__", str(changed))
    assert cache._package.__wrapped__() != before


def test_options_of_every_kernel(folder):
    options = load("options")["kernel"].targetoptions
    assert options["nogil"] is True
    assert options["error_model"] == "numpy"
    assert options["fastmath"] is False
    assert options["boundscheck"] is False


def test_other_argument_types_are_refused_not_compiled(folder):
    with pytest.raises(TypeError, match="No matching definition"):
        load("refused")["kernel"](np.ones(2, np.int8), np.ones(2))


def test_a_caller_cannot_change_what_the_next_one_gets(folder):
    load("copy").clear()
    check(load("copy"))


def test_other_processes_find_it(folder):
    assert outcome(start("processes")) == "[1.5, 2.25] 1 0 0"
    assert outcome(start("processes")) == "[1.5, 2.25] 0 1 0"


def test_two_processes_at_once(folder):
    both = [start("at once"), start("at once")]
    assert all(outcome(process).startswith("[1.5, 2.25]") for process in both)
    assert outcome(start("at once")) == "[1.5, 2.25] 0 1 0"
    assert [path.suffix for path in folder.iterdir()] == [".kernel"]


def test_several_threads_compile_once(folder):
    before, results = cache.stats(), []
    barrier = threading.Barrier(4)

    def ask():
        barrier.wait()
        results.append(load("threads")["kernel"])

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert difference(before) == (1, 0, 0)
    assert len(results) == 4
    assert len(set(map(id, results))) == 1


def flip(data, at):
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


DAMAGE = {
    "empty": lambda data: b"",
    "truncated": lambda data: data[: len(data) // 2],
    "one byte short": lambda data: data[:-1],
    "one byte more": lambda data: data + b"\0",
    "garbage": lambda data: os.urandom(len(data)),
    "garbage after the magic": lambda data: cache.MAGIC + os.urandom(1000),
    "flipped in the magic": lambda data: flip(data, 3),
    "flipped in the checksum": lambda data: flip(data, len(cache.MAGIC) + 5),
    "flipped in the machine code": lambda data: flip(data, data.index(b"\x7fELF") + 1000),
    "flipped at the end": lambda data: flip(data, len(data) - 1),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_file_is_rebuilt(folder, forget, damage):
    load(damage)
    (file,) = folder.iterdir()
    whole = file.read_bytes()
    file.write_bytes(DAMAGE[damage](whole))
    before = cache.stats()
    forget()
    check(load(damage))
    assert difference(before) == (1, 0, 1)
    forget()
    check(load(damage))
    assert difference(before) == (1, 1, 1)


def test_every_byte_is_covered_by_the_checksum(folder):
    load("every byte")
    (file,) = folder.iterdir()
    whole = file.read_bytes()
    key = cache._key(
        ("kernel", SOURCE.format(tag="every byte"), tuple((f, tuple(s)) for f, s in SIGNATURES.items()), True)
    )
    assert cache._read(file, key)[0] is not None
    for at in range(0, len(whole), 97):
        file.write_bytes(flip(whole, at))
        assert cache._read(file, key) == (None, True)


def test_the_file_of_another_kernel_is_no_hit(folder, forget):
    load("mine")
    (mine,) = folder.iterdir()
    load("another")
    (another,) = set(folder.iterdir()) - {mine}
    os.replace(another, mine)
    before = cache.stats()
    forget()
    check(load("mine"))
    assert difference(before) == (1, 0, 1)


def test_whole_but_not_loadable_is_rebuilt(folder, forget, monkeypatch):
    load("not loadable")
    before = cache.stats()
    forget()

    def rebuild(*args):
        raise ValueError("of another Numba")

    with monkeypatch.context() as patch:
        patch.setattr(cache.CompileResult, "_rebuild", rebuild)
        check(load("not loadable"))
    assert difference(before) == (1, 0, 1)


@pytest.mark.parametrize("folder", ["/dev/null/kernels", "/proc/samestep", "/proc/self/nothing/here"])
def test_no_place_is_no_error(folder):
    assert outcome(start("no place", SAMESTEP_CACHE_DIR=folder)) == "[1.5, 2.25] 1 0 0"


def test_a_folder_that_cannot_be_written(folder, forget, monkeypatch):
    load("read-only")
    (file,) = folder.iterdir()

    def refuse(*args, **kwargs):
        raise PermissionError(13, "Permission denied")

    # Root may write everywhere, so the folder refuses by itself; for everybody else, by its mode too.
    monkeypatch.setattr(Path, "write_bytes", refuse)
    folder.chmod(stat.S_IRUSR | stat.S_IXUSR)
    try:
        before = cache.stats()
        forget()
        check(load("read-only"))  # what is there is used
        check(load("not there"))  # what is not is compiled
        assert difference(before) == (1, 1, 0)
        assert list(folder.iterdir()) == [file]
    finally:
        folder.chmod(stat.S_IRWXU)


def test_a_full_disk_leaves_nothing_behind(folder, monkeypatch):
    def refuse(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", refuse)
    check(load("full"))
    assert not list(folder.iterdir())


def test_directory(monkeypatch):
    monkeypatch.setenv("SAMESTEP_CACHE_DIR", "/a/b")
    assert cache.directory() == Path("/a/b")
    monkeypatch.setenv("SAMESTEP_CACHE_DIR", "")
    monkeypatch.setenv("XDG_CACHE_HOME", "/x")
    assert cache.directory() == Path("/x/samestep")
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    monkeypatch.setenv("HOME", "/home/me")
    assert cache.directory() == Path("/home/me/.cache/samestep")
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)
    assert cache.directory() is None


def test_no_home_is_no_error(monkeypatch):
    monkeypatch.setattr(cache, "directory", lambda: None)
    before = cache.stats()
    check(load("no home"))
    assert difference(before) == (1, 0, 0)


def test_errors_show_the_source(folder):
    source = 'def kernel(a):\n    return a + "x"  # this very line\n'
    with pytest.raises(Exception, match="No implementation") as caught:
        cache.load("broken", source, {"kernel": "float64(float64)"})
    assert "this very line" in str(caught.value)
    assert not any(name.startswith("samestep_kernel") and "broken" in str(m) for name, m in sys.modules.items())
    with pytest.raises(ZeroDivisionError) as caught:
        cache.load("at import", "x = 1\ny = x / 0  # this very line\n", {})
    assert "this very line" in "".join(traceback.format_exception(caught.value))
    assert not folder.exists()  # and nothing is stored


def test_without_a_compiler(folder, monkeypatch):
    monkeypatch.setattr(cache.numba.config, "DISABLE_JIT", True)
    with pytest.raises(RuntimeError, match="NUMBA_DISABLE_JIT"):
        load("disabled")


FORK = """
import os, threading, time, numpy as np, samestep as ss

def step(optimizer):
    params = np.ones(3)
    optimizer.step(params, params.copy(), optimizer.init(params))

step(ss.sgd(0.1))
others = (ss.adan(), ss.lamb(), ss.nadam(), ss.radam(), ss.adopt())
thread = threading.Thread(target=lambda: [step(optimizer) for optimizer in others])
thread.start()
time.sleep(0.3)  # somewhere among their compilations
pid = os.fork()
if pid == 0:
    step(ss.lion(0.1))
    os._exit(0)
thread.join()
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"""


def test_a_child_forked_while_another_thread_compiles_goes_on(folder):
    """Numba and LLVM hold locks while they compile; a child must not inherit them locked."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    command = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", "import sys\n" + FORK]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr


def test_a_numba_that_does_not_compile_is_passed_over():
    """Installed but disabled, or broken: NumPy steps, and backends() says why."""
    script = """
import numpy as np, samestep as ss
params = np.ones(3)
assert ss.explain(ss.adamw(), params).backend("") == "numpy"
ss.adamw().step(params, params, ss.adamw().init(params))
print(next(entry.reason for entry in ss.backends() if entry.name == "numba"))
"""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "NUMBA_DISABLE_JIT": "1"}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0 and "NUMBA_DISABLE_JIT is set" in done.stdout, done.stderr
    broken = "import sys; sys.modules['numba'] = None\n" + script
    environment.pop("NUMBA_DISABLE_JIT")
    done = subprocess.run([sys.executable, "-c", broken], env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0 and "numba" in done.stdout, done.stderr

"""The demo: it learns, it says what ran, it draws, and it fails when it should."""

import os
import subprocess
import sys
import textwrap
import types
from pathlib import Path

import numpy as np
import pytest

import samestep as ss
from samestep import cli, demo
from samestep.backend import Entry, load
from samestep.errors import SamestepError

NUMPY = demo.Runner("numpy", np, "for the test", automatic=False)
COMPILED_AND_EVALUATED = ["--backend", "numba", "--backend", "numpy"]


@pytest.fixture(scope="module")
def data():
    return demo.digits()


@pytest.fixture
def short(monkeypatch):
    """Models that learn enough in one epoch."""
    models = [demo.Model(m.name, m.sizes, m.optimizer, wanted=0.2) for m in demo.MODELS]
    monkeypatch.setattr(demo, "MODELS", tuple(models))


def train(model, data, runner=NUMPY):
    return demo.train(model, runner, data, 1, lambda: None)


class OtherLibrary(types.SimpleNamespace):
    """NumPy with another exp, as other libraries have."""

    __name__ = "other"

    def exp(self, x):
        return np.exp(x) * np.float32(1 + 1e-6)

    def __getattr__(self, name):
        return getattr(np, name)


def rows(text):
    """The cells of every line of every table."""
    return [[cell.strip() for cell in line.split("│")[1:-1]] for line in text.splitlines() if "│" in line]


def test_it_learns_to_the_same_bits_and_draws(tmp_path, capsys):
    file = tmp_path / "curves.png"
    assert cli.main(["demo", *COMPILED_AND_EVALUATED, "--plot", str(file)]) == 0
    shown = capsys.readouterr()
    runs = [row for row in rows(shown.out) if len(row) == 6 and row[0] == "numpy"]  # Numba takes torch's arrays too
    expected = [("numpy", "numba", "reference"), ("numpy", "numpy", "yes")]
    assert [(arrays, backend, same) for arrays, backend, _, _, _, same in runs] == 2 * expected
    losses, accuracies = [float(row[2]) for row in runs], [float(row[3]) for row in runs]
    assert losses[0] == losses[1] < 0.2 and losses[2] == losses[3] < 0.1
    assert accuracies[0] == accuracies[1] > 0.93 and accuracies[2] == accuracies[3] > 0.95
    assert all(row[4].endswith(" µs") for row in runs)
    assert all(str(model) in shown.out for model in demo.MODELS)
    assert ["numba", "numpy", "first choice for numpy.ndarray"] in rows(shown.out)
    assert ["numpy", "numpy", "asked for by use_backend('numpy')"] in rows(shown.out)
    assert "two-layer network, numpy" in shown.err and f"{demo.EPOCHS}/{demo.EPOCHS}" in shown.err
    assert file.read_bytes().startswith(b"\x89PNG") and str(file) in shown.out


def test_numpy_alone_is_enough():
    """No other library, no compiler: it learns, and says what is not there and what to install."""
    script = """
        import sys
        from importlib.machinery import PathFinder

        absent = ["numba", "torch", "jax", "jaxlib", "dask", "cupy", "array_api_strict", "ml_dtypes"]

        class Without(PathFinder):
            @classmethod
            def find_spec(cls, name, path=None, target=None):
                return None if name.partition(".")[0] in absent else super().find_spec(name, path, target)

        sys.meta_path[sys.meta_path.index(PathFinder)] = Without
        from samestep.cli import main
        sys.exit(main(["demo"]))
    """
    command = [sys.executable, "-W", "error", "-c", textwrap.dedent(script)]
    environment = os.environ | {"PATH": "", "CXX": "", "COLUMNS": "200"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    runs = [row for row in rows(done.stdout) if len(row) == 6]
    assert [(row[0], row[1], row[5]) for row in runs] == 2 * [("numpy", "numpy", "reference")]
    why = {row[0]: row[2] for row in rows(done.stdout) if len(row) == 3}
    assert why["numpy"] == "not numba: numba is not installed: pip install 'samestep[numba]'"
    assert why["torch"] == "left out: torch is not installed" and why["jax"] == "left out: jax is not installed"


@pytest.mark.usefixtures("short")
def test_every_library_that_a_backend_names_takes_part(capsys):
    assert cli.main(["demo", "--epochs", "1"]) == 0
    tables = rows(capsys.readouterr().out)
    assert {row[1] for row in tables if len(row) == 6} >= {"numba", "numpy", "strict"}
    assert all(row[5] in ("reference", "yes", "replayed") for row in tables if len(row) == 6)
    assert {row[0] for row in tables if len(row) == 3} >= {entry.name for entry in ss.backends()}


def test_a_missed_accuracy_exits_1(capsys):
    assert cli.main(["demo", "--backend", "numpy", "--epochs", "1"]) == 1
    shown = capsys.readouterr().out
    assert "softmax classifier on numpy: accuracy 0." in shown and "not above 0.93" in shown
    assert "two-layer network on numpy: accuracy 0." in shown and "not above 0.95" in shown


@pytest.mark.usefixtures("short")
def test_other_bits_exit_1(monkeypatch, capsys):
    bits = iter(range(100))
    monkeypatch.setattr(demo, "bits", lambda layers: next(bits))
    assert cli.main(["demo", *COMPILED_AND_EVALUATED, "--epochs", "1"]) == 1
    shown = capsys.readouterr().out
    assert [row[5] for row in rows(shown) if len(row) == 6 and row[0] == "numpy"] == ["reference", "NO"] * 2
    assert "two-layer network on numpy: the final parameters are not the bits of the first run" in shown


@pytest.mark.parametrize("model", demo.MODELS, ids=lambda model: model.name)
def test_the_optimizers_owe_the_same_bits(model):
    (line,) = ss.explain(model.optimizer, demo.start(model.sizes)).lines
    assert line.exactness == "exact"


def test_other_gradients_are_replayed(data):
    first = train(demo.MODELS[0], data)
    other = train(demo.MODELS[0], data, demo.Runner("numpy", OtherLibrary(), "for the test", automatic=False))
    demo.compare(other, first)
    assert demo.bits(other.params) != demo.bits(first.params) and other.same == "replayed"


def test_another_optimizer_is_found_out(data):
    first = train(demo.MODELS[0], data)
    impostor = train(demo.Model("impostor", (64, 10), ss.adamw(1e-2, eps=1e-7), wanted=0.0), data)
    demo.compare(impostor, first)
    assert impostor.same == "NO" and len(impostor.failures) == 1


@pytest.mark.parametrize("model", demo.MODELS, ids=lambda model: model.name)
def test_the_gradients_are_the_loss_s(model, data):
    rng = np.random.default_rng(1)
    x, labels = (array[:40].astype(np.float64) for array in data.train)
    layers = demo.moved(demo.start(model.sizes), lambda array: array.astype(np.float64))
    grads = demo.gradients(np, layers, x, labels)
    for layer, grad in zip(layers, grads, strict=True):
        for key, array in layer.items():
            way = rng.normal(size=array.shape)
            values = []
            for sign in (1, -1):
                layer[key] = array + sign * 1e-6 * way
                values.append(demo.loss(np, layers, x, labels))
            layer[key] = array
            assert (values[0] - values[1]) / 2e-6 == pytest.approx(np.sum(grad[key] * way), rel=1e-6)


def test_a_quarter_is_held_out(data):
    learnt, held_out = len(data.train[0]), len(data.test[0])
    assert (learnt, held_out) == (1348, 449)
    (epoch,) = data.batches(1)
    images = np.concatenate([images for images, _ in epoch])
    assert sorted(map(bytes, images)) == sorted(map(bytes, data.train[0]))
    assert {array.dtype for array in (*data.train, *data.test)} == {np.dtype(np.float32)}


def test_a_backend_that_names_no_library_is_left_out_with_the_reason(monkeypatch):
    silent = types.SimpleNamespace(name="silent")
    entries = [Entry("silent", True, "rank 1"), Entry("gone", False, "not here")]
    monkeypatch.setattr(demo.ss, "backends", lambda: entries)
    monkeypatch.setattr(demo, "load", lambda name: silent)
    found, left_out = demo.runners()
    assert [runner.arrays for runner in found] == ["numpy"]
    assert left_out == {"silent": "it does not say whose arrays it runs", "gone": "not here"}
    for name, reason in left_out.items():
        with pytest.raises(SamestepError, match=f"leaves out the backend '{name}': {reason}"):
            demo.runners([name])


def test_a_backend_that_refuses_the_models_is_left_out_with_the_reason(monkeypatch):
    monkeypatch.setattr(type(load("numba")), "refuses", lambda *_: "not today")
    monkeypatch.setattr(demo, "MODELS", (demo.Model("unseen", (3, 2), ss.adamw(0.0123), 0.0),))
    found, left_out = demo.runners()
    assert found[0].backend == "numpy" and found[0].reason == "not numba: not today"
    assert "not today" in left_out["numba"]


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--backend", "no-such-backend"], "no backend is called 'no-such-backend'"),
        (["--epochs", "0"], "at least 1"),
        (["--epochs", "many"], "many"),
        (["--plot"], "expected one argument"),
    ],
)
def test_wrong_usage_exits_2(capsys, argv, message):
    assert cli.main(["demo", *argv]) == 2
    assert message in capsys.readouterr().err


@pytest.mark.usefixtures("short")
@pytest.mark.parametrize("name", ["no/such/folder/x.png", "x.no-such-format"])
def test_a_plot_that_cannot_be_written_exits_2(tmp_path, capsys, name):
    assert cli.main(["demo", "--backend", "numpy", "--epochs", "1", "--plot", str(tmp_path / name)]) == 2
    assert "the plot cannot be written to" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("module", "package"), [("sklearn.datasets", "scikit-learn"), ("matplotlib.figure", "matplotlib")]
)
def test_a_missing_package_is_an_error_that_says_what_to_install(monkeypatch, capsys, module, package):
    monkeypatch.setitem(sys.modules, module, None)
    assert cli.main(["demo", "--plot", "never-written.png"]) == 2
    error = capsys.readouterr().err
    assert f"samestep demo needs {package}" in error and "pip install 'samestep[demo]'" in error
    assert not Path("never-written.png").exists()

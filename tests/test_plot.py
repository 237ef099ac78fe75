"""`samestep plot`: its problems, the paths, what it refuses, and that it draws."""

import sys

import numpy as np
import pytest

import samestep as ss
from samestep.cli import main
from samestep_bench import plot
from samestep_bench.gallery import DEFAULT, PROBLEMS, at_rate, run

PNG = b"\x89PNG\r\n"


@pytest.mark.parametrize("name", PROBLEMS)
def test_a_problem_is_least_at_its_optimum_and_has_its_gradient(name):
    problem = PROBLEMS[name]
    assert problem.value(*problem.optimum) == pytest.approx(0.0, abs=1e-12)
    np.testing.assert_allclose(problem.gradient(*problem.optimum), 0.0, atol=1e-12)
    x, y = problem.start
    h = 1e-6
    slopes = [
        (problem.value(x + h, y) - problem.value(x - h, y)) / (2 * h),
        (problem.value(x, y + h) - problem.value(x, y - h)) / (2 * h),
    ]
    np.testing.assert_allclose(problem.gradient(x, y), slopes, rtol=1e-6)
    left, right, bottom, top = problem.window
    for x, y in (problem.start, problem.optimum):
        assert left < x < right and bottom < y < top


def test_a_path_is_that_of_the_optimizer():
    problem = PROBLEMS["rosenbrock"]
    path = run("adam(lr=0.05)", problem, 20)
    opt, p = ss.adam(0.05), np.array(problem.start)
    state = opt.init(p)
    for _ in range(20):
        p, state = opt.step(p, np.array(problem.gradient(*p)), state)
    np.testing.assert_array_equal(path.points[-1], p)
    assert path.losses[0] == problem.value(*problem.start) and len(path.losses) == 21 and not path.diverged


def test_a_path_is_drawn_where_the_optimizer_is_evaluated():
    problem = PROBLEMS["quadratic"]
    averaged = run("schedule_free_sgd(lr=0.02)", problem, 30)
    opt, p = ss.schedule_free_sgd(0.02), np.array(problem.start)
    state = opt.init(p)
    noise = problem.noise * np.random.default_rng(0).standard_normal((30, 2))
    for z in noise:
        p, state = opt.step(p, np.array(problem.gradient(*p)) + z, state)
    np.testing.assert_array_equal(averaged.points[-1], opt.eval_params(p, state))
    assert np.abs(averaged.points[-1] - p).max() > 0


def test_the_loss_is_that_of_the_problem():
    problem = PROBLEMS["beale"]
    path = run("schedule_free_plus(lr=1.0)", problem, 30)
    opt, p = ss.schedule_free_plus(1.0), np.array(problem.start)
    state = opt.init(p)
    for _ in range(30):
        p, state = opt.step(p, np.array(problem.gradient(*p)), state, loss=problem.value(*p))
    np.testing.assert_array_equal(path.points[-1], opt.eval_params(p, state))


def test_variance_reduction_gets_its_second_gradient_and_its_coin():
    makes = "svrg(lr=0.02, every=10)", "l_svrg(lr=0.02)", "sgd(lr=0.02)"
    *reduced, plain = (run(text, PROBLEMS["quadratic"], 400).final for text in makes)
    assert max(reduced) < 1e-5 and plain > 1e-3  # the noise is the same at both points


def test_another_library_walks_the_same_path():
    ours, theirs = (run(text, PROBLEMS["beale"], 30) for text in ("adam(lr=0.05)", "torch:Adam(lr=0.05)"))
    np.testing.assert_allclose(theirs.points, ours.points, rtol=1e-12)


def test_a_path_ends_where_it_diverges():
    path = run("sgd(lr=1.0)", PROBLEMS["rosenbrock"], 100)
    assert path.diverged and path.final == np.inf and np.isfinite(path.losses).all()


@pytest.mark.parametrize(
    ("text", "other"),
    [
        ("adam", "adam(0.5)"),
        ("adam(1e-3, beta1=0.8)", "adam(0.5, beta1=0.8)"),
        ("sgd(momentum=0.9, lr=1)", "sgd(0.5, momentum=0.9)"),
        ("optax:adam(learning_rate=1e-3, b1=0.8)", "optax:adam(0.5, b1=0.8)"),
    ],
)
def test_a_sweep_writes_another_lr(text, other):
    assert at_rate(text, 0.5) == other


@pytest.mark.parametrize(
    ("words", "start"),
    [
        (["--problem", "beale", "adamw(lr=0.1)", "lion(lr=0.01)", "--out", "a.png"], PNG),
        (["--problem", "quadratic", "--sweep", "1e-2:1e9", "--points", "4", "sgd", "--out", "new/a.svg"], b"<?xml"),
    ],
    ids=["gallery.png", "sweep.svg"],
)
def test_it_draws(words, start, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["plot", "--steps", "20", *words]) == 0
    file = tmp_path / words[-1]
    assert file.read_bytes().startswith(start) and file.stat().st_size > 5000
    assert capsys.readouterr().out.strip() == words[-1]


def test_the_default_is_all_problems_and_known_optimizers():
    figure = plot.gallery(pytest.importorskip("matplotlib.figure"), list(PROBLEMS.values()), DEFAULT, 3)
    assert [ax.get_title() for ax in figure.axes[: len(PROBLEMS)]] == [p.title for p in PROBLEMS.values()]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == list(DEFAULT)
    assert all(len(ax.lines) == len(DEFAULT) for ax in figure.axes[len(PROBLEMS) :])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nothing"], "has no 'nothing'"),
        (["adam(lr=print(1))"], "never evaluated"),
        (["sgd(0.1, rate=3)"], "is refused by sgd"),
        (["torch:Muon(lr=0.1)"], "cannot step the two params"),
        (["adam", "--out", "a.jpg"], ".png or .svg"),
        (["adam", "--out", "a.png/b.png"], "cannot be written"),
        (["adam", "--sweep", "1:0.1"], "0 < LOW < HIGH"),
        (["adam", "--sweep", "nan:1"], "0 < LOW < HIGH"),
        (["adam", "--sweep", "1e-300:1e300"], "from 1e-100 to 1e100"),
        (["adam", "--sweep", "1:2", "--points", "1"], "at least 2"),
        (["adam", "--points", "5"], "add --sweep"),
        (["adam", "--steps", "0"], "at least 1"),
        (["adam", "--steps", "1e3"], "a whole number, at least 1; got '1e3'"),
        (["adam", "--problem", "no"], "invalid choice"),
    ],
)
def test_wrong_usage(words, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.png").touch()
    assert main(["plot", "--steps", "3", *(["--problem", "beale"] if "--problem" not in words else []), *words]) == 2
    assert message in capsys.readouterr().err


def test_without_matplotlib(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    assert main(["plot"]) == 2
    assert "pip install 'samestep[demo]'" in capsys.readouterr().err

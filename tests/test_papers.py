"""What papers published, up to the step that a test has time for (benchmarks/papers, which run on)."""

import csv
import runpy
from pathlib import Path

import pytest
import torch

from samestep_conformance.golden.oracles import available, call

PAPERS = Path(__file__).parents[1] / "benchmarks" / "papers"
STEPS = {
    "adopt_toy": 5000,
    "cautious_quadratic": 400,
    "adax_geometric": 200,
    "ftrl_sparsity": 8000,
    "hidden_accumulation": 40,
    "nesterov_estimation": 30,
    "reddi": 10_000,
    "variance_reduction": 12_000,
}


@pytest.fixture
def script(monkeypatch):
    """Runs one, as if it was started from its folder."""
    monkeypatch.syspath_prepend(PAPERS)
    return lambda name: runpy.run_path(str(PAPERS / f"{name}.py"))


@pytest.mark.parametrize("name", STEPS)
def test_the_published_numbers(script, name, tmp_path, capsys):
    assert script(name)["main"](["--steps", str(STEPS[name]), "--out", str(tmp_path / "new")]) == 0
    printed = capsys.readouterr().out
    assert "difference" in printed and "MISSED" not in printed
    assert (tmp_path / "new" / f"{name}.png").stat().st_size > 10_000


def test_all_published_files_of_adopt_are_compared(script):
    found = script("adopt_toy")
    with found["PUBLISHED"].open() as file:
        rows = list(csv.DictReader(file))
    assert len(found["published"]()) == len(rows) == 18 * 10


def test_other_variants_are_not_the_published_ones(script, tmp_path, capsys):
    """Adam with bias correction: median 0.344, not 0.742, for k = 50 and beta2 = 0.999; and ADOPT with its clip."""
    found = script("adopt_toy")
    found["MAKE"]["adam"] = lambda beta2: found["ss"].adam(beta2=beta2, eps=0.0)
    found["MAKE"]["adopt"] = lambda beta2: found["ss"].adopt(beta2=beta2, eps=0.0)
    assert found["main"](["--steps", "1000", "--out", str(tmp_path)]) == 1
    lines = [line for line in capsys.readouterr().out.splitlines() if "MISSED" in line]
    assert not any(", amsgrad: " in line for line in lines) and any(", adopt: " in line for line in lines)
    assert any("k 50, beta2 0.999, adam: median at 1000" in line and "0.34397953" in line for line in lines)


def test_the_cautious_adamw_of_the_quadratic_is_timms(script):
    assert available("timm"), "the extra `test` brings it"
    p, curvature = torch.ones(2, dtype=torch.float64, requires_grad=True), torch.tensor([4.0, 1.0], dtype=torch.float64)
    theirs = call("timm.optim.adamw.AdamWLegacy", lr=0.05, betas=(0.95, 0.99), weight_decay=0.0, caution=True)([p])
    losses = []
    for _ in range(200):
        p.grad = 2 * curvature * p.detach()
        theirs.step()
        losses.append(float(curvature @ p.detach() ** 2))
    assert [losses[49], losses[199]] == pytest.approx(script("cautious_quadratic")["EXPECTED"]["adamw, mean"][:2], 1e-6)


@pytest.mark.parametrize("measured", [1.1, float("nan")])
def test_a_missed_number_is_seen(script, measured, capsys):
    found = script("report")
    assert not found["show"]([found["Row"]("x", measured, 1.0, 0.01), found["Row"]("y", 1.0, 1.0, 0.0)])
    assert capsys.readouterr().out.count("MISSED") == 1


@pytest.mark.parametrize(
    ("name", "steps", "says"),
    [
        ("ftrl_sparsity", "7999", "nothing is known up to step 7999"),
        ("hidden_accumulation", "3", "nothing is known up to step 3"),
        ("reddi", "2", "nothing is known up to step 2"),
        ("adax_geometric", "0", "at least 1, or full; got '0'"),
        ("adax_geometric", "9 --out README.md", "--out: "),
    ],
)
def test_steps_of_which_nothing_is_known_are_wrong_usage(script, name, steps, says, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "README.md").touch()
    with pytest.raises(SystemExit) as left:
        script(name)["main"](["--out", "new", "--steps", *steps.split()])
    assert left.value.code == 2 and says in capsys.readouterr().err

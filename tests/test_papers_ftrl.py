"""The figure of FTRL's sparsity (benchmarks/papers/ftrl_sparsity.py), whole: it takes a few seconds."""

import runpy
from pathlib import Path

SCRIPT = Path(__file__).parents[1] / "benchmarks" / "papers" / "ftrl_sparsity.py"


def test_sparsity_against_auc(tmp_path):
    script = runpy.run_path(str(SCRIPT))
    found = script["measured"]()
    assert script["agrees"](found), found
    counts = [count for name, (_, count) in found.items() if name.startswith("ftrl")]
    assert counts == sorted(counts, reverse=True) and counts[-1] < counts[0]
    dense = max(auc for auc, count in found.values() if count == script["FEATURES"])
    sparse, kept = found["ftrl l1=3"]
    assert abs(sparse - dense) <= 0.002 and kept < 0.2 * script["FEATURES"]
    assert found["sgd"][1] == script["FEATURES"], "a subgradient of l1 makes no exact zero"
    assert script["plot"](found, tmp_path).stat().st_size > 1000

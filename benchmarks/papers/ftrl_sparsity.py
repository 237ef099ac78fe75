"""FTRL-Proximal: sparsity against AUC, on a stand-in for the private data of the paper.

McMahan et al., "Ad Click Prediction: a View from the Trenches", 2013, https://doi.org/10.1145/2487575.2488200, table 1:
with l1 most weights are exactly 0 and the AUC stays; a subgradient of l1 in plain descent gives no exact zero.

    python benchmarks/papers/ftrl_sparsity.py [--out DIR]

One pass over 8000 examples of 2000 sparse features, predict and then update; the numbers published are those of
po.FTRL and plain NumPy on the same examples.
"""

import argparse
import sys
from pathlib import Path

import numpy as np

import samestep as ss

FEATURES, EXAMPLES, DRAWS, BURN_IN = 2000, 8000, 20, 1000
EXPECTED = {  # AUC, weights that are not 0
    "ftrl l1=0": (0.862643, 2000),
    "ftrl l1=0.3": (0.864432, 1785),
    "ftrl l1=1": (0.866268, 1225),
    "ftrl l1=3": (0.865217, 371),
    "ftrl l1=10": (0.852174, 71),
    "adagrad": (0.864249, 2000),
    "sgd": (0.861999, 2000),
}
SUBGRADIENT = 3e-4  # of the l1 that plain descent gets
TOLERANCE = 1e-6


def data():
    """The features of each example, and the labels."""
    rng = np.random.default_rng(3)
    popular = 1 / np.arange(1, FEATURES + 1)
    popular /= popular.sum()
    true = np.zeros(FEATURES)
    true[rng.choice(200, 60, replace=False)] = rng.standard_normal(60) * 1.5
    examples = [np.unique(rng.choice(FEATURES, DRAWS, p=popular)) for _ in range(EXAMPLES)]
    labels = [float(rng.random() < 1 / (1 + np.exp(-true[x].sum()))) for x in examples]
    return examples, np.array(labels)


def optimizer():
    """One leaf for each method."""
    ftrl = {f"ftrl l1={l1:g}": ss.ftrl(0.1, beta=1.0, l1=l1) for l1 in (0.0, 0.3, 1.0, 3.0, 10.0)}
    return ss.groups({**ftrl, "adagrad": ss.adagrad(0.1, eps=0.0, initial_accumulator=1.0)}, default=ss.sgd(0.05))


def run(examples, labels):
    """Predictions before each update, and the weights at the end."""
    opt, weights = optimizer(), {name: np.zeros(FEATURES) for name in EXPECTED}
    state, grads = opt.init(weights), {name: np.zeros(FEATURES) for name in EXPECTED}
    predicted = {name: np.zeros(len(examples)) for name in EXPECTED}
    for i, (x, label) in enumerate(zip(examples, labels, strict=True)):
        for name, w in weights.items():
            predicted[name][i] = 1 / (1 + np.exp(-w[x].sum()))
            grads[name][x] = predicted[name][i] - label
        grads["sgd"] += SUBGRADIENT * np.sign(weights["sgd"])
        weights, state = opt.step(weights, grads, state, donate=True)
        for g in grads.values():
            g[:] = 0.0
    return predicted, weights


def auc(scores, labels):
    """Of two examples with different labels, how often the right one is above; ties count half."""
    _, place, count = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(count) - (count - 1) / 2)[place]
    positive = labels.sum()
    return (ranks[labels == 1].sum() - positive * (positive + 1) / 2) / (positive * (len(labels) - positive))


def measured():
    """(AUC, non-zeros) of each method."""
    examples, labels = data()
    predicted, weights = run(examples, labels)
    return {
        name: (auc(predicted[name][BURN_IN:], labels[BURN_IN:]), int(np.count_nonzero(w)))
        for name, w in weights.items()
    }


def agrees(found) -> bool:
    """Whether every number is the published one."""
    return all(abs(found[n][0] - a) <= TOLERANCE and found[n][1] == count for n, (a, count) in EXPECTED.items())


def plot(found, folder: Path) -> Path:
    """Non-zeros against AUC."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(6, 4))
    for name, (area, count) in found.items():
        axes.plot(count, area, "o" if name.startswith("ftrl") else "s", label=name)
    axes.set(
        xlabel=f"weights that are not 0, of {FEATURES}", ylabel="AUC", xscale="log", title="FTRL-Proximal: sparsity"
    )
    axes.legend()
    folder.mkdir(parents=True, exist_ok=True)
    figure.savefig(folder / "ftrl_sparsity.png", dpi=120, bbox_inches="tight")
    pyplot.close(figure)
    return folder / "ftrl_sparsity.png"


def main() -> int:
    """Print the table, draw the figure; 1 if a number is off."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name("figures"))
    out = parser.parse_args().out
    found = measured()
    print(f"{'method':12} | {'measured':>15} | {'published':>15} | difference")
    for name, (area, count) in EXPECTED.items():
        a, n = found[name]
        print(f"{name:12} | {a:9.6f} {n:5} | {area:9.6f} {count:5} | {a - area:+.1e} {n - count:+}")
    print(plot(found, out))
    return 0 if agrees(found) else 1


if __name__ == "__main__":
    sys.exit(main())

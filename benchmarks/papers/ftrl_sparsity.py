"""FTRL-Proximal: sparsity against AUC, on a stand-in for the private data of the paper.

McMahan et al., "Ad Click Prediction: a View from the Trenches", 2013, https://doi.org/10.1145/2487575.2488200, table 1:
with l1 most weights are exactly 0 and the AUC stays; a subgradient of l1 in plain descent gives no exact zero.

    python benchmarks/papers/ftrl_sparsity.py [--out DIR]

One pass over 8000 examples of 2000 sparse features, predict and then update; the numbers expected are those of po.FTRL
and plain NumPy on the same examples.
"""

import sys
from itertools import pairwise

import numpy as np

import samestep as ss
from report import Row, run

FEATURES, EXAMPLES, DRAWS, BURN_IN = 2000, 8000, 20, 1000
POSITIVE = 4886  # of the labels
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


def trained(examples, labels):
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


def measure(steps):
    """The rows, and (AUC, non-zeros) of each method, which are known of all examples alone."""
    if steps < EXAMPLES:
        return [], {}
    examples, labels = data()
    predicted, weights = trained(examples, labels)
    found = {
        name: (float(auc(predicted[name][BURN_IN:], labels[BURN_IN:])), int(np.count_nonzero(weights[name])))
        for name in EXPECTED
    }
    rows = [Row("examples with label 1", int(labels.sum()), POSITIVE, 0.0)]
    for name, (area, count) in EXPECTED.items():
        rows.append(Row(f"{name}: AUC", found[name][0], area, 1e-6))
        rows.append(Row(f"{name}: weights that are not 0", found[name][1], count, 0.0))
    kept = [count for name, (_, count) in found.items() if name.startswith("ftrl")]
    dense = max(area for area, count in found.values() if count == FEATURES)
    area, count = found["ftrl l1=3"]
    claims = {
        "more l1 leaves fewer weights": all(more > fewer for more, fewer in pairwise(kept)),
        "at l1=3 less than a fifth has the AUC of the dense, to 0.002": abs(area - dense) <= 0.002
        and count < 0.2 * FEATURES,
        "a subgradient of l1 makes no exact zero": found["sgd"][1] == FEATURES,
    }
    return rows + [Row(f"{claim} (1)", float(holds), 1.0, 0.0) for claim, holds in claims.items()], found


def draw(figure, found):
    """Non-zeros against AUC."""
    ax = figure.subplots()
    for name, (area, count) in found.items():
        ax.plot(count, area, "o" if name.startswith("ftrl") else "s", label=name)
    ax.set(xlabel=f"weights that are not 0, of {FEATURES}", ylabel="AUC", xscale="log", title="FTRL-Proximal: sparsity")
    ax.legend(frameon=False)
    ax.grid(alpha=0.3)


def main(argv=None):
    """Print the table, draw the figure; 1 if a number is off."""
    return run(measure, draw, argv, steps=EXAMPLES)


if __name__ == "__main__":
    sys.exit(main())

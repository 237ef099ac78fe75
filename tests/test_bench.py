"""The benchmark's own parts: its statistics, the peers' agreement, the command. No time is asserted."""

import argparse
import json
from dataclasses import replace

import numpy as np
import pytest

from samestep_bench import floor, peers, report, startup, suite
from samestep_bench.cli import command
from samestep_bench.measure import interleave, paired_ratio
from samestep_bench.rules import RULES
from samestep_bench.workloads import WORKLOADS, parse

TINY = "3:64,2:8x16"


@pytest.fixture
def tiny():
    workload = parse(TINY)
    return workload.arrays(seed=0), workload.arrays(seed=1)


def parse_args(*words):
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    return parser.parse_args(words)


def test_a_paired_ratio_does_not_see_what_slows_both():
    weather = np.random.default_rng(0).uniform(1, 10, size=50)
    ratio = paired_ratio(3 * weather, weather)
    assert (ratio.low, ratio.median, ratio.high) == pytest.approx((3, 3, 3))


def test_the_interval_holds_the_true_ratio_nine_times_in_ten():
    rng = np.random.default_rng(0)
    held = 0
    for seed in range(200):
        ratio = paired_ratio(2 * rng.lognormal(0, 0.2, size=40), np.ones(40), resamples=500, seed=seed)
        assert ratio.low <= ratio.median <= ratio.high
        held += ratio.low <= 2 <= ratio.high
    assert 0.83 <= held / 200 <= 0.97


def test_interleaving_times_everyone_in_every_round():
    calls = {"a": 0, "b": 0}

    def count(name):
        calls[name] += 1

    actions = {name: lambda name=name: count(name) for name in calls}
    rows = list(interleave(actions, 3, sample=1e-4, settle=0.0))
    assert [list(row) for row in rows] == [["a", "b"]] * 3
    assert all(seconds > 0 for row in rows for seconds in row.values())
    assert min(calls.values()) >= 4 + 3 * 2  # to find the repeats; then once untimed and at least once timed per round


def test_the_workloads_are_the_named_ones():
    sizes = {name: (workload.leaves, workload.elements) for name, workload in WORKLOADS.items()}
    assert sizes == {
        "one": (1, 20_000_000),
        "transformer": (148, 48 * 768 * 768 + 100 * 768),
        "small": (1000, 64_000),
    }


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
def test_every_peer_does_the_same_maths(rule, tiny):
    params, grads = tiny
    contestants, left_out = peers.assemble(rule, params)
    assert contestants.keys() | left_out.keys() == peers.PEERS.keys()
    peers.check(rule, contestants, params, grads)
    before = [np.array(p) for p in params]
    for peer in contestants.values():
        peer.step()  # the gradients are loaded
    for mine, theirs in zip(before, params, strict=True):
        np.testing.assert_array_equal(mine, theirs)  # peers work on copies


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("adamw", {"weight_decay": 0.0}),
        ("adamw", {"beta1": 0.8}),
        ("adamw", {"beta2": 0.99}),
        ("adamw", {"eps": 1e-2}),
        ("lion", {"weight_decay": 0.0}),
        ("lion", {"beta1": 0.89}),
        ("lion", {"beta1": 0.91}),
        ("lion", {"beta2": 0.98}),
        ("lion", {"lr": float("nan")}),
    ],
)
def test_a_peer_with_other_numbers_is_refused(name, change, tiny):
    params, grads = tiny
    impostor = peers.Eager(replace(RULES[name], **change), params)
    with pytest.raises(peers.Disagreement, match="impostor does other maths"):
        peers.check(RULES[name], {"impostor": impostor}, params, grads)


def test_who_cannot_take_part_is_left_out_with_the_reason(monkeypatch, tiny):
    def missing(rule, params):
        import no_such_package  # noqa: F401

    monkeypatch.setattr(peers, "PEERS", {"here": peers.Eager, "missing": missing, "torch fused": peers.TorchFused})
    contestants, left_out = peers.assemble(RULES["lion"], tiny[0])
    assert list(contestants) == ["here"]
    assert left_out == {"missing": "no_such_package is not installed", "torch fused": "torch has no fused lion"}


def test_the_floor_moves_the_bytes_of_a_step():
    assert floor.bytes_moved(RULES["adamw"], 10) == 10 * 7 * 4
    assert floor.bytes_moved(RULES["lion"], 10) == 10 * 5 * 4


@pytest.mark.parametrize("serial", [0, floor.SERIAL], ids=["threads", "serial"])
@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
def test_every_tool_of_the_floor_runs(rule, serial, monkeypatch):
    monkeypatch.setattr(floor, "SERIAL", serial)
    tools, left_out = floor.floors(rule, 1001)
    assert "floor: np.copyto" in tools
    assert len(tools) + len(left_out) == 3
    for run in tools.values():
        run()


def test_a_case_is_held_to_its_reach():
    seconds = {
        "samestep donated": [1.0, 2.0],
        "samestep pure": [1.7, 3.4],
        "torch fused": [1.0, 2.0],
        "floor: slow": [0.9, 1.8],
        "floor: fast": [0.85, 1.7],
    }
    case = suite.Case("one", "adamw", seconds, {})
    verdicts = {row.label: row.verdict for row in report.rows(case)}
    assert verdicts == {
        "share of floor (fast)": "met",
        "samestep donated / torch fused": "met",
        "samestep pure / samestep donated": "missed",
    }
    elsewhere = suite.Case("3:64", "adamw", seconds, {})
    assert {row.verdict for row in report.rows(elsewhere)} == {""}


def test_the_command_measures_and_writes_json(tmp_path, capsys):
    file = tmp_path / "new" / "figures.json"
    assert command.run(parse_args("--quick", "--rounds", "2", "--workload", TINY, "--json", str(file))) == 0
    assert "Ratios of times" in capsys.readouterr().out
    figures = json.loads(file.read_text())
    assert figures.keys() == {"date", "machine", "versions", "threads", "rounds", "cases"}
    assert [(case["workload"], case["optimizer"]) for case in figures["cases"]] == [(TINY, "adamw"), (TINY, "lion")]
    for case in figures["cases"]:
        assert {len(seconds) for seconds in case["seconds"].values()} == {2}
        assert case["floor"] in case["seconds"]


def test_the_command_fails_on_a_disagreement(monkeypatch, capsys):
    def impostor(rule, params):
        return peers.Eager(replace(rule, weight_decay=0.5), params)

    monkeypatch.setattr(peers, "PEERS", {"impostor": impostor})
    assert command.run(parse_args("--quick", "--workload", TINY)) == 1
    assert "impostor does other maths" in " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize("words", [["--workload", "large"], ["--workload", "0:64"], ["--rounds", "0"]])
def test_wrong_usage(words, capsys):
    with pytest.raises(SystemExit) as exit:
        parse_args(*words)
    assert exit.value.code == 2
    assert words[0] in capsys.readouterr().err


@pytest.mark.slow
def test_startup_is_measured_or_left_out():
    case = suite.measure_startup(1)
    if case.left_out:
        assert not case.seconds
    else:
        assert {name: len(seconds) for name, seconds in case.seconds.items()} == {
            startup.FIRST_STEP: 1,
            startup.CACHED_KERNEL: 1,
        }

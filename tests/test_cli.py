"""The command line: its commands come from entry points, and its exit codes mean what they say."""

import argparse
from importlib.metadata import version

import pytest

from samestep import cli
from samestep.errors import SamestepError


class Echo:
    """A command of someone else's package."""

    help = "give back 100 % of it"

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("code", type=int)

    def run(self, args: argparse.Namespace) -> int:
        if args.code > 1:
            raise SamestepError(f"{args.code} is\nno exit code [of ours]")
        return args.code


echo = Echo()


class Point:
    """An entry point that loads what it is given; an exception is raised."""

    def __init__(self, name, value):
        self.name, self.value, self.module = name, value, f"package_of_{name}"

    def load(self):
        if isinstance(self.value, Exception):
            raise self.value
        return self.value


@pytest.fixture
def commands(monkeypatch):
    """Registers commands in the place of those that are installed."""

    def register(**values):
        points = [Point(name, value) for name, value in values.items()]
        monkeypatch.setattr(cli, "entry_points", lambda *, group: points if group == "samestep.commands" else [])

    return register


def test_the_installed_commands_are_listed(capsys):
    assert cli.main(["--help"]) == 0
    shown = capsys.readouterr().out
    assert "demo" in shown and "bench" in shown and "Exit codes" in shown


def test_the_script_of_the_package_is_main():
    from importlib.metadata import entry_points

    (point,) = entry_points(group="console_scripts", name="samestep")
    assert point.load() is cli.main


def test_version(capsys):
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out == f"samestep {version('samestep')}\n"


def test_the_exit_code_is_the_commands(commands):
    commands(echo=echo)
    assert [cli.main(["echo", code]) for code in ("0", "1")] == [0, 1]


def test_the_arguments_are_those_of_the_process_by_default(commands, monkeypatch):
    commands(echo=echo)
    monkeypatch.setattr("sys.argv", ["samestep", "echo", "1"])
    assert cli.main() == 1


def test_help_is_shown_as_it_is_written(commands, capsys):
    commands(echo=echo)
    assert cli.main(["--help"]) == 0
    assert "give back 100 % of it" in capsys.readouterr().out
    assert cli.main(["echo", "--help"]) == 0
    assert "give back 100 % of it" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        ([], "required: COMMAND"),
        (["no-such-command"], "invalid choice: 'no-such-command'"),
        (["echo"], "required: code"),
        (["echo", "one"], "invalid int value: 'one'"),
        (["echo", "1", "--loudly"], "unrecognized arguments: --loudly"),
    ],
)
def test_wrong_usage_exits_2(commands, capsys, argv, message):
    commands(echo=echo)
    assert cli.main(argv) == 2
    assert message in capsys.readouterr().err


def test_an_error_is_one_line_and_exits_2(commands, capsys):
    commands(echo=echo)
    assert cli.main(["echo", "3"]) == 2
    shown = capsys.readouterr()
    assert (shown.out, shown.err) == ("", "samestep: error: 3 is no exit code [of ours]\n")


def test_any_other_error_is_not_hidden(commands):
    class Broken(Echo):
        def run(self, args):
            raise ZeroDivisionError

    commands(broken=Broken())
    with pytest.raises(ZeroDivisionError):
        cli.main(["broken", "0"])


@pytest.mark.parametrize("error", [ImportError("No module named 'gone'"), RuntimeError("a 50 % broken\npackage")])
def test_a_command_that_cannot_be_imported_is_listed_with_the_reason(commands, capsys, error):
    commands(broken=error, echo=echo)
    reason = f"package_of_broken cannot be imported: {' '.join(str(error).split())}"
    assert cli.main(["--help"]) == 0
    assert f"unavailable: {reason}" in " ".join(capsys.readouterr().out.split())
    for argv in (["broken"], ["broken", "--plot", "x.png", "-v", "word"]):
        assert cli.main(argv) == 2
        assert capsys.readouterr().err == f"samestep: error: the command 'broken' is unavailable: {reason}\n"
    assert cli.main(["echo", "0"]) == 0

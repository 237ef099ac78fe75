"""`python -m samestep_bench`: the command on its own."""

import argparse
import sys

from .cli import command

parser = argparse.ArgumentParser(prog="samestep_bench", description=command.help)
command.add_arguments(parser)
sys.exit(command.run(parser.parse_args()))

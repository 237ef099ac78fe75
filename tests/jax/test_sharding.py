"""Sharded arrays take the same step, with the same result; in a process of its own, which has eight devices."""

import os
import subprocess
import sys
from pathlib import Path


def test_on_eight_devices():
    flags = {"XLA_FLAGS": "--xla_force_host_platform_device_count=8", "JAX_PLATFORMS": "cpu"}
    script = Path(__file__).with_name("sharded.py")
    command = [sys.executable, "-W", "error", str(script)]
    done = subprocess.run(command, env=os.environ | flags, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]

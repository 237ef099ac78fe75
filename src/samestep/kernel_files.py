"""Where compiled kernels are kept on disk, and how a file gets there whole or not at all."""

from __future__ import annotations

import contextlib
import os
import threading
from pathlib import Path


def directory() -> Path | None:
    """Where kernels are kept: $SAMESTEP_CACHE_DIR, else samestep in $XDG_CACHE_HOME or ~/.cache, if there is a home."""
    if own := os.environ.get("SAMESTEP_CACHE_DIR"):
        return Path(own)
    base = Path(os.environ.get("XDG_CACHE_HOME", ""))
    if not base.is_absolute():  # the XDG specification has relative values ignored
        base = Path(os.path.expanduser("~")) / ".cache"
    return base / "samestep" if base.is_absolute() else None


def replace(path: Path, data: bytes) -> None:
    """Write a file at once; one that cannot be written is not kept, and no error."""
    part = path.with_name(f"{path.name}.{os.getpid()}-{threading.get_ident()}-{os.urandom(4).hex()}")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        part.write_bytes(data)
        os.replace(part, path)
    except OSError:  # read-only, missing, full
        with contextlib.suppress(OSError):
            part.unlink()

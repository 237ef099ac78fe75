"""What compilers made of generated sources, on disk: one file each, behind a checksum, only ever replaced whole.

Nothing that happens to a file can do more than cost a compilation, and a directory that cannot be written is no error.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import threading
from collections.abc import Callable
from pathlib import Path

DIGEST = hashlib.sha256().digest_size


def directory() -> Path | None:
    """Where kernels are kept: $SAMESTEP_CACHE_DIR, else samestep in $XDG_CACHE_HOME or ~/.cache, if there is a home."""
    if own := os.environ.get("SAMESTEP_CACHE_DIR"):
        return Path(own)
    base = Path(os.environ.get("XDG_CACHE_HOME", ""))
    if not base.is_absolute():  # the XDG specification has relative values ignored
        base = Path(os.path.expanduser("~")) / ".cache"
    return base / "samestep" if base.is_absolute() else None


def kept(kind: str, made_of: tuple, make: Callable[[], bytes]) -> bytes:
    """What `make` gives, or gave in an earlier process; `made_of` is all that it depends on."""
    key = hashlib.sha256(repr((kind, made_of)).encode()).hexdigest()
    folder = directory()
    path = folder and folder / f"{kind}-{key[:32]}.kernel"
    found = _read(path, key) if path else None
    if found is None:
        found = make()
        if path:
            _write(path, key, found)
    return found


def _checksum(key: str, body: bytes) -> bytes:
    return hashlib.sha256(key.encode() + body).digest()  # with the key: another kernel's file, renamed, is no hit


def _read(path: Path, key: str) -> bytes | None:
    try:
        data = path.read_bytes()
    except OSError:
        return None
    return data[DIGEST:] if data[:DIGEST] == _checksum(key, data[DIGEST:]) else None


def _write(path: Path, key: str, body: bytes) -> None:
    part = path.with_name(f"{path.name}.{os.getpid()}-{threading.get_ident()}-{os.urandom(4).hex()}")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        part.write_bytes(_checksum(key, body) + body)
        os.replace(part, path)
    except OSError:  # read-only, missing, full: it is made, only not kept
        with contextlib.suppress(OSError):
            part.unlink()

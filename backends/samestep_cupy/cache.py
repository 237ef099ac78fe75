"""What compilers made of generated sources, on disk: one file each, behind a checksum, only ever replaced whole.

Nothing that happens to a file can do more than cost a compilation, and a directory that cannot be written is no error.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

from samestep.kernel_files import directory, replace

DIGEST = hashlib.sha256().digest_size


def kept(kind: str, made_of: tuple, make: Callable[[], bytes]) -> bytes:
    """What `make` gives, or gave in an earlier process; `made_of` is all that it depends on."""
    key = hashlib.sha256(repr((kind, made_of)).encode()).hexdigest()
    folder = directory()
    path = folder and folder / f"{kind}-{key[:32]}.kernel"
    found = _read(path, key) if path else None
    if found is None:
        found = make()
        if path:
            replace(path, _checksum(key, found) + found)
    return found


def _checksum(key: str, body: bytes) -> bytes:
    return hashlib.sha256(key.encode() + body).digest()  # with the key: another kernel's file, renamed, is no hit


def _read(path: Path, key: str) -> bytes | None:
    try:
        data = path.read_bytes()
    except OSError:
        return None
    return data[DIGEST:] if data[:DIGEST] == _checksum(key, data[DIGEST:]) else None

"""Backends for one test, as if they had come in by their entry point."""

from itertools import count

import pytest

from samestep import backend as backends

NUMBERS = count(1)


@pytest.fixture
def install(monkeypatch):
    """Makes `use_backend(backend.name)` find this object, under a name that no plan of another test knows."""

    def add(backend):
        backend.name = f"{backend.name}{next(NUMBERS)}"
        entry = type("Entry", (), {"load": staticmethod(lambda: backend)})
        known = {**backends._discovered(), backend.name: entry}
        monkeypatch.setattr(backends, "_discovered", lambda: known)
        backends.load.cache_clear()
        return backend

    yield add
    backends.load.cache_clear()

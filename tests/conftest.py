"""What all tests need: the code that is run is the code that is read, and no clock judges it."""

import logging

import pytest
from hypothesis import settings

from tools.compile import stale

# An example that meets a busy machine is slow and not wrong.
settings.register_profile("unhurried", deadline=None)
settings.load_profile("unhurried")


def pytest_sessionstart(session):  # noqa: ARG001 - pytest's signature
    changed = stale()
    if changed:
        pytest.exit(f"compiled before it was changed: {', '.join(changed)}; run make test", 4)


@pytest.fixture(autouse=True)
def as_loud_as_before():
    """A test that begins a daemon's log in this process leaves the log as it found it."""
    log = logging.getLogger("counterfoil")
    level = log.level
    yield
    log.setLevel(level)

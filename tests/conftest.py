"""What all tests need: the code that is run is the code that is read."""

import pytest

from tools.compile import stale


def pytest_sessionstart(session):  # noqa: ARG001 - pytest's signature
    changed = stale()
    if changed:
        pytest.exit(f"compiled before it was changed: {', '.join(changed)}; run make test", 4)

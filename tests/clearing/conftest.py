"""Books for clearing that are made once and copied for each test."""

import pytest

from tests.clearing.books import two_days


@pytest.fixture(scope="session")
def prepared(tmp_path_factory):
    """Two dates; on the second INN is paid nothing and SHOP's terminal disputes its batch."""
    folder = tmp_path_factory.mktemp("clearing") / "book"
    two_days(folder)
    return folder

from __future__ import annotations

import pytest

from ledger.book import Book


@pytest.fixture
def folder(tmp_path):
    made = tmp_path / "book"
    Book.create(made)
    return made

"""Data directories that were made and loaded once, and daemons over copies of them."""

import shutil

import pytest
from daemon_process import Daemon, reference
from line_traffic import Traffic

TILLS = 16
MEMBERS = 24
SEGMENT_BYTES = 8 << 20


@pytest.fixture(scope="session")
def _loaded(tmp_path_factory):
    """A data directory with everything registered; tests work on copies."""
    daemon = Daemon(tmp_path_factory.mktemp("loaded"))
    lines, members = reference(TILLS, MEMBERS)
    daemon.prepare(lines)
    return daemon.folder, members


@pytest.fixture
def members(_loaded):
    return list(_loaded[1])


@pytest.fixture
def fresh_daemon(_loaded, tmp_path):
    """Makes daemons, not started yet, each on a copy of the loaded directory."""
    made = []

    def make(folder=tmp_path):
        for name in ("data.key", "data"):
            source = _loaded[0] / name
            (shutil.copytree if source.is_dir() else shutil.copy2)(source, folder / name)
        made.append(Daemon(folder, tmp_path / "serve.stderr"))
        return made[-1]

    yield make
    for daemon in made:
        daemon.kill_if_running()


@pytest.fixture
def daemon(fresh_daemon):
    """A daemon that was not started yet.

    Its segments are small: each start makes one, and there are many starts.
    """
    daemon = fresh_daemon()
    daemon.limit(segment_bytes=SEGMENT_BYTES)
    return daemon


@pytest.fixture
def traffic(members):
    return Traffic(members, TILLS, seed=11)

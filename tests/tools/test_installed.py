"""The command as it is installed, from a folder that is not the project's."""

import subprocess
import sys
from pathlib import Path


def test_the_installed_command_runs_anywhere(tmp_path):
    command = Path(sys.executable).with_name("counterfoil")
    done = subprocess.run(
        [command, "init", tmp_path / "data"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "data" / "counterfoil.toml").exists()

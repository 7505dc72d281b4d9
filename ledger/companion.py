"""Processes of the daemon's own, the follower and the syncer: how they start, when they end.

A companion is a new interpreter, never a fork, and lives exactly as long as its parent wants it.
Service managers and terminals signal whole groups of processes; what that means is for the parent
to decide, which still has work for its companions while it stops in order. So they are started with
these signals blocked, and are blocked from their first instruction on.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Final

GROUP_SIGNALS: Final = (signal.SIGHUP, signal.SIGINT, signal.SIGTERM)
"""What is sent to whole groups to end them, or to have them read their configuration again."""
_PR_SET_PDEATHSIG: Final = 1


def start(
    module: str, *arguments: str, stdin: int, keep: tuple[int, ...] = ()
) -> subprocess.Popen[bytes]:
    """Start a companion.

    Args:
        module: what it runs, as ``python -m`` does.
        arguments: of its command line.
        stdin: a descriptor, or `subprocess.PIPE`: by its end it learns that the parent is gone.
        keep: further descriptors that it shares, under the same numbers.

    Raises:
        OSError: it cannot be started.
    """
    source = str(Path(__file__).resolve().parent.parent)
    known = os.environ.get("PYTHONPATH")
    environment = dict(os.environ)
    environment["PYTHONPATH"] = f"{source}{os.pathsep}{known}" if known else source
    before = signal.pthread_sigmask(signal.SIG_BLOCK, GROUP_SIGNALS)
    try:
        return subprocess.Popen(
            [sys.executable, "-m", module, *arguments],
            stdin=stdin,
            stdout=subprocess.DEVNULL,
            env=environment,
            pass_fds=keep,
        )
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def die_with_parent() -> None:
    """Ask to be killed when the parent dies, even if it leaves the pipe to somebody."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)

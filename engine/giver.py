"""Who gives a command of administration: the name that is said, and the account that is known.

The *operator* is a name that the caller says: with ``counterfoil --operator``, else the variable
``COUNTERFOIL_OPERATOR``, else who called ``sudo``, else the account itself. The *account* is that
of the process, which the daemon is told by the kernel (the credentials of the socket's peer) and
which cannot be made up. Each entry of administration keeps both (`engine.trail`).
"""

from __future__ import annotations

import os
import pwd
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final

from engine.trail import Giver

OPERATOR_VARIABLE: Final = "COUNTERFOIL_OPERATOR"
NAME_MAX: Final = 64
"""Characters of an operator's name."""

_said: Final[ContextVar[str]] = ContextVar("operator", default="")


class OperatorUnfit(Exception):
    """A name of an operator that cannot be taken; one sentence."""


def is_name(text: str) -> bool:
    """Whether a text can be an operator's name: one line, no blanks around it."""
    return 0 < len(text) <= NAME_MAX and text.isprintable() and text == text.strip()


@contextmanager
def speaking_for(operator: str) -> Iterator[None]:
    """Give commands in an operator's name within this context; an empty one leaves it as it is."""
    token = _said.set(operator or _said.get())
    try:
        yield
    finally:
        _said.reset(token)


def operator_name() -> str:
    """The operator in whose name this process gives commands.

    Raises:
        OperatorUnfit: the name that was said is none.
    """
    said = _said.get() or os.environ.get(OPERATOR_VARIABLE) or os.environ.get("SUDO_USER")
    name = said or account_name(os.geteuid())
    if not is_name(name):
        raise OperatorUnfit(
            f"the operator's name has to be 1 to {NAME_MAX} printable characters: set it with"
            f" --operator or {OPERATOR_VARIABLE}"
        )
    return name


def account_name(user: int) -> str:
    """The account of a user id; the id itself where the system does not know it."""
    try:
        return pwd.getpwuid(user).pw_name
    except KeyError:
        return f"uid {user}"


def giver_here() -> Giver:
    """Operator and account of this process.

    Raises:
        OperatorUnfit: see `operator_name`.
    """
    return operator_name(), account_name(os.geteuid())

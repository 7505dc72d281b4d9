"""Who settles and how: the table ``[clearing]`` of a data directory's configuration.

A run journals what it began with, so a later change concerns later runs only.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

from engine.directory import Configuration, DirectoryError


@dataclass(slots=True)
class Settings:
    """What the operator decided.

    Attributes:
        operator, account_name, account_number, bank_code: who pays, from which account.
        working_days: days on which banks work from a business date to its value date.
        collect_limit_fen: from how much owed on a party stands on the collection list; 0: what is
            owed is always netted with the next date.
    """

    operator: str = "Counterfoil"
    account_name: str = ""
    account_number: str = ""
    bank_code: str = ""
    working_days: int = 1
    collect_limit_fen: int = 0


def read_settings(configuration: Configuration) -> Settings:
    """Read the settings of a configuration.

    Raises:
        DirectoryError: a key is unknown or has a value that it may not have.
    """
    known = {field.name: field.default for field in fields(Settings)}
    values: dict[str, Any] = {}
    for name, value in configuration.clearing.items():
        if name not in known:
            raise DirectoryError(
                f"clearing has no setting {name!r}; known are {', '.join(sorted(known))}"
            )
        if type(value) is not type(known[name]):
            kind = "a text in quotes" if isinstance(known[name], str) else "a whole number"
            raise DirectoryError(f"{name} in clearing has to be {kind}")
        values[name] = value
    settings = Settings(**values)
    if settings.working_days < 1 or settings.collect_limit_fen < 0:
        raise DirectoryError("working_days in clearing is 1 at least, collect_limit_fen 0 at least")
    return settings

"""``counterfoil keys``: custody of keys, with check values shown and keys never.

A terminal's master key comes as two components, each known to one custodian alone, who types it at
a prompt that echoes nothing or hands it in a file of mode 0600; never as an argument, which every
process of the machine could read. The key is their XOR. The first component waits sealed in the
ledger for a day; the second makes the key, which replaces the terminal's, so that it signs on anew.

The names of custodians are what they say: that one person cannot be both is for the accounts of the
machine to see to. The journal has both names, times and check values.
"""

from __future__ import annotations

import os
import re
import stat
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import click

from clearing.console import Refusal, directory_argument, echo_json, json_option, key_option
from engine.directory import open_vault
from engine.records import Terminal
from engine.rules.custody import SEAL_HEAD, Component, LoadComponent, Reseal
from engine.submit import Submitter
from engine.vault import Forgotten, Vault
from ledger import codec, schema
from ledger.tables import Snapshot
from posd import security
from tools.deeds import accepted, submit

_KEY_HEX: Final = re.compile(r"[0-9A-Fa-f]{32}")
_FILE_BYTES_MAX: Final = 4096
_OPEN_BITS: Final = 0o077
_RESEAL_ITEMS: Final = 256
_RESEAL_ROUNDS: Final = 30
_RESEAL_PAUSE: Final = 1.0


@click.group("keys")
def command() -> None:
    """Keep keys: components of terminals' master keys, rotation."""


@command.command("show")
@directory_argument
@click.argument("name", metavar="TERMINAL", required=False)
@key_option
@json_option
def show(directory: Path, name: str | None, key: Path | None, *, as_json: bool) -> None:
    """Tell the key file's id, or a terminal's check value.

    What waits for a second component is told, too.
    """
    vault = open_vault(directory, key)
    told: dict[str, object] = {
        "key file": vault.key_id,
        "storage": list(vault.sealing_ids) if as_json else " ".join(vault.sealing_ids),
    }
    if name is not None:
        terminal, waiting = _rows(directory, name)
        told |= {"terminal": name, "profile": terminal.profile, "check": terminal.tmk_check}
        if waiting is not None:
            told |= {"part": waiting.part, "part check": waiting.check, "part by": waiting.by}
    if as_json:
        echo_json(told)
        return
    for what, value in told.items():
        click.echo(f"{what:<10} {value}")


@command.command("component")
@directory_argument
@click.argument("name", metavar="TERMINAL")
@click.option("--part", type=click.IntRange(1, 2), required=True, help="Which component this is.")
@click.option("--by", required=True, help="Name of its custodian.")
@click.option(
    "--from", "file", type=click.Path(path_type=Path), help="A file of mode 0600; else a prompt."
)
@key_option
@json_option
def component(
    directory: Path,
    name: str,
    part: int,
    by: str,
    file: Path | None,
    key: Path | None,
    *,
    as_json: bool,
) -> None:
    """Load a component of a terminal's master key, 32 hex digits.

    The first of two custodians begins with either part; the second one's part makes the key.
    """
    vault = open_vault(directory, key)
    terminal, waiting = _rows(directory, name)
    if not by.strip():
        raise Refusal("--by has to be the name of the custodian")
    clear = _from_file(file) if file is not None else _prompted(part)
    check = security.check_value(terminal.profile, clear).hex().upper()
    other = waiting if waiting is not None and waiting.part != part else None
    made = _command(vault, terminal, LoadComponent(name, part, by, check, b"", "", b"", ""), clear)
    if other is not None:
        made = _combined(vault, terminal, other, made, clear)
    submit(directory, made)
    told = {"terminal": name, "part": part, "check": check, "key check": made.tmk_check}
    if as_json:
        echo_json(told)
        return
    click.echo(f"part {part} of terminal {name}: check value {check}")
    if made.tmk_check:
        click.echo(f"the key is in force: check value {made.tmk_check}; the terminal signs on anew")
    else:
        click.echo(f"it waits for part {3 - part}, by somebody else, for a day")


@command.command("rotate")
@directory_argument
@key_option
def rotate(directory: Path, key: Path | None) -> None:
    """Add a storage key, and seal everything anew under it. DIR may be in use.

    Make a copy of the key file afterwards: what is sealed from now on needs it.
    """
    vault = open_vault(directory, key)
    name = vault.rotate()
    click.echo(f"storage key {name} is in force: make a copy of the key file now")
    _reseal(directory, vault)


@command.command("reseal")
@directory_argument
@key_option
def reseal(directory: Path, key: Path | None) -> None:
    """Go on with a rotation that was interrupted. Nothing is left to do when all is done."""
    _reseal(directory, open_vault(directory, key))


def _reseal(directory: Path, vault: Vault) -> None:
    """Seal anew until nothing under an older key is found; a daemon may have added some."""
    total = 0
    for _ in range(_RESEAL_ROUNDS):
        found = 0
        with Submitter(directory) as submitter:
            for items in _older(submitter, vault):
                found += len(items)
                result = accepted(submitter.submit(Reseal(items)))
                total += result.facts.get("replaced", 0)
        if not found:
            break
        # Once more: the daemon may have sealed something before it saw the new key.
        time.sleep(_RESEAL_PAUSE)
    else:
        raise Refusal("the tables stay behind: run `keys reseal` again when they caught up")
    click.echo(f"{total} values sealed anew")


def _older(submitter: Submitter, vault: Vault) -> Iterator[tuple[tuple[bytes, bytes, bytes], ...]]:
    """What is sealed under older keys, in commands' sizes."""
    items: list[tuple[bytes, bytes, bytes]] = []
    for table, (field, *_) in codec.sealed_fields().items():
        for row_key, row in submitter.scan(table):
            sealed: bytes = getattr(row, field)
            if not sealed or vault.is_newest(sealed):
                continue
            try:
                fresh = SEALED_ANEW[table](vault, row_key, row)
            except Forgotten:  # interrupted before its row was dropped
                continue
            items.append((row_key, sealed[:SEAL_HEAD], fresh))
            if len(items) == _RESEAL_ITEMS:
                yield tuple(items)
                items = []
    if items:
        yield tuple(items)


def _again(vault: Vault, label: str, sealed: bytes) -> bytes:
    return vault.seal(label, vault.unseal(label, sealed))


SEALED_ANEW: Final[dict[int, Callable[[Vault, bytes, Any], bytes]]] = {
    schema.ALIAS: lambda vault, key, row: vault.reseal_token(
        schema.alias_parts(key)[0], row.sealed
    ),
    schema.FORMER: lambda vault, key, row: vault.reseal_token(
        schema.former_parts(key)[1], row.sealed
    ),
    schema.TERMINAL: lambda vault, _, row: _again(vault, f"tmk:{row.id}", row.tmk),
    schema.COUPON: lambda vault, _, row: _again(vault, "token:K", row.code),
    schema.LOTTERY: lambda vault, key, row: _again(
        vault, f"lottery:{schema.name_of(key)}", row.seed
    ),
    schema.COMPONENT: lambda vault, key, row: _again(
        vault, f"component:{key[1:].decode()}:{row.part}", row.sealed
    ),
}
"""How the ciphertext of a table's rows is sealed under the newest key."""


def _rows(directory: Path, name: str) -> tuple[Terminal, Component | None]:
    with Snapshot(directory) as snapshot:
        try:
            terminal = snapshot.view.get(schema.terminal(schema.TERMINAL, name))
            waiting = snapshot.view.get(schema.terminal(schema.COMPONENT, name))
        except UnicodeEncodeError:
            terminal = None
    if terminal is None:
        raise Refusal("there is no such terminal: load it first")
    return terminal, waiting


def _command(vault: Vault, terminal: Terminal, made: LoadComponent, clear: bytes) -> LoadComponent:
    """The command of a first component, which is kept sealed."""
    made.sealed = vault.seal(f"component:{terminal.id}:{made.part}", clear)
    return made


def _combined(
    vault: Vault, terminal: Terminal, other: Component, made: LoadComponent, clear: bytes
) -> LoadComponent:
    """The command of a second component, with the key that both make."""
    first = vault.unseal(f"component:{terminal.id}:{other.part}", other.sealed)
    whole = security.combined(terminal.profile, first, clear)
    if whole is None:
        raise Refusal("both components together make no key of use: make new ones, at random")
    made.sealed, made.other_check = b"", other.check
    made.tmk = vault.seal(f"tmk:{terminal.id}", whole)
    made.tmk_check = security.check_value(terminal.profile, whole).hex()
    return made


def _prompted(part: int) -> bytes:
    text: str = click.prompt(
        f"Component {part}, 32 hexadecimal digits", hide_input=True, confirmation_prompt="Again"
    )
    return _key_of(text)


def _from_file(path: Path) -> bytes:
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        mode = os.fstat(descriptor).st_mode
        if not stat.S_ISREG(mode) or mode & _OPEN_BITS:
            raise Refusal(f"{path} is open to others than its owner: run chmod 600 {path}")
        content = os.read(descriptor, _FILE_BYTES_MAX)
    finally:
        os.close(descriptor)
    return _key_of(content.decode("ascii", "replace"))


def _key_of(text: str) -> bytes:
    digits = "".join(text.split())
    if not _KEY_HEX.fullmatch(digits):
        # The text is not repeated: it may be most of a key.
        raise Refusal("a component has to be 32 hexadecimal digits")
    clear = bytes.fromhex(digits)
    if not any(clear):
        raise Refusal("a component of zeros alone would leave the key to the other custodian")
    return clear

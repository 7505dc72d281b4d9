"""``counterfoil coupon``: the code of a coupon told again, as text or as a QR image.

That it is told is a command in the journal first, with who asked and why, and counted: nobody reads
codes of members unnoticed. The image is made by segno, error correction M, a quiet zone of four.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click
import segno

from clearing.console import Refusal, directory_argument, key_option
from engine import codes
from engine.directory import open_vault
from engine.rules.resending import ResendCode
from engine.rules.undo import fields_of
from engine.vault import Vault
from ledger import schema
from ledger.model import Entry
from ledger.tables import Snapshot
from tools.deeds import by_option, reason_option, submit
from tools.show import sequence_of

KINDS = frozenset({"coupon claim", "coupon transfer", "coupon grant"})
"""Commands that give a coupon its code."""
SUFFIXES = (".png", ".svg")


@click.group("coupon")
@directory_argument
@click.pass_context
def command(ctx: click.Context, directory: Path) -> None:
    """Tell the code of a coupon again."""
    ctx.obj = directory


@command.command("resend")
@click.argument("claim", metavar="RRN")
@by_option
@reason_option
@click.option("--qr", type=click.Path(path_type=Path), help="Image of the code: .png or .svg.")
@key_option
@click.pass_obj
def resend(
    directory: Path, claim: str, by: str, reason: str, qr: Path | None, key: Path | None
) -> None:
    """Tell a coupon's code again. RRN is its claim's, or the sequence number.

    At most five times a coupon. With --qr the code goes into an image of mode 0600 alone.
    """
    if qr is not None and qr.suffix not in SUFFIXES:
        raise click.BadParameter("has to end in .png or .svg", param_hint="--qr")
    vault = open_vault(directory, key)
    digest = _code_of(directory, vault, claim)
    result = submit(directory, ResendCode(digest, by, reason))
    with Snapshot(directory) as snapshot:
        row: Any = snapshot.view.get(schema.coupon(digest))
    code = codes.clear(vault, row.code)
    if qr is None:
        click.echo(code)
    else:
        write_qr(code, qr)
        click.echo(f"told again, {result.facts['count']} times so far: {qr}")


def _code_of(directory: Path, vault: Vault, claim: str) -> bytes:
    """The digest of the code that a claim, transfer or grant gave."""
    number = sequence_of(vault, claim)
    with Snapshot(directory) as snapshot:
        entry: Entry | None = snapshot.view.get(schema.entry(number)) if number else None
    if entry is None or entry.kind not in KINDS:
        raise Refusal("this is no RRN of a claim or transfer of a coupon")
    digest: bytes = fields_of(entry)["code"]
    return digest


def write_qr(code: str, path: Path) -> None:
    """Write the QR image of a code, PNG or SVG by the name's end, to a new file of mode 0600.

    Raises:
        FileExistsError: there is a file of that name.
    """
    image: Any = segno.make_qr(code, error="m")
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        image.save(file, kind=path.suffix[1:], scale=6, border=4)

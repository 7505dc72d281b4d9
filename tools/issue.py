"""``counterfoil issue``: cards in batches, their numbers in a file, and ranges moved on.

The ledger comes first, the file behind it: a card stands in the file only once its digest and
ciphertext are durable. A job that was interrupted is run again under the same batch name; the
numbers follow from the key file (`engine.card_numbers`), so what the file lacks is made again and
what the ledger lacks is issued, and no number comes twice. Memory does not grow with the batch.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

import click

from clearing.console import Refusal, directory_argument, key_option
from engine.card_numbers import CardNumbers
from engine.cards import CardBatch, CardProduct
from engine.directory import open_vault
from engine.reasons import Reason
from engine.rules.products import IssueCards, MoveCards, OpenCardBatch
from engine.submit import Submitter
from engine.vault import Vault
from ledger import schema
from tools import issue_codes
from tools.cli import bulk_work, progress_bar
from tools.deeds import accepted
from tools.private_files import private_file

COUNT_MAX: Final = 1_000_000
CHUNK: Final = 100
"""Cards of a command: less than a millisecond of a daemon's loop, and the job takes as long as with
twice as many."""
PIECE: Final = 100
"""Commands that are sent before their results are awaited."""
FOLD_RECORDS: Final = 15_000
"""Cards between two folds without a daemon. Their digests are scattered over the table, so a fold
has a page in memory for each of them, and the library keeps as many as its largest fold had."""
HEADER: Final = b"serial,number\n"
_SERIAL_DIGITS: Final = 7

Progress = Callable[[int, int], None]


@dataclass(slots=True)
class Batch:
    """A batch as the ledger has it.

    Attributes:
        name, count: as named on the command line.
        first: place of its first card among all cards of its product.
        issued: cards in the ledger.
        taken: serial numbers that are left out, for their numbers were members' cards already.
    """

    name: str
    count: int
    first: int
    issued: int
    taken: set[int]


class CardJob:
    """The issue of one batch.

    Args:
        submitter: the way to the ledger.
        vault: the directory's key file.
        product: what the cards are.
        batch: the open batch.
    """

    def __init__(
        self, submitter: Submitter, vault: Vault, product: CardProduct, batch: Batch
    ) -> None:
        self._submitter = submitter
        self._vault = vault
        self._batch = batch
        self._numbers = CardNumbers(vault, product.prefix, product.length)
        self._width = len(_line(1, "0" * product.length))

    def run(self, file: BinaryIO, progress: Progress | None) -> None:
        """Bring the file up to the ledger, then issue the rest.

        Args:
            file: the output, opened for reading and appending.
            progress: called with (cards in the file, cards of the batch).

        Raises:
            Refusal: the file is of something else, or another job issues the same batch.
        """
        batch = self._batch
        written = self._written(file)
        while written < batch.issued:
            count = min(CHUNK, batch.issued - written)
            self._write(file, written + 1, self._numbers.numbers(batch.first + written, count))
            written += count
            if progress:
                progress(written, batch.count)
        while written < batch.count:
            written = self._issue_piece(file, written)
            if progress:
                progress(written, batch.count)

    def _issue_piece(self, file: BinaryIO, written: int) -> int:
        """Issue the next cards; returns how many there are now."""
        made: list[tuple[int, list[str]]] = []
        end = min(written + PIECE * CHUNK, self._batch.count)
        for start in range(written, end, CHUNK):
            count = min(CHUNK, end - start)
            made.append((start + 1, self._numbers.numbers(self._batch.first + start, count)))
        commands = [self._command(start, numbers) for start, numbers in made]
        results = self._submitter.submit_many(commands, PIECE)
        for (start, numbers), result in zip(made, results, strict=True):
            if result.reason != Reason.APPROVED:
                why = result.text if not result.done else "another job issues this batch"
                raise Refusal(f"{why}: run the same again once it has ended")
            self._batch.taken.update(result.facts.get("taken", ()))
            self._write(file, start, numbers)
        return end

    def _write(self, file: BinaryIO, start: int, numbers: list[str]) -> None:
        taken = self._batch.taken
        file.write(
            b"".join(
                [
                    _line(serial, number)
                    for serial, number in enumerate(numbers, start)
                    if serial not in taken
                ]
            )
        )

    def _command(self, start: int, numbers: list[str]) -> IssueCards:
        seal = self._vault.seal_token
        return IssueCards(
            self._batch.name,
            start,
            tuple([seal("C", number) for number in numbers]),
        )

    def _written(self, file: BinaryIO) -> int:
        """The last serial number in the file, whose torn last line is cut off."""
        size = file.seek(0, os.SEEK_END)
        if size < len(HEADER):
            file.truncate(0)
            file.seek(0)
            file.write(HEADER)
            return 0
        whole = (size - len(HEADER)) // self._width
        file.truncate(len(HEADER) + whole * self._width)
        file.seek(0)
        header = file.read(len(HEADER))
        serial = 0
        if whole:
            file.seek(len(HEADER) + (whole - 1) * self._width)
            last = file.read(self._width)
            text = last[:_SERIAL_DIGITS]
            serial = int(text) if text.isdigit() else 0
            if not 0 < serial <= self._batch.issued or last != _line(
                serial, self._numbers.numbers(self._batch.first + serial - 1, 1)[0]
            ):
                header = b""
        if header != HEADER:
            raise Refusal("the output file holds something else: name another one")
        file.seek(0, os.SEEK_END)
        return serial


def _line(serial: int, number: str) -> bytes:
    return b"%0*d,%b\n" % (_SERIAL_DIGITS, serial, number.encode("ascii"))


def open_card_batch(submitter: Submitter, name: str, product: str, count: int) -> Batch:
    """Open a batch, or find it as it is.

    Raises:
        Refusal: the ledger has another batch of that name, or no such product.
    """
    told = accepted(submitter.submit(OpenCardBatch(name, product, count))).facts
    return Batch(name, count, told["first"], told["issued"], set(told["taken"]))


@click.group("issue")
@directory_argument
@click.pass_context
def command(ctx: click.Context, directory: Path) -> None:
    """Issue in bulk, with an output file that only you may read."""
    ctx.obj = directory


_NAME_MAX: Final = 24


@command.command("cards")
@click.option("--product", required=True, help="Card product, loaded before.")
@click.option("--count", required=True, type=click.IntRange(1, COUNT_MAX), help="How many cards.")
@click.option("--output", required=True, type=click.Path(path_type=Path), help="CSV, mode 0600.")
@click.option("--batch", help="Name of the batch; by default the output file's, without suffix.")
@key_option
@click.pass_obj
def issue_cards(
    directory: Path, product: str, count: int, output: Path, batch: str | None, key: Path | None
) -> None:
    """Issue a batch of cards. They are produced, their numbers are in the output file.

    Interrupted, run the same again: it goes on where it was.
    """
    name = batch or output.stem
    if not name.replace("-", "a").replace("_", "a").isalnum() or not name.isascii():
        raise click.BadParameter("has to be letters, digits, _ or -", param_hint="--batch")
    if len(name) > _NAME_MAX:
        raise click.BadParameter(f"has at most {_NAME_MAX} characters", param_hint="--batch")
    vault = open_vault(directory, key)
    begun = time.monotonic()
    with ExitStack() as stack:
        stack.enter_context(bulk_work())
        submitter = stack.enter_context(Submitter(directory, fold_records=FOLD_RECORDS))
        file = stack.enter_context(private_file(output))
        opened = open_card_batch(submitter, name, product, count)
        progress = stack.enter_context(progress_bar("cards"))
        before = opened.issued
        job = CardJob(submitter, vault, _product(submitter, product), opened)
        job.run(file, progress)
    issued = count - before
    click.echo(f"batch {name}: {issued} cards issued, {count} in all, in {output}")
    if before:
        click.echo(f"{before} of them had been issued before")
    if opened.taken:
        click.echo(f"{len(opened.taken)} numbers were members' cards already and are left out")
    click.echo(f"it took {time.monotonic() - begun:.1f} s", err=True)


def _product(submitter: Submitter, product: str) -> CardProduct:
    rows = submitter.scan(schema.CARD_PRODUCT)
    found: CardProduct = next(row for _, row in rows if row.id == product)
    rows.close()
    return found


def _move(directory: Path, batch: str, first: int, last: int | None, state: str) -> None:
    with Submitter(directory) as submitter:
        if last is None:
            last = _issued(submitter, batch)
        result = accepted(submitter.submit(MoveCards(batch, first, last, state)))
    done = "were so already" if result.reason == Reason.UNCHANGED else f"are {state}"
    click.echo(f"cards {first} to {last} of batch {batch} {done}")


def _issued(submitter: Submitter, batch: str) -> int:
    rows = submitter.scan(schema.CARD_BATCH)
    found: list[CardBatch] = [row for key, row in rows if schema.name_of(key) == batch]
    if not found:
        raise Refusal(f"there is no batch {batch}")
    return found[0].issued


def _mover(verb: str, state: str, about: str) -> None:
    """Make the subcommand that moves a range of a batch to a state."""

    @command.command(verb, help=about)
    @click.option("--batch", required=True, help="Name of the batch.")
    @click.option("--first", default=1, show_default=True, help="First serial number.")
    @click.option("--last", type=int, help="Last serial number; all by default.")
    @click.pass_obj
    def move(directory: Path, batch: str, first: int, last: int | None) -> None:
        _move(directory, batch, first, last, state)


_mover("distribute", "distributed", "Note that cards were handed out to be sold.")
_mover("activate", "active", "Let distributed cards be used.")
_mover("close", "closed", "End cards that nobody has presented yet.")

for _command in issue_codes.COMMANDS:
    command.add_command(_command)

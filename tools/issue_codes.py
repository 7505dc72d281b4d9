"""``counterfoil issue``: coupon codes in bulk, of our own making, foreign, or for named members.

*Produced* codes are one command to the ledger, then a file that is written from the key file alone,
which a process for each processor does where they are many: a job that was interrupted is run again
and goes on behind the last whole line. *Foreign* codes are judged, sorted by digest and taken in by
chunks; what is rejected is reported by line number. For *members* a batch of codes is opened, and
the member in line n gets the n-th of it, so that a job that is run again gives nobody two.
"""

from __future__ import annotations

import os
import re
import time
from contextlib import ExitStack, closing
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO, Final

import click

from clearing.console import REFUSED, Refusal, key_option
from engine import codes
from engine.card_numbers import check_digit as luhn
from engine.codes import Codes
from engine.directory import open_vault
from engine.reasons import Reason
from engine.recharge import ACTIVE, CLOSED, SOLD
from engine.rules.code_batches import HandOut, ImportCodes, OpenCodes, TakeBack
from engine.rules.coupons import Grant
from engine.rules.recharge import MoveRecharge, OpenRecharge
from engine.submit import Submitter
from engine.vault import Vault
from ledger import schema
from ledger.workers import spread
from tools import load_checks as check
from tools.cli import bulk_work, progress_bar
from tools.deeds import accepted, submit
from tools.private_files import private_file

COUNT_MAX: Final = 50_000_000
PIECE: Final = 10_000
"""Codes that are made, and written, at a time."""
ALONE_MAX: Final = 100_000
"""Codes that one process makes sooner than others have started."""
LINES_MAX: Final = 1_000_000
"""Lines of a file of foreign codes or members: they are sorted in memory."""
RUN: Final = 100
"""Foreign codes of a command: less than a millisecond of a daemon's loop, and the job takes no more
than some percent longer than with twice as many."""
WINDOW: Final = 40
"""Commands that may be with the daemon unanswered."""
SERIAL_DIGITS: Final = 8
NAME_MAX: Final = 32

_FOREIGN = re.compile(r"[0-9A-Za-z]{10,40}", re.ASCII).fullmatch
_NAME = re.compile(r"[A-Za-z0-9_-]+", re.ASCII).fullmatch


@dataclass(frozen=True, slots=True)
class Produced:
    """What a file of produced codes has, as far as another process needs it to make some.

    Attributes:
        directory: the data directory.
        key: its key file as named on the command line, if it was.
        series: of the codes, see `engine.codes.SERIES`.
        batch: its number.
        count: of the batch's codes.
        length: digits of a code.
        pins: whether each line has the coupon's PIN, too.
    """

    directory: Path
    key: Path | None
    series: str
    batch: int
    count: int
    length: int
    pins: bool = False


@lru_cache(maxsize=1)
def _maker(of: Produced) -> tuple[Vault, Codes]:
    vault = open_vault(of.directory, of.key)
    return vault, Codes(vault, of.length, of.series)


def lines_of(of: Produced, first: int, count: int) -> bytes:
    """The lines of `count` serial numbers, from `first` on."""
    vault, maker = _maker(of)
    made = maker.make(of.batch, first, count)
    if not of.pins:
        lines = [f"{serial:08},{code}\n" for serial, code in enumerate(made, first)]
    else:
        digest, pin = codes.digest_of, codes.pin_of
        lines = [
            f"{serial:08},{code},{pin(vault, digest(vault, code))}\n"
            for serial, code in enumerate(made, first)
        ]
    return "".join(lines).encode("ascii")


class CodeFile:
    """The file of a produced batch."""

    def __init__(self, of: Produced) -> None:
        self._of = of
        self._count = of.count
        self._header = b"serial,code,pin\n" if of.pins else b"serial,code\n"
        self._width = SERIAL_DIGITS + 2 + of.length + (1 + codes.PIN_DIGITS if of.pins else 0)

    def run(self, file: BinaryIO, progress: object) -> int:
        """Write what the file lacks; returns how many codes that were.

        Raises:
            Refusal: the file is of something else.
        """
        done = before = self._written(file)
        tasks = [
            (self._of, first, min(PIECE, self._count + 1 - first))
            for first in range(done + 1, self._count + 1, PIECE)
        ]
        workers = len(os.sched_getaffinity(0)) if self._count - done > ALONE_MAX else 1
        for lines in spread(lines_of, tasks, workers=workers):
            file.write(lines)
            done = min(done + PIECE, self._count)
            if callable(progress):
                progress(done, self._count)
        return done - before

    def _written(self, file: BinaryIO) -> int:
        """Codes in the file, whose torn last line is cut off."""
        size = file.seek(0, os.SEEK_END)
        start = len(self._header)
        if size < start:
            file.truncate(0)
            file.seek(0)
            file.write(self._header)
            return 0
        whole = (size - start) // self._width
        file.seek(0)
        right = file.read(start) == self._header and whole <= self._count
        if right and whole:
            file.seek(start + (whole - 1) * self._width)
            right = file.read(self._width) == lines_of(self._of, whole, 1)
        if not right:
            raise Refusal("the output file holds something else: name another one")
        file.truncate(start + whole * self._width)
        file.seek(0, os.SEEK_END)
        return whole


def batch_name(batch: str | None, path: Path) -> str:
    """The name of a batch, by default that of its file without suffix."""
    name = batch or path.stem
    if not _NAME(name) or len(name) > NAME_MAX:
        raise click.BadParameter(
            f"has to be 1 to {NAME_MAX} letters, digits, _ or -", param_hint="--batch"
        )
    return name


@click.command("coupons")
@click.option("--campaign", required=True, help="Campaign, loaded before.")
@click.option("--count", type=click.IntRange(1, COUNT_MAX), help="How many codes.")
@click.option(
    "--length",
    type=click.IntRange(codes.LENGTH_MIN, codes.LENGTH_MAX),
    default=codes.LENGTH,
    show_default=True,
    help="Digits of a code.",
)
@click.option("--output", type=click.Path(path_type=Path), help="CSV, mode 0600.")
@click.option("--pin", is_flag=True, help="Write the coupons' PINs, too.")
@click.option(
    "--members",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="Ids of members, one a line: each gets a coupon, in place of --count and --output.",
)
@click.option("--batch", help="Name of the batch; by default the file's, without suffix.")
@key_option
@click.pass_obj
def coupons(  # noqa: PLR0913 - the options of a command
    directory: Path,
    *,
    campaign: str,
    count: int | None,
    length: int,
    output: Path | None,
    pin: bool,
    members: Path | None,
    batch: str | None,
    key: Path | None,
) -> None:
    """Produce coupon codes, or give one to each of a list.

    Interrupted, run the same again: it goes on where it was.
    """
    vault = open_vault(directory, key)
    if members is not None:
        if count or output:
            raise click.UsageError("--members stands in place of --count and --output")
        _give_to_members(directory, vault, campaign, members, batch_name(batch, members))
        return
    if count is None or output is None:
        raise click.UsageError("give --count and --output, or --members")
    name = batch_name(batch, output)
    begun = time.monotonic()
    with ExitStack() as stack:
        stack.enter_context(bulk_work())
        file = stack.enter_context(private_file(output))
        with Submitter(directory) as submitter:
            if pin and not _has_pins(submitter, campaign):
                raise click.UsageError(f"--pin: coupons of {campaign} have none")
            opening = OpenCodes(name, campaign, count, length, vault.key_id, rows=False)
            number = _open(submitter, opening)
        progress = stack.enter_context(progress_bar("codes"))
        job = CodeFile(Produced(directory, key, codes.COUPON, number, count, length, pin))
        written = job.run(file, progress)
    click.echo(f"batch {name}, number {number}: {count} codes in {output}, {written} of them now")
    click.echo(f"it took {time.monotonic() - begun:.1f} s", err=True)


def _has_pins(submitter: Submitter, name: str) -> bool:
    """Whether a campaign's coupons have a PIN; True for one that is not there, which opening says.

    Versions before the newest stand behind it in the table.
    """
    with closing(submitter.scan(schema.CAMPAIGN)) as rows:
        for key, row in rows:
            if key == schema.named(schema.CAMPAIGN, name):
                found: bool = row.pin
                return found
    return True


def _open(submitter: Submitter, command: OpenCodes | OpenRecharge) -> int:
    number: int = accepted(submitter.submit(command)).facts["number"]
    return number


def _give_to_members(
    directory: Path, vault: Vault, campaign: str, members: Path, name: str
) -> None:
    try:
        wanted = members.read_text(encoding="utf-8-sig").split()
    except UnicodeDecodeError:
        raise Refusal(f"{members} is not UTF-8: save it in that encoding") from None
    if not 0 < len(wanted) <= LINES_MAX:
        raise Refusal(f"a list has 1 to {LINES_MAX} members")
    maker = Codes(vault, codes.LENGTH)
    opening = OpenCodes(name, campaign, len(wanted), codes.LENGTH, vault.key_id, rows=True)
    given = already = 0
    rejects: list[str] = []
    with bulk_work(), Submitter(directory) as submitter, progress_bar("members") as progress:
        number = _open(submitter, opening)
        for start in range(0, len(wanted), RUN):
            some = wanted[start : start + RUN]
            made = maker.make(number, start + 1, len(some))
            commands = [
                Grant(member, campaign, codes.digest_of(vault, code), codes.seal(vault, code))
                for member, code in zip(some, made, strict=True)
            ]
            for line, result in enumerate(submitter.submit_many(commands, WINDOW), start + 1):
                given += result.reason == Reason.APPROVED
                already += result.reason == Reason.CODE_TAKEN
                if not result.done and result.reason != Reason.CODE_TAKEN:
                    rejects.append(f"line {line}: {result.text}")
            if progress:
                progress(start + len(some), len(wanted))
    click.echo(f"{given} members got a coupon of {campaign}, {already} had theirs of this list")
    _report(rejects)


@click.command("import-coupons")
@click.option("--campaign", required=True, help="Campaign, loaded before.")
@click.option(
    "--check",
    "digit",
    type=click.Choice(["none", "luhn", "damm"]),
    default="none",
    show_default=True,
    help="What the last digit of a code has to be.",
)
@click.option("--batch", help="Name of the batch; by default the file's, without suffix.")
@key_option
@click.argument("source", metavar="FILE", type=click.Path(path_type=Path, exists=True))
@click.pass_obj
def import_coupons(
    directory: Path, campaign: str, digit: str, batch: str | None, key: Path | None, source: Path
) -> None:
    """Take in codes that somebody else has made. One a line; what follows a comma is left aside.

    Rejected lines are told by number and reason, never by their code; the others are taken in.
    """
    vault = open_vault(directory, key)
    name = batch_name(batch, source)
    good, rejects = _judged(source, vault, digit)
    if not good:
        _report(rejects)
        raise Refusal("no line of the file holds a code that can be taken")
    order = sorted(good)  # tables are written in runs
    taken = 0
    with bulk_work(), Submitter(directory) as submitter, progress_bar("codes") as progress:
        number = _open(submitter, OpenCodes(name, campaign, len(good), 0, vault.key_id, rows=True))
        runs = [order[at : at + RUN] for at in range(0, len(order), RUN)]
        commands = (
            ImportCodes(number, tuple([(one, codes.seal(vault, good[one][1])) for one in run]))
            for run in runs
        )
        for run, result in zip(runs, submitter.submit_many(commands, WINDOW), strict=True):
            known = accepted(result).facts.get("taken", ())
            rejects += [f"line {good[run[at]][0]}: is a coupon already" for at in known]
            taken += len(run) - len(known)
            if progress:
                progress(taken, len(order))
    click.echo(f"batch {name}, number {number}: {taken} codes of {campaign}")
    _report(rejects)


def _judged(
    source: Path, vault: Vault, digit: str
) -> tuple[dict[bytes, tuple[int, str]], list[str]]:
    """Lines of a file: digests with line number and code, and what is wrong with the rest."""
    good: dict[bytes, tuple[int, str]] = {}
    rejects: list[str] = []
    with source.open(encoding="utf-8-sig", errors="replace") as lines:
        for number, line in enumerate(lines, 1):
            code = line.partition(",")[0].strip()
            wrong = _wrong(code, digit)
            if not code and not line.strip():
                continue
            if wrong:
                rejects.append(f"line {number}: {wrong}")
                continue
            if number > LINES_MAX:
                raise Refusal(f"a file has at most {LINES_MAX} lines: split it")
            digest = codes.digest_of(vault, code)
            if digest in good:
                rejects.append(f"line {number}: is there twice, first in line {good[digest][0]}")
            else:
                good[digest] = (number, code)
    return good, rejects


def _wrong(code: str, digit: str) -> str:
    """What is wrong with a foreign code, empty for nothing."""
    if not _FOREIGN(code):
        return "a code is 10 to 40 letters and digits"
    if digit == "none":
        return ""
    if not code.isdecimal():
        return "a code with a check digit has digits only"
    right = codes.check_digit(code[:-1]) if digit == "damm" else luhn(code[:-1])
    return "" if code[-1] == right else "its check digit is wrong"


def _report(rejects: list[str]) -> None:
    """Tell what was rejected, and leave with 1 if anything was."""
    if not rejects:
        return
    click.echo(f"{len(rejects)} lines rejected")
    for text in rejects:
        click.echo(f"  {text}", err=True)
    raise click.exceptions.Exit(REFUSED)


def _tell_handed(directory: Path, command: HandOut | TakeBack, done: str, before: str) -> None:
    """Submit a command about who has codes, and tell what it did, or that it was so before."""
    result = submit(directory, command)
    so = before if result.reason == Reason.UNCHANGED else done
    last = result.facts["last"]
    click.echo(f"codes {command.first} to {last} of batch {command.name} {so} {command.holder}")


@click.command("distribute-coupons")
@click.option("--batch", required=True, help="Name of the batch.")
@click.option("--first", default=1, show_default=True, help="First serial number.")
@click.option("--last", type=click.IntRange(1), help="Last serial number; all by default.")
@click.option("--to", required=True, metavar="WHO", help="A merchant, or a distributor's name.")
@click.pass_obj
def distribute_coupons(directory: Path, batch: str, first: int, last: int | None, to: str) -> None:
    """Note that coupon codes were handed out, and to whom. Their use does not depend on it."""
    command = HandOut(batch, first, last or 0, to)
    _tell_handed(directory, command, "are with", "were handed out already, to")


@click.command("take-back-coupons")
@click.option("--batch", required=True, help="Name of the batch.")
@click.option("--first", default=1, show_default=True, help="First serial number.")
@click.option("--last", type=click.IntRange(1), help="Last serial number; all by default.")
@click.option("--from", "who", required=True, metavar="WHO", help="Who has had them.")
@click.pass_obj
def take_back_coupons(directory: Path, batch: str, first: int, last: int | None, who: str) -> None:
    """Note that coupon codes came back from whoever had them."""
    command = TakeBack(batch, first, last or 0, who)
    _tell_handed(directory, command, "came back from", "are no longer, or never were, with")


@click.command("recharge-cards")
@click.option("--count", required=True, type=click.IntRange(1, COUNT_MAX), help="How many cards.")
@click.option("--unit", required=True, help="156, or a program.")
@click.option("--amount", required=True, type=click.IntRange(1), help="Fen or points of a card.")
@click.option("--expires", required=True, help="Last day of use, YYYY-MM-DD.")
@click.option(
    "--length",
    type=click.IntRange(codes.LENGTH_MIN, codes.LENGTH_MAX),
    default=codes.LENGTH,
    show_default=True,
    help="Digits of a code.",
)
@click.option("--output", required=True, type=click.Path(path_type=Path), help="CSV, mode 0600.")
@click.option("--batch", help="Name of the batch; by default the output file's, without suffix.")
@key_option
@click.pass_obj
def recharge_cards(  # noqa: PLR0913 - the options of a command
    directory: Path,
    *,
    count: int,
    unit: str,
    amount: int,
    expires: str,
    length: int,
    output: Path,
    batch: str | None,
    key: Path | None,
) -> None:
    """Produce recharge cards. They are sold, activated and then used once.

    Interrupted, run the same again: it goes on where it was.
    """
    vault = open_vault(directory, key)
    name = batch_name(batch, output)
    try:
        unit, day = check.unit(unit), check.day(expires)
    except check.Rejected as fault:
        raise click.UsageError(f"--unit or --expires {fault}") from None
    with ExitStack() as stack:
        stack.enter_context(bulk_work())
        file = stack.enter_context(private_file(output))
        with Submitter(directory) as submitter:
            opening = OpenRecharge(name, count, length, vault.key_id, unit, amount, day)
            number = _open(submitter, opening)
        progress = stack.enter_context(progress_bar("cards"))
        job = CodeFile(Produced(directory, key, codes.RECHARGE, number, count, length))
        written = job.run(file, progress)
    click.echo(f"batch {name}, number {number}: {count} cards in {output}, {written} of them now")


def _mover(verb: str, state: str, about: str) -> click.Command:
    """Make the subcommand that moves a range of recharge cards to a state."""

    @click.command(verb, help=about)
    @click.option("--batch", required=True, help="Name of the batch.")
    @click.option("--first", required=True, type=int, help="First serial number.")
    @click.option("--last", required=True, type=int, help="Last serial number.")
    @click.pass_obj
    def move(directory: Path, batch: str, first: int, last: int) -> None:
        _move(directory, MoveRecharge(batch, first, last, state, "", 0))

    return move


@click.command("sell-recharge")
@click.option("--batch", required=True, help="Name of the batch.")
@click.option("--first", required=True, type=int, help="First serial number.")
@click.option("--last", required=True, type=int, help="Last serial number.")
@click.option("--merchant", required=True, help="Who sells them, and owes their price.")
@click.option("--price", required=True, type=click.IntRange(0), help="Fen for each.")
@click.pass_obj
def sell_recharge(
    directory: Path, batch: str, first: int, last: int, merchant: str, price: int
) -> None:
    """Note that a merchant has recharge cards to sell. It owes their price from now on."""
    _move(directory, MoveRecharge(batch, first, last, SOLD, merchant, price))


def _move(directory: Path, command: MoveRecharge) -> None:
    result = submit(directory, command)
    so = f"are {command.state}"
    if result.reason == Reason.UNCHANGED:
        so = "were so already" + (": nobody owes for them again" if command.merchant else "")
    click.echo(f"cards {command.first} to {command.last} of batch {command.name} {so}")


COMMANDS: Final = (
    coupons,
    import_coupons,
    distribute_coupons,
    take_back_coupons,
    recharge_cards,
    sell_recharge,
    _mover("activate-recharge", ACTIVE, "Let recharge cards that were sold be used."),
    _mover("close-recharge", CLOSED, "End recharge cards that nobody has used."),
)

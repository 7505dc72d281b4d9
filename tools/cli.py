"""``counterfoil``: the one command, with a subcommand for each thing an operator does.

Exit status 0 done, 1 refused or found wrong, 2 wrong usage. What goes wrong is one sentence on
stderr that says what to do, never a traceback. Output is text for people, or JSON with ``--json``;
progress is drawn on stderr when that is a terminal. Each command works beside a running daemon,
through its control socket or reading only, and without one.
"""

from __future__ import annotations

import errno
import gc
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any, Final

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from clearing.console import (
    REFUSED,
    Refusal,
    directory_argument,
    echo_json,
    json_option,
    key_option,
    stdout_console,
)
from clearing.dates import DAY, as_number
from engine.configuration import FORMATS, LEVELS
from engine.directory import (
    DEFAULT_CUTOFF,
    DEFAULT_ZONE,
    VERSION,
    DirectoryError,
    init_directory,
    key_path,
    open_vault,
    read_configuration,
    wall_ms,
)
from engine.giver import OPERATOR_VARIABLE, OperatorUnfit, is_name, speaking_for
from engine.rules.reference import CutOff
from engine.submit import AnswerMissing, Refused, Submitter, confirm_clock, daemon_status
from engine.terms import Clock, spoken
from engine.vault import KeyFileError, SealBroken
from ledger.book import BookInUse, JournalDamaged, OutcomeUnknown
from ledger.codec import UnknownLayout
from ledger.tables import Snapshot
from tools.decode import NotHex, explain, print_rows, understood
from tools.load import load as load_file
from tools.replay import Differs
from tools.replay import replay as replay_into
from tools.show import KINDS, NotFound, look_up
from tools.show_tables import print_shown
from tools.tail import events
from tools.usage import explained, wrong_usage_in_one_line
from tools.verify import as_json as verification_json
from tools.verify import note_verification, verification

KNOWN_ERRORS: Final = (
    AnswerMissing,
    BookInUse,
    Differs,
    DirectoryError,
    JournalDamaged,
    KeyFileError,
    NotFound,
    OperatorUnfit,
    OutcomeUnknown,
    Refused,
    SealBroken,
    UnknownLayout,
)
"""Errors whose text is a sentence for the operator."""


def nobody_reads() -> None:
    """Whoever read our output has gone; the interpreter must not try to flush the rest."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _spoken(error: OSError) -> str:
    """What the system said, and of a full disk what to do."""
    name = f"{error.filename}: " if error.filename else ""
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return f"{name}the disk is full: free some room, then do the same again"
    return f"{name}{error.strerror or error}"


class Command(click.Group):
    """The group: knows errors for sentences, and commands whose modules load on demand."""

    lazy: Final = {
        "adjust": "tools.adjust",
        "archive": "tools.archive:archive",
        "backup": "tools.backup:backup",
        "campaign": "tools.campaign",
        "clear": "clearing.cli",
        "coupon": "tools.coupon",
        "config": "tools.configure",
        "doctor": "tools.doctor",
        "export": "tools.export",
        "gift": "tools.gift",
        "issue": "tools.issue",
        "keys": "tools.keys",
        "log": "tools.configure:log",
        "lottery": "tools.lottery",
        "member": "tools.member",
        "night": "tools.night",
        "operator": "tools.desks:operator",
        "report": "clearing.reports",
        "restore": "tools.backup:restoring",
        "simulate": "tools.simulate",
        "sweep": "tools.sweep",
        "terminal": "tools.desks:terminal",
        "top": "tools.top",
    }

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All subcommands that can be loaded."""
        found = [name for name in self.lazy if self.get_command(ctx, name) is not None]
        return sorted({*super().list_commands(ctx), *found})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """A subcommand, loaded when first asked for."""
        place = self.lazy.get(cmd_name)
        if place is None:
            found = super().get_command(ctx, cmd_name)
            return found and explained(found, cmd_name)
        module, _, name = place.partition(":")
        try:
            command: click.Command = getattr(import_module(module), name or "command")
        except (ModuleNotFoundError, AttributeError):
            return None
        return explained(command, cmd_name)

    def make_context(self, *args: Any, **more: Any) -> click.Context:
        """Read the words up to the subcommand; wrong usage is told in one line."""
        try:
            with wrong_usage_in_one_line():
                return super().make_context(*args, **more)
        except OSError as error:  # of `--help`, which is printed here
            raise Refusal(_spoken(error)) from error

    def invoke(self, ctx: click.Context) -> Any:
        """Run a subcommand; known errors become their sentence and exit status 1."""
        try:
            with wrong_usage_in_one_line():
                return super().invoke(ctx)
        except KNOWN_ERRORS as error:
            raise Refusal(str(error)) from error
        except BrokenPipeError:
            nobody_reads()
            raise click.exceptions.Exit(REFUSED) from None
        except UnicodeEncodeError as error:
            what = "a word of the command, or the name of a file, is not UTF-8: set the terminal to"
            raise Refusal(f"{what} UTF-8, or rename the file") from error
        except OSError as error:
            raise Refusal(_spoken(error)) from error


@click.group(cls=Command, name="counterfoil", context_settings={"max_content_width": 100})
@click.version_option(VERSION, prog_name="counterfoil")
@click.option(
    "--operator",
    metavar="NAME",
    default="",
    help=f"Who gives the command, for the journal; else {OPERATOR_VARIABLE}, else the login name.",
)
@click.pass_context
def main(ctx: click.Context, operator: str) -> None:
    """Points and coupon transaction engine with a POS terminal protocol server."""
    if operator and not is_name(operator):
        raise click.BadParameter("has to be 1 to 64 printable characters", param_hint="--operator")
    ctx.with_resource(speaking_for(operator))


def print_list(rows: list[dict[str, Any]], *, as_json: bool) -> None:
    """Print rows of one shape: a table, `none` where there are none, or JSON."""
    if as_json:
        echo_json(rows)
        return
    if not rows:
        click.echo("none")
        return
    table = Table(*rows[0])
    for row in rows:
        table.add_row(*("" if value is None else str(value) for value in row.values()))
    stdout_console().print(table)


@contextmanager
def bulk_work() -> Iterator[None]:
    """Look for garbage in cycles seldom for a while.

    Millions of entries make hardly any, and looking through the overlay for it costs an eighth
    of the time.
    """
    usual = gc.get_threshold()
    gc.set_threshold(200_000, 20, 50)
    try:
        yield
    finally:
        gc.set_threshold(*usual)


@contextmanager
def progress_bar(what: str) -> Iterator[Callable[[int, int], None] | None]:
    """A bar on stderr for work that tells (done, whole); None when nobody looks."""
    if not sys.stderr.isatty():
        yield None
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, TimeElapsedColumn(), console=Console(stderr=True)) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, whole: bar.update(task, completed=done, total=whole)


@main.command()
@directory_argument
@click.option(
    "--key",
    type=click.Path(path_type=Path),
    help="Name of the new key file; else COUNTERFOIL_KEY, else DIR.key beside DIR.",
)
@click.option("--zone", default=DEFAULT_ZONE, show_default=True, help="Time zone, an IANA name.")
@click.option("--cutoff", default=DEFAULT_CUTOFF, show_default=True, help="End of a day, HH:MM.")
@click.option("--demo", is_flag=True, help="Load sample data.")
def init(directory: Path, key: Path | None, zone: str, cutoff: str, *, demo: bool) -> None:
    """Make a new data directory and its key file."""
    vault = init_directory(directory, key, zone=zone, cutoff=cutoff)
    click.echo(f"made {directory}")
    place = os.path.normpath(key_path(read_configuration(directory), key))
    click.echo(f"key file {place} ({vault.key_id}): keep a copy apart from the data")
    if demo:
        import_module("tools.sample").load_sample(directory)
        click.echo("sample data loaded")


@main.command()
@directory_argument
@click.option("--listen", metavar="HOST:PORT", help="Else as configured: 127.0.0.1:8583.")
@click.option("--metrics", metavar="HOST:PORT", help="Else as configured: 127.0.0.1:9583.")
@click.option("--tls-listen", metavar="HOST:PORT", help="A second port, under TLS.")
@click.option("--cert", type=click.Path(path_type=Path), help="Certificate and key, PEM.")
@click.option("--client-ca", type=click.Path(path_type=Path), help="CA of terminals, PEM.")
@click.option("--config", type=click.Path(path_type=Path), help="Another configuration file.")
@click.option("--log-format", type=click.Choice(FORMATS), help="Else as configured: text.")
@click.option("--log-level", type=click.Choice(LEVELS), help="Else as configured: info.")
@click.option("--confirm-clock", is_flag=True, help="The clock is right, though far ahead.")
@key_option
def serve(
    directory: Path, listen: str | None, metrics: str | None, key: Path | None, **options: Any
) -> None:
    """Run the daemon in the foreground. It prints `ready HOST:PORT metrics HOST:PORT`."""
    secured = (options["tls_listen"], options["cert"], options["client_ca"])
    if any(secured) and not all(secured):
        raise click.UsageError("--tls-listen, --cert and --client-ca go together")
    addresses = [("--listen", listen), ("--metrics", metrics)]
    if secured[0]:
        addresses.append(("--tls-listen", secured[0]))
    for name, address in addresses:
        if address is None:
            continue
        host, _, port = address.rpartition(":")
        if not host or not port.isascii() or not port.isdigit() or int(port) > 65535:  # noqa: PLR2004
            raise click.BadParameter("has to be HOST:PORT", param_hint=name)
    server = import_module("posd.server")
    try:
        status: int = server.run(
            directory,
            listen,
            metrics,
            key,
            confirm_clock=options["confirm_clock"],
            config=options["config"],
            tls=secured if secured[0] else None,
            logging_as=(options["log_format"], options["log_level"]),
        )
    except server.TlsFileError as error:
        raise Refusal(str(error)) from None
    raise click.exceptions.Exit(status)


@main.command()
@directory_argument
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@key_option
@json_option
def load(directory: Path, file: Path, key: Path | None, *, as_json: bool) -> None:
    """Load reference data and opening balances. FILE is JSON Lines, see tools/LOAD.md."""

    def rejected(line: int, why: str) -> None:
        if not as_json:
            click.echo(f"line {line}: {why}")

    vault = open_vault(directory, key)
    with bulk_work(), Submitter(directory) as submitter, progress_bar("bytes") as progress:
        report = load_file(submitter, vault, file, progress=progress, rejected=rejected)
    if as_json:
        echo_json(
            {
                "loaded": report.loaded,
                "unchanged": report.unchanged,
                "rejected": [{"line": line, "reason": why} for line, why in report.rejected],
                "rejected_count": report.rejected_count,
            }
        )
    else:
        click.echo(
            f"loaded {report.loaded}, unchanged {report.unchanged},"
            f" rejected {report.rejected_count}"
        )
    if report.rejected_count:
        raise click.exceptions.Exit(REFUSED)


@main.command()
@directory_argument
@click.option(
    "--against",
    multiple=True,
    metavar="FILE|SET|SEQ:HASH",
    help="A backup, a settlement set, or its note: finds a journal that was cut or redone.",
)
@json_option
def verify(directory: Path, against: tuple[str, ...], *, as_json: bool) -> None:
    """Run every audit check. It ends with the sequence number and the digest."""
    checked = []
    if against:
        judge_chain = import_module("tools.backup").judge_chain
        for note in against:
            if wrong := judge_chain(directory, note):
                raise Refusal(wrong)
    with progress_bar("entries") as progress, verification(directory, progress) as run:
        for check in run.checks():
            checked.append(check)
            if as_json:
                continue
            click.echo(f"{check.state:<8} {check.name}")
            for finding in check.findings:
                click.echo(f"         {finding.text}")
        sequence, digest = run.sequence, run.digest()
    note_verification(directory, sequence, checked)
    if as_json:
        echo_json(verification_json(sequence, digest, checked))
    else:
        click.echo(f"sequence {sequence}\ndigest {digest}")
    if any(check.state == "failed" for check in checked):
        raise click.exceptions.Exit(REFUSED)


@main.command(
    help=f"""Show what is registered or what happened, masked.

    KIND is {", ".join(KINDS[:-1])} or {KINDS[-1]}. KEY is an id; for a member or card also a card
    number or phone; for a transaction its RRN or sequence number.
    """
)
@directory_argument
@click.argument("kind", metavar="KIND", type=click.Choice(KINDS))
@click.argument("key_of_kind", metavar="KEY")
@key_option
@json_option
def show(directory: Path, kind: str, key_of_kind: str, key: Path | None, *, as_json: bool) -> None:
    """Show what is registered or what happened, masked."""
    vault = open_vault(directory, key)
    with Snapshot(directory) as snapshot:
        shown = look_up(snapshot, vault, kind, key_of_kind)
    if as_json:
        echo_json(shown)
    else:
        print_shown(shown, stdout_console())


@main.command()
@directory_argument
@click.option(
    "--from",
    "first",
    default=1,
    show_default=True,
    type=click.IntRange(1),
    metavar="SEQ",
    help="Sequence number of the first entry.",
)
@click.option("--follow", is_flag=True, help="Go on with what is still to come.")
def tail(directory: Path, first: int, *, follow: bool) -> None:
    """Print the event feed, one masked JSON object an entry, in order."""
    try:
        for one in events(directory, first, follow=follow):
            echo_json(one)
    except KeyboardInterrupt:
        raise click.exceptions.Exit(0) from None


@main.command()
@click.argument("message", metavar="HEX")
@click.option("--charset", default="gb18030", show_default=True, help="Of the terminal's texts.")
@json_option
def decode(message: str, charset: str, *, as_json: bool) -> None:
    """Explain a message field by field, masked. HEX may be - for standard input."""
    text = sys.stdin.read() if message == "-" else message
    try:
        rows = explain(text, charset)
    except (NotHex, LookupError) as error:
        raise click.UsageError(str(error)) from None
    if as_json:
        echo_json([row._asdict() for row in rows])
    else:
        print_rows(rows, stdout_console())
    if not understood(rows):
        raise click.exceptions.Exit(REFUSED)


@main.command()
@directory_argument
@click.option(
    "--into",
    type=click.Path(path_type=Path),
    metavar="NEWDIR",
    help="Run the commands through the rules, into a new directory.",
)
@click.option(
    "--prepare",
    type=click.Path(path_type=Path),
    metavar="NEWDIR",
    help="Make a directory to play the recorded traffic against.",
)
@click.option("--to", metavar="HOST:PORT", help="Play the recorded traffic to a daemon.")
@click.option("--speed", metavar="N|max", help="With --to: times the recorded pace; default max.")
@key_option
@json_option
def replay(
    directory: Path,
    into: Path | None,
    prepare: Path | None,
    to: str | None,
    speed: str | None,
    key: Path | None,
    *,
    as_json: bool,
) -> None:
    """Run recorded commands again, by the rules or on a daemon.

    With --into, every entry and the digest are compared. With --to, the response codes are;
    --prepare makes the directory for the daemon that it is played to.
    """
    if sum(way is not None for way in (into, prepare, to)) != 1:
        raise click.UsageError("name one of --into, --prepare and --to")
    if speed is not None and to is None:
        raise click.UsageError("--speed goes with --to")
    if into is None:
        playing = import_module("tools.play")  # brings the event loop
        with bulk_work(), progress_bar("entries") as progress:
            if prepare is not None:
                playing.prepare_directory(directory, prepare, key, progress, as_json=as_json)
            else:
                playing.play(directory, to, speed, key, progress, as_json=as_json)
        return
    with bulk_work(), progress_bar("entries") as progress:
        report = replay_into(directory, into, progress)
    if as_json:
        echo_json(
            {
                "entries": report.entries,
                "seconds": round(report.seconds, 3),
                "rate": round(report.rate),
                "digest": report.digest,
            }
        )
        return
    click.echo(f"replayed {report.entries} entries, all equal, {report.rate:,.0f} entries/s")
    click.echo(f"digest {report.digest}")


@main.command()
@directory_argument
@click.option("--date", type=DAY, help="The open date, to be sure.")
@json_option
def cutoff(directory: Path, date: Any, *, as_json: bool) -> None:
    """Close the open business date now; the next day opens.

    A date that has not begun is closed only if it is named.
    """
    with Submitter(directory) as submitter:
        today = Clock(read_configuration(directory).zone).date(wall_ms())
        day = as_number(date) or submitter.date()
        if date is None and day > today:
            raise Refusal(
                f"the open business date is {spoken(day)}, which has not begun: to close it all the"
                f" same name it with --date"
            )
        result = submitter.submit(CutOff(day, False))
    if not result.done:
        raise Refusal(result.text)
    if as_json:
        echo_json({"closed": day, "sequence": result.sequence})
    else:
        click.echo(f"closed {spoken(day)} with entry {result.sequence}")


@main.command()
@directory_argument
@json_option
def status(directory: Path, *, as_json: bool) -> None:
    """Tell how the daemon stands, or the book when there is none."""
    daemon = daemon_status(directory)
    told = {"daemon": daemon is not None, **(daemon or {})}
    if daemon is None:
        with Snapshot(directory) as snapshot:
            told |= {"sequence": snapshot.sequence, "applied": snapshot.applied}
    if as_json:
        echo_json(told)
        return
    for name, value in told.items():
        shown = value
        if isinstance(value, (list, tuple)):
            shown = "; ".join(map(str, value)) or "-"
        elif isinstance(value, bool):
            shown = "yes" if value else "no"
        elif name == "date":
            shown = spoken(value)
        click.echo(f"{name:<12} {shown}")


@main.group()
def clock() -> None:
    """The daemon's clock."""


@clock.command()
@directory_argument
def confirm(directory: Path) -> None:
    """Tell the daemon that the clock is right, after it jumped."""
    if not confirm_clock(directory):
        raise Refusal(f"no daemon serves {directory}: start it with serve --confirm-clock")
    click.echo("the clock is confirmed")


if __name__ == "__main__":
    main()

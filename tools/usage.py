"""How the command explains itself: examples behind its help, and wrong usage in one line.

`EXAMPLES` is the one table of what a person would type; each is shown at the end of its command's
``--help``, and a test takes each apart. What click says of wrong usage in four lines is said in
one, with where to read more.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import click

EXAMPLES: Final[dict[str, str]] = {
    "adjust propose": """\
adjust propose data T-12 --member M0000001 --unit P01 --amount 500 \\
    --by anna --reason complaint""",
    "archive": "archive data",
    "backup": """\
backup data monday.backup
backup data - | ssh vault 'cat > monday.backup'""",
    "campaign list": "campaign data list",
    "clear": "clear data --date 2026-03-02 --out settled",
    "clear run": "clear data --date 2026-03-02 --out settled",
    "clear status": "clear status data --date 2026-03-02",
    "clear validate": "clear validate settled/2026-03-02",
    "clear release": "clear release data --date 2026-03-02",
    "clear confirm": "clear confirm data statement.xml",
    "clear exceptions": "clear exceptions data --all",
    "config show": "config show data",
    "cutoff": """\
cutoff data
cutoff data --date 2026-03-02""",
    "decode": "decode - < capture.hex",
    "doctor": "doctor data",
    "export": """\
export data --format jsonl
export data --format beancount --from 2026-03-01 --to 2026-03-31 > march.beancount""",
    "init": """\
init data
init data --key /mnt/safe/data.key
init data --demo""",
    "issue cards": "issue data cards --product GIFT --count 1000 --output gift.csv",
    "issue coupons": "issue data coupons --campaign SPRING10 --count 1000 --output spring.csv",
    "issue distribute": "issue data distribute --batch gift",
    "issue recharge-cards": """\
issue data recharge-cards --unit P01 --amount 500 --expires 2027-12-31 \\
    --count 1000 --output scratch.csv""",
    "keys component": "keys component data 00000001 --part 1 --by anna",
    "keys show": "keys show data 00000001",
    "load": "load data alliance.jsonl",
    "member unlock": 'member unlock data 13800000001 --by anna --reason "ticket 12"',
    "night": "night data --out settled",
    "replay": """\
replay data --into again
replay data --prepare stage
replay data --to 127.0.0.1:8583""",
    "report": """\
report data merchant-settlement --from 2026-03-01 --to 2026-03-31
report data general-ledger --format xlsx --out ledger.xlsx""",
    "restore": "restore monday.backup data-again",
    "serve": """\
serve data
serve data --listen 0.0.0.0:8583 --metrics 127.0.0.1:9583
serve data --tls-listen 0.0.0.0:8585 --cert host.pem --client-ca terminals.pem""",
    "show": """\
show data member 13800000001
show data merchant 104110045110012 --json
show data transaction 089910436989""",
    "simulate": """\
simulate 127.0.0.1:8583 --fleet fleet.json --seconds 10 --rate 200
simulate 127.0.0.1:8583 --fleet fleet.json --transactions 1000 \\
    --drop-replies 0.1 --repeat 0.1 --audit""",
    "status": "status data",
    "sweep": """\
sweep data
sweep data points holds""",
    "tail": """\
tail data --from 1000
tail data --follow""",
    "terminal": "terminal data lock 00000001 --by anna --reason stolen",
    "top": """\
top
top 127.0.0.1:9583 --once""",
    "verify": "verify data",
}
"""What a person would type, a line each without the first word, by the words of the command."""

_LINE: Final = re.compile(r"^(?=\w)(?<!\\\n)", re.MULTILINE)
"""Where a line begins that does not go on with the one before."""


class WrongUsage(click.UsageError):
    """Wrong usage, told in one line; exit status 2."""

    def __init__(self, told: click.UsageError) -> None:
        super().__init__(told.message, told.ctx)
        self._told = told

    def format_message(self) -> str:
        """What click found, without line breaks and names of its types."""
        message = " ".join(self._told.format_message().split())
        return message.replace(" is not a valid integer range", " is no whole number").replace(
            " is not a valid integer", " is no whole number"
        )

    def show(self, file: Any = None) -> None:
        """Print what is wrong, and where usage is explained."""
        path = self.ctx.command_path if self.ctx is not None else "counterfoil"
        message = self.format_message()
        end = "" if message.endswith((".", "?")) else "."
        click.echo(f"{path}: {message}{end} `{path} --help` explains it.", err=True, file=file)


@contextmanager
def wrong_usage_in_one_line() -> Iterator[None]:
    """Around work that may find wrong usage; a group without a word after it shows its help."""
    try:
        yield
    except click.exceptions.NoArgsIsHelpError:
        raise
    except click.UsageError as error:
        raise WrongUsage(error) from None


def explained(command: click.Command, path: str) -> click.Command:
    """The command and all below it, with the examples of `EXAMPLES` behind their help."""
    typed = EXAMPLES.get(path)
    if typed:
        lines = "\n".join(f"  {line}" for line in _LINE.sub("counterfoil ", typed).splitlines())
        # The first character keeps click from filling the lines up.
        command.epilog = f"\b\nExamples:\n{lines}"
    if isinstance(command, click.Group):
        for name, below in command.commands.items():
            explained(below, f"{path} {name}")
    return command

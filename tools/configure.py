"""``counterfoil config`` and ``counterfoil log``: what is configured, what is wrong, what changes.

``check`` tells every mistake of a file and of the environment at once, ``show`` the value of each
setting and where it comes from; ``reload`` and ``log`` speak to the running daemon.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
from rich.table import Table

from clearing.console import (
    REFUSED,
    Refusal,
    directory_argument,
    echo_json,
    json_option,
    stdout_console,
)
from engine.configuration import (
    CONFIGURATION,
    LEVELS,
    SECTIONS,
    DirectoryError,
    Effective,
    examine,
    read_document,
)
from engine.submit import reload_configuration, set_log_level

config_option = click.option(
    "--config", type=click.Path(path_type=Path), help="Another configuration file."
)


@click.group("config")
def command() -> None:
    """The configuration of a data directory."""


def _examined(directory: Path, config: Path | None) -> tuple[dict[str, Effective], list[str], Path]:
    path = config or directory / CONFIGURATION
    try:
        document = read_document(path)
    except DirectoryError as error:
        return {}, [str(error)], path
    return *examine(document, path), path


@command.command()
@directory_argument
@config_option
@json_option
def check(directory: Path, config: Path | None, *, as_json: bool) -> None:
    """Tell every mistake of configuration and environment. Exit status 1 if any."""
    _, mistakes, path = _examined(directory, config)
    if as_json:
        echo_json({"ok": not mistakes, "mistakes": mistakes})
    else:
        for sentence in mistakes:
            click.echo(sentence)
        if not mistakes:
            click.echo(f"{path}: nothing wrong")
    if mistakes:
        raise click.exceptions.Exit(REFUSED)


@command.command()
@directory_argument
@config_option
@json_option
def show(directory: Path, config: Path | None, *, as_json: bool) -> None:
    """Show each setting and where it comes from, as at the next start."""
    values, mistakes, _ = _examined(directory, config)
    if mistakes:
        raise Refusal(mistakes[0])
    if as_json:
        echo_json(
            {
                key: {"value": one.value, "source": one.source, "live": one.setting.live}
                for key, one in values.items()
            }
        )
        return
    table = Table(box=None, pad_edge=False)
    for heading in ("setting", "value", "from", "about"):
        table.add_column(heading, overflow="fold", no_wrap=heading == "setting")
    for section in SECTIONS:
        for key, one in values.items():
            if one.setting.section == section:
                table.add_row(key, _spoken(one.value), Path(one.source).name, one.setting.about)
    stdout_console().print(table, markup=False)


@command.command()
@directory_argument
@json_option
def reload(directory: Path, *, as_json: bool) -> None:
    """Have the daemon take changed settings. It says which need a restart."""
    told = reload_configuration(directory)
    if told is None:
        raise Refusal(f"no daemon serves {directory}: the next start reads the configuration")
    if "refused" in told:
        raise Refusal(f"nothing was reloaded: {told['refused']}")
    if as_json:
        echo_json(told)
        return
    for key, (before, after) in told["taken"].items():
        click.echo(f"{key}: {_spoken(before)} before, {_spoken(after)} now")
    for key, (before, after) in told["restart"].items():
        click.echo(f"{key}: still {_spoken(before)}; {_spoken(after)} needs a restart")
    if not told["taken"] and not told["restart"]:
        click.echo("nothing has changed")


@click.command()
@directory_argument
@click.argument("level", type=click.Choice(LEVELS))
def log(directory: Path, level: str) -> None:
    """Have the running daemon log from LEVEL on. It lasts until it ends or is configured anew."""
    if not set_log_level(directory, level):
        raise Refusal(f"no daemon serves {directory}: set log_level in its configuration")
    click.echo(f"logging from {level} on")


def _spoken(value: Any) -> str:
    return f"{value:,}" if type(value) is int else str(value) or "-"

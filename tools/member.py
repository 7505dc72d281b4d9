"""``counterfoil member``: what the back office does to single members, by whom and why.

Each step is a command in the journal that names the person and the reason, with what was before and
what is after; ``counterfoil tail`` and ``show transaction`` tell it. A step that was interrupted is
simply done again: what is so already is unchanged.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import click

from clearing.console import directory_argument, key_option
from engine.cards import cover_of
from engine.commands import Token
from engine.directory import open_vault
from engine.records import Alias, Member
from engine.rules import accounts
from engine.rules.forgetting import DropNames, ForgetMember
from engine.submit import refresh_keys
from engine.vault import Vault
from ledger import schema
from ledger.tables import Snapshot
from posd.incoming import luhn_valid
from tools import load_checks as check
from tools.deeds import by_option, printable, reason_option, submit
from tools.load_checks import Check, Rejected
from tools.show import NotFound, find_alias

_TOKEN: Final = check.matching(r"[\x21-\x7e]{1,40}", "1 to 40 ASCII characters")
NAMES: Final[tuple[tuple[str, str, Check, str], ...]] = (
    ("card", "C", check.card, "A card number."),
    ("phone", "P", check.phone, "A phone number."),
    ("qr", "Q", _TOKEN, "A QR token."),
    ("contactless", "U", _TOKEN, "A contactless id."),
    ("identity", "I", check.identity, "An identity number."),
)
"""Options that name a card, phone or token: the letter of its kind, its check, and its help."""

Clear = tuple[str, str]


@click.group("member")
def command() -> None:
    """Unlock, freeze, close, forget a member, and change what names it.

    MEMBER is an id, a card number or a phone.
    """


def _deed(function: Callable[..., None]) -> Callable[..., None]:
    """The arguments and options that all of these commands have."""
    for decorate in (
        reason_option,
        by_option,
        key_option,
        click.argument("member", metavar="MEMBER"),
        directory_argument,
    ):
        function = decorate(function)
    return function


def _named(function: Callable[..., None]) -> Callable[..., None]:
    """Options that name cards, phones and tokens."""
    for name, _, _, about in reversed(NAMES):
        option = click.option(f"--{name}", multiple=True, metavar="VALUE", help=about)
        function = option(function)
    return function


@command.command()
@_deed
def unlock(directory: Path, member: str, key: Path | None, by: str, reason: str) -> None:
    """Forget wrong PINs, so that the member may try again."""
    _do(directory, member, key, lambda row, _: accounts.UnlockPin(row.id, *_who(by, reason)))


@command.command()
@_deed
@click.option("--remove", is_flag=True, help="Take the PIN away.")
def pin(
    directory: Path, member: str, key: Path | None, by: str, reason: str, *, remove: bool
) -> None:
    """Set a PIN. It is asked for, or read from standard input; never an argument."""
    said = "" if remove else _ask_pin()

    def make(row: Member, vault: Vault) -> accounts.SetPin:
        digest = vault.pin_digest(row.id, said) if said else b""
        return accounts.SetPin(row.id, *_who(by, reason), digest)

    _do(directory, member, key, make)


@command.command()
@_deed
def freeze(directory: Path, member: str, key: Path | None, by: str, reason: str) -> None:
    """Let nothing of the member's be used until it is released."""
    _set_state(directory, member, key, "frozen", _who(by, reason))


@command.command()
@_deed
def unfreeze(directory: Path, member: str, key: Path | None, by: str, reason: str) -> None:
    """Release a frozen account, or open a closed one again."""
    _set_state(directory, member, key, "active", _who(by, reason))


@command.command()
@_deed
@click.option("--forfeit", is_flag=True, help="Give up what is left: it goes to breakage.")
def close(
    directory: Path, member: str, key: Path | None, by: str, reason: str, *, forfeit: bool
) -> None:
    """Close an account for good. Refused while something is left, unless it is forfeited."""
    who = _who(by, reason)
    _do(directory, member, key, lambda row, _: accounts.CloseAccount(row.id, *who, forfeit))


@command.command()
@_deed
def forget(directory: Path, member: str, key: Path | None, by: str, reason: str) -> None:
    """Destroy for good what leads to a closed account's person.

    It is destroyed in the key file, too: cards, phone, tokens and identity number can be neither
    read nor searched for any more, in no journal, archive, backup or export that was ever made.
    The account stays in the books under its id. Name nobody in --reason: it is kept. Copy the key
    file afterwards and destroy older copies.
    """
    who = _who(by, reason)
    vault, row = _find(directory, member, key)
    submit(directory, ForgetMember(row.id, *who))
    with Snapshot(directory) as snapshot:
        sealed, kept = _sealed_names(snapshot.view.get, row.id)
    destroyed = vault.forget_tokens(sealed)
    refresh_keys(directory)
    result = submit(directory, DropNames(row.id, *who))
    if not (destroyed or result.sequence):
        click.echo("unchanged: it is so already")
        return
    click.echo(f"{row.id}: forgotten; what led from {destroyed} names to it is destroyed")
    if kept:
        click.echo(f"{kept} former names are another member's now and stay that one's")
    click.echo("copy the key file now and destroy every older copy: those still know the person")


@command.command()
@_deed
@click.argument("tier")
def tier(directory: Path, member: str, key: Path | None, by: str, reason: str, tier: str) -> None:
    """Grant a tier. One of higher rank that the member has earned stays in force."""
    who = _who(by, reason)
    name = _checked(check.ident, tier, "TIER")
    _do(directory, member, key, lambda row, _: accounts.GrantTier(row.id, *who, name))


@command.command()
@_deed
@click.option("--card", required=True, metavar="NUMBER", help="Its number.")
def lost(directory: Path, member: str, key: Path | None, by: str, reason: str, card: str) -> None:
    """Block a card that was lost."""
    _set_card(directory, member, key, (card, "lost"), _who(by, reason))


@command.command()
@_deed
@click.option("--card", required=True, metavar="NUMBER", help="Its number.")
def found(directory: Path, member: str, key: Path | None, by: str, reason: str, card: str) -> None:
    """Let a lost card be used again, unless it was replaced."""
    _set_card(directory, member, key, (card, "active"), _who(by, reason))


@command.command()
@_deed
@_named
def add(
    directory: Path, member: str, key: Path | None, by: str, reason: str, **named: tuple[str, ...]
) -> None:
    """Let further cards, phones and tokens name the member."""
    _change(directory, member, key, _who(by, reason), added=_clear(named))


@command.command()
@_deed
@_named
def remove(
    directory: Path, member: str, key: Path | None, by: str, reason: str, **named: tuple[str, ...]
) -> None:
    """Let cards, phones and tokens name the member no longer.

    A card is blocked and still leads to the member for refunds; anything else is free for others.
    """
    _change(directory, member, key, _who(by, reason), removed=_clear(named))


@command.command()
@_deed
@click.argument("number")
def phone(
    directory: Path, member: str, key: Path | None, by: str, reason: str, number: str
) -> None:
    """Change the member's phone: NUMBER in place of all that it has."""
    who = _who(by, reason)
    clear = ("P", _checked(check.phone, number, "NUMBER"))

    def make(row: Member, vault: Vault) -> accounts.ChangeTokens:
        new = ("P", vault.token_digest(*clear))
        old = tuple(token for token in row.tokens if token[0] == "P" and token != new)
        return _tokens_command(row, vault, who, old, (clear,))

    _do(directory, member, key, make)


# The parts.


def _who(by: str, reason: str) -> tuple[str, str]:
    return printable(by, "--by"), printable(reason, "--reason")


def _checked(judge: Check, value: str, name: str) -> str:
    try:
        checked: str = judge(value)
    except Rejected as fault:
        raise click.BadParameter(str(fault), param_hint=name) from None
    return checked


def _clear(named: dict[str, tuple[str, ...]]) -> tuple[Clear, ...]:
    """The values of the options that name cards, phones and tokens, checked."""
    found = []
    for name, kind, judge, _ in NAMES:
        for value in named[name]:
            text = _checked(judge, value, f"--{name}")
            found.append((kind, text.upper() if kind == "I" else text))
    if not found:
        raise click.UsageError("name a --card, --phone, --qr, --contactless or --identity")
    return tuple(found)


def _ask_pin() -> str:
    if sys.stdin.isatty():
        said = click.prompt("PIN", hide_input=True, confirmation_prompt=True)
    else:
        said = sys.stdin.readline().rstrip("\n")
    return _checked(check.pin, said, "PIN")


def _set_state(
    directory: Path, member: str, key: Path | None, state: str, who: tuple[str, str]
) -> None:
    _do(directory, member, key, lambda row, _: accounts.SetState(row.id, *who, state))


def _set_card(
    directory: Path, member: str, key: Path | None, card: tuple[str, str], who: tuple[str, str]
) -> None:
    number, state = card

    def make(row: Member, vault: Vault) -> accounts.SetCard:
        digest = vault.token_digest("C", _checked(check.card, number, "--card"))
        return accounts.SetCard(row.id, *who, digest, state)

    _do(directory, member, key, make)


def _change(
    directory: Path,
    member: str,
    key: Path | None,
    who: tuple[str, str],
    *,
    removed: tuple[Clear, ...] = (),
    added: tuple[Clear, ...] = (),
) -> None:
    for kind, value in added:
        if kind == "C" and not luhn_valid(value):
            raise click.BadParameter("has a wrong check digit", param_hint="--card")

    def make(row: Member, vault: Vault) -> accounts.ChangeTokens:
        old = tuple((kind, vault.token_digest(kind, value)) for kind, value in removed)
        return _tokens_command(row, vault, who, old, added)

    _do(directory, member, key, make)


def _tokens_command(
    row: Member,
    vault: Vault,
    who: tuple[str, str],
    removed: tuple[Token, ...],
    added: tuple[Clear, ...],
) -> accounts.ChangeTokens:
    made = [(kind, *vault.seal_token(kind, value)) for kind, value in added]
    return accounts.ChangeTokens(
        row.id,
        *who,
        removed,
        tuple((kind, name) for kind, name, _ in made),
        tuple(sealed for _, _, sealed in made),
        tuple(cover_of(value) if kind == "C" else "" for kind, value in added),
    )


def _do(
    directory: Path, member: str, key: Path | None, make: Callable[[Member, Vault], Any]
) -> None:
    """Find the member, submit the command that is made for it, tell what came of it."""
    vault, row = _find(directory, member, key)
    result = submit(directory, make(row, vault))
    if not result.sequence:
        click.echo("unchanged: it is so already")
        return
    click.echo(
        f"{row.id}: {result.facts['before']} before, {result.facts['after']} now,"
        f" with entry {result.sequence}"
    )


def _find(directory: Path, member: str, key: Path | None) -> tuple[Vault, Member]:
    """The key file, and the row of a member named by id, card or phone."""
    vault = open_vault(directory, key)
    with Snapshot(directory) as snapshot:
        read = snapshot.view.get
        row: Member | None = read(schema.named(schema.MEMBER, member))
        if row is None:
            named = find_alias(read, vault, member, "CP")
            row = read(schema.named(schema.MEMBER, named[0].member)) if named else None
    if row is None:
        raise NotFound("there is no such member, card or phone")
    return vault, row


def _sealed_names(read: Callable[[bytes], Any], member: str) -> tuple[list[tuple[str, bytes]], int]:
    """Ciphertexts of all that names or named a member; how many names are another's by now."""
    row: Member = read(schema.named(schema.MEMBER, member))
    sealed = [(kind, read(schema.alias(kind, name)).sealed) for kind, name in row.tokens]
    kept = 0
    for kind, name in row.former:
        now: Alias | None = read(schema.alias(kind, name))
        if now is not None and now.member != member:
            kept += 1
        else:
            sealed.append((kind, read(schema.former(member, kind, name)).sealed))
    return sealed, kept

"""THE key layout: every table's number, name, key and what its value is.

A key is the table's number (one byte) followed by its parts, so that all tables share one sorted
space and a fold of many tables is one ascending pass. Numbers are big-endian, so that keys sort as
the numbers do; texts of variable length are followed by a zero byte where another part comes after
them. Nothing else in the project packs or cuts a key.

| no. | table | key | value |
|---|---|---|---|
| 1 | entry | sequence u64 | the entry as the journal holds it |
| 2 | balance | account name | integer |
| 3 | identity | terminal (8), batch u32, STAN u32 | sequence u64, digest of the content; plain |
| 4 | undo | sequence u64 | what became of a transaction since |
| 5 | member | member id | `engine.records.Member` |
| 6 | alias | kind, name (16) | member id, ciphertext of the token |
| 7 | points | member id, program | lots and debts of a member in a program |
| 8 | lots | member id, program, chunk u32 | lots beyond those that the points record holds |
| 9 | program | program id | `engine.records.Program` |
| 10 | institution | institution id | `engine.records.Institution` |
| 11 | merchant | merchant id | `engine.records.Merchant` |
| 12 | terminal | terminal id (8) | registration: `engine.records.Terminal` |
| 13 | keys | terminal id (8) | key sets of a terminal |
| 14 | batch | terminal id (8), batch u32 | totals and state of a batch |
| 15 | link | terminal id (8) | batch in force, shown state |
| 16 | opening | member id, unit, expiry u32 | opening balance already posted |
| 17 | calendar | name | open business date, cut-off hour, epoch |
| 18 | upload | terminal id (8), batch u32, original STAN u32, STAN u32 | item of a batch upload |
| 19 | campaign | campaign id (0, u32: an earlier version) | `engine.campaigns.Campaign` |
| 20 | value | member id | stored value of a member: `engine.records.Value` |
| 21 | card product | product id | `engine.records.CardProduct` |
| 22 | card batch | batch name | cards issued together, and how far each range is |
| 23 | rate | program left, program entered | `engine.records.Rates` |
| 24 | sequel | sequence u64 | the entry that ended a hold or completed a transfer |
| 25 | transit | sequence u64 | second half of a transfer that is still to be posted |
| 28 | rulebook | kind and owner | rules of one owner: `engine.rulebook.Rulebook` |
| 29 | counter | owner | what was used of limits: `engine.rulebook.Counter` |
| 30 | pool | name | a cap that all members share: `engine.pools.Pool` |
| 31 | proposal | id | adjustment by hand: `engine.rules.adjustments.Proposal` |
| 32 | site | merchant id, chunk u32 | terminals that have been registered for a merchant |
| 33 | offline | terminal id (8) | advices of offline sales taken on a day |
| 34 | operator | merchant id, operator (3) | `engine.records.Operator` |
| 35 | parameters | scope, merchant or terminal id | `engine.records.Parameters` |
| 36 | hot cards | name | `engine.records.HotCards` |
| 37 | store | store id | `engine.records.Store` |
| 38 | placed | terminal id (8), sequence u64 | the store in which it stands from that entry on |
| 40 | version | key of a reference row, sequence u64 | that row as it was from that entry on |
| 41 | payee | party id | `engine.settlement.Payee` |
| 42 | run | date u32, run u32 | `engine.settlement.Run` |
| 43 | cleared | date u32 (0: the newest date) | number of the newest run (the newest date) |
| 44 | carry | date u32, run u32, party id | what a party owes into the next run |
| 45 | post-back | date u32, run u32, party id | settlement posted back, and its payment |
| 46 | true-up | date u32, run u32, program id | rounding of a fund moved |
| 47 | exception | exception id | `engine.settlement.Discrepancy` |
| 26 | tier | ``ladder`` | all tiers with their rules: `engine.ladder.Ladder` |
| 27 | standing | member id | spending by month, tier earned: `engine.ladder.Standing` |
| 50 | coupon | digest (16) of the code | a coupon touched: `engine.campaigns.Coupon` |
| 51 | codes | batch u32 | codes produced or imported together: `engine.campaigns.CodeBatch` |
| 52 | effect | campaign id | what has come of a campaign: `engine.campaigns.Effect` |
| 53 | taken | campaign id, member id | coupons that a member has taken |
| 54 | code name | batch name | number of a batch of codes |
| 55 | code series | series | batches and codes produced so far |
| 56 | recharge batch | batch u32 | recharge cards: `engine.recharge.RechargeBatch` |
| 57 | recharge card | digest (16) of the code | a recharge card that was used |
| 58 | resent | digest (16) of the code | how often a code was told again |
| 59 | inquired | campaign id | how often its coupons were asked about |
| 60 | gift | SKU | `engine.gifts.Gift` |
| 61 | gift taken | SKU, member id | pieces that a member has taken |
| 62 | gift order | sequence u64 | `engine.gifts.GiftOrder` |
| 63 | lottery | lottery id | `engine.lotteries.Lottery` |
| 64 | draws | lottery id, member id | draws of a member: `engine.lotteries.Draws` |
| 67 | card prefix | first digits and length of a number | the product that covers it |
| 70 | component | terminal id (8) | half of a master key that waits for the other half |
| 72 | former | member id, kind, name (16) | a phone or token that named a member once |
| 76 | replacement | digest (16) of the old card | the card that took its place |
| 78 | handed | series of the codes, number of their batch | who has been given which of them |
| 77 | receipt | merchant id, reference | coupons used on a receipt: `engine.campaigns.Receipt` |
"""

from __future__ import annotations

import struct
from typing import Final

ENTRY: Final = 1
BALANCE: Final = 2
IDENTITY: Final = 3
UNDO: Final = 4
MEMBER: Final = 5
ALIAS: Final = 6
POINTS: Final = 7
LOTS: Final = 8
PROGRAM: Final = 9
INSTITUTION: Final = 10
MERCHANT: Final = 11
TERMINAL: Final = 12
KEYS: Final = 13
BATCH: Final = 14
LINK: Final = 15
OPENING: Final = 16
CALENDAR: Final = 17
UPLOAD: Final = 18
CAMPAIGN: Final = 19
VALUE: Final = 20
CARD_PRODUCT: Final = 21
CARD_BATCH: Final = 22
RATE: Final = 23
SEQUEL: Final = 24
TRANSIT: Final = 25
RULEBOOK: Final = 28
COUNTER: Final = 29
POOL: Final = 30
PROPOSAL: Final = 31
SITE: Final = 32
OFFLINE: Final = 33
OPERATOR: Final = 34
PARAMETERS: Final = 35
HOT_CARDS: Final = 36
STORE: Final = 37
PLACED: Final = 38
VERSION: Final = 40
PAYEE: Final = 41
RUN: Final = 42
CLEARED: Final = 43
CARRY: Final = 44
POSTBACK: Final = 45
TRUEUP: Final = 46
EXCEPTION: Final = 47
TIER: Final = 26
STANDING: Final = 27
CODE_NAME: Final = 54
CODE_SERIES: Final = 55
RECHARGE_BATCH: Final = 56
RECHARGE_CARD: Final = 57
RESENT: Final = 58
INQUIRED: Final = 59
GIFT: Final = 60
GIFT_TAKEN: Final = 61
GIFT_ORDER: Final = 62
LOTTERY: Final = 63
DRAWS: Final = 64
CARD_PREFIX: Final = 67
COMPONENT: Final = 70
FORMER: Final = 72
REPLACEMENT: Final = 76
COUPON: Final = 50
CODES: Final = 51
EFFECT: Final = 52
TAKEN: Final = 53
RECEIPT: Final = 77
HANDED: Final = 78

NAMES: Final[dict[int, str]] = {
    number: name.lower()
    for name, number in list(globals().items())
    if name.isupper() and isinstance(number, int)
}

REFERENCE: Final[frozenset[int]] = frozenset(
    {
        PROGRAM,
        INSTITUTION,
        MERCHANT,
        TERMINAL,
        KEYS,
        LINK,
        CALENDAR,
        RULEBOOK,
        CARD_PRODUCT,
        OPERATOR,
        PARAMETERS,
        CARD_PREFIX,
        GIFT,
        LOTTERY,
        RECHARGE_BATCH,
        RATE,
        TIER,
        CAMPAIGN,
        CODES,
    }
)
"""Tables of few rows that nearly every transaction reads: the view keeps their rows decoded."""

_SEQUENCE: Final = struct.Struct(">BQ").pack
_IDENTITY: Final = struct.Struct(">B8sII").pack
_BATCH: Final = struct.Struct(">B8sI").pack
_UPLOAD: Final = struct.Struct(">B8sIII").pack
_PLACED: Final = struct.Struct(">B8sQ").pack
_RUN: Final = struct.Struct(">BII").pack
_TABLE: Final = [bytes((table,)) for table in range(256)]
_BALANCE: Final = bytes((BALANCE,))
_VERSION: Final = bytes((VERSION,))


def entry(sequence: int) -> bytes:
    """Key of a journal entry."""
    return _SEQUENCE(ENTRY, sequence)


def entry_sequence(key: bytes) -> int:
    """Sequence number in the key of a journal entry."""
    return int.from_bytes(key[1:], "big")


def balance(account: str) -> bytes:
    """Key of an account's balance."""
    return _BALANCE + account.encode()


def balance_account(key: bytes) -> str:
    """Account name in the key of a balance."""
    return key[1:].decode()


def identity(terminal: str, batch: int, stan: int) -> bytes:
    """Key of a request's identity (``protocol.md``, section 6)."""
    return _IDENTITY(IDENTITY, terminal.encode("ascii"), batch, stan)


def undo(sequence: int) -> bytes:
    """Key of what became of the transaction with this sequence number."""
    return _SEQUENCE(UNDO, sequence)


def rate(unit: str, target: str) -> bytes:
    """Key of the rates from the program that is left to the one that is entered."""
    return b"%c%b%b" % (RATE, unit.encode(), target.encode())


def sequel(sequence: int) -> bytes:
    """Key of the entry that ended the hold, or completed the transfer, with this number."""
    return _SEQUENCE(SEQUEL, sequence)


def transit(sequence: int) -> bytes:
    """Key of the second half that the transfer with this sequence number still waits for."""
    return _SEQUENCE(TRANSIT, sequence)


def named(table: int, name: str) -> bytes:
    """Key of a row that has one name: member, program, institution, merchant, …."""
    return _TABLE[table] + name.encode()


def name_of(key: bytes) -> str:
    """The name in the key of a row that has one name."""
    return key[1:].decode()


def terminal(table: int, terminal_id: str) -> bytes:
    """Key of a terminal's row in one of the tables that have one row a terminal."""
    return _TABLE[table] + terminal_id.encode("ascii")


def placed(terminal_id: str, sequence: int) -> bytes:
    """Key of the store in which a terminal stands from an entry on."""
    return _PLACED(PLACED, terminal_id.encode("ascii"), sequence)


def placed_parts(key: bytes) -> tuple[str, int]:
    """The terminal, and the entry from which on it stands there."""
    return key[1:9].decode("ascii"), int.from_bytes(key[9:], "big")


def operator(merchant: str, operator_id: str) -> bytes:
    """Key of a merchant's operator."""
    return b"\x22%b\x00%b" % (merchant.encode(), operator_id.encode())


HOT_CARDS_KEY: Final = bytes((HOT_CARDS,))
"""Key of the one list of hot cards."""


def parameters(scope: str, owner: str) -> bytes:
    """Key of the parameters for a scope (``any``, ``merchant``, ``terminal``) and its owner."""
    return b"\x23%b\x00%b" % (scope.encode(), owner.encode())


def alias(kind: str, digest: bytes) -> bytes:
    """Key of a card, phone or token: its kind's letter and its keyed digest."""
    return b"\x06%b%b" % (kind.encode(), digest)


def alias_parts(key: bytes) -> tuple[str, bytes]:
    """Letter of the kind and name in the key of a card, phone or token."""
    return chr(key[1]), key[2:]


def former(member: str, kind: str, name: bytes) -> bytes:
    """Key of a phone or token that named a member once."""
    return b"%c%b\x00%b%b" % (FORMER, member.encode(), kind.encode(), name)


def former_parts(key: bytes) -> tuple[str, str, bytes]:
    """Member id, letter of the kind and name in the key of a former phone or token."""
    member, _, rest = key[1:].partition(b"\x00")
    return member.decode(), chr(rest[0]), rest[1:]


def campaign_version(campaign: str, version: int) -> bytes:
    """Key of an earlier version of a campaign."""
    return b"\x13%b\x00%b" % (campaign.encode(), version.to_bytes(4, "big"))


def coupon(digest: bytes) -> bytes:
    """Key of a coupon by the keyed digest of its code."""
    return bytes((COUPON,)) + digest


def codes(number: int) -> bytes:
    """Key of a batch of codes."""
    return bytes((CODES,)) + number.to_bytes(4, "big")


def handed(series: str, number: int) -> bytes:
    """Key of who has been given which codes of a batch."""
    return f"\x4e{series}:{number}".encode()


def handed_parts(key: bytes) -> tuple[str, int]:
    """Series and number of the batch in the key of who has been given its codes."""
    series, _, number = key[1:].decode().partition(":")
    return series, int(number)


def taken(campaign: str, member: str) -> bytes:
    """Key of how many coupons of a campaign a member has taken."""
    return f"\x35{campaign}\x00{member}".encode()


def receipt(merchant: str, reference: str) -> bytes:
    """Key of the coupons that were used on a receipt."""
    return b"%c%b\x00%b" % (RECEIPT, merchant.encode(), reference.encode())


def receipt_parts(key: bytes) -> tuple[str, str]:
    """Merchant and reference in the key of a receipt."""
    merchant, _, reference = key[1:].partition(b"\x00")
    return merchant.decode(), reference.decode()


def replacement(card: bytes) -> bytes:
    """Key of what a replaced card, named by its digest, leads to."""
    return bytes((REPLACEMENT,)) + card


def gift_taken(gift: str, member: str) -> bytes:
    """Key of how many pieces of a gift a member has taken."""
    return f"\x3d{gift}\x00{member}".encode()


def resent(digest: bytes) -> bytes:
    """Key of how often the code with this keyed digest was told again."""
    return bytes((RESENT,)) + digest


def recharge_batch(number: int) -> bytes:
    """Key of a batch of recharge cards."""
    return bytes((RECHARGE_BATCH,)) + number.to_bytes(4, "big")


def recharge_number(key: bytes) -> int:
    """Number in the key of a batch of recharge cards."""
    return int.from_bytes(key[1:], "big")


def recharge_card(digest: bytes) -> bytes:
    """Key of a recharge card that was used, by the keyed digest of its code."""
    return bytes((RECHARGE_CARD,)) + digest


def draws(lottery: str, member: str) -> bytes:
    """Key of a member's draws in a lottery."""
    return f"\x40{lottery}\x00{member}".encode()


def gift_order(sequence: int) -> bytes:
    """Key of the order that the exchange with this sequence number left."""
    return _SEQUENCE(GIFT_ORDER, sequence)


def gift_order_sequence(key: bytes) -> int:
    """Sequence number in the key of an order."""
    return int.from_bytes(key[1:], "big")


def points(member: str, program: str) -> bytes:
    """Key of a member's points in a program."""
    return f"\x07{member}\x00{program}".encode()


def points_parts(key: bytes) -> tuple[str, str]:
    """Member id and program in the key of a points record."""
    member, _, program = key[1:].partition(b"\x00")
    return member.decode(), program.decode()


def lots(member: str, program: str, chunk: int) -> bytes:
    """Key of a chunk of lots beyond those in the points record."""
    return b"\x08%b\x00%b\x00%b" % (member.encode(), program.encode(), chunk.to_bytes(4, "big"))


def lots_parts(key: bytes) -> tuple[str, str, int]:
    """Member id, program and chunk number in the key of a chunk of lots."""
    member, _, rest = key[1:].partition(b"\x00")
    return member.decode(), rest[:-5].decode(), int.from_bytes(rest[-4:], "big")


def batch(terminal_id: str, number: int) -> bytes:
    """Key of a terminal's batch."""
    return _BATCH(BATCH, terminal_id.encode("ascii"), number)


def opening(member: str, unit: str, expiry: int) -> bytes:
    """Key of the remembrance that an opening balance was posted."""
    return b"\x10%b\x00%b\x00%b" % (member.encode(), unit.encode(), expiry.to_bytes(4, "big"))


def batch_parts(key: bytes) -> tuple[str, int]:
    """Terminal and number in the key of a batch."""
    return key[1:9].decode("ascii"), int.from_bytes(key[9:], "big")


def site(merchant: str, chunk: int) -> bytes:
    """Key of a chunk of the terminals of a merchant; the first is 0."""
    return b"\x20%b\x00%b" % (merchant.encode(), chunk.to_bytes(4, "big"))


def upload(terminal_id: str, number: int, original: int, stan: int) -> bytes:
    """Key of an uploaded item: batch, the item's own STAN, then the STAN of the upload message."""
    return _UPLOAD(UPLOAD, terminal_id.encode("ascii"), number, original, stan)


def version(row: bytes, sequence: int) -> bytes:
    """Key of what the reference row under `row` was from an entry on."""
    return _VERSION + row + sequence.to_bytes(8, "big")


def version_parts(key: bytes) -> tuple[bytes, int]:
    """Key of the reference row, and the entry from which on it was so."""
    return key[1:-8], int.from_bytes(key[-8:], "big")


def run(date: int, number: int) -> bytes:
    """Key of a run of clearing."""
    return _RUN(RUN, date, number)


def run_parts(key: bytes) -> tuple[int, int]:
    """Date and number in the key of a run."""
    return int.from_bytes(key[1:5], "big"), int.from_bytes(key[5:9], "big")


def cleared(date: int) -> bytes:
    """Key of the newest run of a business date; date 0: of the newest date that has one."""
    return bytes((CLEARED,)) + date.to_bytes(4, "big")


def of_run(table: int, date: int, number: int, name: str) -> bytes:
    """Key of a row that a run has for each party or program; no name for the prefix of all."""
    return _RUN(table, date, number) + name.encode()


def of_run_name(key: bytes) -> str:
    """Party or program in the key of such a row."""
    return key[9:].decode()

"""Sample data: an alliance that never was, from a fixed seed, of any size.

`write_sample` writes two files of mode 0600: `sample.jsonl`, reference data and opening balances
for `counterfoil load`, and `fleet.json`, the terminals and members for `counterfoil simulate`. Card
numbers begin with digits that no issuer has, phone numbers are counted up, nobody has a name.
Everything is generated as it is written, so a million members need no more memory than a thousand.

    python -m tools.sample FOLDER [--members N] [--terminals N] [--seed N]
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from random import Random
from typing import Any, Final

import click

from engine import codes
from engine.codes import Codes
from engine.directory import configure, open_vault
from engine.recharge import ACTIVE, SOLD
from engine.rules.recharge import MoveRecharge, OpenRecharge
from engine.submit import Submitter
from engine.vault import Vault
from ledger.model import MONEY
from posd import security
from tools.deeds import accepted
from tools.fleet import DIRECT, TEST_PREFIX, Customer, with_check_digit
from tools.load import load

SEED: Final = 20260101
_PHONE_STEP: Final = 61_803_399
MEMBERS: Final = 1000
TERMINALS: Final = 40
FLEET_MEMBERS_MAX: Final = 20_000
"""Members that a fleet file names at most; more make no difference to a fleet."""
DATA_FILE: Final = "sample.jsonl"
FLEET_FILE: Final = "fleet.json"

ALLIANCE: Final = "P01"
PRIVATE: Final = "P02"

PROGRAMS: Final[tuple[dict[str, Any], ...]] = (
    {"id": ALLIANCE, "name": "燕山联盟积分", "points_per_yuan": 100, "expiry": "rolling:24m"},
    {
        "id": PRIVATE,
        "name": "鲜惠超市会员积分",
        "points_per_yuan": 50,
        "expiry": "calendar:2y",
        "settled": False,
        "clawback": "zero",
    },
)

_BANK: Final = "102100099996"
OPERATOR: Final = {
    "clearing.operator": "燕山积分联盟",
    "clearing.account_name": "燕山积分联盟运营中心",
    "clearing.account_number": "621700009000000001",
    "clearing.bank_code": _BANK,
}
"""Who settles, in the configuration: with an account, there is a file of payments."""

INSTITUTIONS: Final = (("BJ01", "北京分部"), ("HB01", "河北分部"), ("ZJ01", "浙江分部"))

# Id (acquirer 3, region 4, category 4, number 4), name, institution, points per yuan before and
# since 2026, settlement ratio, fee in thousandths.
_MERCHANTS: Final = (
    ("104110070110001", "湖畔大酒店", "BJ01", "1/1", "3/2", "95/100", 6),
    ("104331070110002", "云溪度假酒店", "ZJ01", "2/1", "2/1", "93/100", 8),
    ("104130070110003", "燕山宾馆", "HB01", "1/1", "1/1", "95/100", 6),
    ("104110058120001", "老城家常菜馆", "BJ01", "1/1", "2/1", "90/100", 5),
    ("104130058120002", "海棠火锅", "HB01", "1/1", "1/1", "90/100", 5),
    ("104331058140001", "晨光茶餐厅", "ZJ01", "1/2", "1/1", "92/100", 5),
    ("104110054110001", "鲜惠超市", "BJ01", "1/2", "1/2", "98/100", 3),
    ("104130053110001", "万泰百货", "HB01", "1/1", "1/1", "96/100", 4),
    ("104331053110002", "城南购物中心", "ZJ01", "1/1", "3/2", "96/100", 4),
    ("104130079910001", "青屏山风景区", "HB01", "1/1", "2/1", "88/100", 10),
    ("104331079910002", "月牙湖游船", "ZJ01", "1/1", "1/1", "88/100", 10),
    ("104110078320001", "银河影城", "BJ01", "2/1", "3/1", "90/100", 8),
    ("104130055410001", "北环加油站", "HB01", "1/5", "1/5", "99/100", 2),
    ("104331059420001", "远山书店", "ZJ01", "1/1", "1/1", "95/100", 4),
)
_SUPERMARKET: Final = "104110054110001"

_STORES: Final = {
    "104110070110001": (("S001", "湖畔大酒店东楼"), ("S002", "湖畔大酒店西楼")),
    "104110058120001": (("S003", "老城家常菜馆总店"), ("S004", "老城家常菜馆车站店")),
    _SUPERMARKET: (("S005", "鲜惠超市和平路店"), ("S006", "鲜惠超市南湖店")),
}
"""Merchants to their stores, id and name; of the others tills stand in none."""

REFERRAL: Final = "REFER"
REFERRED_POINTS: Final = 100
_REASONS: Final = {"SIGNIN": (5, "0/1"), "REVIEW": (20, "1/10")}
"""Codes of accruals without a purchase: points, and points per yuan of the sale they go with."""

_CAMPAIGNS: Final[tuple[dict[str, Any], ...]] = (
    {
        "id": "SPRING10",
        "kind": "amount_off",
        "title": "满50减10",
        "face_fen": 1000,
        "min_sale_fen": 5000,
        "funders": {"104110058120001": "1/2"},
        "per_member": 5,
    },
    {
        "id": "TENTH",
        "kind": "percent_off",
        "title": "九折",
        "percent": "10/100",
        "cap_fen": 3000,
        "per_member": 5,
    },
    {
        "id": "SWAP500",
        "kind": "points",
        "title": "500积分兑5元",
        "face_fen": 600,
        "points_price": 500,
        "program": ALLIANCE,
    },
)
_GIFTS: Final = {"MUG": ("马克杯", 300, 250), "TICKET": ("景区门票", 1200, 1000)}
"""SKU to name, points, and fen that the scenic area is paid for it."""
LOTTERY: Final = "SPIN"
_PRIZES: Final = {"P50": ("50积分", "1/4", 50), "P1000": ("1000积分", "1/100", 1000)}
"""Id of a prize to its name, odds and points; a third one is a mug."""
_SUPPLIER: Final = "104130079910001"

_RECHARGE: Final = (("R500", ALLIANCE, 500), ("R20", MONEY, 2000))
"""Batches of recharge cards: name, unit, and points or fen of a card, which are its price too."""
_RECHARGE_CARDS: Final = 200
_RECHARGE_UNTIL: Final = 20991231

_EXPIRIES: Final = ("2035-12-31", "2036-06-30", "2037-03-31")
_CARD_DIGITS: Final = (16, 17, 18, 19)
_TIERS: Final = ("base", "base", "base", "silver", "gold")
_DIRECT_SHARE: Final = 0.4
_NAC_TERMINALS: Final = 8
_THINK_MS: Final = (5, 30)
_ODD_PARITY: Final = bytes(b & 0xFE | ((b >> 1).bit_count() & 1 ^ 1) for b in range(256))


# The pieces.


def customers(count: int, seed: int = SEED) -> Iterator[Customer]:
    """The members one by one; the first n are the same whatever the count."""
    source = Random(f"{seed} members")
    wallets = Random(f"{seed} value")
    for number in range(1, count + 1):
        digits = source.choice(_CARD_DIGITS)
        serial = f"{number:0{digits - len(TEST_PREFIX) - 1}d}"
        pin = f"{source.randrange(10**6):06d}" if source.random() < 1 / 4 else ""
        balances = {}
        if source.random() < 0.9:  # noqa: PLR2004 - some are new
            balances[ALLIANCE] = source.randrange(1, 30_000)
        if source.random() < 0.3:  # noqa: PLR2004 - customers of the supermarket
            balances[PRIVATE] = source.randrange(1, 8_000)
        if wallets.random() < 0.3:  # noqa: PLR2004 - they have loaded their cards
            balances[MONEY] = wallets.randrange(1_000, 50_000)
        card = with_check_digit(TEST_PREFIX + serial)
        yield Customer(f"M{number:07d}", card, _phone(number), pin, balances)


def _phone(number: int) -> str:
    """A member's phone: another for each number below 10**8, with no row of zeros in front.

    Looked for as packed decimals, such a row is met in every file that holds small integers.
    """
    return f"138{number * _PHONE_STEP % 10**8:08d}"


def terminals(count: int, seed: int = SEED) -> Iterator[dict[str, Any]]:
    """The terminals as a fleet file has them, of all profiles, some behind NACs."""
    source = Random(f"{seed} terminals")
    direct = round(count * _DIRECT_SHARE)
    for number in range(1, count + 1):
        profile = security.PROFILES[number % len(security.PROFILES)]
        tmk = source.randbytes(security.MASTER_KEY_SIZE)
        if profile != security.AES_PROFILE:
            tmk = tmk.translate(_ODD_PARITY)
        merchant = _MERCHANTS[number % len(_MERCHANTS)][0]
        nac = (number - direct - 1) // _NAC_TERMINALS + 1
        yield {
            "id": f"{number:08d}",
            "merchant": merchant,
            "profile": profile,
            "tmk": tmk.hex(),
            "address": f"{number % 0xFFFF + 1:04x}",
            "link": DIRECT if number <= direct else f"nac-{nac}",
            "units": [PRIVATE, ALLIANCE] if merchant == _SUPERMARKET else [ALLIANCE],
        }


def lines(members: int, tills: int, seed: int = SEED) -> Iterator[dict[str, Any]]:
    """The lines of the data file, in an order in which they can be loaded."""
    for program in PROGRAMS:
        yield {"type": "program", **program}
    for institution, name in INSTITUTIONS:
        yield {"type": "institution", "id": institution, "name": name}
    yield from _merchant_lines()
    yield from _rule_lines()
    for number, terminal in enumerate(terminals(tills, seed)):
        stores = _STORES.get(terminal["merchant"])
        store = stores[number // len(_MERCHANTS) % len(stores)][0] if stores else None
        cup = terminal["profile"] == security.CUP_PROFILE
        yield {
            "type": "terminal",
            "id": terminal["id"],
            "merchant": terminal["merchant"],
            "profile": terminal["profile"],
            "tmk": terminal["tmk"],
            "charset": "gb18030",
            "networks": ["127.0.0.0/8"] if cup else [],
            "serial": None,
            **({"store": store} if store else {}),
        }
    for number, customer in enumerate(customers(members, seed)):
        yield {
            "type": "member",
            "id": customer.id,
            "cards": [customer.card],
            "phone": customer.phone,
            "tier": _TIERS[number % len(_TIERS)],
            **({"pin": customer.pin} if customer.pin else {}),
        }
        for unit, amount in customer.balances.items():
            yield {
                "type": "balance",
                "member": customer.id,
                "unit": unit,
                "amount": amount,
                "expires": _EXPIRIES[number % len(_EXPIRIES)],
            }


def _rule_lines() -> Iterator[dict[str, Any]]:
    """What there is beside sales: a rate, reasons, campaigns, gifts."""
    yield {
        "type": "rate",
        "unit": PRIVATE,
        "target": ALLIANCE,
        "from": "2026-01-01",
        "rate": "3/2",
        "owner": _SUPERMARKET,
    }
    for program in (ALLIANCE, PRIVATE):
        for code, (points, rate) in _REASONS.items():
            yield {
                "type": "reason",
                "program": program,
                "code": code,
                "points": points,
                "rate": rate,
                "per_day": 3,
            }
        yield {
            "type": "reason",
            "program": program,
            "code": REFERRAL,
            "points": 2 * REFERRED_POINTS,
            "per_day": 3,
            "other_points": REFERRED_POINTS,
        }
    for campaign in _CAMPAIGNS:
        dates = {"from": "2026-01-01", "to": "2099-12-31", "state": "live"}
        yield {"type": "campaign", **campaign, **dates}
    for sku, (name, points, agreed) in _GIFTS.items():
        yield {
            "type": "gift",
            "sku": sku,
            "name": name,
            "owner": _SUPPLIER,
            "program": ALLIANCE,
            "prices": [{"from": "2026-01-01", "points": points, "agreed_fen": agreed}],
            "stock": 20_000,
        }
    prizes: list[dict[str, Any]] = [
        {"id": prize, "name": name, "odds": odds, "points": points}
        for prize, (name, odds, points) in _PRIZES.items()
    ]
    yield {
        "type": "lottery",
        "id": LOTTERY,
        "name": "幸运转盘",
        "program": ALLIANCE,
        "cost": 100,
        "from": "2026-01-01",
        "to": "2099-12-31",
        "prizes": [
            *prizes,
            {"id": "MUG", "name": "马克杯", "odds": "1/20", "stock": 500, "worth_fen": 250},
        ],
        "state": "live",
    }


def _merchant_lines() -> Iterator[dict[str, Any]]:
    """Merchants with terms of two times; the supermarket has its own program beside."""
    for merchant, name, institution, before, since, settlement, fee in _MERCHANTS:
        terms = []
        for start, earn in (("2020-01-01", before), ("2026-01-01", since)):
            if merchant == _SUPERMARKET:
                # The first program named for a day is the one that a sale earns.
                terms.append(_terms(start, PRIVATE, "2/1", "1/1", 0))
            terms.append(_terms(start, ALLIANCE, earn, settlement, fee))
        yield {
            "type": "merchant",
            "id": merchant,
            "name": name,
            "institution": institution,
            "category": merchant[7:11],
            "terms": terms,
        }
        yield {
            "type": "account",
            "party": merchant,
            "account_name": name,
            "number": f"62170000{merchant[7:]}",
            "bank": _BANK,
        }
        for store, title in _STORES.get(merchant, ()):
            yield {"type": "store", "id": store, "merchant": merchant, "name": title}


def _terms(start: str, program: str, earn: str, settlement: str, fee: int) -> dict[str, Any]:
    return {
        "from": start,
        "program": program,
        "earn": earn,
        "funding_fen_per_point": "1/1",
        "settlement": settlement,
        "fee_permille": fee,
        "refund_days": 90,
    }


def fleet(members: int, tills: int, seed: int = SEED) -> dict[str, Any]:
    """The content of the fleet file that goes with `lines` of the same sizes and seed."""
    return {
        "seed": seed,
        "think_ms": list(_THINK_MS),
        # A private program is not converted: who pays for its points is between its members.
        "points_per_yuan": {ALLIANCE: 100},
        "reasons": list(_REASONS),
        "campaigns": [campaign["id"] for campaign in _CAMPAIGNS],
        "lotteries": [LOTTERY],
        "gifts": dict.fromkeys(_GIFTS, _SUPPLIER),
        "referral": {"code": REFERRAL, "points": REFERRED_POINTS},
        "terminals": list(terminals(tills, seed)),
        "members": [
            {
                "id": customer.id,
                "card": customer.card,
                "phone": customer.phone,
                "pin": customer.pin,
                "balances": customer.balances,
            }
            for customer in islice(customers(members, seed), FLEET_MEMBERS_MAX)
        ],
    }


# The files.


def write_sample(
    folder: Path, members: int = MEMBERS, tills: int = TERMINALS, seed: int = SEED
) -> tuple[Path, Path]:
    """Write the data file and the fleet file; returns their paths.

    Raises:
        OSError: The folder does not take them.
    """
    folder.mkdir(parents=True, exist_ok=True)
    data, plan = folder / DATA_FILE, folder / FLEET_FILE
    _write(data, lines(members, tills, seed))
    _write(plan, [fleet(members, tills, seed)])
    return data, plan


def _write(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    """One JSON object a line, in a file that only its owner may read."""
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def load_sample(directory: Path) -> None:
    """Write the sample into `sample` of a data directory and load it.

    The fleet file gets codes of recharge cards too, which are made under the directory's key file.

    Raises:
        RuntimeError: A line was rejected, which means that sample and loader do not agree.
        engine.directory.DirectoryError, OSError: The directory cannot be used.
    """
    data, plan = write_sample(directory / "sample")
    configure(directory, OPERATOR)
    vault = open_vault(directory)
    with Submitter(directory) as submitter:
        report = load(submitter, vault, data)
        if report.rejected:
            line, why = report.rejected[0]
            raise RuntimeError(f"line {line} of the sample was rejected: {why}")
        cards = list(_recharge_cards(submitter, vault))
    _write(plan, [fleet(MEMBERS, TERMINALS) | {"recharge": cards}])


def _recharge_cards(submitter: Submitter, vault: Vault) -> Iterator[dict[str, Any]]:
    """Produce, sell and activate recharge cards; what a fleet file says of each batch."""
    count, length = _RECHARGE_CARDS, codes.LENGTH
    for name, unit, amount in _RECHARGE:
        worth = (unit, amount, _RECHARGE_UNTIL)
        opened = submitter.submit(OpenRecharge(name, count, length, vault.key_id, *worth))
        number = accepted(opened).facts["number"]
        for state, seller, price in ((SOLD, _SUPERMARKET, amount), (ACTIVE, "", 0)):
            accepted(submitter.submit(MoveRecharge(name, 1, count, state, seller, price)))
        made = Codes(vault, length, codes.RECHARGE).make(number, 1, count)
        yield {"unit": unit, "amount": amount, "codes": made}


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--members", default=MEMBERS, show_default=True)
@click.option("--terminals", "tills", default=TERMINALS, show_default=True)
@click.option("--seed", default=SEED, show_default=True)
def main(folder: Path, members: int, tills: int, seed: int) -> None:
    """Write sample data and the matching fleet into FOLDER."""
    for path in write_sample(folder, members, tills, seed):
        click.echo(path)


if __name__ == "__main__":
    main()

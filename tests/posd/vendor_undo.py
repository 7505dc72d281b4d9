"""Each transaction of the protocol undone in each way that it may be, for `vendor_examples`."""

from typing import NamedTuple

from tests.posd.vendor_stage import SALE, SPEND, USE, Example, Section

FIRST_STAN = 700
NAMES = frozenset({"2", "4", "35", "49"})
"""Fields of the original that a reversal or void repeats."""

REFUNDED = "000000000100"


class Original(NamedTuple):
    """A transaction to be undone: what claims its coupon before, and the ways, of R, V, F."""

    name: str
    said: str
    ways: str
    before: str = ""


ORIGINALS = (
    Original("accrual", SALE, "RVF"),
    Original(
        "accrual without a purchase",
        "0200 3=220065 2={card} 4=000000001000 49=156 48=1E:SIGNIN",
        "RVF",
    ),
    Original("redemption", SPEND, "RVF"),
    Original("purchase", "0200 3=006000 2={gift} 4=000000000300 49=156", "RVF"),
    Original("top-up of points", "0200 3=210065 2={card} 4=000000000500 49=P01", "RV"),
    Original("top-up by a recharge card", "0200 3=210065 2={card} 49=P01 48=12:{scratch2}", "RV"),
    Original("top-up of stored value", "0200 3=210060 2={gift} 4=000000001000 49=156", "RV"),
    Original("conversion", "0200 3=406560 2={card} 4=000000000500 49=P01", "RV"),
    Original("exchange", "0200 3=406565 2={card} 4=000000000090 49=P01 48=49:P02", "RV"),
    Original("transfer", "0200 3=406565 2={card} 4=000000000100 49=P01 48=11:C{other}", "RV"),
    Original("claim", "0200 3=910000 2={card} 48=14:CASH", "RV"),
    Original("coupon redemption", USE + " 48=12:{c_code}", "RVF", "CASH"),
    Original("coupon transfer", "0200 3=920000 48=12:{c_code},11:C{other}", "RV", "CASH"),
    Original("gift exchange", "0200 3=936500 2={card} 48=16:MUG", "RV"),
    Original("draw", "0200 3=946500 2={card} 48=14:SPIN", "R"),
    Original("hold of points", "0100 3=036500 2={card} 4=000000001000 49=P01", "R"),
    Original("hold of stored value", "0100 3=036000 2={gift} 4=000000000500 49=156", "R"),
    Original("capture of points", "0220 3=006500 4=000000000600 49=P01 37={h}", "RVF",
             "0100 3=036500 2={card} 4=000000001000 49=P01"),
    Original("capture of value", "0220 3=006000 4=000000000400 49=156 37={h}", "RVF",
             "0100 3=036000 2={gift} 4=000000000500 49=156"),
)  # fmt: skip


def reversal(said: str, stan: int) -> str:
    """The reversal of a message: field 3, the amount, and what named member and coupon."""
    return f"0400 {_function(said)} {_repeated(said)} 39=98 stan={stan}"


def void(said: str) -> str:
    """The void of a transaction by its RRN."""
    return f"0200 3=200000 {_repeated(said)} 37={{o}}"


def refund(said: str) -> str:
    """The refund of 100 of the original's unit."""
    unit = next(word for word in said.split() if word.startswith("49="))
    return f"0220 3=200000 4={REFUNDED} {unit} 37={{o}}"


def _function(said: str) -> str:
    return next(word for word in said.split() if word.startswith("3="))


def _repeated(said: str) -> str:
    words = [word for word in said.split()[1:] if word.partition("=")[0] in NAMES]
    coupon = [word for word in said.split() if word.startswith("48=12:")]
    return " ".join([*words, *(word.partition(",")[0] for word in coupon)])


def _examples() -> tuple[Example, ...]:
    examples, stan = [], FIRST_STAN
    for one in ORIGINALS:
        for way in one.ways:
            if one.before.startswith("0"):
                examples.append(Example("A hold", one.before, keep="h", brief=True))
            elif one.before:
                claim = f"0200 3=910000 2={{card}} 48=14:{one.before}"
                examples.append(Example("A claim", claim, keep="c", brief=True))
            stan += 1
            name, done, back = {
                "R": ("Reversal", "reversed", reversal(one.said, stan)),
                "V": ("Void", "voided", void(one.said)),
                "F": ("Refund of a part", "refunded", refund(one.said) if way == "F" else ""),
            }[way]
            said = f"{one.said} stan={stan}"
            examples.append(Example(f"The {one.name}, to be {done}", said, keep="o", brief=True))
            examples.append(Example(f"{name} of the {one.name}", back, brief=True))
    return tuple(examples)


EACH = Section(
    "Each transaction undone",
    "Bytes alone; each original stands before what undoes it. A reversal repeats the original's\n"
    "STAN, batch, 3, 4, 49, and what named the member (2, 35, element `10`) and coupon (`12`).\n"
    "A void has a STAN of its own and names the original by 37 (or 61).",
    _examples(),
)

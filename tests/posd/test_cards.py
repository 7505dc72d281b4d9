"""Conversations about cards: reported lost by each name that a member has, and replaced."""

import pytest

from ledger import schema
from tests.posd.conversation import CARD, IDENTITY, NEXT_CARD, PHONE

SALE = "3=220065 2={card} 4=000000010000 49=156"
DONE = "39=00 4=* 15=* 37=* 38=* 48=* 49=* 54=* 64=*"


def test_a_lost_card_is_blocked_replaced_and_its_sales_are_still_refunded(talk):
    talk.play(f"""
        >> 0200 3=006500 2={{card}} 4=000000001000 49=P01
        .. redemption APPROVED
        << 0210 {DONE}
        """)
    talk.words["sale"] = talk.words["rrn"]
    talk.play(f"""
        >> 0600 3=960000 35={{card}}D2912 stan=50
        .. loss report APPROVED
        << 0610 39=00 64=*
        >> 0601 3=960000 2={{card}} stan=50        # the same card, keyed
        << 0610 39=00 64=*
        >> 0200 {SALE}
        .. accrual CARD_LOST
        << 0210 39=41 44=* 64=*
        >> 0100 3=310000 2={{card}}
        << 0110 39=41 44=* 64=*
        >> 0600 3=970000 48=10:P{{phone}},1F:{{next}} stan=60
        .. card replacement APPROVED
        << 0610 39=00 64=*
        >> 0601 3=970000 48=10:P{{phone}},1F:{{next}} stan=60
        << 0610 39=00 64=*
        >> 0600 3=970000 48=10:P{{phone}},1F:6222020000000000059 stan=60
        << 0610 39=94 44=* 64=*
        >> 0200 {SALE}
        .. accrual CARD_LOST
        << 0210 39=41 44=* 64=*
        >> 0220 3=200000 2={{card}} 4=000000000500 49=P01 37={{sale}}
        .. refund APPROVED
        << 0230 {DONE}
        >> 0220 3=200000 2={{next}} 4=000000000500 49=P01 37={{sale}}
        .. refund APPROVED
        << 0230 {DONE}
        >> 0100 3=310065 2={{next}}
        << 0110 39=00 48=32:00000000500020271231 54=* 64=*
        >> 0400 3=970000 48=10:P{{phone}},1F:{{next}} stan=60
        .. reversal NOT_UNDOABLE
        << 0410 39=12 44=* 64=*
        """)


@pytest.mark.parametrize(
    "said", [f"48=1H:{IDENTITY}", f"48=1H:{IDENTITY.lower()}", f"48=10:P{PHONE},1H:{IDENTITY}"]
)
def test_an_identity_number_blocks_cards(desk, said):
    desk.play(f"""
        >> 0600 3=960000 {said}
        .. loss report APPROVED
        << 0610 39=00 64=*
        >> 0200 {SALE}
        .. accrual CARD_LOST
        << 0210 39=41 44=* 64=*
        """)


def test_an_identity_number_buys_nothing(desk):
    desk.play(f"""
        >> 0200 3=006500 48=1H:{IDENTITY} 4=000000000100 49=P01
        << 0210 39=30 44=* 64=*
        >> 0200 3=006500 48=10:I{IDENTITY} 4=000000000100 49=P01
        << 0210 39=30 44=* 64=*
        >> 0100 3=310000 48=1H:{IDENTITY}
        << 0110 39=30 44=* 64=*
        """)


def test_guessed_identity_numbers_are_counted(desk):
    for number in range(11):
        desk.send(desk.build(f"0600 3=960000 48=1H:11010519490101{number:04d}"))
        assert desk.reply.fields[39] == "14"
    desk.play(f">> 0600 3=960000 48=1H:{IDENTITY}\n<< 0610 39=34 44=* 64=*")


@pytest.mark.parametrize(
    ("number", "code"),
    [(NEXT_CARD, "00"), (NEXT_CARD[:-1] + "3", "14"), ("18", "14"), ("1" * 24, "14"),
     ("62220200X0000000042", "14"), (CARD, "12")],
)  # fmt: skip
def test_the_new_number_is_a_card_number_that_nobody_has(desk, number, code):
    desk.send(desk.build(f"0600 3=970000 2={CARD} 48=1F:{number}"))
    assert desk.reply.fields[39] == code
    key = schema.alias("C", desk.vault.token_digest("C", number))
    assert (desk.book.view.get(key) is not None) == (code != "14")


def test_a_pin_that_comes_with_a_replacement_is_judged(desk):
    new = "48=1F:{next}"
    desk.play(f"""
        >> 0600 3=970000 2={{card}} {new} pin=000000
        .. card replacement PIN_WRONG
        << 0610 39=55 44=* 64=*
        >> 0600 3=970000 2={{card}} {new} pin=123456
        .. card replacement APPROVED
        << 0610 39=00 64=*
        >> 0200 3=006500 2={{next}} 4=000000000100 49=P01 pin=123456
        .. redemption APPROVED
        << 0210 {DONE}
        """)

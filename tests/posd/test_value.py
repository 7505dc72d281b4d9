"""Stored value at the till: what messages carry, and what their replies tell."""

import pytest

from engine.rules import products
from posd.iso8583.tlv import build_tlv

GIFT = "6212340000000003"


@pytest.fixture
def talk(talk):
    talk.administer(
        products.PutCardProduct(
            "GIFT", "Gift", False, True, 100_000, "none", True, True, "top-up", 5000, "621234", 16
        )
    )
    talk.administer(products.OpenCardBatch("B1", "GIFT", 1))
    digest = talk.vault.token_digest("C", GIFT)
    talk.administer(products.IssueCards("B1", 1, ((digest, b"sealed"),)))
    talk.administer(products.MoveCards("B1", 1, 1, "distributed"))
    talk.words["gift"] = GIFT
    return talk


def told(talk):
    """Field 54 of the last reply, entry by entry."""
    field = talk.reply.fields[54]
    entries = [field[start : start + 20] for start in range(0, len(field), 20)]
    return [(e[:2], e[2:4], e[4:7], int(e[8:]) * (-1 if e[7] == "D" else 1)) for e in entries]


def test_a_gift_card_is_loaded_and_spent(talk):
    talk.play("""
        >> 0200 3=006000 2={gift} 4=000000001000 49=156
        .. purchase CARD_NOT_ACTIVE
        << 0210 39=62 44=* 64=*
        >> 0200 3=210060 2={gift} 4=000000010000 49=156
        .. top-up APPROVED
        << 0210 39=00 4=000000010000 15=0302 37=* 38=* 49=156 54=* 64=*
        >> 0201 3=210060 2={gift} 4=000000010000 49=156 stan={stan}
        << 0210 39=00 4=000000010000 15=0302 37=* 38=* 49=156 54=* 64=*
        >> 0200 3=006000 2={gift} 4=000000001000 49=156 48=17:R-17
        .. purchase APPROVED
        << 0210 39=00 4=000000001000 15=0302 37=* 38=* 49=156 54=* 64=*
        """)
    assert told(talk) == [("60", "02", "156", 9000), ("60", "01", "156", 9000)]
    talk.play("""
        >> 0220 3=200000 4=000000000400 49=156 37={rrn}
        .. refund APPROVED
        << 0230 39=00 4=* 15=* 37=* 38=* 49=156 54=* 64=*
        >> 0200 3=006000 2={gift} 4=000000005001 49=156
        .. purchase PIN_MISSING
        << 0210 39=55 44=* 64=*
        >> 0200 3=210060 2={gift} 4=000000090601 49=156
        .. top-up OVER_FACE_VALUE
        << 0210 39=61 44=* 64=*
        >> 0100 3=310060 2={gift}
        << 0110 39=00 54=* 64=*
        >> 0500 code=201 48=50:156000001000000001000000002000000010400
        .. settlement APPROVED
        << 0510 39=00 64=*
        """)


def test_points_become_value_and_an_inquiry_lists_both(talk):
    talk.play("""
        >> 0200 3=406560 2={card} 4=000000001000 49=P01
        .. conversion APPROVED
        << 0210 39=00 4=000000001000 15=* 37=* 38=* 48=30:-1000 49=P01 54=* 64=*
        """)
    assert told(talk) == [
        ("65", "02", "P01", 4000),
        ("65", "01", "P01", 4000),
        ("60", "02", "156", 1000),
        ("60", "01", "156", 1000),
    ]
    talk.pass_time(1)
    talk.play("""
        >> 0200 3=006000 2={card} 4=000000000100 49=156
        .. purchase APPROVED
        << 0210 39=00 4=* 15=* 37=* 38=* 49=156 54=* 64=*
        >> 0100 3=310000 2={card}
        << 0110 39=00 48=32:00000000400020271231 54=* 64=*
        """)
    # The value moved last.
    assert [entry[0] for entry in told(talk)] == ["60", "60", "65", "65"]
    talk.play("""
        >> 0100 3=310065 2={card}
        << 0110 39=00 48=32:00000000400020271231 54=* 64=*
        """)
    assert [entry[0] for entry in told(talk)] == ["65", "65"]


def test_points_are_loaded(talk):
    talk.play("""
        >> 0200 3=210065 2={card} 4=000000000500 49=P01
        .. top-up APPROVED
        << 0210 39=00 4=000000000500 15=* 37=* 38=* 48=30:+500 49=P01 54=* 64=*
        >> 0400 3=210065 2={card} 4=000000000500 49=P01 39=98 stan={stan}
        .. reversal APPROVED
        << 0410 39=00 4=000000000500 15=* 37=* 38=* 49=P01 54=* 64=*
        """)


@pytest.mark.parametrize(
    "said",
    [
        "3=210060 4=000000000100 49=P01",
        "3=210065 4=000000000100 49=156",
        "3=210060 4=000000000100",
        "3=006000 4=000000000100 49=P01",
        "3=406560 4=000000000100 49=156",
        "3=006000 49=156",
        f"3=006000 4=000000000100 49=156 48=17:{'R' * 41}",
    ],
)
def test_what_is_malformed_is_30(talk, said):
    talk.play(f"""
        >> 0200 {said} 2={{card}}
        << 0210 39=30 44=* 64=*
        """)


def test_a_reference_is_kept_in_the_journal(talk):
    assert build_tlv([("17", b"R-17")]) == b"17004R-17"
    talk.play("""
        >> 0200 3=210060 2={card} 4=000000000100 49=156 48=17:R-17
        .. top-up APPROVED
        << 0210 39=00 4=* 15=* 37=* 38=* 49=156 54=* 64=*
        """)
    assert talk.book.entry(talk.book.sequence).command[-1] == "R-17"


def test_a_sale_paid_in_parts_names_its_receipt_in_each(talk):
    """Points for a part, stored value for another; the rest in cash is in no message."""
    talk.play("""
        >> 0200 3=006500 2={card} 4=000000001000 49=156 48=17:R-18
        .. redemption APPROVED
        << 0210 39=00 4=* 15=* 37=* 38=* 48=30:-1000 49=156 54=* 64=*
        >> 0200 3=210060 2={card} 4=000000005000 49=156
        .. top-up APPROVED
        << 0210 39=00 4=* 15=* 37=* 38=* 49=156 54=* 64=*
        >> 0200 3=006000 2={card} 4=000000002000 49=156 48=17:R-18
        .. purchase APPROVED
        << 0210 39=00 4=* 15=* 37=* 38=* 49=156 54=* 64=*
        >> 0200 3=220065 2={card} 4=000000005000 49=156 48=17:R-18
        .. accrual APPROVED
        << 0210 39=00 4=* 15=* 37=* 38=* 48=30:+50 49=156 54=* 64=*
        """)
    last = talk.book.sequence
    named = [talk.book.entry(n).command[-1] for n in (last - 3, last - 1, last)]
    assert named == ["R-18", "R-18", "R-18"]

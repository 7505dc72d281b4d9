"""Coupons at the till: what messages carry, and what their replies tell."""

import pytest

from engine import codes
from engine.campaigns import CodeBatch, inquired
from ledger import codec, schema
from ledger.model import values_of
from posd.iso8583.tlv import parse_tlv
from tests.posd.conversation import MERCHANT
from tests.posd.test_desks import with_operators
from tests.scenarios.coupons import campaign

PAID = "15=0302 37=* 38=* 64=*"


@pytest.fixture
def talk(talk):
    for line in (
        f"SPRING amount_off title 立减 face 10.00 min-sale 50.00 funders {MERCHANT}=1/1",
        "PINNED amount_off face 10.00 pin",
        "POINTS points face 10.00 points 500 program P01",
        "CASH voucher face 100.00",
    ):
        talk.administer(campaign(line.split()))
    return talk


def elements(talk):
    """The elements of field 48 of the last reply, by tag."""
    return {tag: value.decode() for tag, value in parse_tlv(talk.reply.fields[48])}


def claim(talk, name, word="coupon", told=""):
    """Claim a coupon for the card; its code is the word's from then on."""
    balance = "54=*" if told else ""
    talk.play(f"""
        >> 0200 3=910000 2={{card}} 48=14:{name}
        .. coupon claim APPROVED
        << 0210 39=00 48=* {balance} {PAID}
        """)
    code = talk.words[word] = elements(talk)["38"]
    assert len(code) == 20
    assert code.isdecimal()
    return code


def test_a_coupon_is_claimed_looked_at_and_used(talk):
    code = claim(talk, "SPRING")
    talk.play("""
        >> 0201 3=910000 2={card} 48=14:SPRING stan={stan}
        << 0210 39=00 48=38:{coupon} 15=0302 37=* 38=* 64=*
        >> 0100 3=390000 48=12:{coupon}
        << 0110 39=00 48=34:立减,35:live,36:20261231,37:1 64=*
        >> 0100 3=390000 4=000000006000 48=12:{coupon}
        << 0110 39=00 48=33:000000001000,34:立减,35:live,36:20261231,37:1 64=*
        >> 0200 3=900000 4=000000004999 49=156 48=12:{coupon}
        .. coupon use SALE_TOO_SMALL
        << 0210 39=61 44=* 64=*
        >> 0200 3=900000 4=000000006000 49=156 48=12:{coupon}
        .. coupon use APPROVED
        << 0210 39=00 4=000000005000 49=156 48=33:000000001000 15=0302 37=* 38=* 64=*
        >> 0201 3=900000 4=000000006000 49=156 48=12:{coupon} stan={stan}
        << 0210 39=00 4=000000005000 49=156 48=33:000000001000 15=0302 37=* 38=* 64=*
        >> 0200 3=900000 4=000000006000 49=156 48=12:{coupon}
        .. coupon use COUPON_USED
        << 0210 39=78 44=* 64=*
        >> 0100 3=390000 4=000000006000 48=12:{coupon}
        << 0110 39=00 48=33:000000000000,34:立减,35:used,36:20261231,37:0 64=*
        >> 0500 code=201 48=50:CPN000001000000001000000000000000000000
        .. settlement APPROVED
        << 0510 39=00 64=*
        """)
    journal = b"".join(
        codec.pack_entry(values_of(talk.book.entry(n))) for n in range(1, talk.book.sequence + 1)
    )
    assert code.encode() not in journal


def test_inquiries_are_counted_by_campaign_until_they_are_noted(talk, monkeypatch):
    claim(talk, "SPRING")
    claim(talk, "CASH", "cash")
    talk.play("""
        >> 0100 3=390000 48=12:{coupon}
        << 0110 39=00 48=* 64=*
        >> 0101 3=390000 48=12:{coupon} stan={stan}       # again: the same inquiry
        << 0110 39=00 48=* 64=*
        >> 0100 3=390000 48=12:{coupon}
        << 0110 39=00 48=* 64=*
        >> 0100 3=390000 48=12:1234567890
        << 0110 39=76 44=* 64=*
        """)
    told = talk.host.inquired
    assert told.waiting == 2
    assert inquired(talk.book.view.get, "SPRING") == 0
    told.note(talk.now)
    told.note(talk.now)
    assert told.waiting == 0
    assert inquired(talk.book.view.get, "SPRING") == 2
    assert talk.book.entry(talk.book.sequence).command == ((("SPRING", 2),),)
    monkeypatch.setattr("posd.inquired.CAMPAIGNS_MAX", 1)
    talk.play("""
        >> 0100 3=390000 48=12:{coupon}
        << 0110 39=00 48=* 64=*
        >> 0100 3=390000 48=12:{cash}
        .. coupon inquiries APPROVED
        << 0110 39=00 48=* 64=*
        """)
    assert inquired(talk.book.view.get, "SPRING") == 3
    assert told.waiting == 1


def test_a_use_is_voided_and_reversed_with_its_coupon(talk):
    claim(talk, "SPRING")
    claim(talk, "SPRING", "second")
    sale = "4=000000006000 49=156"
    talk.play(f"""
        >> 0200 3=900000 {sale} 48=12:{{coupon}}
        .. coupon use APPROVED
        << 0210 39=00 48=33:000000001000 4=000000005000 49=156 {PAID}
        >> 0400 3=900000 {sale} 48=12:{{second}} stan={{stan}}
        << 0410 39=94 44=* 64=*
        >> 0200 3=200000 {sale} 37={{rrn}} 48=12:{{second}}
        .. void COUPON_DIFFERS
        << 0210 39=14 44=* 64=*
        >> 0200 3=200000 {sale} 37={{rrn}} 48=12:{{coupon}}
        .. void APPROVED
        << 0210 39=00 4=000000006000 49=156 {PAID}
        >> 0200 3=900000 {sale} 48=12:{{coupon}}
        .. coupon use APPROVED
        << 0210 39=00 48=33:000000001000 4=000000005000 49=156 {PAID}
        >> 0400 3=900000 {sale} 48=12:{{coupon}} stan={{stan}}
        .. reversal APPROVED
        << 0410 39=00 4=000000006000 49=156 {PAID}
        >> 0200 3=900000 {sale} 48=12:{{coupon}}
        .. coupon use APPROVED
        << 0210 39=00 48=33:000000001000 4=000000005000 49=156 {PAID}
        >> 0220 3=200000 4=000000003000 49=156 37={{rrn}}
        .. refund APPROVED
        << 0230 39=00 4=000000003000 49=156 {PAID}
        """)


def test_a_coupon_is_handed_over_with_its_pin(talk):
    claim(talk, "PINNED")
    pin = talk.words["pin"] = elements(talk)["13"]
    assert len(pin) == 6
    talk.words["wrong"] = "000000" if pin != "000000" else "000001"
    talk.play("""
        >> 0200 3=920000 48=12:{coupon},11:C{other}
        .. coupon transfer COUPON_PIN_MISSING
        << 0210 39=55 44=* 64=*
        >> 0200 3=920000 48=12:{coupon},11:C{other},13:{wrong}
        .. coupon transfer COUPON_PIN_WRONG
        << 0210 39=55 44=* 64=*
        >> 0200 3=920000 48=12:{coupon},11:C{other},13:{pin}
        .. coupon transfer APPROVED
        << 0210 39=00 48=* 15=* 37=* 38=* 64=*
        """)
    talk.words |= {"new": elements(talk)["38"], "newpin": elements(talk)["13"]}
    talk.play("""
        >> 0200 3=900000 4=000000006000 49=156 48=12:{coupon},13:{pin}
        .. coupon use COUPON_VOID
        << 0210 39=57 44=* 64=*
        >> 0200 3=900000 4=000000006000 49=156 48=12:{new},13:{newpin}
        .. coupon use APPROVED
        << 0210 39=00 48=* 4=* 49=156 15=* 37=* 38=* 64=*
        """)


def test_points_buy_a_coupon_and_a_voucher_is_used_in_parts(talk):
    claim(talk, "POINTS", told="points")
    assert elements(talk)["30"] == "-500"
    claim(talk, "CASH")
    talk.play("""
        >> 0200 3=900000 4=000000006000 49=156 48=12:{coupon}
        .. coupon use APPROVED
        << 0210 39=00 4=000000000000 49=156 48=33:000000006000 15=* 37=* 38=* 64=*
        >> 0100 3=390000 4=000000006000 48=12:{coupon}
        << 0110 39=00 48=33:000000004000,34:CASH,35:live,36:20261231,37:4000 64=*
        """)


def test_a_produced_code_is_a_coupon_and_a_mistyped_one_is_unknown(talk):
    row = CodeBatch("CASH", 3, 20, "", imported=False)
    talk.book.view.put(schema.codes(7), codec.pack_record(row))
    made = codes.Codes(talk.vault, 20).make(7, 1, 4)
    talk.words |= {"made": made[0], "beyond": made[3]}
    talk.words["typo"] = made[1][:-1] + str((int(made[1][-1]) + 1) % 10)
    talk.play("""
        >> 0200 3=900000 4=000000006000 49=156 48=12:{typo}
        .. coupon use COUPON_UNKNOWN
        << 0210 39=76 44=* 64=*
        >> 0200 3=900000 4=000000006000 49=156 48=12:{beyond}
        .. coupon use COUPON_UNKNOWN
        << 0210 39=76 44=* 64=*
        >> 0200 3=900000 4=000000006000 49=156 48=12:{made}
        .. coupon use APPROVED
        << 0210 39=00 4=000000000000 49=156 48=33:000000006000 15=* 37=* 38=* 64=*
        """)


def test_guessing_codes_is_stopped(talk):
    claim(talk, "SPRING")
    for serial in range(11):
        talk.play(f"""
            >> 0200 3=900000 4=000000006000 49=156 48=12:{serial:020}
            .. coupon use COUPON_UNKNOWN
            << 0210 39=76 44=* 64=*
            """)
    talk.play("""
        >> 0200 3=900000 4=000000006000 49=156 48=12:{coupon}
        << 0210 39=34 44=* 64=*
        >> 0100 3=390000 48=12:{coupon}
        << 0110 39=34 44=* 64=*
        @ 600
        >> 0200 3=900000 4=000000006000 49=156 48=12:{coupon}
        .. coupon use APPROVED
        << 0210 39=00 48=* 4=* 49=156 15=* 37=* 38=* 64=*
        """)
    assert talk.events["guessing"] == 1


def test_an_operator_who_guesses_is_stopped_at_every_till():
    talk = with_operators()
    talk.administer(campaign(["SPRING", "amount_off", "face", "10.00"]))
    talk.play("""
        >> 0200 3=910000 2={card} 48=14:SPRING 63=001
        .. coupon claim APPROVED
        << 0210 39=00 48=* 15=* 37=* 38=* 64=*
        """)
    talk.words["coupon"] = elements(talk)["38"]
    guess = """
        >> 0100 3=390000 48=12:00000000000000000000 63=001
        << 0110 39=76 44=* 64=*
        """
    talk.play(guess * 6)
    talk.till("00000002")
    talk.sign_on()
    talk.play(guess * 5)
    talk.play("""
        >> 0100 3=390000 48=12:{coupon} 63=001
        << 0110 39=34 44=* 64=*
        >> 0100 3=390000 48=12:{coupon} 63=007
        << 0110 39=00 48=* 64=*
        till 00000001
        >> 0100 3=390000 48=12:{coupon} 63=001
        << 0110 39=34 44=* 64=*
        @ 600
        >> 0100 3=390000 48=12:{coupon} 63=001
        << 0110 39=00 48=* 64=*
        """)
    assert talk.events["guessing"] == 1


@pytest.mark.parametrize(
    "said",
    [
        "0200 3=910000 2={card}",
        "0200 3=910000 2={card} 48=14:",
        "0200 3=910000 48=14:SPRING",
        "0200 3=900000 4=000000006000 49=156",
        "0200 3=900000 4=000000006000 49=156 48=12:",
        "0200 3=900000 49=156 48=12:1",
        "0200 3=900000 4=000000006000 48=12:1",
        "0200 3=900000 4=000000006000 49=P01 48=12:1",
        "0200 3=900000 4=000000006000 49=156 48=12:1,15:x",
        "0200 3=920000 48=12:1",
        "0100 3=390000",
    ],
)
def test_what_is_no_form_is_30(talk, said):
    talk.play(f"""
        >> {said}
        << {said[:2]}10 39=30 44=* 64=*
        """)


def test_a_till_with_operators_is_told_where_a_coupon_was_used():
    talk = with_operators()
    talk.administer(campaign(["SPRING", "amount_off", "face", "10.00"]))
    talk.play("""
        >> 0200 3=910000 2={card} 48=14:SPRING 63=001
        .. coupon claim APPROVED
        << 0210 39=00 48=* 15=* 37=* 38=* 64=*
        """)
    talk.words["coupon"] = elements(talk)["38"]
    talk.play("""
        >> 0200 3=900000 4=000000006000 49=156 48=12:{coupon} 63=001
        .. coupon use APPROVED
        << 0210 39=00 4=* 49=156 48=* 15=* 37=* 38=* 64=*
        @ 60
        >> 0200 3=900000 4=000000006000 49=156 48=12:{coupon} 63=001
        .. coupon use COUPON_USED
        << 0210 39=78 44=* 64=*
        """)
    assert talk.reply.fields[44] == b"USED 0302 1200 0012/0001"

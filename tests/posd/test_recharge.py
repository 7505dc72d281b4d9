"""Recharge cards at the till, and what guessing codes comes to."""

import random

import pytest

from engine import codes
from engine.campaigns import CodeBatch
from engine.codes import Codes
from engine.rules import recharge
from ledger import codec, schema
from tests.posd.conversation import MERCHANT, Conversation


@pytest.fixture
def talk(talk):
    talk.administer(recharge.OpenRecharge("R1", 100, 20, talk.vault.key_id, "P01", 500, 20271231))
    talk.administer(recharge.MoveRecharge("R1", 1, 9, "sold", MERCHANT, 500))
    talk.administer(recharge.MoveRecharge("R1", 1, 8, "active", "", 0))
    scratch = Codes(talk.vault, 20, codes.RECHARGE).make(1, 1, 9)
    talk.words |= {"one": scratch[0], "two": scratch[1], "sold": scratch[8]}
    talk.words["coupon"] = Codes(talk.vault, 20).make(1, 1, 1)[0]
    return talk


def test_a_card_is_used_once_by_a_top_up_that_names_its_code(talk):
    talk.play("""
        >> 0200 3=210065 2={card} 49=P01 48=12:{one}
        .. recharge APPROVED
        << 0210 39=00 15=0302 37=* 38=* 48=30:+500 54=* 64=*
        >> 0201 3=210065 2={card} 49=P01 48=12:{one} stan={stan}
        << 0210 39=00 15=0302 37=* 38=* 48=30:+500 54=* 64=*
        >> 0200 3=210065 2={other} 4=000000000500 49=P01 48=12:{one}
        .. recharge RECHARGE_USED
        << 0210 39=78 44=* 64=*
        >> 0200 3=210065 2={card} 4=000000000499 49=P01 48=12:{two}
        .. recharge AMOUNT_DIFFERS
        << 0210 39=64 44=* 64=*
        >> 0200 3=210065 2={card} 4=000000000500 49=P01 48=12:{sold}
        .. recharge RECHARGE_NOT_ACTIVE
        << 0210 39=79 44=* 64=*
        >> 0200 3=210065 2={card} 4=000000000500 49=P01 48=12:{coupon}
        .. recharge COUPON_UNKNOWN
        << 0210 39=76 44=* 64=*
        >> 0200 3=210065 2={card} 4=000000000500 49=P01 48=12:{two}
        .. recharge APPROVED
        << 0210 39=00 4=000000000500 15=0302 37=* 38=* 48=30:+500 49=P01 54=* 64=*
        >> 0400 3=210065 2={card} 4=000000000500 49=P01 39=98 48=12:{one} stan={stan}
        << 0410 39=94 44=* 64=*
        >> 0400 3=210065 2={card} 4=000000000500 49=P01 39=98 48=12:{two} stan={stan}
        .. reversal APPROVED
        << 0410 39=00 4=* 15=0302 37=* 38=* 49=* 54=* 64=*
        >> 0200 3=210065 2={other} 4=000000000500 49=P01 48=12:{two}
        .. recharge APPROVED
        << 0210 39=00 4=000000000500 15=0302 37=* 38=* 48=30:+500 49=P01 54=* 64=*
        """)
    clear = talk.words["one"].encode()
    assert all(clear not in packed for packed in talk.book.entries)


def test_ten_thousand_guesses_from_one_till_hit_nothing():
    """A million live codes of the shortest length; 34 after the first dozen."""
    talk = Conversation()
    talk.sign_on()
    row = CodeBatch("SPRING", codes.produced_max(16), 16, talk.vault.key_id, imported=False)
    talk.book.view.put(schema.codes(1), codec.pack_record(row))
    guesses = random.Random(8583)
    told = []
    for _ in range(10_000):
        body = f"{guesses.randrange(10**15):015}"
        code = body + codes.check_digit(body)
        talk.send(talk.build(f"0200 3=900000 4=000000010000 49=156 48=12:{code}"))
        told.append(talk.reply.fields[39])
    assert set(told[:11]) == {"76"}
    assert set(told[12:]) == {"34"}
    assert talk.events["guessing"] == 1

"""Gifts at the till: what messages carry, and what their replies tell."""

import pytest

from engine import lotteries
from engine.rules import gifts
from engine.rules.lotteries import PutLottery
from posd.iso8583.tlv import parse_tlv
from tests.posd.conversation import MERCHANT


@pytest.fixture
def talk(talk):
    talk.administer(
        gifts.PutGift("MUG", "Mug", MERCHANT, "P01", ((20260101, 500, 400),), 3, 2, True)
    )
    return talk


def test_a_gift_is_exchanged_voided_and_reversed(talk):
    talk.play("""
        >> 0200 3=936500 2={card} 48=16:MUG,15:2
        .. gift APPROVED
        << 0210 39=00 15=0302 37=* 38=* 48=30:-1000 54=* 64=*
        >> 0201 3=936500 2={card} 48=16:MUG,15:2 stan={stan}
        << 0210 39=00 15=0302 37=* 38=* 48=30:-1000 54=* 64=*
        >> 0200 3=936500 2={card} 48=16:MUG
        .. gift GIFTS_ENOUGH
        << 0210 39=65 44=* 64=*
        """)
    talk.play("""
        >> 0200 3=936500 2={other} 48=16:MUG
        .. gift NOT_ENOUGH
        << 0210 39=51 44=* 64=*
        >> 0200 3=936500 2={card} 48=16:CUP
        .. gift GIFT_UNKNOWN
        << 0210 39=12 44=* 64=*
        >> 0200 3=936500 2={card}
        << 0210 39=30 44=* 64=*
        >> 0200 3=936500 2={card} 48=16:MUG,15:x
        << 0210 39=30 44=* 64=*
        >> 0200 3=936500 2={card} 48=16:MUG,15:0
        .. gift QUANTITY_ZERO
        << 0210 39=13 44=* 64=*
        """)


def test_an_exchange_is_voided_by_its_rrn_and_reversed_by_its_stan(talk):
    talk.play("""
        >> 0200 3=936500 2={card} 48=16:MUG
        .. gift APPROVED
        << 0210 39=00 15=0302 37=* 38=* 48=30:-500 54=* 64=*
        >> 0200 3=200000 2={card} 37={rrn}
        .. void APPROVED
        << 0210 39=00 15=0302 37=* 38=* 54=* 64=*
        >> 0200 3=936500 2={card} 48=16:MUG
        .. gift APPROVED
        << 0210 39=00 15=0302 37=* 38=* 48=30:-500 54=* 64=*
        >> 0400 3=936500 2={card} 39=98 stan={stan}
        .. reversal APPROVED
        << 0410 39=00 15=0302 37=* 38=* 54=* 64=*
        >> 0500 code=201
        .. settlement APPROVED
        << 0510 39=00 64=*
        """)


def test_a_draw_tells_the_prize_and_after_a_reversal_the_same_again(talk):
    sealed, seed_hash = lotteries.seal_seed(talk.vault, "L1", bytes(32))
    prizes = (("CUP", "Cup", (1, 2), 1, 0, 900), ("P50", "Points", (1, 2), -1, 50, 50))
    talk.administer(
        PutLottery(
            "L1", "L1", "P01", 100, 20260101, 20261231, prizes, True, 0, True, sealed, seed_hash
        )
    )
    talk.play("""
        >> 0200 3=946500 2={card} 48=14:L1
        .. draw APPROVED
        << 0210 39=00 15=0302 37=* 38=* 48=* 54=* 64=*
        """)
    told = talk.reply.fields[48]
    talk.play("""
        >> 0400 3=946500 2={card} 39=98 stan={stan}
        .. reversal APPROVED
        << 0410 39=00 15=0302 37=* 38=* 54=* 64=*
        >> 0200 3=946500 2={card} 48=14:L1
        .. draw APPROVED
        << 0210 39=00 15=0302 37=* 38=* 48=* 54=* 64=*
        """)
    assert talk.reply.fields[48] == told
    assert dict(parse_tlv(told))["39"] in {b"CUP", b"P50"}
    talk.play("""
        >> 0200 3=946500 2={card} 48=14:L2
        .. draw LOTTERY_UNKNOWN
        << 0210 39=12 44=* 64=*
        >> 0200 3=946500 2={other} 48=14:L1
        .. draw NOT_ENOUGH
        << 0210 39=51 44=* 64=*
        >> 0200 3=946500 2={card}
        << 0210 39=30 44=* 64=*
        """)

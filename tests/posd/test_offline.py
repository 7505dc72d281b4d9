"""Sales made offline, told afterwards."""

import pytest

from tests.posd.conversation import FEEDINGS, Conversation

SALE = "3=220065 2={card} 4=000000012345 49=156"


@pytest.fixture(params=FEEDINGS)
def talk(request):
    one = Conversation(request.param)
    one.sign_on()
    return one


def test_an_offline_sale_is_told_afterwards(talk):
    talk.play(f"""
        >> 0220 {SALE} 48=1G:20260301221500,17:R77 stan=50
        .. offline accrual APPROVED
        << 0230 39=00 4=* 15=0302 37=* 38=* 48=30:+123 49=156 54=* 64=*
        >> 0221 {SALE} 48=1G:20260301221500,17:R77 stan=50
        << 0230 39=00 4=* 15=0302 37=* 38=* 48=30:+123 49=156 54=* 64=*
        >> 0221 {SALE} 48=1G:20260301221501,17:R77 stan=50
        << 0230 39=94 44=* 64=*
        >> 0400 {SALE} stan=50 39=98
        .. reversal NOT_UNDOABLE
        << 0410 39=12 44=* 64=*
        >> 0100 3=380000
        << 0110 39=00 48=50:P01000000000000000000000001000000000123 64=*
        """)


def test_an_offline_sale_without_a_time_or_of_a_wrong_one(talk):
    talk.play(f"""
        >> 0220 {SALE}
        << 0230 39=30 44=* 64=*
        >> 0220 {SALE} 48=1G:2026030122150
        << 0230 39=30 44=* 64=*
        >> 0220 {SALE} 48=1G:20260230221500
        << 0230 39=30 44=* 64=*
        >> 0220 {SALE} 48=1G:20260301246000
        << 0230 39=30 44=* 64=*
        >> 0220 3=220065 2={{card}} 4=000000012345 49=P01 48=1G:20260301221500
        << 0230 39=30 44=* 64=*
        >> 0220 {SALE} 48=1G:20260220221500
        .. offline accrual SALE_TOO_OLD
        << 0230 39=68 44=* 64=*
        >> 0220 {SALE} 48=1G:20260303221500
        .. offline accrual SALE_IN_FUTURE
        << 0230 39=12 44=* 64=*
        """)

"""Conversations about holds, transfers and exchange: each message with all that its reply says."""

import pytest

from engine.rules import reference
from engine.rules.exchange import PutRate
from tests.posd.conversation import Conversation

DONE = "39=00 4=* 15=* 37=* 38=* 49=* 64=*"
BARE = "39=00 15=* 37=* 38=* 64=*"


def points(available, ledger, unit="P01"):
    return f"6502{unit}C{available:012d}6501{unit}C{ledger:012d}"


def value(available, ledger):
    return f"6002156C{available:012d}6001156C{ledger:012d}"


@pytest.fixture
def talk(stranger):
    return furnished(stranger)


@pytest.fixture
def desk():
    return furnished(Conversation())


def furnished(talk):
    talk.administer(reference.OpeningBalance("M1", "156", 10000, 20271231))
    talk.administer(
        reference.PutProgram("P02", "里程", 300, "none", True, "expire", 0, "negative", False)
    )
    talk.administer(PutRate("P01", "P02", 20260101, (1, 3), ""))
    talk.sign_on()
    return talk


def test_points_are_held_captured_in_part_and_the_capture_refunded(talk):
    talk.play(f"""
        >> 0100 3=036500 2={{card}} 4=000000001000 49=P01 stan=10
        .. hold APPROVED
        << 0110 {DONE} 54={points(4000, 5000)}
        """)
    talk.words["held"] = talk.words["rrn"]
    talk.play(f"""
        >> 0101 3=036500 35={{card}}D2912 4=000000001000 49=P01 stan=10
        << 0110 {DONE} 54={points(4000, 5000)}
        >> 0100 3=310065 2={{card}}
        << 0110 39=00 48=32:00000000400020271231 54={points(4000, 5000)} 64=*
        >> 0200 3=006500 2={{card}} 4=000000004001 49=P01
        .. redemption NOT_ENOUGH
        << 0210 39=51 44=* 64=*
        >> 0220 3=006500 4=000000000600 49=P01 37={{held}} stan=20
        .. capture APPROVED
        << 0230 {DONE} 48=30:-600 54={points(4400, 4400)}
        """)
    talk.words["captured"] = talk.words["rrn"]
    talk.play(f"""
        >> 0221 3=006500 4=000000000600 49=P01 37={{held}} stan=20
        << 0230 {DONE} 48=30:-600 54={points(4400, 4400)}
        >> 0220 3=006500 4=000000000001 49=P01 37={{held}}
        .. capture HOLD_ENDED
        << 0230 39=12 44=* 64=*
        >> 0220 3=200000 4=000000000100 49=P01 37={{captured}}
        .. refund APPROVED
        << 0230 {DONE} 48=30:+100 54={points(4500, 4500)}
        """)


def test_a_hold_is_released_by_any_terminal_of_the_merchant(talk):
    talk.play(f"""
        >> 0100 3=036500 2={{card}} 4=000000000100 49=156
        .. hold APPROVED
        << 0110 {DONE} 54={points(4900, 5000)}
        """)
    talk.words["held"] = talk.words["rrn"]
    talk.till("00000008")
    talk.sign_on()
    talk.play("""
        >> 0100 3=200000 37={held}
        .. release ORIGINAL_UNKNOWN
        << 0110 39=25 44=* 64=*
        """)
    talk.till("00000002")
    talk.sign_on()
    talk.play(f"""
        >> 0100 3=200000 2={{other}} 37={{held}}
        .. release OTHER_MEMBER
        << 0110 39=14 44=* 64=*
        >> 0100 3=200000 2={{card}} 37={{held}} stan=30
        .. release APPROVED
        << 0110 {BARE} 54={points(5000, 5000)}
        >> 0101 3=200000 2={{card}} 37={{held}} stan=30
        << 0110 {BARE} 54={points(5000, 5000)}
        >> 0400 3=200000 2={{card}} stan=30
        .. reversal NOT_UNDOABLE
        << 0410 39=12 44=* 64=*
        """)


def test_a_hold_times_out_and_an_inquiry_says_so_at_once(desk):
    desk.play(f"""
        >> 0100 3=036500 2={{card}} 4=000000001000 49=P01
        .. hold APPROVED
        << 0110 {DONE} 54={points(4000, 5000)}
        @ 1799
        >> 0100 3=310065 2={{card}}
        << 0110 39=00 48=* 54={points(4000, 5000)} 64=*
        @ 1
        >> 0100 3=310065 2={{card}}
        << 0110 39=00 48=* 54={points(5000, 5000)} 64=*
        """)
    desk.play(f"""
        >> 0220 3=006500 4=000000001000 49=P01 37={{rrn}}
        .. hold time-out APPROVED
        .. capture HOLD_TIMED_OUT
        << 0230 39=54 44=* 64=*
        >> 0200 3=006500 2={{card}} 4=000000005000 49=P01
        .. redemption APPROVED
        << 0210 {DONE} 48=30:-5000 54={points(0, 0)}
        """)


def test_a_hold_that_had_no_answer_is_reversed(desk):
    desk.play(f"""
        >> 0100 3=036500 2={{card}} 4=000000001000 49=P01 stan=40
        .. hold APPROVED
        << 0110 {DONE} 54={points(4000, 5000)}
        >> 0400 3=036500 2={{card}} 4=000000001000 49=P01 39=98 stan=40
        .. reversal APPROVED
        << 0410 {DONE} 54={points(5000, 5000)}
        """)


def test_stored_value_is_held_and_captured(talk):
    talk.play(f"""
        >> 0100 3=036000 2={{card}} 4=000000008000 49=156
        .. value hold APPROVED
        << 0110 {DONE} 54={value(2000, 10000)}
        >> 0100 3=036000 2={{card}} 4=000000008000 49=P01
        << 0110 39=30 44=* 64=*
        >> 0220 3=006000 4=000000005000 49=156 37={{rrn}}
        .. value capture APPROVED
        << 0230 {DONE} 54={value(5000, 5000)}
        """)


def test_points_go_to_another_member_and_come_back(talk):
    talk.play(f"""
        >> 0200 3=406565 2={{card}} 4=000000000100 49=P01 48=11:C{{other}} stan=50
        .. transfer APPROVED
        .. transfer in APPROVED
        << 0210 {DONE} 48=30:-100 54={points(4900, 4900)}
        >> 0201 3=406565 2={{card}} 4=000000000100 49=P01 48=11:C{{other}} stan=50
        << 0210 {DONE} 48=30:-100 54={points(4900, 4900)}
        >> 0201 3=406565 2={{card}} 4=000000000100 49=P01 48=11:C{{card}} stan=50
        << 0210 39=94 44=* 64=*
        >> 0100 3=310065 2={{other}}
        << 0110 39=00 48=* 54={points(100, 100)} 64=*
        >> 0400 3=406565 2={{card}} 4=000000000100 49=P01 48=11:C{{other}} 39=98 stan=50
        .. reversal APPROVED
        .. transfer back APPROVED
        << 0410 {DONE} 54={points(5000, 5000)}
        >> 0200 3=406565 2={{card}} 4=000000000100 49=P01 48=11:P{{phone}}
        .. transfer TO_ONESELF
        << 0210 39=12 44=* 64=*
        >> 0200 3=406565 2={{card}} 4=000000000100 49=P01 48=11:C1234567890
        .. transfer MEMBER_UNKNOWN
        << 0210 39=14 44=* 64=*
        >> 0200 3=406565 2={{card}} 4=000000000100 49=P01 48=11:C{{other}},49:P02
        << 0210 39=12 44=* 64=*
        """)


def test_points_are_exchanged_at_the_rate_that_an_inquiry_tells(talk):
    talk.play(f"""
        >> 0100 3=320000 49=P01 48=49:P02
        << 0110 39=00 48=40:1/3 64=*
        >> 0100 3=320000 49=P02 48=49:P01
        << 0110 39=57 44=* 64=*
        >> 0200 3=406565 2={{card}} 4=000000000100 49=P01 48=49:P02 stan=60
        .. exchange APPROVED
        << 0210 {DONE} 48=30:-100,30:+33P02 54={points(4900, 4900)}{points(33, 33, "P02")}
        >> 0400 3=406565 2={{card}} 4=000000000100 49=P01 48=49:P02 39=98 stan=60
        .. reversal APPROVED
        << 0410 {DONE} 54={points(0, 0, "P02")}{points(5000, 5000)}
        """)

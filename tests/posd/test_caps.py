"""What a till is told of limits."""

from engine.records import NEVER
from engine.rules.limits import PutLimit
from engine.rules.rewards import PutReason


def limit(talk, name, scope, what, **said):
    row = {"per": "day", "amount_min": 0, "amount_max": 0, "count_max": 0, "hard": True} | said
    talk.administer(PutLimit(name, scope, "", what, "P01", **row, since=0, until=NEVER))


def test_limits_decline_with_61_65_and_80(talk):
    limit(talk, "A", "member", "redemption", per="transaction", amount_min=10, amount_max=500)
    limit(talk, "B", "terminal", "redemption", count_max=3)
    limit(talk, "C", "program", "redemption", amount_max=700)
    talk.play("""
        >> 0200 3=006500 2={card} 4=000000000009 49=P01
        .. redemption LIMIT_BELOW
        << 0210 39=61 44=* 64=*
        >> 0200 3=006500 2={card} 4=000000000501 49=P01
        .. redemption LIMIT_AMOUNT
        << 0210 39=61 44=* 64=*
        >> 0200 3=006500 2={card} 4=000000000500 49=P01
        .. redemption APPROVED
        << 0210 39=00 4=* 15=* 37=* 38=* 48=30:-500 49=P01 54=* 64=*
        >> 0200 3=006500 2={card} 4=000000000201 49=P01
        .. redemption POOL_EXHAUSTED
        << 0210 39=80 44=* 64=*
        >> 0200 3=006500 2={card} 4=000000000100 49=P01
        .. redemption APPROVED
        << 0210 39=00 4=* 15=* 37=* 38=* 48=30:-100 49=P01 54=* 64=*
        >> 0200 3=006500 2={card} 4=000000000100 49=P01
        .. redemption APPROVED
        << 0210 39=00 4=* 15=* 37=* 38=* 48=30:-100 49=P01 54=* 64=*
        >> 0200 3=006500 2={card} 4=000000000010 49=P01
        .. redemption LIMIT_COUNT
        << 0210 39=65 44=* 64=*
        """)


def test_a_soft_limit_is_an_event_for_operations_told_once(talk):
    limit(talk, "WATCH", "member", "accrual", amount_max=100, hard=False)
    talk.play("""
        >> 0200 3=220065 2={card} 4=000000010100 49=156
        .. accrual APPROVED
        << 0210 39=00 4=* 15=* 37=* 38=* 48=30:+101 49=156 54=* 64=*
        >> 0201 3=220065 2={card} 4=000000010100 49=156 stan={stan}
        << 0210 39=00 4=* 15=* 37=* 38=* 48=30:+101 49=156 54=* 64=*
        """)
    assert talk.events["soft_limit"] == 1


def test_an_accrual_with_a_reason_needs_no_sale(talk):
    talk.administer(PutReason("P01", "SIGNIN", 10, (0, 1), 1, "", 0, NEVER, 0))
    talk.play("""
        >> 0200 3=220065 2={card} 4=000000000000 49=156 48=1E:SIGNIN
        .. reward APPROVED
        << 0210 39=00 4=* 15=* 37=* 38=* 48=30:+10 49=156 54=* 64=*
        >> 0400 3=220065 2={card} 4=000000000000 49=156 48=1E:SIGNIN stan={stan} 39=98
        .. reversal APPROVED
        << 0410 39=00 4=* 15=* 37=* 38=* 49=156 54=* 64=*
        >> 0200 3=220065 2={card} 4=000000000000 49=156 48=1E:SIGNIN
        .. reward APPROVED
        << 0210 39=00 4=* 15=* 37=* 38=* 48=30:+10 49=156 54=* 64=*
        >> 0200 3=220065 2={card} 4=000000000000 49=156 48=1E:SIGNIN
        .. reward LIMIT_COUNT
        << 0210 39=65 44=* 64=*
        >> 0200 3=220065 2={card} 4=000000000000 49=156 48=1E:NEWS
        .. reward REWARD_UNKNOWN
        << 0210 39=12 44=* 64=*
        >> 0200 3=220065 2={card} 4=000000000000 49=156 48=1E:a/b
        << 0210 39=30 44=* 64=*
        """)

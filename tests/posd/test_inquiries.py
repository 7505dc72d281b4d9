"""Inquiries and what their replies tell beside balances."""

import pytest


@pytest.fixture
def talk(desk):
    return desk


def test_a_mini_statement_tells_the_last_five_movements(talk):
    moved = ("REFD+501", "RDMP-1001", "VOID+1000", "RDMP-1000", "ACCR+123")
    talk.words["lines"] = ",".join(f"63:0302{one}" for one in moved)
    talk.play("""
        >> 0100 3=310000 2={card} 60=03000001000
        << 0110 39=00 48=32:00000000500020271231,63:0302OPEN+5000 54=* 64=*
        >> 0200 3=220065 2={card} 4=000000012345 49=156
        .. accrual APPROVED
        << 0210 39=00 4=* 15=0302 37=* 38=* 48=30:+123 49=156 54=* 64=*
        >> 0200 3=006500 2={card} 4=000000001000 49=P01
        .. redemption APPROVED
        << 0210 39=00 4=* 15=* 37=* 38=* 48=30:-1000 49=P01 54=* 64=*
        >> 0200 3=200000 2={card} 4=000000001000 49=P01 37={rrn}
        .. void APPROVED
        << 0210 39=00 4=* 15=* 37=* 38=* 49=P01 54=* 64=*
        >> 0200 3=006500 2={card} 4=000000001001 49=156
        .. redemption APPROVED
        << 0210 39=00 4=* 15=* 37=* 38=* 48=30:-1001 49=156 54=* 64=*
        >> 0220 3=200000 4=000000000501 49=156 37={rrn}
        .. refund APPROVED
        << 0230 39=00 4=* 15=* 37=* 38=* 48=30:+501 49=156 54=* 64=*
        >> 0100 3=310000 2={card} 60=03000001000
        << 0110 39=00 48=32:00000000450020271231,{lines} 54=* 64=*
        >> 0100 3=310065 2={card} 60=03000001000
        << 0110 39=00 48=32:00000000450020271231 54=* 64=*
        """)


SALE = "3=220065 2={card} 4=000000010000 49=156"
SOLD = "<< 0210 39=00 4=* 15=* 37=* 38=* 48=30:+100 49=156 54=* 64=*"


def test_day_totals_of_a_terminal_and_of_its_merchant(talk):
    """They go over all batches of the open business date, settled ones too, and nothing else."""
    talk.play(f"""
        >> 0100 3=380000
        << 0110 39=00 64=*
        >> 0200 {SALE} stan=9
        .. accrual APPROVED
        {SOLD}
        >> 0500 code=201 48=50:P01000000000000000000000001000000000100
        .. settlement APPROVED
        << 0510 39=00 60=00000002201 64=*
        >> 0200 3=006500 2={{card}} 4=000000001000 49=P01 stan=11
        .. redemption APPROVED
        << 0210 39=00 4=* 15=* 37=* 38=* 48=30:-1000 49=P01 54=* 64=*
        >> 0100 3=380000
        << 0110 39=00 48=50:P01000001000000001000000001000000000100 64=*
        >> 0100 3=380002
        << 0110 39=12 44=* 64=*
        till 00000004
        """)
    talk.sign_on()
    talk.play("""
        >> 0100 3=380001
        << 0110 39=00 48=50:P01000001000000001000000001000000000100 64=*
        till 00000008
        """)
    talk.sign_on()
    talk.play("""
        >> 0100 3=380001
        << 0110 39=00 64=*
        till 00000001
        """)
    talk.pass_time(86_400)
    talk.play("""
        >> 0400 3=006500 2={card} 4=000000001000 49=P01 stan=11 39=98
        .. cut-off APPROVED
        .. reversal APPROVED
        << 0410 39=00 4=* 15=0303 37=* 38=* 49=P01 54=* 64=*
        >> 0100 3=380000
        << 0110 39=00 48=50:P01000000000000000000000001000000001000 64=*
        >> 0500 code=201
        .. settlement APPROVED
        << 0510 39=00 60=00000003201 64=*
        """)


def test_what_twelve_digits_cannot_tell_is_told_as_twelve_nines(talk):
    """An undo succeeds whatever the balance becomes, so its reply has to be told too."""
    talk.words["most"] = "9" * 12
    talk.words["expiry"] = "32:" + "9" * 12 + "99991231"
    talk.words["balance"] = f"6502P01C{'9' * 12}6501P01C{'9' * 12}"
    talk.play("""
        >> 0200 3=006500 2={card} 4=000000005000 49=P01
        .. redemption APPROVED
        << 0210 39=00 4=* 15=* 37=* 38=* 48=30:-5000 49=P01 54=* 64=*
        >> 0200 3=210065 2={card} 4={most} 49=P01
        .. top-up APPROVED
        << 0210 39=00 4=* 15=* 37=* 38=* 48=30:+{most} 49=P01 54={balance} 64=*
        >> 0200 3=006500 2={card} 4={most} 49=P01 stan=71
        .. redemption APPROVED
        << 0210 39=00 4=* 15=* 37=* 38=* 48=30:-{most} 49=P01 54=* 64=*
        >> 0200 3=210065 2={card} 4={most} 49=P01
        .. top-up APPROVED
        << 0210 39=00 4=* 15=* 37=* 38=* 48=30:+{most} 49=P01 54={balance} 64=*
        >> 0400 3=006500 2={card} 4={most} 49=P01 stan=71 39=98
        .. reversal APPROVED
        << 0410 39=00 4=* 15=* 37=* 38=* 49=P01 54={balance} 64=*
        >> 0100 3=310000 2={card}
        << 0110 39=00 48={expiry} 54={balance} 64=*
        >> 0100 3=380000
        << 0110 39=00 48=50:P01000001000000005000000002{most} 64=*
        """)

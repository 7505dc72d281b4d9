"""THE table from the engine's reasons to the wire: response code (field 39) and text (field 44).

Every reason has a row; a missing one fails at import. Texts are short, for a till's display, and
never hold data of a card. Faults that the engine never sees (a bad MAC, an unknown terminal) are
rows of `FAULTS`.
"""

from __future__ import annotations

from engine.reasons import Reason

APPROVED = "00"

RESPONSES: dict[Reason, tuple[str, str]] = {
    Reason.APPROVED: (APPROVED, ""),
    Reason.UNCHANGED: (APPROVED, ""),
    Reason.FORM: ("30", "FORMAT ERROR"),
    Reason.FUNCTION_UNKNOWN: ("12", "INVALID TRANSACTION"),
    Reason.FUNCTION_OFF: ("40", "NOT SWITCHED ON"),
    Reason.OTHER_CONTENT: ("94", "DUPLICATE TRACE NUMBER"),
    Reason.REVERSED_BEFORE_ARRIVAL: ("22", "REVERSED BEFORE ARRIVAL"),
    Reason.BATCH_NOT_IN_FORCE: ("77", "BATCH NOT OPEN, SIGN ON"),
    Reason.STAN_EXHAUSTED: ("94", "SETTLE THE BATCH FIRST"),
    Reason.ORIGINAL_UNKNOWN: ("25", "ORIGINAL NOT FOUND"),
    Reason.ORIGINALS_DISAGREE: ("25", "ORIGINALS DISAGREE"),
    Reason.BATCH_SETTLED: ("25", "BATCH IS SETTLED"),
    Reason.MEMBER_MISSING: ("30", "MEMBER MISSING"),
    Reason.MEMBER_UNKNOWN: ("14", "NO SUCH CARD OR MEMBER"),
    Reason.MEMBERS_DIFFER: ("14", "MEMBERS DIFFER"),
    Reason.OTHER_MEMBER: ("14", "NOT THE ORIGINAL MEMBER"),
    Reason.MEMBER_KNOWN: ("12", "ALREADY ENROLLED"),
    Reason.CARD_LOST: ("41", "CARD REPORTED LOST"),
    Reason.CARD_BLOCKED: ("62", "CARD BLOCKED"),
    Reason.MEMBER_CLOSED: ("62", "ACCOUNT CLOSED"),
    Reason.CARD_NUMBER_BAD: ("14", "CARD NUMBER WRONG"),
    Reason.NO_TERMS: ("57", "NO TERMS IN FORCE"),
    Reason.PROGRAM_NOT_HERE: ("57", "PROGRAM NOT ACCEPTED"),
    Reason.UNIT_NOT_HERE: ("57", "UNIT NOT ACCEPTED"),
    Reason.AMOUNT_ZERO: ("13", "AMOUNT IS ZERO"),
    Reason.AMOUNT_DIFFERS: ("64", "AMOUNT DIFFERS"),
    Reason.UNIT_DIFFERS: ("64", "UNIT DIFFERS"),
    Reason.REFUND_EXCEEDS: ("64", "MORE THAN IS LEFT"),
    Reason.ALREADY_UNDONE: ("12", "ALREADY UNDONE"),
    Reason.NOT_UNDOABLE: ("12", "CANNOT BE UNDONE"),
    Reason.TOO_LATE: ("68", "TOO LATE"),
    Reason.AMOUNT_TOO_LARGE: ("61", "AMOUNT TOO LARGE"),
    Reason.PIN_BLOCK_BAD: ("99", "PIN BLOCK BAD"),
    Reason.PIN_MISSING: ("55", "PIN REQUIRED"),
    Reason.PIN_WRONG: ("55", "WRONG PIN"),
    Reason.PIN_LOCKED: ("75", "PIN LOCKED"),
    Reason.NOT_ENOUGH: ("51", "NOT ENOUGH"),
    Reason.CARD_NOT_ACTIVE: ("62", "CARD NOT ACTIVE"),
    Reason.CARD_EXPIRED: ("54", "CARD EXPIRED"),
    Reason.NOT_RELOADABLE: ("57", "CARD CANNOT BE RELOADED"),
    Reason.CARD_NOT_IN_STOCK: ("14", "CARD NOT IN STOCK"),
    Reason.OVER_FACE_VALUE: ("61", "MORE THAN CARD MAY HOLD"),
    Reason.CONVERTS_TO_NOTHING: ("61", "WORTH LESS THAN ONE FEN"),
    Reason.LOSS_NOT_REPORTABLE: ("57", "LOSS CANNOT BE REPORTED"),
    Reason.PROGRAM_NOT_SETTLED: ("57", "POINTS NOT CONVERTIBLE"),
    Reason.TOTALS_DIFFER: ("95", "TOTALS DIFFER"),
    Reason.TOO_MANY_TERMINALS: ("40", "TOO MANY TERMINALS"),
    Reason.SALE_TOO_OLD: ("68", "OFFLINE SALE TOO OLD"),
    Reason.SALE_IN_FUTURE: ("12", "OFFLINE SALE IN FUTURE"),
    Reason.TOO_MANY_ADVICES: ("65", "TOO MANY OFFLINE SALES"),
    Reason.OPERATOR_MISSING: ("58", "OPERATOR REQUIRED"),
    Reason.OPERATOR_NOT_ALLOWED: ("58", "SUPERVISOR REQUIRED"),
    Reason.OPERATOR_PIN_MISSING: ("55", "OPERATOR PIN REQUIRED"),
    Reason.OPERATOR_PIN_WRONG: ("55", "WRONG OPERATOR PIN"),
    Reason.OPERATOR_LOCKED: ("75", "OPERATOR LOCKED"),
    Reason.REFUSED: ("96", "REFUSED"),
    Reason.HOLD_ENDED: ("12", "HOLD IS ENDED"),
    Reason.HOLD_TIMED_OUT: ("54", "HOLD TIMED OUT"),
    Reason.HOLD_EXCEEDED: ("64", "MORE THAN IS HELD"),
    Reason.HOLDS_FULL: ("65", "TOO MANY HOLDS"),
    Reason.TO_ONESELF: ("12", "TRANSFER TO ONESELF"),
    Reason.NO_RATE: ("57", "NO RATE IN FORCE"),
    Reason.EXCHANGE_TOO_SMALL: ("61", "TOO FEW TO EXCHANGE"),
    Reason.NO_CARD: ("14", "MEMBER HAS NO SUCH CARD"),
    Reason.CARD_TAKEN: ("12", "CARD NUMBER IS TAKEN"),
    Reason.CARD_UNCLEAR: ("12", "NAME THE OLD CARD"),
    Reason.CARDS_TOO_MANY: ("65", "TOO MANY CARDS"),
    Reason.LIMIT_BELOW: ("61", "UNDER THE MINIMUM"),
    Reason.LIMIT_AMOUNT: ("61", "OVER THE LIMIT"),
    Reason.LIMIT_COUNT: ("65", "TOO OFTEN"),
    Reason.POOL_EXHAUSTED: ("80", "PROGRAM CAP USED UP"),
    Reason.REWARD_UNKNOWN: ("12", "REASON CODE UNKNOWN"),
    Reason.CREDIT_EXCEEDED: ("61", "MERCHANT CREDIT USED UP"),
    Reason.GIFT_UNKNOWN: ("12", "NO SUCH GIFT"),
    Reason.GIFT_NOT_OFFERED: ("57", "GIFT NOT OFFERED"),
    Reason.GIFT_SOLD_OUT: ("80", "GIFT OUT OF STOCK"),
    Reason.GIFTS_ENOUGH: ("65", "GIFT LIMIT REACHED"),
    Reason.GIFT_HANDED_OVER: ("12", "GIFT IS HANDED OVER"),
    Reason.QUANTITY_ZERO: ("13", "QUANTITY IS ZERO"),
}

_missing = set(Reason) - set(RESPONSES)
if _missing:
    raise ImportError(f"reasons without a response: {sorted(reason.name for reason in _missing)}")

BY_NUMBER: dict[int, tuple[str, str]] = {int(reason): row for reason, row in RESPONSES.items()}

TERMINAL_UNKNOWN = ("97", "TERMINAL UNKNOWN")
TERMINAL_DISABLED = ("58", "TERMINAL DISABLED")
TERMINAL_LOCKED = ("58", "TERMINAL LOCKED")
OPERATOR_UNKNOWN = ("58", "OPERATOR UNKNOWN")
TERMINAL_NETWORK = ("58", "NETWORK NOT ALLOWED")
TERMINAL_ROLE = ("58", "INQUIRIES ONLY")
TERMINAL_DEVICE = ("58", "DEVICE NOT REGISTERED")
MERCHANT_UNKNOWN = ("03", "MERCHANT UNKNOWN")
SIGN_ON_FIRST = ("77", "SIGN ON FIRST")
MAC_WRONG = ("A0", "MAC WRONG")
GUESSING = ("34", "TOO MANY UNKNOWN CARDS")
BUSY = ("91", "HOST BUSY, TRY LATER")
FAULT = ("96", "HOST FAULT, NOT POSTED")

FAULTS = (
    TERMINAL_UNKNOWN,
    TERMINAL_DISABLED,
    TERMINAL_LOCKED,
    OPERATOR_UNKNOWN,
    TERMINAL_NETWORK,
    TERMINAL_ROLE,
    TERMINAL_DEVICE,
    MERCHANT_UNKNOWN,
    SIGN_ON_FIRST,
    MAC_WRONG,
    GUESSING,
    BUSY,
    FAULT,
)

TEXT_MAX = 25
if any(len(text) > TEXT_MAX for _, text in (*RESPONSES.values(), *FAULTS)):
    raise ImportError("a response text is longer than field 44 can hold")

"""A party's statement: one page of PDF with its totals, in Chinese and English.

Lines are in the party's CSV; the page is for the desk of whoever gets the money. It is drawn on
reportlab's canvas directly, without its layout engine: there are thousands of these pages a night
and all look alike. Chinese text is in STSong-Light, a font that PDF readers bring along for
Chinese, so that no font file is needed; its encoding is UCS-2, so characters beyond it are shown
as ``〓``. The canvas is made invariant: no time of creation, no random identity.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby
from typing import BinaryIO

from reportlab import rl_config
from reportlab.lib.colors import Color, HexColor
from reportlab.lib.pagesizes import A4
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.cidfonts import UnicodeCIDFont
from reportlab.pdfgen.canvas import Canvas

from clearing.files.figures import grouped_yuan, iso_date, iso_time, printable
from clearing.files.lists import payer_known
from clearing.model import FEE_KINDS, HEADING, Day, PartyDay

CHINESE = "STSong-Light"
LATIN = "Helvetica"
BOLD = "Helvetica-Bold"
pdfmetrics.registerFont(UnicodeCIDFont(CHINESE))
rl_config.useA85 = 0  # streams as bytes: no reader needs them as text, and they are a fifth shorter

_WIDTH: float = A4[0]
_HEIGHT: float = A4[1]
_LEFT, _RIGHT = 48.0, _WIDTH - 48.0
_INK = HexColor(0x1B2430)
_GREY = HexColor(0x6B7686)
_RULE = HexColor(0xD5DBE3)
_PALE = HexColor(0xF2F5F9)
_BLUE = HexColor(0x1F5FA8)
_GREEN = HexColor(0x2E8B62)
_RED = HexColor(0xC2483F)

_FACT_ROOM = 190.0
"""Points of width for who it is for, between the labels of the left and of the right."""

_ROWS_MAX = 5
"""Programs and kinds of fee on the page; the rest is counted in a line below."""

_STORES_END = 64.0
"""How far down the page stores may be listed."""

_KINDS = {
    "merchant": "商户 Merchant",
    "institution": "机构 Institution",
    "sponsor": "出资方 Sponsor",
    "channel": "渠道 Channel",
}


@dataclass(slots=True)
class _Code:
    """What draws a text, as a canvas asks for it."""

    code: str

    def getCode(self) -> str:  # noqa: N802 - reportlab's name
        """The operators of PDF."""
        return self.code


class _Page:
    """The canvas with text in two fonts: ASCII in Helvetica, everything else in Chinese.

    Most of a page is the same on all pages, and so are the operators that draw it. They are kept.
    They call fonts by the order in which a document met them, so each meets them in one order.
    """

    def __init__(self, target: BinaryIO) -> None:
        self.canvas = Canvas(target, pagesize=A4, invariant=1, pageCompression=1)
        for font in (LATIN, BOLD, CHINESE):
            self.canvas.setFont(font, 9)
        self._color: Color | None = None

    def _ink(self, color: Color) -> None:
        """Change the colour of what follows, where it changes."""
        if color is not self._color:
            self._color = color
            self.canvas.setFillColor(color)

    def text(
        self, x: float, y: float, text: str, size: float = 9, color: Color = _INK, font: str = LATIN
    ) -> float:
        """Draw from `x` to the right; returns where the text ends."""
        self._ink(color)
        place = (x, y, text, size, font)
        known = _drawn.get(place)
        if known is None:
            made = self.canvas.beginText(x, y)
            for used, run in _runs(text, font):
                made.setFont(used, size)
                made.textOut(run)
            if len(_drawn) >= _DRAWN_MAX:
                _drawn.clear()
            known = _drawn[place] = _Code(made.getCode()), x + _width(text, size, font)
        code, end = known
        self.canvas.drawText(code)
        return end

    def right(
        self, x: float, y: float, text: str, size: float = 9, color: Color = _INK, font: str = LATIN
    ) -> None:
        """Draw so that the text ends at `x`."""
        self.text(x - _width(text, size, font), y, text, size, color, font)

    def rule(self, y: float, color: Color = _RULE, width: float = 0.6) -> None:
        """Draw a line from margin to margin."""
        self.canvas.setStrokeColor(color)
        self.canvas.setLineWidth(width)
        self.canvas.line(_LEFT, y, _RIGHT, y)

    def box(self, x: float, y: float, width: float, height: float, color: Color) -> None:
        """Fill a rectangle."""
        self._ink(color)
        self.canvas.rect(x, y, width, height, stroke=0, fill=1)


_DRAWN_MAX = 4096
_drawn: dict[tuple[float, float, str, float, str], tuple[_Code, float]] = {}
"""Place, text, size and font to what draws it there, and where it ends."""


@lru_cache(maxsize=4096)
def _runs(text: str, font: str) -> tuple[tuple[str, str], ...]:
    """Divide a text into pieces of one font each; labels come back on every page."""
    if text.isascii():
        return ((font, text),)
    shown = "".join(mark if mark <= "\uffff" else "〓" for mark in printable(text))
    return tuple(
        (font if ascii_only else CHINESE, "".join(marks))
        for ascii_only, marks in groupby(shown, str.isascii)
    )


@lru_cache(maxsize=4096)
def _width(text: str, size: float, font: str = LATIN) -> float:
    return float(sum(pdfmetrics.stringWidth(run, used, size) for used, run in _runs(text, font)))


def _cut(text: str, size: float, room: float) -> str:
    """Shorten a text that is wider than `room` points."""
    if _width(text, size) <= room:
        return text
    while text and _width(text + "...", size) > room:
        text = text[:-1]
    return text + "..."


def _fitting(text: str, size: float, room: float, font: str = LATIN) -> float:
    """The size at which a text that must be whole fits into `room` points."""
    while _width(text, size, font) > room:
        size -= 0.5
    return size


def write(day: Day, party: PartyDay, target: BinaryIO) -> None:
    """Draw the statement of a party for the day."""
    page = _Page(target)
    page.canvas.setTitle(f"Settlement statement {party.id} {iso_date(day.date)}")
    page.canvas.setAuthor(printable(day.operator.name))
    y = _heading(page, day, party)
    y = _result(page, day, party, y)
    y = _amounts(page, party, y)
    y = _chart(page, party, y)
    y = _points_and_fees(page, party, y)
    _stores(page, party, y)
    _foot(page, day, party)
    page.canvas.save()


def _heading(page: _Page, day: Day, party: PartyDay) -> float:
    """Title, who it is for, and the dates."""
    page.box(0, _HEIGHT - 8, _WIDTH, 8, _BLUE)
    y = _HEIGHT - 50
    page.text(_LEFT, y, "结算单", 22, _BLUE)
    page.text(_LEFT + 74, y, "Settlement statement", 15, _INK, BOLD)
    page.right(_RIGHT, y, _cut(day.operator.name, 10, 190), 10, _GREY)
    page.rule(y - 14, _BLUE, 1.2)
    y -= 34
    page.text(_LEFT, y, _cut(party.name, 13, _RIGHT - _LEFT), 13)
    left = [
        (_KINDS[party.kind], party.id),
        ("机构 Institution", party.institution or "-"),
        ("账户 Account", _account(party)),
    ]
    right = [
        ("清算日期 Business date", iso_date(day.date)),
        (
            "批次 Run",
            f"{day.run}" + (f" (替代 replaces {day.supersedes})" if day.supersedes else ""),
        ),
        ("付款日期 Value date", iso_date(day.value_date)),
    ]
    for place, (label, value) in enumerate(left):
        page.text(_LEFT, y - 18 - 14 * place, label, 8.5, _GREY)
        page.text(_LEFT + 96, y - 18 - 14 * place, value, _fitting(value, 9, _FACT_ROOM))
    for place, (label, value) in enumerate(right):
        page.text(350, y - 18 - 14 * place, label, 8.5, _GREY)
        page.right(_RIGHT, y - 18 - 14 * place, value, 9)
    return y - 62


def _account(party: PartyDay) -> str:
    """Name the account without giving its number away: the last four digits."""
    if not party.account_number:
        return "未登记 not on record"
    digits = f"  ****{party.account_number[-4:]}"
    return _cut(party.account_name, 9, _FACT_ROOM - _width(digits, 9)) + digits


def _result(page: _Page, day: Day, party: PartyDay, y: float) -> float:
    """What the day comes to, in a bar: carried in + net = payable + carried forward - collect."""
    page.box(_LEFT, y - 50, _RIGHT - _LEFT, 54, _PALE)
    cells: list[tuple[str, str, int, Color]] = [
        ("上期结转", "Carried in", party.carried_in, _INK),
        ("当日净额", "Net of the day", party.net, _INK),
        ("应付金额", "Payable", party.payable, _GREEN),
        ("结转下期", "Carried forward", party.carried_forward, _INK),
    ]
    if party.collect:
        cells[2] = ("应收金额", "To be collected", party.collect, _RED)
    step = (_RIGHT - _LEFT) / len(cells)
    for place, (chinese, english, fen, color) in enumerate(cells):
        x = _LEFT + step * place + 12
        end = page.text(x, y - 12, chinese, 9, _GREY)
        page.text(end + 4, y - 12, english, 8, _GREY)
        amount = grouped_yuan(fen)
        page.text(x, y - 36, amount, _fitting(amount, 15.0, step - 18, BOLD), color, BOLD)
    note = "金额单位: 元 Amounts in yuan (CNY); + 应付贵方 owed to you, - 应收贵方 owed by you"
    page.text(_LEFT, y - 64, note, 7.5, _GREY)
    if party.payable and not (party.transferable and payer_known(day)):
        page.right(
            _RIGHT, y - 64, "账户信息缺失, 暂未付款 Not paid: an account is missing", 7.5, _RED
        )
    elif party.payable:
        page.right(_RIGHT, y - 64, f"付款日 To be paid on {iso_date(day.value_date)}", 7.5, _GREEN)
    return y - 82


_COUNT_AT, _DEBIT_AT, _CREDIT_AT = 287.0, 374.0, 460.0
_FIGURE_ROOM = 82.0


def _amounts(page: _Page, party: PartyDay, y: float) -> float:
    """The table of headings, with its sum."""
    page.text(_LEFT, y, "项目 Heading", 8.5, _GREY)
    page.right(_COUNT_AT, y, "笔数 Count", 8.5, _GREY)
    page.right(_DEBIT_AT, y, "借方 Debit", 8.5, _GREY)
    page.right(_CREDIT_AT, y, "贷方 Credit", 8.5, _GREY)
    page.right(_RIGHT, y, "净额 Net", 8.5, _GREY)
    page.rule(y - 5, _GREY)
    y -= 18
    if not party.amounts:
        page.text(_LEFT, y, "当日无交易 No transactions on this day", 9, _GREY)
        y -= 13.5
    for amount in party.amounts:
        heading = HEADING[amount.heading]
        page.text(_LEFT, y, heading.code, 8, _GREY)
        end = page.text(_LEFT + 18, y, heading.chinese, 9)
        page.text(end + 6, y, heading.english, 8, _GREY)
        _figures(page, y, (amount.count, amount.debit, amount.credit), LATIN)
        y -= 13.5
    page.rule(y + 9)
    page.text(_LEFT + 18, y - 3, "合计 Total", 9, _INK, BOLD)
    count = sum(amount.count for amount in party.amounts)
    _figures(page, y - 3, (count, party.debit, party.credit), BOLD)
    return y - 28


def _figures(page: _Page, y: float, figures: tuple[int, int, int], font: str) -> None:
    count, debit, credit = figures
    page.right(_COUNT_AT, y, f"{count:,}", 8.5, _INK, font)
    for x, text in (
        (_DEBIT_AT, grouped_yuan(-debit) if debit else "-"),
        (_CREDIT_AT, grouped_yuan(credit) if credit else "-"),
        (_RIGHT, grouped_yuan(credit - debit)),
    ):
        page.right(x, y, text, _fitting(text, 8.5, _FIGURE_ROOM, font), _INK, font)


def _chart(page: _Page, party: PartyDay, y: float) -> float:
    """How the net comes about: each heading's bar begins where the one before it ended."""
    steps: list[tuple[str, int]] = [
        (HEADING[amount.heading].chinese, amount.credit - amount.debit) for amount in party.amounts
    ]
    if not any(fen for _, fen in steps):
        return y
    page.text(_LEFT, y, "净额构成 How the net comes about", 9.5, _BLUE)
    for x, label, color in ((380.0, "贷方 Credit", _GREEN), (462.0, "借方 Debit", _RED)):
        page.box(x, y, 8, 7, color)
        page.text(x + 12, y, label, 8, _GREY)
    y -= 16
    level, low, high = 0, 0, 0
    for _, fen in steps:
        level += fen
        low, high = min(low, level), max(high, level)
    start, room = _LEFT + 96, _RIGHT - _LEFT - 96 - 76
    scale = room / (high - low)
    zero = start - low * scale
    rows = len(steps) + 1
    page.canvas.setStrokeColor(_RULE)
    page.canvas.setLineWidth(0.6)
    page.canvas.line(zero, y + 9, zero, y + 9 - 12 * rows)
    level = 0
    for label, fen in steps:
        page.text(_LEFT, y, label, 8, _GREY)
        left = zero + min(level, level + fen) * scale
        page.box(left, y - 1, max(abs(fen) * scale, 0.8), 8, _GREEN if fen > 0 else _RED)
        level += fen
        page.right(_RIGHT, y, grouped_yuan(fen), 8, _GREY)
        y -= 12
    page.text(_LEFT, y, "净额 Net", 8)
    page.box(zero + min(level, 0) * scale, y - 1, max(abs(level) * scale, 0.8), 8, _BLUE)
    page.right(_RIGHT, y, grouped_yuan(level), 8, _INK, BOLD)
    return y - 24


def _points_and_fees(page: _Page, party: PartyDay, y: float) -> float:
    """Two small tables beside each other: points by program, fees by kind."""
    middle = (_LEFT + _RIGHT) / 2 + 12
    if party.points:
        page.text(_LEFT, y, "积分 Points", 9.5, _BLUE)
        page.right(_LEFT + 150, y, "发放 Issued", 8, _GREY)
        page.right(middle - 24, y, "消费 Redeemed", 8, _GREY)
        for place, total in enumerate(party.points[:_ROWS_MAX], 1):
            page.text(_LEFT, y - 12 * place, total.program, 8.5)
            page.right(_LEFT + 150, y - 12 * place, f"{total.issued:,}", 8.5)
            page.right(middle - 24, y - 12 * place, f"{total.redeemed:,}", 8.5)
        _more(page, _LEFT, y, len(party.points))
    if party.fees:
        page.text(middle, y, "手续费 Fees", 9.5, _BLUE)
        for place, (kind, fen) in enumerate(party.fees[:_ROWS_MAX], 1):
            end = page.text(middle, y - 12 * place, FEE_KINDS.get(kind, ""), 8.5)
            page.text(end + 6 * (end > middle), y - 12 * place, _cut(kind, 8, 90), 8, _GREY)
            page.right(_RIGHT, y - 12 * place, grouped_yuan(fen), 8.5)
        _more(page, middle, y, len(party.fees))
    rows = max(len(party.points), len(party.fees))
    return y - (12 * min(rows, _ROWS_MAX + 1) + 24 if rows else 0)


def _stores(page: _Page, party: PartyDay, y: float) -> None:
    """What each store came to, as far as there is room."""
    rows = by_store(party)
    room = int((y - _STORES_END) // 12)
    if not rows or not room > 0:
        return
    page.text(_LEFT, y, "门店 Stores", 9.5, _BLUE)
    page.right(_COUNT_AT, y, "笔数 Lines", 8, _GREY)
    page.right(_CREDIT_AT, y, "消费额 Sales", 8, _GREY)
    page.right(_RIGHT, y, "净额 Net", 8, _GREY)
    shown = rows if len(rows) <= room else rows[: room - 1]
    for store, name, lines, sales, net in shown:
        y -= 12
        end = page.text(_LEFT, y, store, 8, _GREY)
        label = name if store else "不在门店 In no store"
        page.text(end + 6 * bool(store), y, _cut(label, 8.5, 150), 8.5)
        page.right(_COUNT_AT, y, f"{lines:,}", 8.5)
        page.right(_CREDIT_AT, y, grouped_yuan(sales), 8.5)
        page.right(_RIGHT, y, grouped_yuan(net), 8.5)
    left = len(rows) - len(shown)
    if left:
        more = f"其余 {left} 家见汇总表 {left} more in the summary"
        page.text(_LEFT, y - 12, more, 8, _GREY)


def by_store(party: PartyDay) -> list[tuple[str, str, int, int, int]]:
    """A merchant's stores: id, name, lines, sales and net in fen; what is in none comes last."""
    found: dict[tuple[str, str], list[int]] = {}
    for each in party.stores:
        row = found.setdefault((each.store, each.name), [0, 0, 0])
        row[0] += each.lines
        row[1] += each.sales
        row[2] += each.net
    rows = [
        (store, name, lines, sales, net) for (store, name), (lines, sales, net) in found.items()
    ]
    return sorted(rows, key=lambda row: (not row[0], row[0]))


def _more(page: _Page, x: float, y: float, count: int) -> None:
    """Say how many rows there was no room for."""
    if count > _ROWS_MAX:
        more = f"其余 {count - _ROWS_MAX} 项见汇总表 {count - _ROWS_MAX} more in the summary"
        page.text(x, y - 12 * (_ROWS_MAX + 1), more, 8, _GREY)


def _foot(page: _Page, day: Day, party: PartyDay) -> None:
    """What proves the page: the journal's entries, the time of the cut-off, where lines are."""
    page.rule(52)
    entries = f"流水号 Journal {day.first_sequence} - {day.last_sequence}"
    page.text(_LEFT, 40, f"{entries}   日终 Cut-off {iso_time(day.closed)}", 7.5, _GREY)
    lines = f"明细 {party.lines:,} 笔见 CSV 文件 {party.lines:,} lines in the CSV"
    page.right(_RIGHT, 40, lines, 7.5, _GREY)

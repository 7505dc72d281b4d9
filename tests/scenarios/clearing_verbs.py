"""What settlement staff and the nightly job do, as acts of a scenario.

::

    payee SHOP merchant 6222001 102100099996
    clearing starts DATE RUN [at entry N] [because TEXT]
    clearing reaches DATE RUN STATE [with FIGURE] [for N parties] [because TEXT]
    owes-on DATE RUN PARTY FEN since DATE
    post-back DATE RUN PARTY FEN [taking FEN of DATE-RUN]
    true-up DATE RUN PROGRAM FEN of at most N
    bank DATE RUN PARTY FEN confirmed|refused [on DATE] TEXT          (else the day after)
    discrepancy ID REASON TEXT
    resolve ID [PARTY FEN] because TEXT
"""

import re
from typing import Any

from engine.rules import clearing


def _day(text: str) -> int:
    return int(text.replace("-", ""))


def _read(pattern: str, words: Any) -> dict[str, str]:
    found = re.fullmatch(pattern, words.text)
    assert found, f"{words.text!r} does not read like {pattern!r}"
    return {name: value or "" for name, value in found.groupdict().items()}


_RUN = r"(?P<date>\S+) (?P<run>\d+)"


def payee(_stage: Any, words: Any) -> Any:
    said = _read(r"(?P<party>\S+) (?P<kind>\S+) (?P<number>\d+) (?P<bank>\d+)", words)
    party, kind = said["party"], said["kind"]
    return clearing.PutPayee(party, kind, "", party.title(), said["number"], said["bank"])


def starts(_stage: Any, words: Any) -> Any:
    said = _read(rf"starts {_RUN}(?: at entry (?P<at>\d+))?(?: because (?P<why>.+))?", words)
    date = _day(said["date"])
    return clearing.StartRun(
        date,
        int(said["run"]),
        said["why"],
        1,
        2,
        int(said["at"] or 9),
        "Asia/Shanghai",
        date + 1,
        "0.1.0",
        0,
        ("Alliance", "", "", ""),
        "2:00",
    )


def reaches(_stage: Any, words: Any) -> Any:
    said = _read(
        rf"reaches {_RUN} (?P<state>\w+)(?: with (?P<figure>\w+))?(?: for (?P<n>\d+) parties)?"
        r"(?: because (?P<why>.+))?",
        words,
    )
    figure, state = said["figure"], said["state"]
    return clearing.AdvanceRun(
        _day(said["date"]),
        int(said["run"]),
        state,
        said["why"],
        ((figure, 1),) if figure and state == "BALANCED" else (),
        figure.encode(),
        int(said["n"] or 0),
    )


def run_act(stage: Any, words: Any) -> Any:
    return (starts if words.text.startswith("starts ") else reaches)(stage, words)


def owes_on(_stage: Any, words: Any) -> Any:
    said = _read(rf"{_RUN} (?P<party>\w+) (?P<fen>-?\d+) since (?P<since>\S+)", words)
    date, since = _day(said["date"]), _day(said["since"])
    return clearing.CarryForward(date, int(said["run"]), said["party"], int(said["fen"]), since)


def post_back(_stage: Any, words: Any) -> Any:
    said = _read(
        rf"{_RUN} (?P<party>\w+) (?P<fen>-?\d+)(?: taking (?P<carried>-?\d+) of (?P<of>\S+))?",
        words,
    )
    return clearing.PostBack(
        _day(said["date"]),
        int(said["run"]),
        said["party"],
        int(said["fen"]),
        int(said["carried"] or 0),
        said["of"],
    )


def true_up(_stage: Any, words: Any) -> Any:
    said = _read(rf"{_RUN} (?P<program>\w+) (?P<fen>-?\d+) of at most (?P<n>\d+)", words)
    date, run = _day(said["date"]), int(said["run"])
    return clearing.TrueUp(date, run, said["program"], int(said["fen"]), int(said["n"]))


def bank(_stage: Any, words: Any) -> Any:
    said = _read(
        rf"{_RUN} (?P<party>\w+) (?P<fen>\d+) (?P<status>\w+)(?: on (?P<on>\S+))? (?P<text>.+)",
        words,
    )
    date, run = _day(said["date"]), int(said["run"])
    fen = int(said["fen"])
    booked = _day(said["on"]) if said["on"] else date + 1
    return clearing.Confirm(date, run, said["party"], fen, said["status"], booked, said["text"])


def discrepancy(_stage: Any, words: Any) -> Any:
    said = _read(r"(?P<id>\S+) (?P<reason>\S+) (?P<text>.+)", words)
    return clearing.NoteDiscrepancy(
        said["id"],
        said["reason"],
        20260301,
        "SHOP",
        "SHOP",
        "00000002",
        1,
        7,
        "",
        0,
        "156",
        0,
        500,
        said["text"],
    )


def resolve(_stage: Any, words: Any) -> Any:
    said = _read(r"(?P<id>\S+)(?: (?P<party>\w+) (?P<fen>-?\d+))? because (?P<text>.+)", words)
    return clearing.ResolveDiscrepancy(
        said["id"], said["party"], int(said["fen"] or 0), said["text"]
    )


ACTS = {
    "payee": payee,
    "clearing": run_act,
    "owes-on": owes_on,
    "post-back": post_back,
    "true-up": true_up,
    "bank": bank,
    "discrepancy": discrepancy,
    "resolve": resolve,
}

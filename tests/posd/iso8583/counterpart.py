"""The field table once more, for pyiso8583: an independent codec to hold ours against.

Written from the protocol page and not from `posd.iso8583.spec`, so that a slip in one shows. Text
in the terminal's character set is bytes to ours and therefore binary here; pyiso8583 gives and
takes binary as upper-case hex.
"""

import iso8583


def _row(encoding, length, prefix=0, count="bytes", **pad):
    return {
        "data_enc": encoding,
        "len_enc": "bcd",
        "len_type": prefix,
        "len_count": count,
        "max_len": length,
        **pad,
    }


def _digits(length, prefix=0, **pad):
    return _row("b", length, prefix, "nibbles", **(pad or {"right_pad": "0"}))


SPEC = {
    "h": _row("b", 0),
    "t": _row("b", 2),
    "p": _row("b", 8),
    "1": _row("b", 8),
    "2": _digits(19, 1),
    "3": _digits(6),
    "4": _digits(12),
    "7": _digits(10),
    "11": _digits(6),
    "12": _digits(6),
    "13": _digits(4),
    "14": _digits(4),
    "15": _digits(4),
    "22": _digits(3),
    "23": _digits(3, left_pad="0"),
    "25": _digits(2),
    "26": _digits(2),
    "32": _digits(11, 1),
    "35": _digits(37, 1, right_pad="F"),
    "36": _digits(104, 2, right_pad="F"),
    "37": _row("ascii", 12),
    "38": _row("ascii", 6),
    "39": _row("ascii", 2),
    "41": _row("ascii", 8),
    "42": _row("ascii", 15),
    "44": _row("b", 25, 1),
    "48": _row("b", 999, 2),
    "49": _row("ascii", 3),
    "52": _row("b", 8),
    "53": _digits(16),
    "54": _row("ascii", 120, 2),
    "55": _row("b", 255, 2),
    "59": _row("b", 600, 2),
    "60": _digits(17, 2),
    "61": _digits(16, 2),
    "62": _row("b", 999, 2),
    "63": _row("b", 163, 2),
    "64": _row("b", 8),
    "110": _row("b", 999, 2),
    "128": _row("b", 8),
}


def document(mti, fields):
    """Return our message type and fields in pyiso8583's form."""
    hexed = {n: v.hex().upper() if isinstance(v, bytes) else v for n, v in fields.items()}
    return {"t": mti, **{str(number): value for number, value in hexed.items()}}


def encode(mti, fields):
    """Encode our fields with pyiso8583."""
    return bytes(iso8583.encode(document(mti, fields), SPEC)[0])


def decode(data):
    """Decode with pyiso8583 to its form, without the bitmaps."""
    decoded = iso8583.decode(data, SPEC)[0]
    return {name: value for name, value in decoded.items() if name not in ("p", "1")}

"""Words of scenarios that several families read alike."""


def day(text: str) -> int:
    return int(text.replace("-", ""))


def ratio(text: str) -> tuple[int, int]:
    above, below = text.split("/")
    return int(above), int(below)


def options(words: list[str], *flags: str) -> dict[str, str]:
    """Words as a dict: flags stand alone, others are followed by a value."""
    said: dict[str, str] = {}
    rest = list(words)
    while rest:
        word = rest.pop(0)
        said[word] = "" if word in flags else rest.pop(0)
    return said

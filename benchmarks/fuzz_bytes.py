"""What hostile inputs are made of: numbers in all spellings, changed bytes, cuts."""

from random import Random
from typing import Final

EDGES: Final = (
    "0 -0 -0.0 0e5 1E5 1e-400 5e-324 2.4703282292062327208e-324 1.7976931348623157e308 1e999"
    " 1.7976931348623159e308 -1e999 9007199254740993 18446744073709551616 -1 255 256 63 64 01"
    " 4294967295 4294967296 999999999 1000000000 -999999999 nan NaN -NaN inf Infinity"
    " -Infinity 1. .5 -.5 . + +1 1_0 0x1 --1 1e 1e+ e5 1e5.0 1\0002 1,5 1e99999999999"
    f" {'9' * 30} {'9' * 309} {10**308}"
).split(" ")
SOUP: Final = b" |\n| \n|=|1|2|X|-|+|.|e|E|_|\r|\t|\0|\xb2|\xa0|\xff|{|}|[|]|:|,|nan".split(
    b"|"
)
COUNTS: Final = (0, 1, 1, 1, 2, 3)
"""Lines or replies of an input."""
_SPELLINGS: Final = ("{:.8f}", "{!r}", "{:.3e}", "{:.17E}", "{:.0f}")


def number_text(random: Random, sign: int = 1) -> str:
    """Return a number, spelled in one of many ways; now and then it is none."""
    if random.random() < 0.05:
        return random.choice(EDGES)
    if random.random() < 0.2:
        return (
            f"{random.randrange(10**18)}.{random.randrange(10**18)}e{random.randint(-340, 290)}"
        )
    value = random.uniform(min(0, -200 * sign), 200) * 10.0 ** random.choice(_POWERS)
    return random.choice(_SPELLINGS).format(value)


_POWERS: Final = (0, 0, 0, 0, -9, 15, -310, 300)


def changed(data: bytes, random: Random) -> bytes:
    """Change, take out, put in or repeat some bytes, one or more times."""
    made = bytearray(data)
    for _ in range(random.choice((1, 1, 1, 2, 8))):
        at, kind = random.randrange(len(made) + 1), random.randrange(5)
        if kind == 0:
            made[at : at + 1] = bytes([random.randrange(256)])
        elif kind == 1:
            del made[at : at + random.choice((1, 1, 20))]
        elif kind == 2:
            made[at:at] = random.choice(SOUP)
        elif kind == 3:
            made[at:at] = made[max(0, at - random.randrange(1, 40)) : at]
        elif at < len(made):
            made[at] ^= 1 << random.randrange(8)
    return bytes(made)


def sent(data: bytes, random: Random) -> tuple[bytes, list[int]]:
    """Return bytes, often damaged, and where they were cut when somebody looked."""
    kind = random.randrange(60)
    if kind < 20:
        data = changed(data, random)
    elif kind < 24:
        data = data[: random.randrange(len(data) + 1)]
    elif kind == 24:
        data = random.randbytes(random.randrange(40))
    elif kind == 25:
        data = b"".join(random.choices(SOUP, k=random.randrange(30)))
    return data, cuts(data, random, random.choice((0, 0, 1, 3)))


def cuts(data: bytes, random: Random, pieces: int) -> list[int]:
    """Return so many places in some bytes, in order."""
    return sorted(random.randrange(len(data) + 1) for _ in range(pieces))

"""
Order numbers, such as K7Q4-M2X0: the reference of an order for people. Seven random characters and a check character,
in the base 32 of Crockford (https://www.crockford.com/base32.html), which has no I, L, O and U.

32^7 are 34 thousand million. When a million orders have one, about one new number in 34,000 is taken already.
"""

from secrets import randbits

ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
VALUES = {character: value for value, character in enumerate(ALPHABET)}
READ_AS = str.maketrans({"O": "0", "I": "1", "L": "1", "-": None, " ": None})
RANDOM_CHARACTERS = 7
POLYNOMIAL = 0b100101
"""x^5 + x^2 + 1, which is primitive: the remainders modulo it are the field of 32 elements."""


class InvalidNumber(ValueError):
    """
    The text is not an order number.
    """


class MistypedNumber(InvalidNumber):
    """
    The text has the form of an order number, and the wrong check character.
    """


def new_number() -> str:
    """
    Return a random number. It is probably new: a unique constraint tells.
    """
    bits = randbits(5 * RANDOM_CHARACTERS)
    characters = "".join(ALPHABET[bits >> 5 * place & 31] for place in range(RANDOM_CHARACTERS))
    return _as_shown(characters + _check_character(characters))


def parse_number(text: str) -> str:
    """
    Return the number that a person wrote, as it is shown: lower case, missing or other hyphens, spaces, and O for 0 and
    I or L for 1 are accepted.

    :raises MistypedNumber: if a character is wrong, or two neighbours are swapped.
    :raises InvalidNumber: if it does not have the form of a number.
    """
    characters = text.upper().translate(READ_AS)
    if len(characters) != RANDOM_CHARACTERS + 1 or not VALUES.keys() >= set(characters):
        raise InvalidNumber(f"{text[:40]!r} is not an order number such as K7Q4-M2X0.")
    if _check_character(characters[:-1]) != characters[-1]:
        raise MistypedNumber(f"The order number {_as_shown(characters)} is mistyped: no order can have it.")
    return _as_shown(characters)


def mistake_in(text: str) -> str:
    """
    Return what is wrong with a text that has the form of an order number; empty if that is right, or it has another
    form.
    """
    try:
        parse_number(text)
    except MistypedNumber as error:
        return str(error)
    except InvalidNumber:
        pass
    return ""


def _check_character(characters: str) -> str:
    """
    Return the check character by Damm's algorithm in the field of 32 elements, where doubling is a totally
    anti-symmetric quasigroup. It detects every wrong character and every swap of neighbours.

    Source: H. M. Damm, Total anti-symmetrische Quasigruppen, thesis, Marburg 2004.
    """
    interim = 0
    for character in characters:
        doubled = (interim ^ VALUES[character]) << 1
        interim = doubled ^ POLYNOMIAL if doubled >= len(ALPHABET) else doubled
    return ALPHABET[interim]


def _as_shown(characters: str) -> str:
    return f"{characters[:4]}-{characters[4:]}"

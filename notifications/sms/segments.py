"""
Segments of an SMS: what the network sends, and providers charge for, as one message each.

Source: 3GPP TS 23.038 (formerly GSM 03.38), section 6.2.1, for the alphabet and its extension table; 3GPP TS 23.040,
section 9.2.3.24.1, for the header of concatenated messages, which takes 6 of the 140 bytes of each segment.
"""

import math

BASIC = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
EXTENSION = frozenset("\f^{}\\[~]|€")
"""Each takes two septets: the escape character and its own."""

SEPTETS_ALONE, SEPTETS_OF_SEGMENT = 160, 153
UNITS_ALONE, UNITS_OF_SEGMENT = 70, 67
"""Of UTF-16, which UCS-2 is for networks and providers."""


def is_gsm7(text: str) -> bool:
    """
    Return whether a text has only characters of the GSM 7-bit default alphabet and its extension table.
    """
    return BASIC.issuperset(text) or (BASIC | EXTENSION).issuperset(text)


def segments(text: str) -> int:
    """
    Return how many segments a text takes; 1 if it is empty. A character of two septets or units is never split between
    segments.
    """
    if is_gsm7(text):
        sizes = [2 if character in EXTENSION else 1 for character in text]
        return _segments(sizes, SEPTETS_ALONE, SEPTETS_OF_SEGMENT)
    return _segments([1 if ord(character) < 0x10000 else 2 for character in text], UNITS_ALONE, UNITS_OF_SEGMENT)


def _segments(sizes: list[int], alone: int, of_segment: int) -> int:
    if sum(sizes) <= alone:
        return 1
    if max(sizes) == 1:
        return math.ceil(len(sizes) / of_segment)
    count, room = 1, of_segment
    for size in sizes:
        if size > room:
            count, room = count + 1, of_segment
        room -= size
    return count

import pytest

from notifications.sms.segments import is_gsm7, segments


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("", 1),
        ("a" * 160, 1),
        ("a" * 161, 2),
        ("a" * 306, 2),
        ("a" * 307, 3),
        ("ä" * 160, 1),
        ("€" * 80, 1),
        ("€" * 81, 2),
        ("€" * 152, 2),
        ("€" * 153, 3),
        ("a" + "€" * 152, 2),
        ("aa" + "€" * 152, 3),
        ("ł" * 70, 1),
        ("ł" * 71, 2),
        ("ł" * 134, 2),
        ("ł" * 135, 3),
        ("🪑" * 35, 1),
        ("🪑" * 66, 2),
        ("🪑" * 67, 3),
    ],
)
def test_counts_segments_as_the_network_does(text, count):
    assert segments(text) == count


@pytest.mark.parametrize("text", ["Grüße für Jürgen: ÄÖÜäöüß", "£90.00 or 90,00 € [sic]", "¿Qué? ¡Señor Ñ! Δ"])
def test_knows_the_gsm_alphabet(text):
    assert is_gsm7(text)


@pytest.mark.parametrize("text", ["Łódź", "’", "–", "a\u00a0b", "ç", "🪑", "`"])
def test_knows_what_is_not_in_the_gsm_alphabet(text):
    assert not is_gsm7(text)

import pytest

from messaging.kernel.order_numbers import ALPHABET, InvalidNumber, MistypedNumber, new_number, parse_number

NUMBER = "K7Q4-M2X0"


class TestNewNumber:
    def test_has_seven_random_characters_and_a_check_character(self):
        numbers = {new_number() for _ in range(1_000)}

        assert len(numbers) == 1_000
        assert all(parse_number(number) == number and len(number) == 9 for number in numbers)
        assert set("".join(numbers)) == {*ALPHABET, "-"}


class TestParseNumber:
    @pytest.mark.parametrize("text", ["K7Q4-M2X0", "k7q4-m2x0", "K7Q4M2X0", " K7 Q4 - M2 X0 ", "K7Q4-M2XO", "k7q4m2xo"])
    def test_accepts_what_people_write(self, text):
        assert parse_number(text) == NUMBER

    @pytest.mark.parametrize("text", ["1010-101", "LOIO-1O1"])
    def test_reads_o_as_0_and_i_and_l_as_1(self, text):
        assert parse_number(f"{text}V") == "1010-101V"

    def test_detects_every_wrong_character(self):
        places = [place for place, character in enumerate(NUMBER) if character != "-"]
        wrong = {f"{NUMBER[:place]}{other}{NUMBER[place + 1 :]}" for place in places for other in ALPHABET} - {NUMBER}

        assert len(wrong) == 8 * 31
        assert all(is_mistyped(text) for text in wrong)

    def test_detects_every_swap_of_neighbours(self):
        for number in [new_number().replace("-", "") for _ in range(200)]:
            swapped = {number[:at] + number[at + 1] + number[at] + number[at + 2 :] for at in range(7)} - {number}
            assert all(is_mistyped(text) for text in swapped)

    @pytest.mark.parametrize("text", ["", "K7Q4-M2X", "K7Q4-M2X00", "K7Q4-M2XU", "K7Q4_M2X0", "536365", "ＫＫＫＫKKKK"])
    def test_rejects_what_is_no_number(self, text):
        with pytest.raises(InvalidNumber, match="is not an order number") as raised:
            parse_number(text)

        assert raised.type is InvalidNumber


def is_mistyped(text: str) -> bool:
    with pytest.raises(InvalidNumber) as raised:
        parse_number(text)
    return raised.type is MistypedNumber

from collections import Counter

import pytest

from payments.simulator.behaviours import APPROVED, BEHAVIOURS, CHAOS, FAULTS, Dice, read_rates, special


class TestSpecial:
    def test_finds_every_behaviour_by_its_token(self) -> None:
        found = {name: special(behaviour.token) for name, behaviour in BEHAVIOURS.items()}

        assert found == BEHAVIOURS | {"visa": None}

    @pytest.mark.parametrize("token", ["tok_mastercard", "never", "", "tok_", "late"])
    def test_leaves_other_tokens_to_the_dice(self, token: str) -> None:
        assert special(token) is None

    def test_knows_the_old_name_of_a_lost_answer(self) -> None:
        assert special("tok_timeout") is BEHAVIOURS["answer_lost_charged"]


class TestDice:
    def test_fall_the_same_for_the_same_seed(self) -> None:
        rates = read_rates("0.5")

        drawn = [[Dice(seed=seed, rates=rates).draw(n).name for n in range(200)] for seed in (7, 7, 8)]

        assert drawn[0] == drawn[1] != drawn[2]

    def test_fall_about_as_often_as_asked(self) -> None:
        dice = Dice(rates=read_rates("never=0.25,declined=0.5"))

        drawn = Counter(dice.draw(n).name for n in range(4_000))

        assert drawn.keys() == {"never", "declined", "visa"}
        assert 850 < drawn["never"] < 1_150
        assert 1_850 < drawn["declined"] < 2_150

    def test_spare_everybody_without_rates(self) -> None:
        assert {Dice().draw(n) for n in range(100)} == {APPROVED}


class TestReadRates:
    def test_shares_a_number_among_all_faults(self) -> None:
        assert read_rates("0.3") == pytest.approx(dict.fromkeys(FAULTS, 0.3 / len(FAULTS)))

    @pytest.mark.parametrize("text", ["0", "0.0", "slow=0"])
    def test_reads_nothing_as_no_chaos(self, text: str) -> None:
        assert read_rates(text) == {}

    def test_reads_a_share_for_each_name(self) -> None:
        assert read_rates("slow=0.02, declined=0.1") == {"declined": 0.1, "slow": 0.02}

    @pytest.mark.parametrize(
        ("text", "complaint"),
        [
            ("1.01", "'1.01' is no share"),
            ("-0.1", "'-0.1' is no share"),
            ("nan", "'nan' is no share"),
            ("much", "'much' is no share"),
            ("slow=2", "'2' is no share"),
            ("slow=", "'' is no share"),
            ("sloth=0.1", "'sloth' cannot be drawn: choose from declined, "),
            ("pending=0.1", "'pending' cannot be drawn"),
            ("slow=0.1,slow=0.1", "'slow' is there twice"),
            ("slow=0.6,never=0.6", "more than 1 together"),
        ],
    )
    def test_refuses_what_cannot_be_meant(self, text: str, complaint: str) -> None:
        with pytest.raises(ValueError, match=complaint):
            read_rates(text)

    def test_knows_every_misfortune(self) -> None:
        assert set(CHAOS) == BEHAVIOURS.keys() - {"visa", "pending"}

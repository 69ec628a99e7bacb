from collections import Counter

import pytest

from payments.simulator.behaviours import BEHAVIOURS, CHAOS, FaultSampler, special


class TestSpecial:
    def test_finds_every_behaviour_by_its_token(self) -> None:
        behaviours = {name: special(behaviour.token) for name, behaviour in BEHAVIOURS.items()}

        assert behaviours == BEHAVIOURS | {"visa": None}

    @pytest.mark.parametrize("token", ["tok_mastercard", "never", "", "tok_", "late"])
    def test_leaves_other_tokens_to_the_dice(self, token: str) -> None:
        assert special(token) is None

    def test_accepts_the_old_token_of_a_lost_answer(self) -> None:
        assert special("tok_timeout") is BEHAVIOURS["answer_lost_charged"]


class TestDice:
    def test_draws_the_same_for_the_same_seed(self) -> None:
        rates = {"never": 0.25, "declined": 0.25}

        drawn = [[FaultSampler(seed=seed, rates=rates).draw(n).name for n in range(200)] for seed in (7, 7, 8)]

        assert drawn[0] == drawn[1] != drawn[2]

    def test_draws_at_the_given_rates(self) -> None:
        sampler = FaultSampler(rates={"never": 0.25, "declined": 0.5})

        drawn = Counter(sampler.draw(n).name for n in range(4_000))

        assert drawn.keys() == {"never", "declined", "visa"}
        assert 850 < drawn["never"] < 1_150
        assert 1_850 < drawn["declined"] < 2_150

    def test_can_draw_every_fault_and_decline(self) -> None:
        assert set(CHAOS) == BEHAVIOURS.keys() - {"visa", "pending", "unknown"}

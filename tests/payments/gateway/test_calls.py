import pytest

from messaging.subscribers import NotReady, OutageObserved, PartlyUnavailable
from payments.gateway.calls import gateway_is_down, group_replies, pause_if_down, raise_unavailable
from payments.gateway.protocol import Answer, Outcome, TimedOut, Undecided, Unreachable

ANSWER = Answer(outcome=Outcome.PROCESSING)


class TestGroupReplies:
    def test_groups_by_what_each_case_means(self):
        replies = {"answered": ANSWER, "lost": TimedOut(), "open": Undecided(), "away": Unreachable()}

        groups = group_replies(replies)

        assert groups.answers == {"answered": ANSWER}
        assert (groups.answered(Outcome.PROCESSING), groups.answered(Outcome.SUCCEEDED)) == (["answered"], [])
        assert (groups.unknown, groups.unreached) == (["lost", "open"], ["away"])


class TestRaiseUnavailable:
    @pytest.mark.parametrize(
        ("replies", "case"),
        [
            ([TimedOut()], PartlyUnavailable),
            ([Unreachable()], PartlyUnavailable),
            ([Undecided(), TimedOut()], PartlyUnavailable),
            ([Undecided(), ANSWER], NotReady),
        ],
    )
    def test_defers_what_is_unanswered_as_an_outage_only_if_the_gateway_was_silent(self, replies, case):
        unanswered = {f"order-{number}": reply for number, reply in enumerate(replies)}

        with pytest.raises(case) as deferral:
            raise_unavailable(unanswered, deferred_along=["order-9"])

        assert list(deferral.value.keys) == [*unanswered, "order-9"]
        raise_unavailable({}, deferred_along=["order-9"])


class TestGatewayIsDown:
    @pytest.mark.parametrize(
        ("replies", "is_down"),
        [
            ([TimedOut()] * 3, True),
            ([TimedOut()] * 2, False),
            ([TimedOut(), TimedOut(), Undecided()], False),
            ([TimedOut(), TimedOut(), TimedOut(), ANSWER], False),
        ],
    )
    def test_when_none_of_several_calls_was_answered(self, replies, is_down):
        assert gateway_is_down(replies) is is_down

    def test_pauses_the_subscriber(self):
        pause_if_down([ANSWER])
        with pytest.raises(OutageObserved):
            pause_if_down([TimedOut()] * 3)

import logging

import pytest

from messaging.contracts import ProductAdded
from messaging.kernel.tracing import current_trace_id, current_traceparent, is_traceparent, new_traceparent, tracing
from messaging.models import OutboxMessage
from tests.messaging.products import added, announce

TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"
TRACEPARENT = f"00-{TRACE_ID}-00f067aa0ba902b7-01"
OTHER = f"00-{'a' * 32}-{'b' * 16}-00"


class TestIsTraceparent:
    @pytest.mark.parametrize("valid", [TRACEPARENT, OTHER, new_traceparent(TRACE_ID), f"cc{TRACEPARENT[2:]}"])
    def test_accepts_a_trace_context(self, valid):
        assert is_traceparent(valid)

    @pytest.mark.parametrize(
        "invalid",
        [
            "",
            "garbage",
            TRACEPARENT.upper(),
            f"{TRACEPARENT}-00",
            f"{TRACEPARENT}\n",
            f"{TRACEPARENT}, {OTHER}",
            f"ff{TRACEPARENT[2:]}",
            TRACEPARENT.replace(TRACE_ID, "0" * 32),
            TRACEPARENT.replace("00f067aa0ba902b7", "0" * 16),
        ],
    )
    def test_rejects_anything_else(self, invalid):
        assert not is_traceparent(invalid)


class TestCurrentTrace:
    @pytest.mark.parametrize(
        ("traceparents", "traceparent", "trace_id"),
        [
            ([], "", "-"),
            ([""], "", "-"),
            ([TRACEPARENT], TRACEPARENT, TRACE_ID),
            ([TRACEPARENT, TRACEPARENT], TRACEPARENT, TRACE_ID),
            ([TRACEPARENT, OTHER], "", "2 traces"),
        ],
    )
    def test_is_one_or_none_or_several(self, traceparents, traceparent, trace_id):
        with tracing(*traceparents):
            assert (current_traceparent(), current_trace_id()) == (traceparent, trace_id)

    def test_ends_with_its_block(self):
        with tracing(TRACEPARENT):
            with tracing(OTHER):
                pass

            assert current_traceparent() == TRACEPARENT


@pytest.mark.django_db
class TestLogLinesOfWorkers:
    def test_show_the_trace_of_a_single_delivery_and_the_number_in_a_batch(self, subscribe, relay, caplog):
        caplog.set_level(logging.INFO)

        @subscribe(ProductAdded)
        def paint(events):
            logging.getLogger("paint").info("painting %d", len(events))
            raise ValueError

        with tracing():
            announce(added("RED-CHAIR"), added("BLUE-CHAIR"))
        relay.deliver_due()

        red, blue = (message.pk.hex for message in OutboxMessage.objects.order_by("id"))
        assert [(record.name, record.trace_id) for record in caplog.records] == [
            ("paint", "2 traces"),
            ("paint", red),
            ("messaging.relay", red),
            ("paint", blue),
            ("messaging.relay", blue),
        ]

    def test_show_the_messages_that_are_being_handled_with_their_keys(self, subscribe, relay, caplog):
        caplog.set_level(logging.INFO)

        @subscribe(ProductAdded)
        def paint(events):
            logging.getLogger("paint").info("painting %d", len(events))

        announce(*[added(f"CHAIR-{number:02}") for number in range(12)])
        relay.deliver_due()
        logging.getLogger("paint").info("dry")

        first = OutboxMessage.objects.order_by("id")[:10]
        painting, dry = caplog.records
        assert painting.message_ids == [str(message.pk) for message in first]
        assert painting.message_keys == [message.key for message in first]
        assert (dry.message_ids, dry.message_keys) == ([], [])

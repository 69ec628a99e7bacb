import json
import logging
from base64 import b64decode, b64encode
from dataclasses import replace
from datetime import timedelta
from uuid import uuid4

import pytest
from django.utils import timezone
from http_message_signatures import ContentDigest, HTTPMessageSigner, algorithms
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from rest_framework.test import APIClient

from orders.models import Order
from shop import accounts
from shop.models import Account, Nonce, SigningKey
from tests.factories import CustomerFactory, ProductFactory, api_of
from tests.outbox import counting_statements
from tests.signing import ALWAYS, Signer, signer_of

pytestmark = pytest.mark.django_db

ORDERS = "/api/v1/orders/"
WISH = json.dumps(
    {"lines": [{"sku": "RED-CHAIR", "quantity": 1}], "payment_method": "tok_visa", "expected_total": 4_500}
).encode()
SENT = {"Content-Type": "application/json", "Idempotency-Key": "basket-1"}


@pytest.fixture
def ada():
    ProductFactory(sku="RED-CHAIR", price=4_500)
    return CustomerFactory()


@pytest.fixture(params=["hmac-sha256", "ed25519"])
def signer(request, ada) -> Signer:
    return signer_of(ada, request.param, headers=SENT)


def send(api: APIClient, headers: dict[str, str], *, method="POST", address=ORDERS, body=WISH):
    """
    Send a request with these headers as they are.
    """
    content_type = {name.lower(): value for name, value in headers.items()}.get("content-type", "")
    return api.generic(method, address, body, content_type=content_type, headers=headers)


def code(answer) -> tuple[int, str]:
    return answer.status_code, answer.json().get("code", "")


def refused(answer) -> bool:
    """
    Tell whether this is the one answer to whatever is wrong with a signature, and nothing has happened.
    """
    told = {name: value for name, value in answer.json().items() if name != "request_id"}
    return not Order.objects.exists() and (answer.status_code, answer.headers["WWW-Authenticate"], told) == (
        401,
        "Token",
        {
            "type": "/problems/#invalid_signature",
            "title": "The signature does not fit",
            "status": 401,
            "detail": "The signature does not fit this request.",
            "code": "invalid_signature",
        },
    )


class TestCheck:
    def test_takes_what_is_signed_well(self, api, signer):
        assert send(api, signer.sign("POST", ORDERS, WISH)).status_code == 201

    @pytest.mark.parametrize("address", [ORDERS, f"{ORDERS}?status=placed", f"{ORDERS}?a=%C3%A9&b=[1]&c=x+y#z"])
    def test_takes_a_request_without_a_body(self, api, ada, address):
        signed = signer_of(ada).sign("GET", address.replace("[", "%5B").replace("]", "%5D").partition("#")[0])

        assert send(api, signed, method="GET", address=address.partition("#")[0], body=b"").status_code == 200

    def test_takes_more_than_has_to_be_covered(self, api, ada):
        signer = signer_of(ada, headers=SENT | {"Date": "Mon, 23 Nov 2026 10:00:00 GMT"})

        assert send(api, signer.sign("POST", ORDERS, WISH)).status_code == 201

    def test_asks_nobody_to_sign_who_need_not(self, api, ada):
        Account.objects.create(user=ada)

        assert send(api, SENT).status_code == 201

    def test_asks_those_who_must(self, api, ada):
        Account.objects.create(user=ada, must_sign=True)

        assert code(send(api, SENT)) == (401, "signature_required")
        assert code(api.get(ORDERS)) == (401, "signature_required")
        assert send(api, signer_of(ada, headers=SENT).sign("POST", ORDERS, WISH)).status_code == 201

    def test_asks_nobody_in_a_browser(self, ada):
        Account.objects.create(user=ada, must_sign=True)
        browser = APIClient()
        browser.force_login(ada)

        assert browser.get(ORDERS).status_code == 200

    def test_is_not_enough_without_a_token(self, ada, signer):
        browser = APIClient()
        browser.force_login(ada)

        answer = send(browser, signer.sign("POST", ORDERS, WISH))

        assert code(answer) == (401, "not_authenticated")
        assert not Order.objects.exists()

    def test_costs_two_statements(self, api, ada):
        """
        One for the token with its account; then one for the key, and one for the nonce.
        """
        signed = signer_of(ada).sign("GET", "/api/v1/tokens/?cursor=x")

        with counting_statements() as statements:
            assert send(api, signed, method="GET", address="/api/v1/tokens/?cursor=x", body=b"").status_code == 400

        verbs = [statement["sql"].split()[0] for statement in statements]
        assert [verb for verb in verbs if verb in {"SELECT", "INSERT"}] == ["SELECT", "SELECT", "INSERT"]


class TestWhatIsSigned:
    """
    A signature fits the request it was made for, and no other.
    """

    @pytest.mark.parametrize(
        "change",
        [
            {"method": "PUT"},
            {"address": f"{ORDERS}?dry=1"},
            {"address": "/api/v1/products/"},
            {"address": "/api/v1/signing-keys/"},
            {"address": f"{ORDERS}{uuid4()}/cancel/"},
            {"body": WISH.replace(b'"quantity": 1', b'"quantity": 2')},
            {"body": WISH + b" "},
            {"body": b""},
        ],
    )
    def test_is_the_request(self, api, signer, change):
        assert refused(send(api, signer.sign("POST", ORDERS, WISH), **change))

    @pytest.mark.parametrize(
        "change",
        [
            {"Idempotency-Key": "basket-2"},
            {"Idempotency-Key": ""},
            {"Content-Type": "application/json; charset=latin-1"},
            {"Content-Digest": f"sha-256=:{b64encode(b'x' * 32).decode()}:"},
            {"Host": "other.example"},
            {"Host": "testserver:8000"},
        ],
    )
    def test_is_its_headers(self, api, signer, change, settings):
        settings.ALLOWED_HOSTS = ["*"]

        assert refused(send(api, signer.sign("POST", ORDERS, WISH) | change))

    @pytest.mark.parametrize("missing", [*ALWAYS, "content-type", "content-digest", "idempotency-key"])
    def test_has_to_cover_each_part(self, api, signer, missing):
        parts = [*ALWAYS, "content-type", "content-digest", "idempotency-key"]
        parts.remove(missing)
        headers = signer.sign("POST", ORDERS, WISH, covered=parts)
        if missing == "content-digest":
            # The library covers it by itself where it has the body.
            headers = signer.sign("POST", ORDERS, covered=parts)

        assert refused(send(api, headers))

    def test_is_a_query_that_is_read_as_it_was_signed(self, api, ada):
        signed = signer_of(ada).sign("GET", f"{ORDERS}?status=%C3%A9")

        assert refused(api.get(ORDERS, headers=signed, QUERY_STRING="status=\xe9"))

    def test_takes_a_key_that_is_added_for_one_that_is_not_covered(self, api, ada):
        headers = signer_of(ada, headers={"Content-Type": "application/json"}).sign("POST", ORDERS, WISH)

        assert refused(send(api, headers | {"Idempotency-Key": "of-the-attacker"}))

    @pytest.mark.parametrize("tag", [None, "", "other-api"])
    def test_is_meant_for_us(self, api, ada, tag):
        assert refused(send(api, signer_of(ada, headers=SENT, tag=tag).sign("POST", ORDERS, WISH)))


class TestKey:
    def test_is_not_an_unknown_one(self, api, signer):
        stranger = replace(signer, key_id=str(uuid4()))

        assert refused(send(api, stranger.sign("POST", ORDERS, WISH)))

    @pytest.mark.parametrize("key_id", ["", "1", "x" * 200, "{key}\\", "' OR 1=1"])
    def test_has_an_id_of_ours(self, api, signer, key_id):
        stranger = replace(signer, key_id=key_id)

        assert refused(send(api, stranger.sign("POST", ORDERS, WISH)))

    def test_is_not_another_customers(self, api, ada):
        of_bob = signer_of(CustomerFactory(username="bob"), headers=SENT)

        assert refused(send(api, of_bob.sign("POST", ORDERS, WISH)))
        assert send(api_of("bob"), of_bob.sign("POST", ORDERS, WISH)).status_code == 201

    def test_is_not_the_wrong_one_of_the_same_customer(self, api, ada, signer):
        other = signer_of(ada, headers=SENT)
        mixed = replace(other, key_id=signer.key_id)

        assert refused(send(api, mixed.sign("POST", ORDERS, WISH)))

    def test_is_not_a_public_key_taken_for_a_secret(self, api, ada):
        """
        Whoever could choose the algorithm could sign by what everybody may know.
        """
        signer = signer_of(ada, "ed25519", headers=SENT)
        public = SigningKey.objects.get().public_key
        for known in (b64decode(public), public.encode()):
            forger = replace(signer, private=known, algorithm=algorithms.HMAC_SHA256)

            assert refused(send(api, forger.sign("POST", ORDERS, WISH)))
            assert refused(send(api, _without_alg(forger.sign("POST", ORDERS, WISH))))

    def test_is_not_one_that_was_revoked(self, api, signer):
        accounts.revoke_key(SigningKey.objects.get(), now=timezone.now())

        assert refused(send(api, signer.sign("POST", ORDERS, WISH)))

    def test_signs_in_its_grace_and_not_after(self, api, signer):
        public = b64encode(b"\x07" * 32).decode() if signer.algorithm is algorithms.ED25519 else ""
        accounts.rotate_key(SigningKey.objects.get(), public_key=public, now=timezone.now())

        assert send(api, signer.sign("POST", ORDERS, WISH)).status_code == 201
        SigningKey.objects.filter(pk=signer.key_id).update(expires_at=timezone.now())
        Order.objects.all().delete()
        assert refused(send(api, signer.sign("POST", ORDERS, WISH)))

    def test_is_not_one_whose_secret_is_lost(self, api, ada, settings):
        signer = signer_of(ada, headers=SENT)
        settings.SECRET_KEY = "s" * 50

        assert refused(send(api, signer.sign("POST", ORDERS, WISH)))


class TestTime:
    @pytest.mark.parametrize("seconds", [-295, -1, 0, 295])
    def test_may_be_off_by_five_minutes(self, api, signer, seconds):
        now = timezone.now() + timedelta(seconds=seconds)

        assert send(api, signer.sign("POST", ORDERS, WISH, now=now)).status_code == 201

    @pytest.mark.parametrize("seconds", [-302, 302, -86_400, 86_400 * 365])
    def test_may_not_be_off_by_more(self, api, signer, seconds):
        now = timezone.now() + timedelta(seconds=seconds)

        assert code(send(api, signer.sign("POST", ORDERS, WISH, now=now))) == (401, "timestamp_out_of_tolerance")

    @pytest.mark.parametrize(
        "created",
        [
            "1e9",
            "1_700_000_000",
            "{ms}",
            "",
            "-1",
            "0",
            '"{now}"',
            "{now}.0",
            "@{now}",
            "?1",
            "{now}0",
            "１７",
            "99999999999999",
        ],
    )
    def test_is_written_in_whole_seconds(self, api, signer, created):
        now = int(timezone.now().timestamp())
        headers = signer.sign("POST", ORDERS, WISH)
        written = created.format(now=now, ms=now * 1000)
        headers["Signature-Input"] = _replaced(headers["Signature-Input"], "created", written)

        answer = send(api, {name: value.encode().decode("latin-1") for name, value in headers.items()})

        assert code(answer) == (401, "timestamp_out_of_tolerance")

    def test_is_not_past_what_the_signer_allows(self, api, signer):
        headers = signer.sign("POST", ORDERS, WISH, expires=timezone.now() - timedelta(seconds=2))

        assert code(send(api, headers)) == (401, "timestamp_out_of_tolerance")


class TestNonce:
    def test_is_used_up(self, api, signer):
        headers = signer.sign("POST", ORDERS, WISH)
        first = send(api, headers)

        again = send(api, headers)

        assert (first.status_code, code(again)) == (201, (401, "replayed_request"))
        assert Order.objects.count() == Nonce.objects.count() == 1

    def test_is_new_when_a_request_is_repeated(self, api, signer):
        first, again = [send(api, signer.sign("POST", ORDERS, WISH)) for _ in range(2)]

        assert (first.status_code, again.status_code, again.headers["Idempotent-Replayed"]) == (201, 201, "true")
        assert again.content == first.content
        assert Order.objects.count() == 1

    def test_is_used_up_by_its_key_alone(self, api, ada):
        signers = [signer_of(ada, algorithm, headers=SENT) for algorithm in ("hmac-sha256", "ed25519")]

        answers = [send(api, signer.sign("POST", ORDERS, WISH, nonce="n")) for signer in signers]

        assert [answer.status_code for answer in answers] == [201, 201]

    def test_is_not_used_up_by_a_bad_signature(self, api, signer):
        headers = signer.sign("POST", ORDERS, WISH)

        assert refused(send(api, headers, body=WISH + b" "))
        assert send(api, headers).status_code == 201

    @pytest.mark.parametrize("nonce", [None, "n" * 129, "two words"])
    def test_has_to_be_there(self, api, signer, nonce):
        assert refused(send(api, signer.sign("POST", ORDERS, WISH, nonce=nonce)))

    def test_is_forgotten_when_its_signature_is_too_old_to_come_again(self, ada):
        now = timezone.now()
        signer_of(ada)
        key = SigningKey.objects.get()
        for minutes in (0, 5, 9, 11, 60):
            Nonce.objects.use_up(key=key, nonce=f"n{minutes}", now=now - timedelta(minutes=minutes))

        pruned = Nonce.objects.prune(before=now - timedelta(minutes=10))

        assert pruned == 2
        assert set(Nonce.objects.values_list("nonce", flat=True)) == {"n0", "n5", "n9"}


class AnyDigest(ContentDigest):
    @classmethod
    def prepare(cls, headers, body, *, use_existing_digest) -> None:
        """
        Let every digest pass.
        """


class Careless(HTTPMessageSigner):
    """
    Signs a digest without a look at it.
    """

    content_digest_class = AnyDigest


class TestHostileHeaders:
    """
    Whatever stands there, the answer is the same and never our failure.
    """

    @pytest.mark.parametrize(
        "change",
        [
            lambda value: "",
            lambda value: " ",
            lambda value: value[:-10],
            lambda value: value[:20],
            lambda value: value.upper(),
            lambda value: value.replace("=", ""),
            lambda value: value.replace("sig1=", "sig2="),
            lambda value: f"{value}, {value}",
            lambda value: f"{value}, {value.replace('sig1', 'sig2')}",
            lambda value: value.replace("sig1=", "sig1 = "),
            lambda value: value + "é",
            lambda value: value + "\x00",
            lambda value: value + "\xff" * 50,
            lambda value: value + "a" * 8_000,
            lambda value: "sig1=" + "(" * 4_000,
            lambda value: "(" * 2_000,
            lambda value: ", ".join(f"s{number}=1" for number in range(200)),
            lambda value: "sig1=?1",
            lambda value: "sig1=:" + "A" * 1_000 + ":",
            lambda value: "sig1=::",
            lambda value: "sig1=()",
            lambda value: "sha1=0123456789abcdef",
            lambda value: "keyId=x,algorithm=hs2019",
            lambda value: "9" * 1_000,
        ],
    )
    @pytest.mark.parametrize("name", ["Signature", "Signature-Input"])
    def test_are_refused_in(self, api, signer, name, change):
        headers = signer.sign("POST", ORDERS, WISH)

        assert refused(send(api, headers | {name: change(headers[name])}))

    def test_are_refused_when_two_signatures_come(self, api, signer):
        first, second = signer.sign("POST", ORDERS, WISH), signer.sign("POST", ORDERS, WISH, label="sig2")
        both = {name: f"{first[name]}, {second[name]}" for name in ("Signature", "Signature-Input")}

        assert refused(send(api, first | both))

    @pytest.mark.parametrize("name", ["Signature", "Signature-Input", "Content-Digest"])
    def test_are_refused_when_one_is_missing(self, api, signer, name):
        headers = signer.sign("POST", ORDERS, WISH)
        del headers[name]

        assert refused(send(api, headers))

    @pytest.mark.parametrize("bit", [0, 7, 100, 255])
    def test_are_refused_when_a_bit_flips(self, api, signer, bit):
        headers = signer.sign("POST", ORDERS, WISH)
        raw = bytearray(b64decode(headers["Signature"][6:-1]))
        raw[bit // 8] ^= 1 << bit % 8

        assert refused(send(api, headers | {"Signature": f"sig1=:{b64encode(raw).decode()}:"}))

    @pytest.mark.parametrize(
        "digest",
        [
            "",
            "x",
            "sha-256=:AAAA:",
            "sha-256=AAAA",
            "md5=:AAAA:",
            "sha-256=?1",
            "sha-256=:{good}:, sha-256=:{good}:",
        ],
    )
    def test_are_refused_in_a_digest_that_is_signed(self, api, signer, digest):
        good = b64encode(b"x" * 32).decode()
        headers = SENT | {"Content-Digest": digest.format(good=good)}
        careless = replace(signer, library=Careless, headers=headers)

        assert refused(send(api, careless.sign("POST", ORDERS)))

    @pytest.mark.parametrize(
        "parameter",
        [
            'alg="rsa-pss-sha512"',
            'alg="none"',
            "alg=1",
            "keyid=1",
            "keyid",
            "nonce=1",
            "tag",
            "expires=x",
            "expires",
            "x=1",
        ],
    )
    def test_are_refused_in_a_parameter(self, api, signer, parameter):
        headers = signer.sign("POST", ORDERS, WISH)

        assert refused(send(api, headers | {"Signature-Input": f"{headers['Signature-Input']};{parameter}"}))

    @pytest.mark.parametrize(
        "component",
        ['"@status"', '"@target-uri";req', '"content-type";sf', '"x"', '"@query-param";name="é"', "1", '"@path"'],
    )
    def test_are_refused_in_a_component(self, api, signer, component):
        headers = signer.sign("POST", ORDERS, WISH)
        covered = headers["Signature-Input"].replace('"@method"', f'"@method" {component}')

        assert refused(send(api, headers | {"Signature-Input": covered.encode().decode("latin-1")}))

    @hypothesis_settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
    @given(
        name=st.sampled_from(["Signature", "Signature-Input", "Content-Digest", "Authorization", "Content-Type"]),
        at=st.integers(0, 400),
        cut=st.integers(0, 20),
        put=st.text(st.characters(max_codepoint=255, exclude_characters="\r\n"), max_size=20),
    )
    def test_never_make_us_fail(self, ada, name, at, cut, put):
        headers = signer_of(ada, headers=SENT).sign("POST", ORDERS, WISH)
        SigningKey.objects.update(revoked_at=None)
        known = headers.get(name, f"Token {'0' * 64}")
        garbled = known[:at] + put + known[at + cut :]

        answer = send(api_of("ada"), headers | {name: garbled})

        assert answer.status_code < 500
        SigningKey.objects.all().delete()

    def test_tell_the_log_and_nobody_else(self, api, signer, caplog):
        caplog.set_level(logging.INFO, "shop.signatures")

        send(api, signer.sign("POST", ORDERS, WISH), body=WISH + b" ")

        assert [record.message for record in caplog.records if record.name == "shop.signatures"] == [
            "A signature was refused: Content-Digest does not match the message body"
        ]


def _without_alg(headers: dict[str, str]) -> dict[str, str]:
    return headers | {"Signature-Input": headers["Signature-Input"].replace(';alg="hmac-sha256"', "")}


def _replaced(described: str, name: str, value: str) -> str:
    before, _, rest = described.partition(f";{name}=")
    return f"{before};{name}={value};{rest.partition(';')[2]}"

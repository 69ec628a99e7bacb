import logging
from base64 import b64decode, b64encode
from dataclasses import replace

import pytest
from http_message_signatures import ContentDigest, HTTPMessageSigner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shop.accounts.models import SigningKey
from tests.factories import api_of
from tests.signing import ORDERS, SENT, WISH, code, refused, send, signer_of

pytestmark = pytest.mark.django_db


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

    @settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
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

    @pytest.mark.parametrize(
        "media", ["multipart/form-data; boundary=x", "application/x-www-form-urlencoded", "x", "\xff"]
    )
    def test_may_stand_before_a_body_that_nobody_reads(self, api, ada, media):
        signed = signer_of(ada, headers=SENT | {"Content-Type": media if media.isascii() else "x"}).sign(
            "POST", ORDERS, b"a=1"
        )

        answer = send(api, signed | {"Content-Type": media}, body=b"a=1")

        assert code(answer) == ((415, "unsupported_media_type") if media.isascii() else (401, "invalid_signature"))

    def test_tell_the_log_and_nobody_else(self, api, signer, caplog):
        caplog.set_level(logging.INFO, "shop.accounts.signatures")

        send(api, signer.sign("POST", ORDERS, WISH), body=WISH + b" ")

        assert [record.message for record in caplog.records if record.name == "shop.accounts.signatures"] == [
            "A signature was rejected: Content-Digest does not match the message body"
        ]

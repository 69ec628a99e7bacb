"""
The same kinds of values in requests for tokens and signing keys.
"""

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from django.contrib.auth import get_user_model

from tests.bad_input.rows import rows
from tests.bad_input.scene import KEYS, TOKENS, Literal, key, login
from tests.refusals import assert_fault, refused

OTHER_CURVE = ec.derive_private_key(7, ec.SECP256R1()).public_key()
PEM_OF_OTHER_CURVE = OTHER_CURVE.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


@rows(
    "name, value, code",
    *[(25, "expires_in_days", value, "invalid_expiry") for value in ("5", " 5 ", "30", "1_0")],
    *[(20, "expires_in_days", value, "invalid_expiry") for value in (0, -1, 366, 2**31, 2**63, 10**20)],
    *[(23, "expires_in_days", Literal(text), "invalid_expiry") for text in ("1.0", "1e2", "-0", "1e400")],
    *[(24, "expires_in_days", value, "invalid_expiry") for value in (True, None, [], {})],
    *[(35, "name", value, "invalid_name") for value in ("", "  ", "n" * 101, ...)],
    *[(38, "name", value, "invalid_name") for value in (5, True, None, [], {})],
    *[(38, "username", value, "invalid_field") for value in (5, True, None, [], {}, ..., "", "a" * 151)],
    *[(38, "password", value, "invalid_field") for value in (5, True, None, [], {}, ..., "", "p" * 4_097)],
)
def test_rejects_in_a_request_for_a_token(api, name, value, code):
    problem = refused(api, "POST", TOKENS, login(**{name: value}))

    assert_fault(problem, code, f"#/{name}")


@rows(
    "name, value, code",
    *[(35, "name", value, "invalid_name") for value in ("", "  ", "n" * 101, ...)],
    *[(38, "name", value, "invalid_name") for value in (5, True, None, [], {})],
    *[
        (49, "algorithm", value, "invalid_algorithm")
        for value in ("none", "HMAC-SHA256", "", "rsa", "rsa-pss-sha512", 1, None, [], {}, True, ..., ["ed25519"])
    ],
    *[
        (38, "public_key", value, "invalid_public_key")
        for value in (5, None, [], {}, True, "k" * 1_001, f"{'A' * 43}=")  # hmac-sha256 has none
    ],
)
def test_rejects_in_a_request_for_a_signing_key(api, name, value, code):
    problem = refused(api, "POST", KEYS, key(**{name: value}))

    assert_fault(problem, code, f"#/{name}")


@rows(
    "public_key",
    *[(64, value) for value in (..., "", "A", "====", "é" * 44, "A" * 44, "A" * 40, "07" * 32)],
    *[(64, value) for value in (f"{'A' * 43}=\n", f" {'A' * 43}=", f"{'-' * 43}=", "-----BEGIN", "-----BEGIN é")],
    (64, "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END"),
    (64, "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----"),
    (64, "-----BEGIN PUBLIC KEY-----\n\xff\n-----END PUBLIC KEY-----"),
    (64, PEM_OF_OTHER_CURVE),
)
def test_rejects_the_public_key(api, public_key):
    problem = refused(api, "POST", KEYS, key(algorithm="ed25519", public_key=public_key))

    assert_fault(problem, "invalid_public_key", "#/public_key")


@rows("username", (42, "' OR 1=1"), (42, "ada'--"), (42, "ADA"), (42, "ada\n"), (42, "ada "), (40, "\uffff"), (42, "%"))
def test_knows_no_user_by(api, username):
    before = get_user_model().objects.count()

    assert refused(api, "POST", TOKENS, login(username=username))["code"] == "invalid_credentials"
    assert get_user_model().objects.count() == before

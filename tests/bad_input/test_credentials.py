"""
The same kinds of values in requests for tokens, signing keys and new passwords, and of the account.
"""

from dataclasses import replace

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from django.contrib.auth import get_user_model

from tests.bad_input.rows import one_of, rows
from tests.bad_input.scene import (
    ACCOUNT,
    CONFIRM,
    KEYS,
    PASSWORD_CHANGE,
    RESETS,
    SIGN_UPS,
    TOKENS,
    Literal,
    account,
    confirmation,
    key,
    login,
    password_change,
)
from tests.refusals import assert_fault, refused

OTHER_CURVE = ec.derive_private_key(7, ec.SECP256R1()).public_key()
PEM_OF_OTHER_CURVE = OTHER_CURVE.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


@rows(
    "name, value, code",
    (25, "expires_in_days", one_of("5", " 5 ", "30", "1_0"), "invalid_expiry"),
    (20, "expires_in_days", one_of(0, -1, 366, 2**31, 2**63, 10**20), "invalid_expiry"),
    (23, "expires_in_days", one_of(*map(Literal, ("1.0", "1e2", "-0", "1e400"))), "invalid_expiry"),
    (24, "expires_in_days", one_of(True, None, [], {}), "invalid_expiry"),
    (35, "name", one_of("", "  ", "n" * 101, ...), "invalid_name"),
    (38, "name", one_of(5, True, None, [], {}), "invalid_name"),
    (38, "username", one_of(5, True, None, [], {}, ..., "", "a" * 151), "invalid_field"),
    (38, "password", one_of(5, True, None, [], {}, ..., "", "p" * 4_097), "invalid_field"),
)
def test_rejects_in_a_request_for_a_token(api, name, value, code):
    problem = refused(api, "POST", TOKENS, login(**{name: value}))

    assert_fault(problem, code, f"#/{name}")


@rows(
    "name, value, code",
    (35, "name", one_of("", "  ", "n" * 101, ...), "invalid_name"),
    (38, "name", one_of(5, True, None, [], {}), "invalid_name"),
    (49, "algorithm", one_of("none", "HMAC-SHA256", "", "rsa", "rsa-pss-sha512", ["ed25519"]), "invalid_algorithm"),
    (49, "algorithm", one_of(1, None, [], {}, True, ...), "invalid_algorithm"),
    # An hmac-sha256 key has no public key.
    (38, "public_key", one_of(5, None, [], {}, True, "k" * 1_001, f"{'A' * 43}="), "invalid_public_key"),
)
def test_rejects_in_a_request_for_a_signing_key(api, name, value, code):
    problem = refused(api, "POST", KEYS, key(**{name: value}))

    assert_fault(problem, code, f"#/{name}")


@rows(
    "public_key",
    (64, one_of(..., "", "A", "====", "é" * 44, "A" * 44, "A" * 40, "07" * 32, f"{'A' * 43}=\n", f" {'A' * 43}=")),
    (64, one_of(f"{'-' * 43}=", "-----BEGIN", "-----BEGIN é", "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END")),
    (64, one_of(*[f"-----BEGIN PUBLIC KEY-----\n{text}\n-----END PUBLIC KEY-----" for text in ("AAAA", "\xff")])),
    (64, PEM_OF_OTHER_CURVE),
)
def test_rejects_the_public_key(api, public_key):
    problem = refused(api, "POST", KEYS, key(algorithm="ed25519", public_key=public_key))

    assert_fault(problem, "invalid_public_key", "#/public_key")


@rows(
    "language",
    (49, one_of("fr", "DE", "de-AT", "de ", " ", "e", "d" * 1_000, "de\n")),
    (38, one_of(5, True, None, [], {}, ["de"])),
)
def test_rejects_as_language_of_the_account(api, language):
    problem = refused(api, "PATCH", ACCOUNT, account(language=language))

    assert_fault(problem, "invalid_language", "#/language")


@rows(
    "name, value, code",
    (38, "current_password", one_of(5, True, None, [], {}, ..., "", "p" * 4_097), "invalid_field"),
    (38, "new_password", one_of(5, True, None, [], {}, ..., "", "p" * 4_097), "invalid_field"),
    (85, "new_password", one_of("short", "password", "2938475610", "ada@example.com"), "weak_password"),
    (
        86,
        "current_password",
        one_of("three red chair", "THREE RED CHAIRS", "three red chairs ", "' OR 1=1"),
        "wrong_password",
    ),
    (46, "username", "bob", "unknown_field"),
)
def test_rejects_in_a_change_of_the_password(api, name, value, code):
    problem = refused(api, "POST", PASSWORD_CHANGE, password_change(**{name: value}))

    assert_fault(problem, code, f"#/{name}")


@rows(
    "email",
    (
        44,
        one_of(
            "", "ada", "ada@", "a@b@c.example", "Ada <ada@example.com>", "ada@example.com\n", "ada@example.com,b@c.de"
        ),
    ),
    (38, one_of(5, True, None, [], {}, ["ada@example.com"], ...)),
)
def test_rejects_as_address_of_a_forgotten_password(api, email):
    problem = refused(api, "POST", RESETS, account(email=email))

    assert_fault(problem, "invalid_email", "#/email")


@rows(
    "email",
    (44, one_of("", "ada", "Ada <ada@example.com>", "ada@example.com\n", f"{'a' * 60}@{'b.' * 45}example.com")),
    (38, one_of(5, True, None, [], {}, ["ada@example.com"], ...)),
)
def test_rejects_as_address_to_sign_up_with(api, settings, email):
    settings.ACCOUNTS = replace(settings.ACCOUNTS, sign_up=True)

    problem = refused(api, "POST", SIGN_UPS, account(email=email))

    assert_fault(problem, "invalid_email", "#/email")


def test_row_89_knows_no_sign_up_if_the_shop_allows_none(api):
    for path, body in ((SIGN_UPS, account(email="eve@example.com")), (f"{SIGN_UPS}confirm/", confirmation())):
        assert refused(api, "POST", path, body)["code"] == "not_found"


@rows(
    "name, value",
    (38, "token", one_of(5, True, None, [], {}, ..., "", "t" * 201)),
    (38, "new_password", one_of(5, True, None, [], {}, ..., "", "p" * 4_097)),
)
def test_rejects_in_a_new_password_by_a_link(api, name, value):
    problem = refused(api, "POST", CONFIRM, confirmation(**{name: value}))

    assert_fault(problem, "invalid_field", f"#/{name}")


@rows(
    "text", (87, one_of("x", "link_", "link_" + 75 * "0", 32 * "f" + 43 * "A", "link_" + 32 * "é" + 43 * "A", "/../"))
)
def test_knows_no_link_by(api, text):
    problem = refused(api, "POST", CONFIRM, confirmation(token=text))

    assert problem["code"] == "expired_link"


@rows("username", (42, one_of("' OR 1=1", "ada'--", "ADA", "ada\n", "ada ", "%")), (40, "\uffff"))
def test_knows_no_user_by(api, username):
    before = get_user_model().objects.count()

    assert refused(api, "POST", TOKENS, login(username=username))["code"] == "invalid_credentials"
    assert get_user_model().objects.count() == before

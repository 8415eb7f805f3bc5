"""Signed notes as other tools write and read them, and what is no note of ours."""

import base64

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from services.common.signed_note import BadNoteError, UnknownKeyError, VerifierKey, open_note, sign_note

# The example of golang.org/x/mod/sumdb/note: key, text and signature of the reference implementation.
VERIFIER = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
SEED = base64.b64decode("AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz")[1:]
TEXT = "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n"
SIGNATURE = "x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM="
NOTE = f"{TEXT}\n— PeterNeumann {SIGNATURE}\n"
KEY = VerifierKey.parse(VERIFIER)


def test_we_sign_as_the_reference_does_byte_for_byte() -> None:
    """Ed25519 is deterministic (RFC 8032): the same key and text make the same note."""
    private = Ed25519PrivateKey.from_private_bytes(SEED)
    assert sign_note(TEXT, "PeterNeumann", private) == NOTE
    assert str(VerifierKey("PeterNeumann", private.public_key())) == VERIFIER


def test_a_note_of_the_reference_opens() -> None:
    """Whoever else signed it as well."""
    other = Ed25519PrivateKey.generate()
    cosigned = NOTE + sign_note(TEXT, "witness", other).rpartition("\n\n")[2]
    assert open_note(NOTE, [KEY]) == (TEXT, KEY)
    assert open_note(cosigned, [KEY])[0] == TEXT
    assert open_note(cosigned, [VerifierKey("witness", other.public_key())])[0] == TEXT


def test_a_key_that_is_not_known_is_named() -> None:
    """By its id, so that a person can look for it."""
    with pytest.raises(UnknownKeyError) as refused:
        open_note(NOTE, [])
    assert refused.value.key_ids == ("c74f20a3",)


@given(st.integers(0, len(NOTE) - 1), st.sampled_from("aZ09 \n+—"))
def test_a_changed_character_is_seen(place: int, other: str) -> None:
    """Wherever it stands: the text, the key's name, its id, the signature."""
    changed = NOTE[:place] + other + NOTE[place + 1 :]
    if changed == NOTE:
        return
    with pytest.raises((BadNoteError, UnknownKeyError)):
        open_note(changed, [KEY])


@given(st.text())
def test_any_text_is_refused_in_one_of_two_ways(note: str) -> None:
    """No other exception leaves the parser."""
    with pytest.raises((BadNoteError, UnknownKeyError)):
        open_note(note, [KEY])


@pytest.mark.parametrize(
    "text",
    ["", "name", "PeterNeumann+c74f20a4+" + VERIFIER.rpartition("+")[2], VERIFIER + "AA", "a b" + VERIFIER],
)
def test_what_is_no_verifier_key_is_refused(text: str) -> None:
    """A wrong id, a wrong length, a name with a space."""
    with pytest.raises(ValueError):  # noqa: PT011  base64 has words of its own
        VerifierKey.parse(text)

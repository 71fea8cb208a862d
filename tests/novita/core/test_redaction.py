"""Texts without secrets: every spelling, none of the rest, and nothing that only looks like one."""

import base64
import gc
import html
import json
import re
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from novita_mcp.novita.core.redaction import (
    MARK,
    holds,
    is_credential,
    learn,
    redact,
    shown_address,
    without_credentials,
    without_secrets,
    without_secrets_json,
)

letters = st.characters(min_codepoint=33, max_codepoint=0x2FFF, exclude_categories=["Cs", "Cc", "Zs", "Cn"])
words = st.text(letters, min_size=8, max_size=40).filter(lambda word: MARK not in word and word not in MARK)


def spelled(word: str) -> list[str]:
    inside = json.dumps(word)[1:-1]
    return [
        word,
        quote(word, safe=""),
        re.sub("%..", lambda found: found[0].lower(), quote(word, safe="")),
        quote(quote(word, safe=""), safe=""),
        "".join(f"%{byte:02X}" for byte in word.encode()),
        inside,
        json.dumps(inside)[1:-1],
        html.escape(word),
        word.encode().hex(),
    ]


@given(word=words, before=st.text(max_size=20), after=st.text(max_size=20))
def test_a_secret_is_found_whatever_its_letters_and_however_they_are_escaped(
    word: str, before: str, after: str
) -> None:
    for form in spelled(word):
        assert form not in without_secrets(f"{before} {form} {after}", word)
        assert holds({"a": [f"{before} {form}"]}, word)


@given(word=words, before=st.integers(0, 5), after=st.binary(max_size=9))
def test_a_secret_is_found_in_base64_at_each_offset(word: str, before: int, after: bytes) -> None:
    raw = word.encode()
    for encode in (base64.b64encode, base64.urlsafe_b64encode, base64.encodebytes):
        text = encode(b"x" * before + raw + after).decode()
        shown = without_secrets(f"it is {text}", word)
        assert MARK in shown
        for piece in shown.replace("-", "+").replace("_", "/").split(MARK):
            for skip in range(4):
                rest = "".join(piece.removeprefix("it is ").split())[skip:].rstrip("=")
                plain = base64.b64decode(rest[: len(rest) // 4 * 4])
                assert raw[: len(raw) // 2] not in plain
                assert raw[len(raw) // 2 :] not in plain


def test_of_two_secrets_the_longer_is_hidden_whole_and_what_overlaps_is_one() -> None:
    assert without_secrets("abcdefghij", "abcdef", "abcdefghij") == MARK
    assert without_secrets("abcdefghij", "cdefgh", "abcdefghij") == MARK
    assert without_secrets("abcdefghij", "efghij", "abcdefghij") == MARK
    assert without_secrets("hello-world-peace", "hello-world", "world-peace") == MARK
    assert without_secrets("one abcdefghij, two abcdef", "abcdef", "abcdefghij") == f"one {MARK}, two {MARK}"


def test_a_half_is_hidden_where_a_text_was_cut() -> None:
    key = "sk_0123456789abcdefghij"
    for cut in range(11, len(key)):
        assert without_secrets(f"it was {key[:cut]}", key) == f"it was {MARK}"
        assert without_secrets(f"it was {key[:cut]}... (9 more characters)", key).startswith(f"it was {MARK}...")
    assert without_secrets(f"the class {key[:12]}!", key) == f"the class {key[:12]}!"


def test_lines_that_are_broken_hide_nothing() -> None:
    key = "sk_0123456789abcdefghij"
    assert key[4:] not in without_secrets(f"{key[:9]}\r\n{key[9:]}", key).replace("\r\n", "")
    assert without_secrets(f"{key[:9]}\\n{key[9:]}", key) == MARK


def test_a_status_that_was_made_readable_is_seen_through() -> None:
    assert without_secrets("task status sk live 0123456789abc", "sk_LIVE_0123456789ABC") == f"task status {MARK}"


def test_secrets_under_six_letters_are_hidden_in_their_own_fields_only() -> None:
    assert without_secrets("the word abc is no secret", "abc") == "the word abc is no secret"
    kept = without_secrets_json(json.dumps({"password": "abc", "title": "abc", "max_tokens": 5}))
    assert json.loads(kept) == {"password": MARK, "title": "abc", "max_tokens": 5}


def test_hiding_twice_is_hiding_once() -> None:
    assert without_secrets(without_secrets("my secret word", "secret"), "secret") == f"my {MARK} word"


@given(
    st.recursive(
        st.text() | st.integers() | st.none(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)
    )
)
def test_data_without_a_secret_is_the_very_same(data: object) -> None:
    assert without_secrets(data, "a-secret-that-is-nowhere-here") is data


@pytest.mark.parametrize("name", ["password", "sshPassword", "registry_password", "api_key", "apiKey", "Authorization"])
def test_a_field_is_known_by_its_name(name: str) -> None:
    assert is_credential(name)
    assert without_credentials([{name: "x", "b": {name: "y"}}]) == [{name: MARK, "b": {name: MARK}}]


@pytest.mark.parametrize("name", ["max_tokens", "total_tokens", "key_name", "passage", "secretary", "keys", "", None])
def test_a_field_that_only_sounds_like_it_is_not(name: object) -> None:
    assert not is_credential(name)


def test_a_secret_is_known_as_long_as_somebody_holds_it_whatever_others_send() -> None:
    held = learn("a-key-that-is-held", "key")
    word = learn("a-password-of-a-registry")
    learn("a-key-that-nobody-holds", "key")
    for number in range(2_000):
        learn(f"rubbish-{number}-sent-by-anybody", "key")
    gc.collect()
    assert held is not None and word is not None
    text = "a-key-that-is-held a-password-of-a-registry a-key-that-nobody-holds"
    assert without_secrets(text) == f"{MARK} {MARK} a-key-that-nobody-holds"


def test_what_is_there_to_be_shown_is_shown() -> None:
    held = learn("the-ssh-password")
    assert held is not None
    assert without_secrets({"a": "the-ssh-password"}, but=["the-ssh-password"]) == {"a": "the-ssh-password"}
    assert without_secrets({"a": "the-ssh-password"}) == {"a": MARK}


def test_errors_hide_what_only_looks_like_a_key() -> None:
    assert redact("bearer abcdefgh12345678 and sk-abcdefgh") == f"bearer {MARK} and {MARK}"


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://me:word@novita.example/v3", f"https://{MARK}@novita.example/v3"),
        ("https://me:w@rd@novita.example", f"https://{MARK}@novita.example"),
        ("https://novita.example/@home", "https://novita.example/@home"),
        ("novita.example", "novita.example"),
    ],
)
def test_an_address_is_shown_without_its_login(url: str, shown: str) -> None:
    assert shown_address(url) == shown

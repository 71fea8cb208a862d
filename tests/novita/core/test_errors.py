"""Novita's errors, in every envelope they come in, become errors a model can act on."""

import json
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from novita_mcp.novita.core.errors import (
    AuthenticationError,
    BalanceError,
    ContentRefusedError,
    ErrorRow,
    Group,
    InputError,
    MissingKeyError,
    NotFoundError,
    NovitaAPIError,
    NovitaServerError,
    RateLimitError,
    api_error,
    error_rows,
    redact,
)

KEY = "fixed-0123456789abcdef"

# Judged by hand from the meaning of each row, not from the code.
KINDS: dict[str, type[NovitaAPIError]] = {
    "BILLING_BALANCE_NOT_ENOUGH": BalanceError,
    "NOT_ENOUGH_BALANCE": BalanceError,
    "BALANCE_NOT_ENOUGH": BalanceError,
    "EXPIRED_OR_BALANCE_NOT_ENOUGH": BalanceError,
    "ILLEGAL_PROMPT": ContentRefusedError,
    "ILLEGAL_IMAGE_CONTENT": ContentRefusedError,
    "MISSING_API_KEY": AuthenticationError,
    "GET_TOKEN_FAILED": AuthenticationError,
    "WALLET_NOT_FOUND": NovitaServerError,
}
BY_STATUS: dict[int, type[NovitaAPIError]] = {
    401: AuthenticationError,
    403: AuthenticationError,
    404: NotFoundError,
    429: RateLimitError,
    500: NovitaServerError,
    503: NovitaServerError,
}


def kind_of(row: ErrorRow) -> type[NovitaAPIError]:
    if row.name in KINDS:
        return KINDS[row.name]
    if row.name is not None and row.name.endswith("NOT_FOUND"):
        return NotFoundError
    return BY_STATUS.get(row.http_status, NovitaAPIError)


def raised(row: ErrorRow, body: bytes, *, spends: bool = False) -> NovitaAPIError:
    group: Group = row.group  # type: ignore[assignment]
    return api_error(row.http_status, body, group=group, doing="doing this", spends=spends, secrets=(KEY,))


SHAPES: dict[str, Callable[[ErrorRow], object]] = {
    "flat": lambda row: {"code": row.http_status, "reason": row.name, "message": f"echo {KEY}", "metadata": {}},
    "without metadata": lambda row: {"code": row.http_status, "reason": row.name, "message": f"echo {KEY}"},
    "name as code": lambda row: {"code": row.name, "message": f"echo {KEY}"},
    "nested": lambda row: {"error": {"message": f"echo {KEY}", "code": row.name}},
    "nested with status": lambda row: {"error": {"message": f"echo {KEY}", "code": row.http_status, "type": row.name}},
}
NAMELESS: dict[str, Callable[[ErrorRow], bytes]] = {
    "message only": lambda _: json.dumps({"message": f"echo {KEY}"}).encode(),
    "error text": lambda _: json.dumps({"error": f"echo {KEY}"}).encode(),
    "detail": lambda _: json.dumps({"detail": f"echo {KEY}"}).encode(),
    "numeric code": lambda row: json.dumps({"code": str(row.http_status), "message": f"echo {KEY}"}).encode(),
    "plain text": lambda _: f"echo {KEY}".encode(),
    "html": lambda _: f"<!DOCTYPE html><html><body>{KEY}</body></html>".encode(),
    "html in a message": lambda _: json.dumps({"message": f"<html>{KEY}</html>"}).encode(),
    "empty": lambda _: b"",
    "half a body": lambda row: b'{"code": ' + str(row.http_status).encode() + b', "reason": "INVAL',
    "no text at all": lambda _: bytes(range(256)),
    "a list": lambda _: b'["no", "documented", "shape"]',
    "too deep to read": lambda _: b'{"a":' * 100_000,
}


def test_all_rows_of_the_documentation_are_known() -> None:
    """errors.yaml of the API facts has 101."""
    assert len(error_rows()) == 101
    assert all(row.meaning and row.user_action for row in error_rows())


@pytest.mark.parametrize("shape", SHAPES)
def test_a_named_error_says_what_happened_and_what_to_do(shape: str) -> None:
    for row in error_rows():
        if row.name is None:
            continue
        error = raised(row, json.dumps(SHAPES[shape](row)).encode())
        assert type(error) is kind_of(row), row
        assert (error.status, error.reason) == (row.http_status, row.name)
        assert row.meaning.rstrip(".") in str(error)
        assert row.user_action in str(error)
        assert 'Novita says: "echo [secret]"' in str(error)
        assert error.transient == row.retryable, row
        assert error.billed is None


@pytest.mark.parametrize("shape", NAMELESS)
def test_an_error_without_a_name_is_told_by_its_status(shape: str) -> None:
    for row in error_rows():
        error = raised(row, NAMELESS[shape](row))
        assert type(error) is BY_STATUS.get(row.http_status, NovitaAPIError), row
        assert error.next_step
        assert KEY not in repr(error) + str(error)
        assert "<" not in str(error)
        assert len(str(error)) < 500
        assert error.transient == (row.http_status in (429, 500, 503))


@pytest.mark.parametrize("shape", [*SHAPES, *NAMELESS])
def test_a_paid_call_is_billed_perhaps_after_a_fault_of_novita_and_never_after_a_refusal(shape: str) -> None:
    for row in error_rows():
        body = json.dumps(SHAPES[shape](row)).encode() if shape in SHAPES else NAMELESS[shape](row)
        error = raised(row, body, spends=True)
        if row.http_status >= 500:
            assert error.billed == "maybe"
            assert "may have been billed" in str(error)
            assert "list_tasks" in error.next_step
        else:
            assert error.billed == "no"
            assert "Nothing was billed." in str(error)
            assert error.next_step


def test_a_name_that_only_stands_in_the_text_is_understood() -> None:
    error = api_error(403, b"NOT_ENOUGH_BALANCE: please top up", group="llm", doing="chatting", spends=True)
    assert type(error) is BalanceError
    assert error.next_step == "Top up the account."


def test_the_same_name_means_what_its_group_says() -> None:
    """INVALID_API_KEY: media "not accepted", llm "not sent" (errors.yaml, x-uncertain)."""
    body = b'{"code": 403, "reason": "INVALID_API_KEY", "message": ""}'
    media = api_error(403, body, group="media", doing="it", spends=False)
    llm = api_error(403, body, group="llm", doing="it", spends=False)
    assert media.next_step != llm.next_step


def test_a_named_wait_is_told() -> None:
    error = api_error(429, b"", group="media", doing="it", spends=True, retry_after=90)
    assert error.retry_after == 90
    assert "Novita asks to wait 90 s" in str(error)


@pytest.mark.parametrize("status", [302, 402, 409, 418, 451, 501, 520])
def test_a_status_nobody_documented_is_an_error_all_the_same(status: int) -> None:
    error = api_error(status, b"", group="media", doing="reading it", spends=False)
    assert str(status) in str(error)
    assert isinstance(error, NovitaServerError) == (status >= 500)


def test_what_happened_comes_before_the_bill_and_the_next_step() -> None:
    assert str(InputError("The size is odd.", next_step="Use an even one.")) == (
        "The size is odd. Nothing was billed. Use an even one."
    )
    assert "https://novita.ai/settings/key-management" in str(MissingKeyError())


keys = st.one_of(
    st.from_regex(r"(sk|nv|pk)[-_][A-Za-z0-9_-]{8,60}", fullmatch=True),
    st.text("ABCDEFabcdef0123456789.~+/=-_", min_size=12, max_size=80),
)
around = st.text(st.characters(codec="utf-8", categories=("L", "N", "P", "Z")), max_size=450)


@given(key=keys, before=around, after=around)
def test_no_part_of_a_key_that_novita_echoes_reaches_the_reader(key: str, before: str, after: str) -> None:
    echoed = f"{before} {key} {after}"
    for body in (
        json.dumps({"code": 403, "reason": key, "message": echoed}).encode(),
        json.dumps({"error": {"message": echoed, "code": key}}).encode(),
        json.dumps({"error": echoed}).encode(),
        echoed.encode("utf-8", "replace"),
    ):
        error = api_error(403, body, group="media", doing="it", spends=True, secrets=(key,))
        told = f"{error!s} {error!r} {error.reason}"
        rest = told.replace("[secret]", "")
        pieces = {key[i : i + 12] for i in range(len(key) - 11)}
        innocent = f"{before} {after}"
        assert not [piece for piece in pieces if piece in rest and piece not in innocent]


@given(before=around, key=st.from_regex(r"(sk|nv|pk)[-_][A-Za-z0-9_-]{8,60}", fullmatch=True))
def test_what_looks_like_a_key_is_hidden_even_where_nobody_named_it(before: str, key: str) -> None:
    assert key not in redact(f"{before} {key}")
    assert key not in redact(f"Authorization: Bearer {key}")


PASSWORD_LETTERS = "abcdefABCDEF0123456789!$%*+-./;?@^_~#"


@given(password=st.text(PASSWORD_LETTERS, min_size=4, max_size=40))
@pytest.mark.parametrize(
    "form", ['{{"password": "{}"}}', "password={}", "password: {}", "sshPassword='{}'", '"registryPassword":"{}"']
)
def test_passwords_are_hidden(form: str, password: str) -> None:
    hidden = redact(form.format(password))
    assert "[secret]" in hidden
    assert password not in hidden

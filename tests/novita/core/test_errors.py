"""Novita's errors, in every envelope they come in, become errors a model can act on."""

import json
import re
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
from novita_mcp.tools import TOOLSETS

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
    assert not any("{" in row.user_action for row in error_rows())


def every_tool() -> set[str]:
    return {spec.name for toolset in TOOLSETS for spec in toolset.tools}


def test_what_is_advised_can_be_done_with_this_server() -> None:
    """Kind 15. Tools and arguments that are named exist; nobody is sent to a reference, a message or a header."""
    arguments = {name for toolset in TOOLSETS for spec in toolset.tools for name in spec.build().taken["properties"]}
    for row in error_rows():
        named = set(re.findall(r"(?<!=)\b[a-z]+_[a-z_]+\b", row.user_action)) - arguments
        assert named <= every_tool(), row
        assert {each.partition("=")[0] for each in re.findall(r"\w+=\w+", row.user_action)} <= arguments, row
        assert not re.search(
            r"the reference|Authorization|[Ss]tream|growing pauses|named in the message", row.user_action
        )


@pytest.mark.parametrize("status", [400, 401, 403, 404, 429, 500, 503, 504])
def test_what_language_models_are_not_charged_for_is_said_so(status: int) -> None:
    """Novita's page guides/llm-billing. Of media nothing is documented, so a fault may be billed."""
    error = api_error(status, b"", group="llm", doing="asking it", spends=True)
    assert error.billed == "no"
    assert "Nothing was billed." in str(error)
    media = api_error(status, b"", group="media", doing="submitting", spends=True)
    assert media.billed == ("maybe" if status >= 500 else "no")


def test_a_client_that_went_away_is_charged() -> None:
    assert api_error(499, b"", group="llm", doing="asking it", spends=True).billed == "yes"
    assert api_error(502, b"", group="llm", doing="asking it", spends=True).billed == "maybe"


KEY_ROWS = ("MISSING_API_KEY", "INVALID_API_KEY", "FAILED_TO_AUTH", "UNAUTHORIZED", "GET_TOKEN_FAILED")


@pytest.mark.parametrize("group", ["media", "llm", "gpu", "billing", "llm_batch", "llm_file", "sandbox"])
def test_a_wrong_key_names_the_setting_and_where_to_make_one(group: Group) -> None:
    rows = [row for row in error_rows() if row.name in KEY_ROWS]
    assert len(rows) == 6
    bodies = [(row.http_status, json.dumps({"reason": row.name}).encode()) for row in rows]
    for status, body in (*bodies, (401, b""), (403, b"")):
        step = api_error(status, body, group=group, doing="it", spends=False).next_step
        assert "NOVITA_API_KEY" in step
        assert "https://novita.ai/settings/key-management" in step


@pytest.mark.parametrize("row", [row for row in error_rows() if row.name in KINDS and KINDS[row.name] is BalanceError])
def test_where_to_top_up_is_named(row: ErrorRow) -> None:
    assert "https://novita.ai/billing" in raised(row, json.dumps({"reason": row.name}).encode()).next_step


@pytest.mark.parametrize("name", ["IMAGE_FILE_EXCEEDS_MAX_SIZE", "IMAGE_EXCEEDS_MAX_RESOLUTION", "INVALID_IMAGE_SIZE"])
def test_errors_about_sizes_name_resize(name: str) -> None:
    step = api_error(400, json.dumps({"reason": name}).encode(), group="media", doing="it", spends=True).next_step
    assert "resize=true" in step


@pytest.mark.parametrize("name", ["INVALID_PRODUCT_CATEGORY", "INVALID_BILL_CYCLE"])
def test_errors_of_bills_keep_novitas_names_to_themselves(name: str) -> None:
    body = json.dumps({"reason": name, "message": ""}).encode()
    told = str(api_error(400, body, group="billing", doing="reading the usage bill", spends=False))
    assert not re.search(r"productCategory|cycle parameter|Hour, Day", told)


def test_a_file_that_is_not_there_is_no_batch() -> None:
    error = api_error(404, b"", group="llm_file", doing="reading a file", spends=False)
    assert "batch" not in str(error)
    assert "list_files" in error.next_step


@pytest.mark.parametrize("status", [400, 401, 402, 403, 404, 408, 409, 413, 418, 429, 500, 502, 503, 504, 520])
@pytest.mark.parametrize("group", ["media", "llm", "gpu", "billing", "llm_batch", "llm_file", "sandbox"])
def test_every_status_says_what_to_do_and_nothing_about_where_it_was_documented(status: int, group: Group) -> None:
    for spends in (True, False):
        error = api_error(status, b"", group=group, doing="it", spends=spends)
        assert error.next_step
        assert not re.search(r"pages|plain text|media and LLM|{", str(error))


@pytest.mark.parametrize("group", ["media", "llm", "gpu", "llm_batch", "llm_file", "billing"])
@pytest.mark.parametrize("said", ["", "INVALID_REQUEST_BODY"])
def test_nobody_is_sent_to_a_message_that_is_not_there(said: str, group: Group) -> None:
    body = json.dumps({"code": 400, "reason": "INVALID_REQUEST_BODY", "message": said}).encode()
    for answer in (body, b""):
        told = str(api_error(400, answer, group=group, doing="it", spends=False))
        assert not re.search(r"Novita's message|[Ff]ollow the message|Novita says", told)
        assert "check each argument" in told
    loud = json.dumps({"code": 400, "reason": "INVALID_REQUEST_BODY", "message": "width is odd"}).encode()
    told = str(api_error(400, loud, group=group, doing="it", spends=False))
    assert 'Novita says: "width is odd"' in told
    assert "Correct what Novita's message names" in told


@pytest.mark.parametrize("group", ["gpu", "billing", "llm_batch", "llm_file", "sandbox"])
def test_another_model_is_no_advice_where_no_model_was_asked(group: Group) -> None:
    assert "model" not in str(api_error(500, b"", group=group, doing="it", spends=False))
    assert "another model" in str(api_error(500, b"", group="media", doing="it", spends=False))


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
        if row.http_status >= 500 and not (row.group == "llm" and row.http_status in (500, 503, 504)):
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
    assert "top up at https://novita.ai/billing" in error.next_step


def test_the_same_name_means_what_its_group_says() -> None:
    """RATE_LIMIT_EXCEEDED: of media in a minute, of a language model in a minute."""
    body = b'{"code": 429, "reason": "RATE_LIMIT_EXCEEDED", "message": ""}'
    media = api_error(429, body, group="media", doing="it", spends=False)
    llm = api_error(429, body, group="llm", doing="it", spends=False)
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


@pytest.mark.parametrize("status", [301, 302, 303, 304, 307, 308])
def test_a_redirect_is_told_to_come_from_something_in_between(status: int) -> None:
    told = str(api_error(status, b"<html>Log in</html>", group="llm", doing="asking it", spends=True))
    assert "redirect" in told and "NOVITA_BASE_URL" in told and "Nothing was billed" in told


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

"""Variables: secrets where they belong, and Novita's own key nowhere."""

import pytest
from novita_mcp.novita.core.errors import InputError
from novita_mcp.novita.core.redaction import without_secrets
from novita_mcp.novita.sandbox.env import check_env


@pytest.mark.parametrize(
    "name",
    [
        "API_KEY",
        "OPENAI_API_KEY",
        "GITHUB_TOKEN",
        "DB_PASSWORD",
        "PGPASS",
        "AWS_SECRET_ACCESS_KEY",
        "STRIPE_SECRET",
        "DATABASE_URL",
        "SENTRY_DSN",
        "SESSION_COOKIE",
        "JWT",
        "HF_TOKEN_2",
        "npm_token",
        "SSH_PRIVATE_KEY",
        "MY_CREDS",
        "GITHUBTOKEN",
        "PGPASSWORD",
    ],
)
def test_a_secret_looking_name_is_refused_with_the_way_through(name: str) -> None:
    with pytest.raises(InputError, match=name) as caught:
        check_env({name: "abcdefgh"}, None)

    assert "secret_env" in str(caught.value)
    assert "abcdefgh" not in str(caught.value)


@pytest.mark.parametrize(
    "value",
    [
        "ghp_0123456789abcdefghij",
        "sk-0123456789abcdef",
        "AKIAABCDEFGHIJKLMNOP",
        "postgres://me:pw@host/db",
        "-----BEGIN RSA PRIVATE KEY-----",
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.abc",
    ],
)
def test_a_secret_looking_value_is_refused_under_any_name(value: str) -> None:
    with pytest.raises(InputError, match="secret_env") as caught:
        check_env({"SETTING": value}, None)

    assert value not in str(caught.value)


@pytest.mark.parametrize(
    "name", ["LANG", "PATH", "DEBUG", "KEYBOARD", "COMPASS", "AUTHOR", "MONKEY", "N_TOKENS_MAX", "PORT"]
)
def test_ordinary_variables_are_taken(name: str) -> None:
    assert check_env({name: "value"}, None).all == {name: "value"}


@pytest.mark.parametrize("where", ["plain", "secret"])
def test_the_key_that_pays_is_never_put_into_a_sandbox(where: str) -> None:
    held = {"X": "prefix paying-key-123456 suffix"}

    with pytest.raises(InputError, match="own Novita key") as caught:
        check_env(held if where == "plain" else None, held if where == "secret" else None, own_key="paying-key-123456")

    assert "paying-key" not in str(caught.value)


def test_secret_values_leave_no_text_while_somebody_holds_them() -> None:
    env = check_env({"A": "1"}, {"TOKEN": "tok-very-secret-9"})

    assert env.all == {"A": "1", "TOKEN": "tok-very-secret-9"}
    assert without_secrets("it said tok-very-secret-9!") == "it said [secret]!"
    assert "tok-very" not in repr(env)


@pytest.mark.parametrize(
    ("plain", "secret", "says"),
    [
        ({"A B": "1"}, None, "A B"),
        ({"A": "x\0y"}, None, "NUL"),
        ({"A": "1"}, {"A": "123456"}, "in env and in secret_env"),
        (None, {"PIN": "1234"}, "6 letters"),
    ],
)
def test_what_cannot_be_is_refused(plain: dict[str, str] | None, secret: dict[str, str] | None, says: str) -> None:
    with pytest.raises(InputError, match=says):
        check_env(plain, secret)

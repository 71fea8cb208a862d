"""Verifies sign-in tokens: whether a token is valid and for this server, and who its subject is."""

import hashlib
import logging
import math
from collections import OrderedDict
from collections.abc import Callable, Mapping
from time import time
from typing import Any, cast

import jwt
from mcp.server.auth.provider import AccessToken

from .authority import ALGORITHMS, Authority
from .terms import Terms

logger = logging.getLogger(__name__)

LEEWAY = 30
"""Seconds by which the clocks of this server and of the issuer may differ."""
ASKED_AGAIN = 30.0
"""Seconds for which the issuer's answer about a token is reused. A revoked token may still work for this time."""
_MOST_ASKED = 10_000
_LONGEST = 16_384
_LONGEST_SUBJECT = 1_024


class Verifier:
    """The SDK's `TokenVerifier`. It reads a token that is a JWT, or asks the issuer about it (RFC 7662)."""

    def __init__(self, terms: Terms, authority: Authority, *, wall: Callable[[], float] = time) -> None:
        self._terms = terms
        self._authority = authority
        self._wall = wall
        self._asked: OrderedDict[str, tuple[float, Mapping[str, Any]]] = OrderedDict()

    async def verify_token(self, token: str) -> AccessToken | None:
        """The token with its subject, scopes and claims; None if it is not valid.

        Raises:
            AuthorityError: The authorization server did not answer a question that was necessary.
        """
        if len(token) > _LONGEST:
            return None
        read = self._ask if self._terms.client_id else self._read
        try:
            claims = await read(token)
            return self._token(token, claims)
        except jwt.PyJWTError as error:
            logger.info("sign-in: a token is refused: %s", type(error).__name__)
            return None

    async def _read(self, token: str) -> Mapping[str, Any]:
        header = jwt.get_unverified_header(token)
        algorithm, kid = header.get("alg"), header.get("kid")
        if not isinstance(algorithm, str) or algorithm not in ALGORITHMS or not isinstance(kid, str | None):
            raise jwt.InvalidAlgorithmError("not among those that are taken")
        if str(header.get("typ", "JWT")).lower().removeprefix("application/") not in ("jwt", "at+jwt"):
            raise jwt.InvalidTokenError("a token for something else")
        if "crit" in header:  # PyJWT refuses such tokens itself only from version 2.12 on
            raise jwt.InvalidTokenError("a token that demands what is not known here")
        last: jwt.PyJWTError = jwt.InvalidSignatureError("no key of the authorization server has that name")
        for key in await self._authority.keys_for(kid, algorithm):
            try:
                return self._checked(jwt.decode(token, key, algorithms=[algorithm], options=_SIGNATURE_ONLY))
            except jwt.InvalidSignatureError as error:
                last = error
        raise last

    async def _ask(self, token: str) -> Mapping[str, Any]:
        name = hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()
        until, claims = self._asked.get(name, (0.0, {}))
        if until <= self._wall():
            claims = await self._authority.introspect(token, self._terms.client_id, self._terms.client_secret)
            self._asked[name] = (self._wall() + ASKED_AGAIN, claims)
            if len(self._asked) > _MOST_ASKED:
                self._asked.popitem(last=False)
        if claims.get("active") is not True:
            raise jwt.InvalidTokenError("not active")
        # The issuer itself gave this answer, so an answer without `iss` counts as the issuer's.
        return self._checked({"iss": self._terms.issuer, **claims})

    def _checked(self, claims: Mapping[str, Any]) -> Mapping[str, Any]:
        now = self._wall()
        if not isinstance(issuer := claims.get("iss"), str) or issuer.rstrip("/") != self._terms.issuer.rstrip("/"):
            raise jwt.InvalidIssuerError("another issuer")
        given = claims.get("aud")
        audiences = cast(list[object], given) if isinstance(given, list) else [given]
        if not any(each in self._terms.audiences for each in audiences):
            raise jwt.InvalidAudienceError("for somebody else, or nobody says for whom")
        if _number(claims, "exp") <= now - LEEWAY:
            raise jwt.ExpiredSignatureError("expired")
        if "nbf" in claims and _number(claims, "nbf") > now + LEEWAY:
            raise jwt.ImmatureSignatureError("not yet")
        return claims

    def _token(self, token: str, claims: Mapping[str, Any]) -> AccessToken:
        subject = claims.get("sub")
        if not isinstance(subject, str) or not 0 < len(subject) <= _LONGEST_SUBJECT:
            raise jwt.MissingRequiredClaimError("sub")
        client = claims.get("client_id", claims.get("azp", ""))
        return AccessToken(
            token=token,
            client_id=client if isinstance(client, str) else "",
            scopes=_scopes(claims),
            expires_at=int(_number(claims, "exp")),
            subject=subject,
            claims=dict(claims),
        )


_JUDGED_HERE = ("verify_exp", "verify_nbf", "verify_iat", "verify_aud", "verify_iss", "verify_sub")
_SIGNATURE_ONLY: Any = dict.fromkeys(_JUDGED_HERE, False)
"""PyJWT checks only the signature. `_checked` checks the claims, for JWTs and for answers of the issuer alike."""


def _number(claims: Mapping[str, Any], name: str) -> float:
    value = claims.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise jwt.MissingRequiredClaimError(name)
    return value


def _scopes(claims: Mapping[str, Any]) -> list[str]:
    """A token's scopes. Authorization servers call the claim `scope` or `scp`, and write a text or a list."""
    for name in ("scope", "scp"):
        match claims.get(name):
            case str(text):
                return text.split()
            case [*several]:
                return [each for each in several if isinstance(each, str)]
            case _:
                continue
    return []


def name_of(token: AccessToken) -> str:
    """The name by which people know a subject. The first claims are those that the issuer vouches for, the last those
    that a person may choose freely."""
    claims = token.claims or {}
    for name in ("email", "preferred_username", "upn", "username"):
        if isinstance(value := claims.get(name), str) and value.strip():
            return value.strip()[:200]
    return (token.subject or "")[:200]

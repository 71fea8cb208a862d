"""Trouble that tests order: which requests are disturbed, and how. disturb.py does it.

An effect is one of
  {"error": NAME, "group": "media|llm|gpu|billing", "retry_after": s?}   a row of the error tables
  {"status": n, "body": "...", "content_type": "...", "headers": {}}     this answer
  {"garbage": true} {"html": true} {"empty": true}                       200 with half a JSON, a web page, nothing
  {"reset": "before"|"after"}                                            TCP reset before it is handled, or after it
  {"cut": n}                                                             n bytes of the declared length, then closed
  {"delay": seconds}                                                     the usual answer, later
  {"held": true}                                                         the usual answer, once troubles are cleared
  {"hang": true}                                                         no answer, ever
An invented answer usually replaces the real one. With {"handled": true} beside it the request takes effect first, and
is charged.
"""

import fnmatch
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .facts import error_row

KINDS = frozenset(["error", "status", "garbage", "html", "empty", "reset", "cut", "delay", "held", "hang"])
MOST_RULES = 1000
"""Above this number rules that are used up are dropped."""


@dataclass
class TroubleRule:
    """Which requests to disturb, and how many still."""

    effect: Mapping[str, Any]
    operation: str | None
    path: str | None
    method: str | None
    skip: int
    times: int
    """How many more requests to disturb; -1 for all."""
    hits: int = 0

    def covers(self, operation: str | None, method: str, path: str) -> bool:
        return (
            (self.operation is None or self.operation == operation)
            and (self.method is None or self.method.upper() == method)
            and (self.path is None or fnmatch.fnmatchcase(path, self.path))
        )


class Troubles:
    """The rules of a world, oldest first."""

    def __init__(self) -> None:
        self.rules: list[TroubleRule] = []

    def add(
        self,
        effect: Mapping[str, Any],
        *,
        operation: str | None = None,
        path: str | None = None,
        method: str | None = None,
        skip: int = 0,
        times: int = 1,
    ) -> TroubleRule:
        """Disturb requests that match: leave the first `skip` alone, then disturb `times` of them (-1: all).

        ValueError for an effect that does not exist, KeyError for an error that the tables do not have.
        """
        if len(KINDS & effect.keys()) != 1:
            raise ValueError(f"an effect has exactly one of {sorted(KINDS)}, not {dict(effect)}")
        if "error" in effect:
            error_row(effect.get("group", "media"), effect["error"])
        rule = TroubleRule(dict(effect), operation, path, method, skip, times)
        if len(self.rules) >= MOST_RULES:
            self.rules = [each for each in self.rules if each.times != 0]
        self.rules.append(rule)
        return rule

    def clear(self) -> None:
        self.rules = []

    def hold(self, effect: Mapping[str, Any]) -> bool:
        """Whether the rule with this effect still stands."""
        return any(rule.effect is effect for rule in self.rules)

    def take(self, operation: str | None, method: str, path: str) -> Mapping[str, Any] | None:
        """The effect for this request, or None. The effect counts as used."""
        for rule in self.rules:
            if rule.times == 0 or not rule.covers(operation, method, path):
                continue
            if rule.skip > 0:
                rule.skip -= 1
                continue
            if rule.times > 0:
                rule.times -= 1
            rule.hits += 1
            return rule.effect
        return None

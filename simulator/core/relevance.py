"""How well texts answer a question, told by the words they share."""

import math
import re

WORD = re.compile(r"\w+")
STOP = frozenset(
    re.findall(r"\w+", "a an and are as at be by for from how in is it of on or that the this to was with")
)


def relevance(query: str, documents: list[str]) -> list[float]:
    """A score from 0 to 1 for each document: the share of the query's words in it. Rare and exact words weigh more."""
    asked = _stems(query)
    held = [_stems(document) for document in documents]
    rarity = {stem: math.log(1 + (1 + len(documents)) / (1 + sum(stem in stems for stems in held))) for stem in asked}
    whole = sum(rarity.values()) or 1.0
    scores: list[float] = []
    for stems in held:
        share = sum(weight for stem, weight in rarity.items() if stem in stems) / whole
        # Of two documents with equal shares the shorter one scores higher.
        scores.append(round(0.001 + 0.998 * share * (0.85 + 0.15 / (1 + len(stems) / 50)), 6))
    return scores


def _stems(text: str) -> set[str]:
    return {word[:5] for word in WORD.findall(text.lower()) if word not in STOP}

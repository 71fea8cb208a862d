"""Cuts a script for the played shell into commands, pipes and the operators between them."""

from collections import deque
from collections.abc import Iterator

Word = list[tuple[str, bool, bool]]
"""The parts of a word: (text, whether its variables are replaced, whether it is quoted)."""


class _Tokens:
    """Cuts a script into words and operators."""

    def __init__(self, script: str) -> None:
        self._rest = deque(script)
        self._word: Word = []
        self._begun = False

    def _add(self, text: str, *, expand: bool, quoted: bool) -> None:
        self._begun = True
        self._word.append((text, expand, quoted))

    def _until(self, end: str) -> str:
        found: list[str] = []
        while self._rest:
            letter = self._rest.popleft()
            if letter == end:
                return "".join(found)
            if end == '"' and letter == "\\" and self._rest and self._rest[0] in '"\\$`':
                letter = self._rest.popleft()
            found.append(letter)
        raise ValueError(f"unexpected EOF while looking for matching `{end}'")

    def _taken(self) -> Iterator[Word]:
        if self._begun:
            yield self._word
        self._word, self._begun = [], False

    def __iter__(self) -> "Iterator[Word | str]":
        while self._rest:
            letter = self._rest.popleft()
            following = self._rest[0] if self._rest else ""
            so_far = self._word[-1][0] if self._word and not self._word[-1][2] else ""
            if letter in " \t\r":
                yield from self._taken()
            elif letter == "\n":
                yield from self._taken()
                yield ";"
            elif letter == "'":
                self._add(self._until("'"), expand=False, quoted=True)
            elif letter == '"':
                self._add(self._until('"'), expand=True, quoted=True)
            elif letter == "\\" and following:
                self._add(self._rest.popleft(), expand=False, quoted=True)
            elif letter == "#" and not self._begun:
                while self._rest and self._rest[0] != "\n":
                    self._rest.popleft()
            elif letter in ";|&" and not (letter == "&" and (so_far.endswith(">") or following == ">")):
                yield from self._taken()
                if letter == following:
                    letter += self._rest.popleft()
                yield letter
            elif letter in "()<`" or (letter == "$" and following == "("):
                raise ValueError(f"'{letter}' is not played by the simulator")
            else:
                self._add(letter, expand=True, quoted=False)
                if len(self._word) > 1 and self._word[-2][1:] == (True, False):
                    self._word[-2:] = [(self._word[-2][0] + letter, True, False)]
        yield from self._taken()


def steps(script: str) -> Iterator[tuple[str, list[list[Word]]]]:
    """The pipelines of a script, each with the operator after it. ValueError if it has syntax that is not played."""
    pipeline: list[list[Word]] = [[]]
    for found in _Tokens(script):
        if not isinstance(found, str):
            pipeline[-1].append(found)
        elif found == "|":
            pipeline.append([])
        elif found in ("&&", "||", ";"):
            if any(pipeline):
                yield found, pipeline
            pipeline = [[]]
        else:
            raise ValueError(f"'{found}' is not played by the simulator")
    if any(pipeline):
        yield ";", pipeline

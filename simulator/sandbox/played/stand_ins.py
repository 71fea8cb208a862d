"""What played Python may import and call: harmless parts of the standard library, and stand-ins for tables and plots.

`METHODS` lists the attributes of each type. Played code has no others.
"""

import base64
import csv
import io
import json
import math
import posixpath
import random
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, cast

from ..disk import DiskError, MemoryDisk, absolute
from .plots import Plot, chart_of, draw

Methods = dict[str, Any]


class Home(Protocol):
    """The part of the player that stand-ins may use."""

    disk: MemoryDisk
    cwd: str
    envs: dict[str, str]

    @property
    def show(self) -> "Callable[[Shown], None]": ...
    def pause(self, seconds: float) -> None: ...
    def shown(self, value: Any) -> "Shown": ...


@dataclass(frozen=True)
class Module:
    """A module and its content."""

    name: str
    names: Mapping[str, Any]


@dataclass(frozen=True)
class Shown:
    """Something that is displayed, by the interpreter's kinds (text, html, png, chart...)."""

    kinds: Mapping[str, Any]


@dataclass(frozen=True)
class Read:
    """An attribute that is a value and not a method."""

    of: Callable[[Any], Any]


class File:
    """An open file of the disk in memory."""

    def __init__(self, player: Home, path: str, mode: str) -> None:
        self.player, self.path, self.mode = player, absolute(str(path), player.cwd), mode
        if mode.strip("bt") not in ("r", "w", "a", "x", ""):
            raise ValueError(f"invalid mode: '{mode}'")
        self.binary, self.writes = "b" in mode, mode[0] in "wax"
        before = b""
        if not self.writes or mode[0] == "a":
            before = _read(player, self.path, missing_ok=mode[0] == "a")
        if mode[0] == "x" and self.path in player.disk.nodes:
            raise FileExistsError(17, "File exists", self.path)
        # Reading begins at the start of a file, and writing at its end.
        self.buffer = io.BytesIO()
        self.buffer.write(before)
        if not self.writes:
            self.buffer.seek(0)
        if self.writes:
            self._keep()

    def _keep(self) -> None:
        try:
            self.player.disk.put(self.path, self.buffer.getvalue())
        except DiskError as error:
            raise OSError(28, error.message) from None

    def _given(self, data: bytes) -> str | bytes:
        return data if self.binary else data.decode("utf-8")

    def read(self) -> str | bytes:
        return self._given(self.buffer.read())

    def readlines(self) -> list[str | bytes]:
        return [self._given(line) for line in self.buffer.readlines()]

    def readline(self) -> str | bytes:
        return self._given(self.buffer.readline())

    def write(self, data: str | bytes) -> int:
        self.buffer.write(data.encode() if isinstance(data, str) else data)
        self._keep()
        return len(data)

    def close(self) -> None: ...

    def __iter__(self) -> Any:
        return iter(self.readlines())


def _read(player: Home, path: str, *, missing_ok: bool = False) -> bytes:
    try:
        return player.disk.bytes_of(path)
    except DiskError as error:
        if error.code != "not_found":
            raise IsADirectoryError(21, "Is a directory", path) from None
        if missing_ok:
            return b""
        raise FileNotFoundError(2, "No such file or directory", path) from None


@dataclass
class Table:
    """A table with rows and columns. It has a small part of what a table of pandas can do."""

    player: Home
    columns: list[str]
    rows: list[list[Any]]

    def column(self, name: str) -> list[Any]:
        if name not in self.columns:
            raise KeyError(name)
        index = self.columns.index(name)
        return [row[index] for row in self.rows]

    def __getitem__(self, name: str) -> "Series":
        return Series(name, self.column(name))

    def __len__(self) -> int:
        return len(self.rows)

    def head(self, count: int = 5) -> "Table":
        return Table(self.player, self.columns, self.rows[:count])

    def to_csv(self, path: str, **_: Any) -> None:
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        writer.writerows([self.columns, *self.rows])
        File(self.player, path, "w").write(out.getvalue())

    def show(self) -> Shown:
        shown = self.rows[:60]
        cells = [["", *self.columns], *([str(i), *map(str, row)] for i, row in enumerate(shown))]
        widths = [max(len(line[i]) for line in cells) for i in range(len(cells[0]))]
        lines = ["  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True)) for line in cells]
        more = [f"\n[{len(self.rows)} rows x {len(self.columns)} columns]"] if len(self.rows) > len(shown) else []
        head = "".join(f"<th>{name}</th>" for name in self.columns)
        body = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in shown)
        html = f'<table border="1" class="dataframe"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>'
        data = {name: self.column(name) for name in self.columns}
        return Shown({"text": "\n".join([*lines, *more]), "html": html, "data": data})


@dataclass
class Series:
    """One column."""

    name: str
    values: list[Any]

    def __iter__(self) -> Any:
        return iter(self.values)

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, index: int) -> Any:
        return self.values[index]

    def show(self) -> Shown:
        lines = [f"{i}    {value}" for i, value in enumerate(self.values[:60])]
        return Shown({"text": "\n".join([*lines, f"Name: {self.name}, Length: {len(self.values)}"])})


def _number(text: str) -> Any:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def _table(player: Home, given: Any = None, columns: list[str] | None = None) -> Table:
    if isinstance(given, dict):
        found = cast("dict[str, list[Any]]", given)
        return Table(player, list(found), [list(row) for row in zip(*found.values(), strict=True)])
    rows = list(given or [])
    if rows and isinstance(rows[0], dict):
        names = columns or list(cast("dict[str, Any]", rows[0]))
        return Table(player, names, [[row.get(name) for name in names] for row in rows])
    return Table(player, columns or [str(i) for i in range(len(rows[0]) if rows else 0)], [list(row) for row in rows])


def _read_csv(player: Home, path: str) -> Table:
    text = _read(player, absolute(str(path), player.cwd)).decode("utf-8-sig")
    lines = list(csv.reader(io.StringIO(text)))
    if not lines:
        raise ValueError("No columns to parse from file")
    return Table(player, lines[0], [[_number(cell) for cell in line] for line in lines[1:]])


def _figure(plot: Plot) -> Shown:
    """The figure as a notebook shows it, and its data."""
    png = base64.b64encode(draw(plot)).decode("ascii")
    return Shown({"text": "<Figure size 640x480 with 1 Axes>", "png": png, "chart": chart_of(plot)})


def _plots(player: Home) -> Module:
    held = [Plot()]

    def current() -> Plot:
        return held[-1]

    def add(kind: str) -> Callable[..., None]:
        def call(x: Any, y: Any = None, *_: Any, label: str = "", labels: Any = None, **__: Any) -> None:
            if kind == "pie":
                current().add(kind, list(labels or range(len(list(x)))), list(x))
            else:
                current().add(kind, x, y, label=label)

        return call

    def named(attribute: str) -> Callable[..., None]:
        def call(text: Any = "", *_: Any, **__: Any) -> None:
            setattr(current(), attribute, str(text))

        return call

    def nothing(*_: Any, **__: Any) -> None: ...

    def show(*_: Any, **__: Any) -> None:
        if current().series:
            player.show(_figure(current()))
        held[:] = [Plot()]

    def savefig(path: str, *_: Any, **__: Any) -> None:
        File(player, path, "wb").write(draw(current()))

    def figure(*_: Any, **__: Any) -> None:
        held[:] = [Plot()]

    names: dict[str, Any] = {kind: add(kind) for kind in ("scatter", "bar", "pie")} | {"plot": add("line")}
    names |= {"title": named("title"), "xlabel": named("x_label"), "ylabel": named("y_label")}
    names |= {"show": show, "savefig": savefig, "figure": figure, "close": figure}
    names |= dict.fromkeys(("legend", "grid", "tight_layout", "xticks", "yticks"), nothing)
    return Module("matplotlib.pyplot", names)


def _picture(kind: str) -> Callable[..., Shown]:
    def make(data: Any = "", **_: Any) -> Shown:
        return Shown({kind: data, "text": f"<IPython.core.display.{kind.upper()} object>"})

    return make


def modules(player: Home) -> dict[str, Module]:
    """The modules that can be imported, by full name."""

    def opened(path: str, mode: str = "r", *_: Any, **__: Any) -> File:
        return File(player, path, mode)

    def listdir(path: str = ".") -> list[str]:
        return player.disk.children(absolute(path, player.cwd))

    def exists(path: str) -> bool:
        return absolute(path, player.cwd) in player.disk.nodes

    def dumps(value: Any, **options: Any) -> str:
        return json.dumps(value, indent=2 if options.get("indent") else None, sort_keys=bool(options.get("sort_keys")))

    def display(*values: Any) -> None:
        for value in values:
            player.show(player.shown(value))

    def read_csv(path: str, **_: Any) -> Table:
        return _read_csv(player, path)

    def data_frame(data: Any = None, columns: list[str] | None = None, **_: Any) -> Table:
        return _table(player, data, columns)

    def use(*_: Any) -> None: ...

    def rows(lines: Any, *_: Any, **__: Any) -> list[list[str]]:
        return list(csv.reader(iter(lines)))

    def dict_rows(lines: Any, *_: Any, **__: Any) -> list[dict[str, Any]]:
        return [dict(row) for row in csv.DictReader(iter(lines))]

    plots = _plots(player)
    path_names = {"exists": exists, "join": posixpath.join, "basename": posixpath.basename}
    paths = Module("os.path", path_names)
    envs: dict[str, str] = player.envs
    found = [
        Module("builtins", {"open": opened}),
        Module("math", {name: getattr(math, name) for name in MATH.split()}),
        Module("time", {"sleep": player.pause, "time": time.time, "perf_counter": time.perf_counter}),
        Module("json", {"dumps": dumps, "loads": json.loads}),
        Module("csv", {"reader": rows, "DictReader": dict_rows}),
        Module("statistics", {"mean": statistics.mean, "median": statistics.median, "stdev": statistics.stdev}),
        Module("random", {"seed": random.Random(0).seed, "random": random.Random(0).random}),
        Module("os.path", path_names),
        Module(
            "os", {"listdir": listdir, "getcwd": lambda: player.cwd, "environ": envs, "getenv": envs.get, "path": paths}
        ),
        Module("sys", {"stderr": "<stderr>", "stdout": "<stdout>", "version": "3.11 (played)"}),
        Module("matplotlib", {"pyplot": plots, "use": use}),
        plots,
        Module(
            "pandas",
            {
                "read_csv": read_csv,
                "DataFrame": data_frame,
            },
        ),
        Module(
            "IPython.display",
            {
                "display": display,
                "HTML": _picture("html"),
                "Markdown": _picture("markdown"),
                "Latex": _picture("latex"),
                "SVG": _picture("svg"),
                "JSON": _picture("json"),
                "Javascript": _picture("javascript"),
            },
        ),
        Module("IPython", {}),
    ]
    return {module.name: module for module in found}


def _plain(kind: type[Any], names: str) -> Methods:
    return {name: getattr(kind, name) for name in names.split()}


MATH = "ceil cos e exp fabs floor hypot isnan log log10 log2 pi sin sqrt tan tau trunc"
MOST = 1_000_000


def _small(size: int) -> None:
    if size > MOST:
        raise MemoryError("too large for the simulator, which does not run code")


def _joined(between: str, parts: Any) -> str:
    found = list(parts)
    _small(sum(len(part) for part in found) + len(between) * len(found))
    return between.join(found)


def _replaced(text: str, old: str, new: str, count: int = -1) -> str:
    _small(len(text) + text.count(old) * len(new))
    return text.replace(old, new, count)


def _extended(items: list[Any], more: Any) -> None:
    found = list(more)
    _small(len(items) + len(found))
    items.extend(found)


def _series(call: Callable[[list[Any]], Any]) -> Callable[[Series], Any]:
    return lambda series: call(series.values)


METHODS: Mapping[type[Any], Methods] = {
    str: _plain(
        str,
        "capitalize casefold count endswith find index isalpha isdigit lower lstrip partition rpartition rsplit "
        "rstrip split splitlines startswith strip title upper encode",
    )
    | {"join": _joined, "replace": _replaced},
    bytes: _plain(bytes, "decode hex"),
    list: _plain(list, "append clear copy count index insert pop remove reverse sort") | {"extend": _extended},
    tuple: _plain(tuple, "count index"),
    dict: _plain(dict, "clear copy get items keys pop setdefault update values"),
    set: _plain(set, "add discard intersection issubset remove union update"),
    float: _plain(float, "is_integer"),
    int: _plain(int, "bit_length"),
    File: _plain(File, "read readline readlines write close"),
    Table: {
        "head": Table.head,
        "to_csv": Table.to_csv,
        "columns": Read(lambda table: table.columns),
        "shape": Read(lambda table: (len(table.rows), len(table.columns))),
        "_show": Table.show,
    },
    Series: {
        "sum": _series(sum),
        "mean": _series(statistics.mean),
        "median": _series(statistics.median),
        "min": _series(min),
        "max": _series(max),
        "tolist": _series(list),
        "unique": _series(lambda values: list(dict.fromkeys(values))),
        "_show": Series.show,
    },
}

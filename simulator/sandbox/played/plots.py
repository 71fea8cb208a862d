"""Played plots: a real PNG of the figure, and the data that the interpreter reads out of it."""

import io
from dataclasses import dataclass, field
from typing import Any

from PIL import Image, ImageDraw, ImageFont

SIZE = (640, 480)
LEFT, TOP, RIGHT, BOTTOM = 70, 40, 20, 60
COLOURS = ("#1f77b4", "#ff7f0e", "#2ca02c", "#d62728", "#9467bd", "#8c564b")


@dataclass
class Plot:
    """What was drawn so far: the kind of the last plot, and each series with its label."""

    kind: str = "line"
    series: list[tuple[str, list[Any], list[Any]]] = field(default_factory=list[tuple[str, list[Any], list[Any]]])
    title: str = ""
    x_label: str = ""
    y_label: str = ""

    def add(self, kind: str, x: Any, y: Any = None, *, label: str = "") -> None:
        self.kind = kind
        xs, ys = (list(range(len(list(x)))), list(x)) if y is None else (list(x), list(y))
        if len(xs) != len(ys):
            raise ValueError(f"x and y must have same first dimension, but have shapes ({len(xs)},) and ({len(ys)},)")
        self.series.append((label or f"series {len(self.series)}", xs[:5000], ys[:5000]))


def _numbers(values: list[Any]) -> list[float]:
    """The values as numbers. If they are words, their positions stand for them."""
    if all(isinstance(value, int | float) for value in values):
        return [float(value) for value in values]
    return [float(index) for index in range(len(values))]


def draw(figure: Plot) -> bytes:
    """The figure as PNG, 640x480."""
    picture = Image.new("RGB", SIZE, "white")
    pen = ImageDraw.Draw(picture)
    width, height = SIZE[0] - LEFT - RIGHT, SIZE[1] - TOP - BOTTOM
    if figure.kind == "pie":
        _pie(pen, figure)
    elif figure.series:
        xs = [x for _, values, _ in figure.series for x in _numbers(values)] or [0.0]
        ys = [y for _, _, values in figure.series for y in _numbers(values)] or [0.0]
        if figure.kind == "bar":
            ys.append(0.0)
        low, high, least, most = min(xs), max(xs), min(ys), max(ys)
        for number, (_, x_values, y_values) in enumerate(figure.series):
            points = [
                (
                    LEFT + width * ((x - low) / ((high - low) or 1) * 0.9 + 0.05),
                    TOP + height * (1 - (y - least) / ((most - least) or 1) * 0.9 - 0.05),
                )
                for x, y in zip(_numbers(x_values), _numbers(y_values), strict=True)
            ]
            floor = TOP + height * (1 - (0 - least) / ((most - least) or 1) * 0.9 - 0.05)
            _series(pen, figure.kind, points, floor, COLOURS[number % len(COLOURS)])
        _scale(pen, (f"{least:g}", f"{most:g}"), (low, high))
    pen.rectangle((LEFT, TOP, LEFT + width, TOP + height), outline="black")
    font = ImageFont.load_default(15)
    for text, place in ((figure.title, (SIZE[0] // 2, 18)), (figure.x_label, (SIZE[0] // 2, SIZE[1] - 14))):
        pen.text(place, _latin(text), fill="black", font=font, anchor="mm")
    pen.text((8, 18), _latin(figure.y_label), fill="black", font=font, anchor="lm")
    out = io.BytesIO()
    picture.save(out, "PNG")
    return out.getvalue()


def _latin(text: str) -> str:
    return text.encode("latin-1", "replace").decode("latin-1")[:80]


def _series(pen: ImageDraw.ImageDraw, kind: str, points: list[tuple[float, float]], floor: float, colour: str) -> None:
    if kind == "line" and len(points) > 1:
        pen.line(points, fill=colour, width=3)
        return
    half = min(30.0, 220.0 / max(1, len(points)))
    for x, y in points:
        if kind == "bar":
            pen.rectangle((x - half, min(y, floor), x + half, max(y, floor)), fill=colour)
        else:
            pen.ellipse((x - 4, y - 4, x + 4, y + 4), fill=colour)


def _pie(pen: ImageDraw.ImageDraw, figure: Plot) -> None:
    angle = -90.0
    for _, _, values in figure.series[:1]:
        numbers = [abs(value) for value in _numbers(values)]
        for index, value in enumerate(numbers):
            step = 360 * value / (sum(numbers) or 1)
            pen.pieslice((180, 70, 460, 350), angle, angle + step, fill=COLOURS[index % len(COLOURS)], outline="white")
            angle += step


def _scale(pen: ImageDraw.ImageDraw, y: tuple[str, str], x: tuple[float, float]) -> None:
    font = ImageFont.load_default(12)
    for text, place, anchor in (
        (y[0], (LEFT - 6, SIZE[1] - BOTTOM - 18), "rm"),
        (y[1], (LEFT - 6, TOP + 18), "rm"),
        (f"{x[0]:g}", (LEFT + 25, SIZE[1] - BOTTOM + 12), "mm"),
        (f"{x[1]:g}", (SIZE[0] - RIGHT - 25, SIZE[1] - BOTTOM + 12), "mm"),
    ):
        pen.text(place, text, fill="black", font=font, anchor=anchor)


def chart_of(figure: Plot) -> dict[str, Any]:
    """The data of the figure, which the interpreter sends besides the picture."""
    kind = figure.kind
    chart: dict[str, Any] = {"type": kind, "title": figure.title}
    if kind == "pie":
        _, labels, values = figure.series[0]
        total = sum(_numbers(values)) or 1
        shares = [
            {"label": str(label), "angle": round(360 * value / total, 3), "radius": 1.0}
            for label, value in zip(labels, _numbers(values), strict=True)
        ]
        return chart | {"elements": shares}
    chart |= {"x_label": figure.x_label or None, "y_label": figure.y_label or None, "x_unit": None, "y_unit": None}
    if kind == "bar":
        bars = [
            {"label": str(x), "group": name, "value": y}
            for name, xs, ys in figure.series
            for x, y in zip(xs, ys, strict=True)
        ]
        return chart | {"elements": bars}
    first = figure.series[0]
    ticks = {"x_ticks": first[1][:20], "y_ticks": sorted({min(_numbers(first[2])), max(_numbers(first[2]))})}
    labels = {"x_tick_labels": [str(x) for x in first[1][:20]], "y_tick_labels": [f"{y:g}" for y in ticks["y_ticks"]]}
    points = [
        {"label": name, "points": [[x, y] for x, y in zip(xs, ys, strict=True)]} for name, xs, ys in figure.series
    ]
    return chart | ticks | labels | {"x_scale": "linear", "y_scale": "linear", "elements": points}

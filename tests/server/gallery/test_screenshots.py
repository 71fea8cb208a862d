"""The script that takes README's pictures still takes them: whole, at both widths, light and dark."""

from pathlib import Path

import pytest
from PIL import Image

from ...scripts import SCRIPTS, script
from .browser import MARKS

pytestmark = [*MARKS, pytest.mark.skipif(not (SCRIPTS.parent / "server").is_dir(), reason="away from the source")]


def test_every_picture_is_taken_and_shows_the_page_to_its_end(tmp_path: Path) -> None:
    script("screenshots").take(tmp_path)

    looks = [
        (page, width, theme) for page in ("gallery", "spend") for width in (360, 1100) for theme in ("light", "dark")
    ]
    assert {path.stem for path in tmp_path.iterdir()} == {f"{page}-{width}-{theme}" for page, width, theme in looks}
    for page, width, theme in looks:
        with Image.open(tmp_path / f"{page}-{width}-{theme}.png") as opened:
            picture = opened.convert("L")
        assert picture.width == width
        # The last line, the balance, stands on the bottom: what was not painted is of one colour.
        low, high = picture.crop((0, picture.height - 60, width, picture.height)).getextrema()
        assert int(str(high)) - int(str(low)) > 80, (page, width, theme)
        paper = picture.getpixel((2, picture.height - 2))
        assert (int(str(paper)) > 128) == (theme == "light")

"""The scripted level does the little it knows like Python and a shell, and says clearly what it does not know."""

import base64
import io
from pathlib import Path

import pytest
from PIL import Image
from raw import Raw

PROGRAM = """
import csv, json, statistics
rows = list(csv.DictReader(open('sales.csv')))
totals = {}
for row in rows:
    totals[row['city']] = totals.get(row['city'], 0) + float(row['sold'])

def best(table):
    return max(table, key=lambda name: table[name])

try:
    totals['Atlantis']
except KeyError as error:
    print(f'no {error}')
with open('out.json', 'w') as out:
    out.write(json.dumps(totals))
print(best(totals), round(statistics.mean([float(r['sold']) for r in rows]), 2), f'{3.14159:.2f}')
[name for name in sorted(totals) if totals[name] > 1]
"""


def test_a_small_program_is_played_as_python_plays_it(raw: Raw) -> None:
    sandbox = raw.create()
    sandbox.write("sales.csv", b"city,sold\nRome,1.5\nParis,4\nRome,2\n")

    lines = sandbox.code(PROGRAM)

    assert [line["text"] for line in lines if line["type"] == "stdout"] == ["no 'Atlantis'\n", "Paris 2.5 3.14\n"]
    assert lines[-2]["text"] == "['Paris', 'Rome']"
    assert sandbox.file("out.json").json() == {"Rome": 3.5, "Paris": 4.0}


@pytest.mark.parametrize("kind", ["plot", "bar", "scatter", "pie"])
def test_a_plot_is_a_real_picture_with_its_data(raw: Raw, kind: str) -> None:
    code = f"import matplotlib.pyplot as plt\nplt.{kind}([1, 2, 3], [5, 6, 4])\nplt.title('Sold')"

    (result,) = (line for line in raw.create().code(code) if line["type"] == "result")

    picture = Image.open(io.BytesIO(base64.b64decode(result["png"])))
    picture.load()
    assert (picture.size, picture.format) == ((640, 480), "PNG")
    assert len(picture.convert("RGB").getcolors(10_000) or []) > 3
    assert (result["chart"]["title"], len(result["chart"]["elements"])) == ("Sold", 3 if kind in ("bar", "pie") else 1)


def test_a_table_has_text_html_and_data(raw: Raw) -> None:
    sandbox = raw.create()
    sandbox.write("t.csv", b"a,b\n1,x\n2,y\n")

    line = sandbox.code("import pandas as pd\nt = pd.read_csv('t.csv')\nt")[1]

    assert line["data"] == {"a": [1, 2], "b": ["x", "y"]}
    assert "<th>a</th>" in line["html"]
    assert sandbox.value("t.shape") == "(2, 2)"
    assert sandbox.value("t['a'].mean()") == "1.5"


def test_a_traceback_marks_the_line(raw: Raw) -> None:
    error = raw.create().error("a = 1\nb = 0\na / b")

    assert (error["name"], error["value"]) == ("ZeroDivisionError", "division by zero")
    assert "----> 3 a / b" in error["traceback"]


@pytest.mark.parametrize(
    "code",
    [
        "import subprocess",
        "import socket",
        "().__class__.__bases__[0].__subclasses__()",
        "print.__self__",
        "open.__globals__",
        "__import__('os').system('id')",
        "eval('1+1')",
        "exec('x=1')",
        "class A: pass",
        "f'{print.__self__}'",
        "'{0.__class__}'.format(1)",
        "getattr(print, '__self__')",
        "import os\nos.system('id')",
        "import os\nos.path.os",
        "import json\njson.codecs",
        "lambda *a: 1",
        "async def f(): pass",
        "[].__reduce__()",
        "(x for x in [1]).gi_frame",
        "type(1).mro()",
        "try:\n    1/0\nexcept Exception as e:\n    e.__traceback__.tb_frame",
        "vars()",
        "globals()",
        "compile('1', '', 'eval')",
    ],
)
def test_nothing_of_this_machine_can_be_reached(raw: Raw, code: str) -> None:
    error = raw.create().error(code)

    assert error["name"] in ("NotImplementedError", "NameError", "AttributeError", "ModuleNotFoundError", "ImportError")


@pytest.mark.parametrize(
    "code",
    [
        "10 ** 10 ** 10",
        "'a' * 10 ** 9",
        "[0] * 10 ** 9",
        "x = 'a' * 1000000\nx.replace('a', x)",
        "x = 'a' * 900000\n'-'.join([x, x, x])",
        "x = [1]\nfor i in range(40):\n    x.extend(x)",
        "x = []\nfor i in range(60):\n    x = [x, x]\nprint(x)",
        "range(10 ** 10)",
        "f'{1:>1000000000}'",
        "while True: pass",
        "def f(): return f()\nf()",
        "list(range(999999)) + list(range(999999)) + [1]",
    ],
)
def test_nothing_grows_without_end(raw: Raw, code: str) -> None:
    sandbox = raw.create()

    assert sandbox.error(code)["name"] in ("MemoryError", "NotImplementedError", "RecursionError")
    assert sandbox.value("1 + 1") == "2"


def test_files_are_those_of_the_sandbox_only(raw: Raw, tmp_path: Path) -> None:
    sandbox = raw.create()
    secret = tmp_path / "secret.txt"
    secret.write_text("host")

    assert sandbox.error(f"open({str(secret)!r}).read()")["name"] == "FileNotFoundError"
    sandbox.code(f"open({str(tmp_path / 'made.txt')!r}, 'w').write('x')")
    assert list(tmp_path.iterdir()) == [secret]
    assert sandbox.run(f"cat {secret}")[0]["exitCode"] == 1


@pytest.mark.parametrize(
    ("script", "out"),
    [
        ("echo a && echo b; false || echo c", "a\nb\nc\n"),
        ("false && echo no; echo $?", "1\n"),
        ("mkdir -p d/e; echo one > d/e/f; echo two >> d/e/f; cat d/e/f | wc -l", "2\n"),
        ("A=1; B='$A'; echo \"$A ${A} $B\"", "1 1 $A\n"),
        ("cd /tmp; pwd; touch x.txt y.md; ls *.txt", "/tmp\nx.txt\n"),
        ("seq 3 | head -n 2", "1\n2\n"),
        ("cat none 2>/dev/null; cat none 2>&1 | wc -l", "1\n"),
        ("python -c 'print(6 * 7)'", "42\n"),
        ("echo 'a;b|c' # rest", "a;b|c\n"),
        ("yes | head -2", "y\ny\n"),
    ],
)
def test_a_small_script_is_played_as_a_shell_plays_it(raw: Raw, script: str, out: str) -> None:
    assert raw.create().run(script)[1] == out


@pytest.mark.parametrize("script", ["curl http://127.0.0.1", "gcc x.c", "./program", "/bin/sh script.sh", "sudo id"])
def test_other_commands_say_that_nothing_runs(raw: Raw, script: str) -> None:
    end, _, err = raw.create().run(script)

    assert end["exitCode"] == 127
    assert "the simulator does not run commands" in err


@pytest.mark.parametrize("script", ["echo $(id)", "echo `id`", "cat < x", "sleep 1 &", "echo 'open"])
def test_syntax_that_is_not_played_is_an_error_and_not_skipped(raw: Raw, script: str) -> None:
    end, out, err = raw.create().run(script)

    assert (end["exitCode"], out) == (2, "")
    assert "syntax error" in err

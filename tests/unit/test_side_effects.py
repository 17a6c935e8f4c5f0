"""What executions of one worker change outside of themselves is noticed, and undone where they share it."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

CREW = """
import os
from pathlib import Path
import library  # as one that is installed

def change():
    os.chdir("data")
    os.environ["KEPT"] = "changed"
    del os.environ["GONE"]
    os.environ["NEW"] = "secret value"

def use_library():
    library.prepare()

def write(name):
    open(name, "w").write("x")

def read_and_keep():
    open("notes.txt").read()
    os.environ["KEPT"] = os.environ["KEPT"]

def fail():
    os.chdir("/")
    raise ValueError
"""


def driven(folder: Path, mode: str) -> Any:
    (folder / "p" / "data").mkdir(parents=True)
    (folder / "p" / "results").mkdir()
    (folder / "p" / "site-packages").mkdir()
    (folder / "p" / "crew.py").write_text(f"import sys; sys.path.append('site-packages')\n{CREW}")
    (folder / "p" / "later.py").write_text("import os\nos.environ['MODULE'] = 'at its import'\n")
    library = "import os\ndef prepare():\n    os.environ['LIBRARY'] = 'set up'\n"
    (folder / "p" / "site-packages" / "library.py").write_text(library)
    driver = Path(__file__).with_name("side_effects_driver.py")
    command = [sys.executable, str(driver), str(folder / "p"), mode]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True, timeout=50).stdout)


def test_executions_that_share_a_process(tmp_path: Path) -> None:
    found, folder = driven(tmp_path, "shared"), str(tmp_path / "p")
    before = {"KEPT": "as it was", "GONE": "as it was", "NEW": None, "LIBRARY": None, "MODULE": None}
    changed = {**before, "KEPT": "changed", "GONE": None, "NEW": "secret value"}
    set_up = {"LIBRARY": "set up", "MODULE": "at its import"}
    assert found["meanwhile"] == {"folder": f"{folder}/data", "variables": changed}
    assert found["after the first"] == {"folder": folder, "variables": before}
    assert found["while the second runs"] == {"folder": f"{folder}/data", "variables": {**changed, **set_up}}
    for moment in ("at the end", "last"):
        assert found[moment] == {"folder": folder, "variables": {**before, **set_up}}
    texts = list(dict.fromkeys(found["noticed"]))
    for what in ("current folder", "variable KEPT", "variable GONE", "variable NEW", "file notes.txt"):
        assert sum(what in text and "crew.py:" in text for text in texts) >= 1, what
    assert sum("the file" in text for text in texts) == 1
    assert not any(word in text for text in texts for word in ("LIBRARY", "MODULE"))
    assert not any(text.partition("(at")[0].count("secret") for text in texts)


def test_an_execution_that_has_a_process_alone(tmp_path: Path) -> None:
    found = driven(tmp_path, "alone")
    assert found["after the first"]["variables"]["KEPT"] == "changed"
    assert found["after the first"]["folder"] == f"{tmp_path}/p/data"
    assert found["noticed"] == []

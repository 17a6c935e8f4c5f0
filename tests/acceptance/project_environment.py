"""Make the environment of a project that has a crewai, without installing anything."""

import shutil
import venv
from pathlib import Path

FAKE = Path(__file__).with_name("fake_crewai.py")


def make_environment(folder: Path, version: str | None = "0.100.0") -> Path:
    """Make an environment with the `crewai` of `fake_crewai.py`, and return its folder.

    Args:
        version: what its metadata say; None: there is no crewai.
    """
    venv.create(folder, with_pip=False, symlinks=True)
    packages = next(folder.glob("lib/python3*/site-packages"))
    if version is not None:
        install_crewai(packages)
        (packages / f"crewai-{version}.dist-info").mkdir()
        (packages / f"crewai-{version}.dist-info" / "METADATA").write_text(f"Name: crewai\nVersion: {version}\n")
    return folder


def install_crewai(folder: Path) -> None:
    """Make the package `crewai` in a folder."""
    (folder / "crewai").mkdir()
    shutil.copy(FAKE, folder / "crewai" / "__init__.py")

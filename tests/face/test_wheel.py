"""What is installed is what was built; and what is built from is all there."""

import re
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_wheel_carries_types_and_data_and_nothing_of_the_tests(tmp_path: Path) -> None:
    """SQL, Lua and py.typed travel with the package; the command line is declared."""
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(build, cwd=ROOT, check=True, timeout=120, capture_output=True)
    (wheel,) = tmp_path.glob("aden_py-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        (entry_points,) = (name for name in names if name.endswith("entry_points.txt"))
        assert b"aden = aden.cli:main" in archive.read(entry_points)
    data = ("ledger/sql/schema_1.sql", "ledger/lua/reserve.lua", "pricing/speech.toml")
    for needed in ("aden/py.typed", *(f"aden/{name}" for name in data)):
        assert needed in names
    assert not [name for name in names if name.split("/")[0] not in ("aden", _info(names))]


def test_the_source_distribution_carries_all_that_the_makefile_reads(tmp_path: Path) -> None:
    """Whoever packages it can check and measure what he has."""
    build = [sys.executable, "-m", "hatchling", "build", "-t", "sdist", "-d", str(tmp_path)]
    subprocess.run(build, cwd=ROOT, check=True, timeout=120, capture_output=True)
    (sdist,) = tmp_path.glob("aden_py-*.tar.gz")
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    scripts = set(re.findall(r"\b(?:bench|tests)/\S+\.py\b", (ROOT / "Makefile").read_text()))
    assert len(scripts) > 10
    assert not {".importlinter", "Makefile", "pyproject.toml", *scripts} - names


def _info(names: list[str]) -> str:
    return next(name.split("/")[0] for name in names if ".dist-info/" in name)

"""Backends of other people, installed with an entry point: found by name, and told plainly where they are broken."""

import json
import sys
import tomllib
from pathlib import Path

import pytest

from assigncore import load_backend
from assigncore.conformance import TARGETS, cli, get_target
from assigncore.conformance.targets.foreign import foreign_points

EXAMPLE = Path(__file__).parents[2] / "examples" / "third_party_backend"

CODE = """
from assigncore import ArrayBackend
from assigncore.conformance import Target

def make(): return Target("foreign", "array_api_strict")
def make_numpy(): return Target("numpy", "numpy")
def make_twin(): return Target("foreign", "numpy")
def make_own_name(): return Target("other", "foreign_module")
def fail(): raise KeyError("secret")
def make_number(): return 5
number = 5

class Adapter(ArrayBackend):
    def __init__(self):
        import array_api_strict
        super().__init__(array_api_strict)
"""


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Give a function that installs a distribution with entry points."""
    # The core remembers what is installed when it is first asked.
    load_backend("numpy")
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "foreign_module.py").write_text(CODE)
    (tmp_path / "broken_module.py").write_text("import assigncore_no_such_library")
    (tmp_path / "wrong_module.py").write_text("this is no Python")

    def write(distribution="fake", **points):
        folder = tmp_path / f"{distribution}-1.5.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.5\n")
        lines = "".join(f"{name.replace('__', ':')} = {value}\n" for name, value in points.items())
        (folder / "entry_points.txt").write_text(f"[assigncore.backends]\n{lines}")

    yield write
    for name in ("foreign_module", "broken_module", "wrong_module"):
        sys.modules.pop(name, None)


def test_without_any_there_is_none():
    assert foreign_points() == {}


def test_an_entry_point_is_found_by_its_name(install, capsys, tmp_path):
    install(mine="foreign_module:make")
    assert get_target("mine").name == "foreign"
    assert cli.run(["--list"]) == 0
    assert "installed backends: mine\n" in capsys.readouterr().out
    file = tmp_path / "report.json"
    arguments = ["--assigner", "PointAssigner", "--part", "laws", "--law", "codes", "--json", str(file)]
    assert cli.run(["--backend", "mine", *arguments]) == 0
    assert {cell["backend"] for cell in json.loads(file.read_text())["cells"]} == {"foreign"}


def test_an_adapter_is_the_target_of_its_library(install):
    install(array_api_strict_twin="foreign_module:Adapter")
    target = get_target("array_api_strict_twin")
    assert (target.name, target.library, target.device) == ("array_api_strict_twin",) * 2 + (None,)


def test_a_name_that_is_nearly_one_is_hinted_at(install):
    install(another="foreign_module:make")
    with pytest.raises(ValueError, match=r"expected one of numpy.*another.*did you mean 'another'"):
        get_target("anothr")


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("foreign_module:absent", "module 'foreign_module' has no attribute 'absent'"),
        ("no_such_module:make", "module 'no_such_module' cannot be imported: ModuleNotFoundError"),
        (
            "broken_module:make",
            "cannot be imported: ModuleNotFoundError: No module named 'assigncore_no_such_library'",
        ),
        ("wrong_module:make", "cannot be imported: SyntaxError"),
        ("foreign_module:fail", "raises KeyError: 'secret'"),
        ("foreign_module:make_number", "expected a Target of the factory, got int"),
        ("foreign_module:number", "expected a factory that returns a Target, got int"),
        ("foreign_module:make_numpy", "its target is called 'numpy', as the suite's own is"),
    ],
)
def test_a_broken_one_is_one_line_and_the_list_goes_on(value, words, install, capsys):
    install(mine=value)
    assert cli.run(["--backend", "mine"]) == 2
    err = capsys.readouterr().err
    assert err.startswith("error: backend 'mine'")
    assert err.count("\n") == 1
    assert words in err
    assert cli.run(["--list"]) == 0
    out = capsys.readouterr().out
    assert words in out.splitlines()[1]
    assert "laws: codes" in out


def test_a_target_under_the_name_of_its_library_would_be_taken_for_an_adapter(install):
    install(foreign_module="foreign_module:make_own_name")
    with pytest.raises(ValueError, match=r"name of its library.*such as 'foreign_module-target'"):
        get_target("foreign_module")


@pytest.mark.parametrize("name", ["torch", "cupy__cuda"])
def test_a_clash_with_one_of_the_suite_names_both(name, install, capsys):
    install(**{name: "foreign_module:make"})
    name = name.replace("__", ":")
    assert cli.run(["--backend", name]) == 2
    err = capsys.readouterr().err
    assert f"backend {name!r} is both the suite's own and entry point foreign_module:make of fake 1.5" in err
    # What was not asked for by that name is still the suite's own.
    assert TARGETS["torch"].library == "torch"


def test_two_of_one_name_are_both_named(install, capsys):
    install("fake", mine="foreign_module:make")
    install("fake_too", mine="foreign_module:make_number")
    assert cli.run(["--backend", "mine"]) == 2
    err = capsys.readouterr().err
    assert "foreign_module:make of fake 1.5" in err
    assert "foreign_module:make_number of fake_too 1.5" in err


def test_two_targets_of_one_name_would_share_their_cells(install, capsys):
    install(mine="foreign_module:make")
    assert cli.run(["--backend", "mine", "--backend", "foreign_module:make_twin"]) == 2
    assert "two backends make a target called foreign" in capsys.readouterr().err


def test_the_example_can_be_installed(install, monkeypatch, tmp_path, capsys):
    """Its pyproject.toml names an entry point, and what that names is found."""
    project = tomllib.loads((EXAMPLE / "pyproject.toml").read_text())["project"]
    monkeypatch.syspath_prepend(str(EXAMPLE))
    install(project["name"], **project["entry-points"]["assigncore.backends"])
    arguments = ["--assigner", "MaxIoUAssigner", "--part", "generated", "--cases", "12", "--dtype", "float32"]
    assert cli.run(["--backend", "tiny-arrays", *arguments]) == 0
    assert "tiny_" in capsys.readouterr().out
    for name in ("backend", "tiny_arrays"):
        sys.modules.pop(name, None)

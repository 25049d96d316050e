"""What holds of every module of the plugin, by its syntax: QGIS 3.22 to 4 in one code base, no dependency, nothing that stops a release."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PLUGIN = Path(__file__).resolve().parents[2] / "qgis_plugin" / "rsgeo_qgis"
MODULES = sorted(PLUGIN.rglob("*.py"))

# QGIS.md D10: these are tested everywhere, so they know no QGIS; process.py knows Qt's core alone.
WITHOUT_QGIS = {"protocol.py", "request.py", "report.py", "history.py", "leftovers.py", "env.py", "discover.py", "guided_setup.py", "diagnostics.py"}
ENUM_OWNERS = ("Qt", "Q", "Qgis", "Qgs")
NOT_ENUMS = {"PyQt", "QtCore", "QtGui", "QtWidgets"}


def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), feature_version=(3, 9))


each_module = pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PLUGIN)))


def imported(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield node.module or ""


def test_there_is_a_plugin() -> None:
    assert {"__init__.py", "plugin.py", "provider.py", "protocol.py", "process.py"} <= {path.name for path in MODULES}


@each_module
def test_only_the_standard_library_and_qgis_are_imported(path: Path) -> None:
    tree, name = tree_of(path), path.name
    foreign = {module for module in imported(tree) if module.split(".")[0] not in {*sys.stdlib_module_names, "qgis", "processing"}}
    assert not foreign
    assert "subprocess" not in set(imported(tree))
    if name in WITHOUT_QGIS:
        assert not any(module.startswith("qgis") for module in imported(tree))
    if name == "process.py":
        assert {module for module in imported(tree) if module.startswith("qgis")} == {"qgis.PyQt.QtCore"}


def unscoped(tree: ast.AST) -> Iterator[str]:
    """`Qt.AlignLeft` or `QgsFoo.BarBaz`: a member of an enum without the enum between. Static calls and classes in classes are none."""
    called = {id(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    inner = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    types = [node.annotation for node in ast.walk(tree) if isinstance(node, (ast.arg, ast.AnnAssign)) and node.annotation is not None]
    inner |= {id(part) for annotation in types for part in ast.walk(annotation)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and id(node) not in called and id(node) not in inner:
            owner = node.value.id
            if owner not in NOT_ENUMS and owner[:1] == "Q" and owner.startswith(ENUM_OWNERS) and node.attr[:1].isupper():
                yield f"{owner}.{node.attr}"


@each_module
def test_enums_are_scoped_as_qt6_wants_them(path: Path) -> None:
    assert not list(unscoped(tree_of(path)))


def test_the_check_of_enums_sees_one() -> None:
    assert list(unscoped(ast.parse("a = Qt.AlignLeft; QProcess.NotRunning == b; Qt.AlignmentFlag.AlignLeft; QTimer.singleShot(1, f)"))) == [
        "Qt.AlignLeft",
        "QProcess.NotRunning",
    ]


@each_module
def test_nothing_is_asserted_evaluated_or_caught_broadly(path: Path) -> None:
    for node in ast.walk(tree_of(path)):
        assert not isinstance(node, ast.Assert)
        if isinstance(node, ast.ExceptHandler):
            assert node.type is not None and not (isinstance(node.type, ast.Name) and node.type.id in ("Exception", "BaseException"))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            assert node.func.id not in ("exec", "eval")
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            assert node.func.attr != "exec_"

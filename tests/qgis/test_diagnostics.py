"""The report that goes into an issue: all that explains a fault, and nothing about the person."""

from __future__ import annotations

from rsgeo_qgis.diagnostics import report
from rsgeo_qgis.discover import Python

VERSIONS = {"plugin": "rsgeo_qgis 0.1.0", "QGIS": "3.40.6"}
ENVIRON = {"HOME": "/people/eva", "PYTHONHOME": "/secret/place", "PROJ_DATA": "/usr/share/proj", "MY_KEY": "hunter2"}
PYTHON = Python("/people/eva/env/bin/python", "/people/eva/env", "3.12.4", 64, "0.1.0", True, True, True, "x86_64", "Linux-6.1")
ANSWER = {
    "event": "result",
    "pid": 4711,
    "devices": [{"kind": "cpu", "name": "2 threads", "memory": None}, {"kind": "cuda", "name": "NVIDIA T4", "memory": 16 * 2**30}],
    "models": [{"name": "rsgeo-mini", "title": "Small", "licence": "Apache-2.0", "weights": "present", "parameters": []}],
    "versions": {"torch": "2.13.0+cpu", "peft": None},
    "free_memory": 3 * 2**30,
}


def test_the_report_says_what_runs_where() -> None:
    text = report(VERSIONS, ENVIRON, PYTHON, ANSWER, "", ["/usr/bin/python3 (3.11.2, rsgeo none)"])
    for line in [
        "- plugin: rsgeo_qgis 0.1.0",
        "- kept from rsgeo: PROJ_DATA, PYTHONHOME",
        "- found: /usr/bin/python3 (3.11.2, rsgeo none)",
        "- Python that runs rsgeo: 3.12.4, 64 bit, x86_64, virtual environment, ~/env/bin/python",
        "- rsgeo in it: 0.1.0",
        "- device: cpu, 2 threads",
        "- device: cuda, NVIDIA T4, 16.0 GiB",
        "- model: rsgeo-mini, Small, Apache-2.0, weights present",
        "- free memory: 3.0 GiB",
        "- torch: 2.13.0+cpu",
        "- peft: MISSING",
    ]:
        assert line in text.splitlines()


def test_the_report_names_neither_home_nor_values_of_variables() -> None:
    text = report(VERSIONS, ENVIRON, PYTHON, ANSWER, "File /people/eva/env/lib/x.py")
    assert "eva" not in text and "secret" not in text and "hunter2" not in text and "File ~/env/lib/x.py" in text
    windows = report({"chosen": "C:/Eva/env/python.exe"}, {"USERPROFILE": r"C:\Eva"}, None, {}, r"C:\Eva\x")
    assert "Eva" not in windows


def test_the_report_has_the_fault_last_as_it_was_said() -> None:
    text = report(VERSIONS, {}, None, {}, "This Python has no working rsgeo.\nTraceback ...")
    assert "none that answered" in text and text.endswith("```\nThis Python has no working rsgeo.\nTraceback ...\n```\n")

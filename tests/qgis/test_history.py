"""What was made before, as it is kept in the settings."""

from __future__ import annotations

from rsgeo_qgis import history, request
from rsgeo_qgis.history import Entry


def entry(seed: int) -> Entry:
    asked = request.generate(request.area_bounds(0, 0, 1, 1, "EPSG:4326"), prompt="Wälder", seed=seed)
    return Entry("2026-11-29T12:00:00Z", asked, "/tmp/a.tif")


def test_entries_come_back_as_they_went() -> None:
    entries = [entry(1), entry(2)]
    back = history.from_text(history.to_text(entries))
    assert back == entries and back[0].prompt == "Wälder" and back[1].seed == 2


def test_the_newest_come_first_and_the_oldest_go() -> None:
    entries: list[Entry] = []
    for seed in range(history.MOST_KEPT + 5):
        entries = history.added(entries, entry(seed))
    assert len(entries) == history.MOST_KEPT and entries[0].seed == history.MOST_KEPT + 4


def test_what_another_version_wrote_is_left_out() -> None:
    for text in ("", "no JSON", "7", "[7]", '[{"when": "x"}]', '[{"when": "x", "request": {}, "output": ""}]'):
        assert history.from_text(text) == []

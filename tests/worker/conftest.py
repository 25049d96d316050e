"""What the tests of the worker share: workers, and a small area to ask them for."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

import pytest
from worker_client import RING, Client


@pytest.fixture
def start() -> Iterator[Callable[..., Client]]:
    """Starts workers; they are gone after the test."""
    clients: list[Client] = []

    def start(*program: str) -> Client:
        clients.append(Client(*program))
        return clients[-1]

    yield start
    for client in clients:
        client.kill()


@pytest.fixture(scope="module")
def worker() -> Iterator[Client]:
    """A worker that several tests ask in turn."""
    client = Client().greet()
    yield client
    client.kill()


@pytest.fixture(scope="session")
def area(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A GeoJSON file with a slanted polygon of about 55 x 57 pixels at 10 m."""
    path = tmp_path_factory.mktemp("area") / "area.geojson"
    path.write_text(json.dumps({"type": "Polygon", "coordinates": [RING]}))
    return str(path)

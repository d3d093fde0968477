"""The sites at which the acceptance tests are played."""

from __future__ import annotations

from pathlib import Path

import pytest

from deploy.make_secrets import make_certificates
from tests.acceptance.brokers import SITES, MosquittoSite, Site


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ``ca.crt``, and ``server.crt`` and ``server.key`` for 127.0.0.1."""
    folder = tmp_path_factory.mktemp("certificates")
    make_certificates(folder, ["127.0.0.1"])
    return folder


@pytest.fixture
def site(request: pytest.FixtureRequest, tmp_path: Path) -> Site:
    """The site that the test's parameter names; its broker ends with the test."""
    wanted = SITES[request.param]
    if wanted is None:
        return Site(tmp_path)
    certificates = request.getfixturevalue("certificates")
    return MosquittoSite(tmp_path, request.getfixturevalue("mosquitto"), wanted, certificates)

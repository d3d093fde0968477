"""The city of seed 1, made once for each file of tests."""

from __future__ import annotations

import pytest

from simulators.city import City, make


@pytest.fixture(scope="module")
def city() -> City:
    return make()

"""What is wrong is told in full, in the helpers too."""

import pytest

pytest.register_assert_rewrite("tests.faults.harness", "tests.faults.evidence")

"""The short form: every example, every input that once broke something, and a few hundred made ones for each target."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import structlog
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.fuzz.incoming import decode, judge, message
from tests.fuzz.mutate import Mutator
from tests.fuzz.rule_files import condition, rule_file
from tests.fuzz.stored import configuration
from tests.fuzz.target import CUT, FOUND, Target
from tests.fuzz.targets import FILES, targets

MADE = 150
SLOW = {
    "rule_file": 25,
    "rule_test": 25,
    "registry": 60,
    "replay_mapping": 40,
    "import_mapping": 40,
    "mqtt_3": 60,
    "mqtt_5": 60,
    "frames": 60,
}
"""Fewer of those that take milliseconds."""
WEB = ("http", "frames", "listener", "link_to_core", "link_to_web")


@pytest.fixture(autouse=True)
def silent() -> Iterator[None]:
    """What is refused is logged, thousands of times."""
    before = structlog.get_config()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    yield
    structlog.configure(**before)


def play(target: Target) -> None:
    for data in target.examples:
        target.feed(data)
    for path in target.found():
        target.feed(path.read_bytes())
    mutator = Mutator(target, "short")
    for _ in range(SLOW.get(target.name, MADE)):
        data = mutator.make()
        mutator.learn(data, target.feed(data))


@pytest.mark.parametrize("target", FILES, ids=lambda target: target.name)
def test_of_files_and_messages(target: Target) -> None:
    play(target)


@pytest.mark.parametrize("name", WEB)
def test_of_the_running_application(name: str) -> None:
    play(targets()[name])


def test_every_kept_input_belongs_to_a_target() -> None:
    names = {target.name for target in FILES} | set(WEB)
    assert {folder.name for folder in FOUND.iterdir() if folder.is_dir()} <= names


# --- as their grammar has them ----------------------------------------------------------------------------------

FEW = settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=(Phase.explicit, Phase.generate, Phase.shrink),
)
_scalars = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=12))
_values = st.dictionaries(
    st.sampled_from(("state", "floor", "door", "pressure_mpa", "entrapment", "x")) | st.text(max_size=8),
    _scalars,
    max_size=5,
)
_readings = st.fixed_dictionaries(
    {"device": st.sampled_from(("SMK-1", "LIFT-1", "HYD-1", "WHO-1", "")) | _scalars, "values": _values | _scalars},
    optional={"at": _scalars | st.integers(10**12, 2 * 10**12), "seq": _scalars, "more": _scalars},
)
_bodies = st.one_of(
    _readings, st.lists(_readings, max_size=4), st.fixed_dictionaries({"readings": st.lists(_readings, max_size=3)})
)


def _json(tree: object) -> bytes:
    import json  # noqa: PLC0415 - with NaN and surrogates, which the project's own writer refuses

    return json.dumps(tree, ensure_ascii=True).encode()


@FEW
@given(
    st.one_of(_bodies.map(_json), st.binary(max_size=80)),
    st.sampled_from((b"gridwarden/v1/gw1/up", b"gridwarden/v1/gw1/alarm", b"x")),
)
def test_bodies(body: bytes, topic: bytes) -> None:
    decode(body)
    message(topic + CUT + body)
    judge(topic + CUT + body)


_names = st.sampled_from(
    (
        "floor",
        "speed_mps",
        "door",
        "occupied",
        "previous.door",
        "device.x",
        "change(floor)",
        "rate_per_min(speed_mps)",
        "flour",
    )
)
_terms = st.one_of(
    _names,
    st.integers(-9, 99).map(str),
    st.floats(allow_nan=False, width=16).map(str),
    st.sampled_from(("'open'", "True", "('open', 'x')", "1e999")),
)
_comparisons = st.tuples(_terms, st.sampled_from(("<", "<=", "==", "!=", ">", "in", "not in", "is", "+")), _terms).map(
    " ".join
)
_conditions = st.recursive(
    _comparisons, lambda inner: st.one_of(inner.map("not ({})".format), st.tuples(inner, st.sampled_from((" and ", " or ")), inner).map("".join)), max_leaves=6
)  # fmt: skip


@FEW
@given(_conditions)
def test_conditions(text: str) -> None:
    condition(text.encode())


_rules = st.fixed_dictionaries(
    {"id": st.sampled_from(("own.a", "own.b")), "name": st.just({"zh": "名", "en": "n"}), "source": st.just("ours"), "severity": st.sampled_from(("low", "high", "critical")),
     "category": st.sampled_from(("fault", "fire")), "when": _conditions},
    optional={"for": st.sampled_from(("0s", "5s", "30d", "31d")), "clear": _conditions, "count": st.integers(0, 5), "within": st.sampled_from(("1m", "0s")), "latched": st.booleans(),
              "life_safety": st.booleans(), "late": st.sampled_from(("correct", "evaluate", "store_only")), "lateness": st.just("1m"), "on_missing": st.sampled_from(("alarm", "clear")),
              "first": _comparisons, "hold_by": st.just("readings"), "min_firing": st.just("5s"), "suppressed_when": _comparisons},
)  # fmt: skip


@settings(FEW, max_examples=25)
@given(st.lists(_rules, min_size=1, max_size=3))
def test_rules(rules: list[dict[str, object]]) -> None:
    rule_file(_json({"kind": "lift", "rules": rules}))


@FEW
@given(
    st.dictionaries(
        st.sampled_from(("HTTP__PORT", "SITE", "BROKER", "RULES", "HISTORY__KIND", "X")),
        st.text(st.characters(codec="utf-8", exclude_characters="\n\r\x00"), max_size=20),
        max_size=4,
    )
)
def test_environments(given: dict[str, str]) -> None:
    configuration(CUT + "\n".join(f"GRIDWARDEN_{name}={value}" for name, value in given.items()).encode())

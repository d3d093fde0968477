"""Random conditions of the rule language, and random values for them, for property tests."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from gridwarden.kinds import KINDS, FieldType

KIND = KINDS["lift"]
NUMBERS = ("floor", "load_pct", "trips", "battery_pct")
TRUTHS = ("occupied", "entrapment")
CHOICES = ("door", "mode")
TEXTS = ("floor_label", "fault_text")
FIELDS = (*NUMBERS, *TRUTHS, *CHOICES, *TEXTS)
ATTRIBUTES = ("limit", "mount", "dry")
WORDS = ("", "G", "open", "normal")

_orders = st.sampled_from(["<", "<=", ">", ">=", "==", "!="])
_same = st.sampled_from(["==", "!="])
literals = st.one_of(
    st.integers(-3, 3).map(str), st.sampled_from(["0.5", "-2.5", "9007199254740992", "1e-9", "3000000"])
)
numeric = st.recursive(
    st.one_of(
        literals,
        st.sampled_from(NUMBERS),
        st.sampled_from(NUMBERS).map("previous.{}".format),
        st.sampled_from(NUMBERS).map("change({})".format),
        st.sampled_from(NUMBERS).map("rate_per_min({})".format),
        st.just("device.limit"),
    ),
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from("+-*/"), inner).map(lambda t: f"({t[0]} {t[1]} {t[2]})"),
        inner.map("abs({})".format),
        inner.map("-({})".format),
        st.tuples(st.sampled_from(["min", "max"]), inner, inner).map(lambda t: f"{t[0]}({t[1]}, {t[2]})"),
    ),
    max_leaves=5,
)


def _choices_of(name: str) -> st.SearchStrategy[str]:
    return st.sampled_from(KIND.fields[name].choices)


_text_terms = st.one_of(
    st.sampled_from(CHOICES).flatmap(
        lambda name: st.tuples(st.sampled_from([name, f"previous.{name}"]), _same, _choices_of(name)).map(
            lambda t: f"{t[0]} {t[1]} {t[2]!r}"
        )
    ),
    st.sampled_from(CHOICES).flatmap(
        lambda name: st.tuples(
            st.sampled_from(["in", "not in"]), st.lists(_choices_of(name), min_size=1, max_size=3)
        ).map(lambda t: f"{name} {t[0]} ({', '.join(map(repr, t[1]))},)")
    ),
    st.tuples(_same, st.sampled_from(WORDS)).map(lambda t: f"floor_label {t[0]} {t[1]!r}"),
    st.tuples(_same).map(lambda t: f"floor_label {t[0]} fault_text"),
    st.tuples(_same, st.sampled_from(["'cap'", "floor_label"])).map(lambda t: f"device.mount {t[0]} {t[1]}"),
    st.just("device.mount in ('cap', 'main')"),
)
_plain = st.one_of(
    st.tuples(numeric, _orders, numeric).map(" ".join),
    st.tuples(numeric, _orders, numeric, _orders, numeric).map(" ".join),
    st.tuples(numeric, st.sampled_from(["in", "not in"])).map(lambda t: f"{t[0]} {t[1]} (0, 1, 2.5)"),
    _text_terms,
    st.sampled_from(TRUTHS),
    st.sampled_from(TRUTHS).map("previous.{}".format),
    st.tuples(st.sampled_from(TRUTHS), _same, st.sampled_from([*TRUTHS, "True"])).map(" ".join),
    st.just("(device.dry or False)"),
    st.sampled_from([*FIELDS, "previous.floor", "previous.door", "device.mount", "device.limit"]).map(
        "known({})".format
    ),
    st.sampled_from(FIELDS).map("changed({})".format),
    st.sampled_from(["True", "False"]),
)
conditions = st.recursive(
    _plain,
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from(["and", "or"]), inner).map(lambda t: f"({' '.join(t)})"),
        inner.map("not ({})".format),
        st.tuples(inner, _same, inner).map(lambda t: f"(({t[0]}) {t[1]} ({t[2]}))"),
    ),
    max_leaves=6,
)

odd_values = st.sampled_from([None, "3", "cap", 3, -1, 2.5, True, False, 2**53, 2**53 + 1, 10**400, -0.0, 1e308])
_numbers = st.one_of(st.integers(-3, 3), st.sampled_from([0.5, -2.5, 1e300, 2**53 - 1, -(2**53), 3_000_000]))
_by_type: dict[FieldType, st.SearchStrategy[Any]] = {
    FieldType.BOOL: st.booleans(),
    FieldType.INT: _numbers,
    FieldType.FLOAT: _numbers,
    FieldType.TEXT: st.sampled_from(WORDS),
}


def values_of(name: str, *, odd: bool = False) -> st.SearchStrategy[Any]:
    """Values of a field; ``odd``: sometimes of another type."""
    field = KIND.fields[name]
    fitting = st.sampled_from(field.choices) if field.type is FieldType.ENUM else _by_type[field.type]
    return st.one_of(st.none(), fitting, fitting, *([odd_values] if odd else []))


def readings_of(*, odd: bool = False) -> st.SearchStrategy[dict[str, Any]]:
    """Some fields with values."""
    return st.fixed_dictionaries({}, optional={name: values_of(name, odd=odd) for name in FIELDS})


attributes = st.fixed_dictionaries(
    {},
    optional={
        "limit": st.one_of(_numbers, odd_values),
        "mount": st.one_of(st.sampled_from(["cap", "riser", "G"]), odd_values),
        "dry": st.one_of(st.booleans(), odd_values),
    },
)

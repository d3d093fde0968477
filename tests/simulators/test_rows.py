import gzip
from pathlib import Path

import pytest

from gridwarden.errors import ConfigError
from simulators.rows import BadLine, RowFile


def _rows(path: Path) -> list[tuple[int, object]]:
    with RowFile(path) as file:
        return [(line, str(row) if isinstance(row, BadLine) else row) for line, row in file]


def test_csv_with_byte_order_mark_quotes_and_a_short_line(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_bytes('\ufeffid,名称\n1,"two\nlines"\n2\n\n3,楼\n'.encode())
    assert _rows(path) == [
        (3, {"id": "1", "名称": "two\nlines"}),
        (4, "1 cells, 2 columns"),
        (6, {"id": "3", "名称": "楼"}),
    ]
    with RowFile(path) as file:
        assert file.header() == ["id", "名称"]


def test_json_lines_gzipped(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl.gz"
    path.write_bytes(gzip.compress(b'{"a":1}\n\n[1]\n{"a":NaN}\n{"a"\n{"a":2}'))
    lines = _rows(path)
    assert lines[0] == (1, {"a": 1})
    assert lines[1] == (3, "not a JSON object")
    assert [line for line, row in lines if str(row).startswith("not JSON")] == [4, 5]
    assert lines[-1] == (6, {"a": 2})
    with RowFile(path) as file:
        assert file.header() is None
        assert file.fraction == 0
        assert len(list(file)) == 5
        assert file.fraction == 1


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("cut.csv.gz", gzip.compress(b"id,x\n" + b"1,2\n" * 9000, mtime=0)[:60]),
        ("not.csv.gz", b"id,x\n1,2\n"),
        ("latin.csv", "id,x\n1,für\n".encode("latin-1")),
        ("latin.jsonl", '{"x":"für"}\n'.encode("latin-1")),
    ],
)
def test_a_damaged_file_is_refused(tmp_path: Path, name: str, content: bytes) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(ConfigError, match="damaged"):
        _rows(path)


def test_no_such_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file"):
        _rows(tmp_path / "none.csv")

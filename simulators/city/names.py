"""Invented names, Chinese with their romanisation. Pure; chance only in their order."""

from __future__ import annotations

from random import Random
from typing import NamedTuple


class Name(NamedTuple):
    """One name in both languages."""

    zh: str
    en: str


CITY = Name("示范市", "Demo City")
DISTRICT = Name("滨河区", "Binhe District")
RIVER = Name("碧澜江", "Bilan River")
LAKE = Name("月汀湖", "Yueting Lake")

_STREETS = {
    "汀洲": "Tingzhou", "鹭湾": "Luwan", "云澜": "Yunlan", "澄溪": "Chengxi", "柳汀": "Liuting", "锦帆": "Jinfan",
    "南屿": "Nanyu", "桐渚": "Tongzhu", "白荻": "Baidi", "星渡": "Xingdu", "石矶": "Shiji",
}  # fmt: skip
_FIRST = {
    "锦": "Jin", "翠": "Cui", "云": "Yun", "和": "He", "瑞": "Rui", "景": "Jing", "丹": "Dan", "玉": "Yu",
    "春": "Chun", "望": "Wang", "清": "Qing", "明": "Ming", "兰": "Lan", "竹": "Zhu", "松": "Song", "桂": "Gui",
    "梅": "Mei", "荷": "He", "柳": "Liu", "枫": "Feng", "星": "Xing", "月": "Yue", "晨": "Chen", "朝": "Zhao",
    "福": "Fu", "安": "An", "康": "Kang", "宁": "Ning", "华": "Hua", "庆": "Qing",
}  # fmt: skip
_VILLAGE = {
    "河": "he", "塘": "tang", "桥": "qiao", "坞": "wu", "井": "jing", "亭": "ting", "渡": "du", "墩": "dun",
    "浦": "pu", "荡": "dang", "埠": "bu",
}  # fmt: skip
_ESTATE = {
    "湖": "hu", "江": "jiang", "溪": "xi", "园": "yuan", "庭": "ting", "悦": "yue", "岸": "an", "泽": "ze",
    "林": "lin", "岚": "lan", "舟": "zhou", "澜": "lan", "禾": "he", "棠": "tang", "屏": "ping", "苇": "wei",
}  # fmt: skip
_ROAD = {
    "山": "shan", "州": "zhou", "川": "chuan", "台": "tai", "源": "yuan", "城": "cheng", "阳": "yang", "关": "guan",
    "谷": "gu",
}  # fmt: skip
_SUFFIXES = {
    "slab": (Name("苑", "Court"), Name("里", "Lane Estate"), Name("新村", "New Village"), Name("坊", "Square")),
    "tower": (Name("花园", "Garden"), Name("名邸", "Mansions"), Name("公寓", "Apartments"), Name("府", "Residence")),
    "office": (Name("大厦", "Building"), Name("中心", "Centre"), Name("广场", "Plaza")),
    "mall": (Name("商城", "Mall"), Name("天地", "Arcade")),
    "school": (Name("小学", "Primary School"), Name("中学", "Middle School")),
}
SORTS = tuple(_SUFFIXES)
"""What a property can be."""
_LANES = (
    ("一", "1st"), ("二", "2nd"), ("三", "3rd"), ("四", "4th"), ("五", "5th"), ("六", "6th"), ("七", "7th"),
    ("八", "8th"), ("九", "9th"), ("十", "10th"),
)  # fmt: skip


class Names:
    """Hands out every name once."""

    def __init__(self, rng: Random) -> None:
        self._rng = rng
        self._streets = [Name(f"{zh}街道", f"{en} Street") for zh, en in _STREETS.items()]
        self._communities = [Name(f"{zh}社区", f"{en} Community") for zh, en in _pairs(rng, _FIRST, _VILLAGE)]
        stems = _pairs(rng, _FIRST, _ESTATE)
        self._estates = {
            sort: [Name(zh + end.zh, f"{en} {end.en}") for end in ends for zh, en in rng.sample(stems, len(stems))]
            for sort, ends in _SUFFIXES.items()
        }
        for estates in self._estates.values():
            rng.shuffle(estates)
        self._roads = _pairs(rng, _FIRST, _ROAD)
        self._main = iter(self._roads)
        self._lanes = iter([(stem, lane) for stem in self._roads for lane in _LANES])

    def street(self) -> Name:
        """A street (街道): the third level of areas."""
        return self._streets.pop()

    def community(self) -> Name:
        """A community (社区)."""
        return self._communities.pop()

    def estate(self, sort: str) -> Name:
        """An estate, a tower, a school: one of ``SORTS``."""
        return self._estates[sort].pop()

    def road(self, road_class: str, *, eastward: bool) -> Name:
        """A road: 路 runs east and west, 街 north and south, 巷 is a lane."""
        if road_class == "residential":
            (zh, en), (number, ordinal) = next(self._lanes)
            return Name(f"{zh}{number}巷", f"{en} {ordinal} Lane")
        zh, en = next(self._main)
        if road_class == "trunk":
            return Name(f"{zh}大道", f"{en} Avenue")
        return Name(f"{zh}路", f"{en} Road") if eastward else Name(f"{zh}街", f"{en} Street")


def _pairs(rng: Random, first: dict[str, str], second: dict[str, str]) -> list[Name]:
    pairs = [Name(a + b, a_en + b_en) for a, a_en in first.items() for b, b_en in second.items()]
    rng.shuffle(pairs)
    return pairs

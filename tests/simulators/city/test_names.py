from random import Random

from simulators.city.names import SORTS, Names


def test_no_name_is_given_twice() -> None:
    names = Names(Random(1))
    given = [names.street() for _ in range(11)] + [names.community() for _ in range(80)]
    given += [names.estate(sort) for sort in SORTS for _ in range(600)]
    given += [names.road("primary", eastward=number % 2 == 0) for number in range(90)]
    given += [names.road("residential", eastward=True) for _ in range(600)]
    assert len({name.zh for name in given}) == len(given)
    assert all(name.en.isascii() and name.zh and not name.zh.isascii() for name in given)


def test_a_road_is_named_by_its_class_and_direction() -> None:
    names = Names(Random(1))
    endings = [names.road(sort, eastward=east).zh[-1] for sort, east in (("trunk", True), ("primary", True))]
    endings += [names.road("secondary", eastward=False).zh[-1], names.road("residential", eastward=True).zh[-1]]
    assert endings == ["道", "路", "街", "巷"]

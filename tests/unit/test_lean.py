"""Dataclasses that are cheap to define: all that frozen dataclasses are."""

from __future__ import annotations

import copy
import dataclasses
import pickle
from dataclasses import FrozenInstanceError, field, replace
from functools import cached_property
from typing import Any, ClassVar, Generic, TypeVar

import pytest

from caraway.lean import dataclass, made

T = TypeVar("T")


@dataclass(frozen=True)
class Point(Generic[T]):
    """Where something is."""

    x: int
    y: int = 0
    names: list[T] = field(default_factory=list)
    note: str = field(default="", compare=False, repr=False)
    kind: ClassVar[str] = "point"

    @cached_property
    def twice(self) -> int:
        return 2 * self.x


@dataclasses.dataclass(frozen=True)
class Standard(Generic[T]):
    """The same as the standard library makes it."""

    x: int
    y: int = 0
    names: list[T] = field(default_factory=list)
    note: str = field(default="", compare=False, repr=False)
    kind: ClassVar[str] = "point"


@dataclass(frozen=True)
class Solid(Point[str]):
    z: int = 0
    whole: tuple[int, int, int] = field(init=False, default=(0, 0, 0))


@dataclass(frozen=True)
class Sparse:
    sparse: ClassVar[bool] = True

    x: int
    y: int | None = None
    z: int | None = 0
    names: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Nothing:
    pass


@dataclass(frozen=True)
class Positive:
    value: int
    log: list[str] = field(init=False, default_factory=list)

    def __post_init__(self) -> None:
        if self.value <= 0:
            raise ValueError(self.value)


@dataclass(frozen=True)
class Own:
    value: int

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Own)

    def __repr__(self) -> str:
        return "its own"


@pytest.mark.parametrize("make", [Point, Standard])
def test_an_instance_has_its_fields_by_place_by_name_and_by_default(make: Any) -> None:
    assert [getattr(make(1), each) for each in ("x", "y", "names", "note")] == [1, 0, [], ""]
    assert make(1, 2, ["a"], "b").names == ["a"]
    assert make(y=2, x=1).y == 2
    assert make(1).names is not make(1).names
    assert make(1).kind == make.kind == "point"


@pytest.mark.parametrize("make", [Point, Standard])
@pytest.mark.parametrize("arguments", [((), {}), ((1, 2, [], "", 5), {}), ((1,), {"z": 5})])
def test_wrong_arguments_are_refused(make: Any, arguments: Any) -> None:
    args, named = arguments
    with pytest.raises(TypeError, match=rf"{make.__name__}\.__init__\(\)"):
        make(*args, **named)


@pytest.mark.parametrize("make", [Point, Standard])
def test_instances_are_equal_by_their_fields(make: Any) -> None:
    assert make(1, 2) == make(1, 2, note="another")
    assert make(1, 2) != make(2, 1)
    assert make(1) != 1
    assert Solid(1) != Point(1)
    assert Nothing() == Nothing()
    assert hash(make(1, 2, ())) == hash((1, 2, ()))
    with pytest.raises(TypeError, match="unhashable"):
        hash(make(1))


def test_a_representation_shows_its_fields() -> None:
    assert repr(Point(1, 2)) == "Point(x=1, y=2, names=[])"
    assert repr(Nothing()) == "Nothing()"
    endless: Point[Any] = Point(1)
    endless.names.append(endless)
    assert repr(endless) == "Point(x=1, y=0, names=[...])"


@pytest.mark.parametrize("instance", [Point(1), Solid(1), Standard(1)])
def test_nothing_of_it_can_be_changed(instance: Any) -> None:
    for name in ("x", "other"):
        with pytest.raises(FrozenInstanceError, match=f"cannot assign to field '{name}'"):
            setattr(instance, name, 5)
    with pytest.raises(FrozenInstanceError, match="cannot delete field 'x'"):
        del instance.x


def test_a_class_that_is_derived_has_the_fields_of_both() -> None:
    solid = Solid(1, 2, z=3)
    assert (solid.x, solid.y, solid.z, solid.whole) == (1, 2, 3, (0, 0, 0))
    assert Point(1).x == 1  # whichever of them is made first

    class Named(Point[str]):
        def __init__(self, name: str) -> None:
            super().__init__(7)
            self.name = name

    named = Named("seven")
    assert (named.x, named.name) == (7, "seven")
    del named.name
    with pytest.raises(FrozenInstanceError):
        named.x = 8  # type: ignore[misc]


def test_a_standard_dataclass_may_derive_from_it() -> None:
    @dataclasses.dataclass(frozen=True)
    class Third(Solid):
        w: int = 4

    assert (Third(1).x, Third(1).w) == (1, 4)
    with pytest.raises(TypeError, match="cannot inherit non-frozen"):
        dataclasses.dataclass(type("Loose", (Point,), {}))


def test_what_a_class_says_itself_stands() -> None:
    assert Own(1) == Own(2)
    assert repr(Own(1)) == "its own"
    assert hash(Own(1)) == hash(Own(1))
    assert Positive(1).log == []
    with pytest.raises(ValueError, match="-1"):
        Positive(-1)


def test_the_standard_library_takes_it_for_one_of_its_own() -> None:
    point: Point[str] = Point(1, 2, ["a"])
    assert replace(point, y=5) == Point(1, 5, ["a"])
    assert [each.name for each in dataclasses.fields(point)] == ["x", "y", "names", "note"]
    assert dataclasses.asdict(point) == {"x": 1, "y": 2, "names": ["a"], "note": ""}
    assert pickle.loads(pickle.dumps(point)) == copy.deepcopy(point) == copy.copy(point) == point
    assert point.twice == 2
    match point:
        case Point(x, y):
            assert (x, y) == (1, 2)


def test_a_sparse_one_does_not_hold_its_defaults() -> None:
    sparse = Sparse(1)
    assert vars(sparse) == {"x": 1, "names": []}
    assert (sparse.x, sparse.y, sparse.z) == (1, None, 0)
    assert vars(Sparse(1, 2, None, ["a"])) == {"x": 1, "y": 2, "z": None, "names": ["a"]}
    assert sparse == Sparse(1, None, 0) == pickle.loads(pickle.dumps(sparse))
    assert sparse != Sparse(1, 0)
    assert replace(Sparse(1, 2), y=None) == sparse
    assert repr(sparse) == "Sparse(x=1, y=None, z=0, names=[])"


def test_a_sparse_one_can_be_made_of_its_fields() -> None:
    made_of_fields = made(Sparse, {"x": 1, "names": ["a"]})
    assert made_of_fields == Sparse(1, names=["a"])
    assert (made_of_fields.y, made_of_fields.z) == (None, 0)
    assert replace(made_of_fields, z=5) == Sparse(1, z=5, names=["a"])
    with pytest.raises(FrozenInstanceError):
        made_of_fields.x = 2  # type: ignore[misc]


def test_other_dataclasses_are_the_standard_librarys() -> None:
    @dataclass
    class Loose:
        x: int = 1

    @dataclass(frozen=True, order=True)
    class Ordered:
        x: int

    loose = Loose()
    loose.x = 2
    assert loose == Loose(2)
    assert Ordered(1) < Ordered(2)

"""A folder of ``--keep`` belongs to one app in one region, and to one run at a time."""

from __future__ import annotations

from pathlib import Path

import pytest

from caraway.exceptions import LocalError
from caraway.local.keep import kept
from caraway.local.package import project_sources


def test_a_folder_is_made_and_taken_again(tmp_path: Path) -> None:
    folder = tmp_path / "deep" / "kept"
    for _ in range(2):
        with kept(folder, "shop:app", "us-east-1") as place:
            assert place == folder
            (place / "state").mkdir(exist_ok=True)


def test_two_runs_do_not_share_it(tmp_path: Path) -> None:
    folder = tmp_path / "kept"
    with (
        kept(folder, "shop:app", "us-east-1"),
        pytest.raises(LocalError, match="in use by another caraway dev"),
        kept(folder, "shop:app", "us-east-1"),
    ):
        pass


@pytest.mark.parametrize(("app", "region"), [("other:app", "us-east-1"), ("shop:app", "eu-west-1")])
def test_another_app_or_region_is_told_whose_it_is(app: str, region: str, tmp_path: Path) -> None:
    folder = tmp_path / "kept"
    with kept(folder, "shop:app", "us-east-1"):
        pass
    with (
        pytest.raises(LocalError, match="keeps the state of shop:app in us-east-1"),
        kept(folder, app, region),
    ):
        pass


def test_a_folder_with_other_files_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "shop.py").touch()
    with (
        pytest.raises(LocalError, match="holds other files"),
        kept(tmp_path, "shop:app", "us-east-1"),
    ):
        pass
    assert [each.name for each in tmp_path.iterdir()] == ["shop.py"]


def test_a_start_that_was_killed_at_once_leaves_a_folder_that_can_be_used(tmp_path: Path) -> None:
    folder = tmp_path / "kept"
    folder.mkdir()
    (folder / "caraway-dev.json").touch()
    with kept(folder, "shop:app", "us-east-1"):
        pass


def test_a_file_in_its_place_is_told(tmp_path: Path) -> None:
    (tmp_path / "kept").touch()
    with (
        pytest.raises(LocalError, match="cannot be used for --keep"),
        kept(tmp_path / "kept", "shop:app", "us-east-1"),
    ):
        pass


def test_what_is_kept_is_no_code_of_the_project(tmp_path: Path) -> None:
    (tmp_path / "shop").mkdir()
    with kept(tmp_path / "kept", "shop:app", "us-east-1"):
        pass
    assert project_sources(tmp_path) == [tmp_path / "shop"]

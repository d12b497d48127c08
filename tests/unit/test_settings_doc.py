from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import caraway
from caraway.celery_settings import REPLACEMENTS
from caraway.settings import SETTINGS
from caraway.settings_doc import markdown

SOURCE = Path(caraway.__file__).parents[1]
PAGE = Path(__file__).parents[2] / "docs" / "settings.md"


def test_the_page_is_what_the_command_prints() -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "caraway.settings_doc"],
        capture_output=True,
        text=True,
        check=True,
        cwd=SOURCE,
    )
    assert ran.stdout == markdown()
    assert PAGE.read_text() == markdown(), "run: python -m caraway.settings_doc > docs/settings.md"


def test_every_setting_is_on_it() -> None:
    text = markdown()
    assert [name for name in [*SETTINGS, *REPLACEMENTS] if f"`{name}`" not in text] == []

"""docs/guides/configuration.md lists every setting with its true default, and says which are options."""

import re
from pathlib import Path

import attrs
import pytest

from tagfs.options import Options
from tagfs.settings import Settings, load

PAGE = (Path(__file__).parent.parent / "docs/guides/configuration.md").read_text(encoding="utf-8")
ROWS = {row[0]: row[1:] for row in re.findall(r"^\| `(\w+)` \| (.*?) \| (.*?) \| (yes)? ?\|$", PAGE, re.MULTILINE)}
OPTIONS = {name.rstrip("=").replace("-", "_") for name in Options().longOpt}


def test_every_setting_has_a_row() -> None:
    """No setting is missing from the table, and none is there that is not."""
    assert list(ROWS) == [field.name for field in attrs.fields(Settings)]


@pytest.mark.parametrize("name", ROWS)
def test_row_is_true(name: str) -> None:
    """A default in code letters is the value that a node has without the setting; "yes" stands where twistd has it."""
    default, meaning, option = ROWS[name]
    assert meaning
    assert (option == "yes") == (name in OPTIONS)
    if match := re.fullmatch(r"`(.*)`", default):
        assert getattr(load({name: match[1]}, {"TAGFS_CLUSTER_KEY": "key"}), name) == getattr(load({}, {}), name)


def test_the_error_shown_is_the_error(tmp_path: Path) -> None:
    """The example of an error is what load says."""
    config = tmp_path / "tagfs.toml"
    config.write_text("copies = '0'\n")
    with pytest.raises(Exception, match="copies") as caught:
        load({}, {}, config)
    assert f"tagfs: {caught.value}".replace(str(config), "/etc/tagfs.toml") in PAGE

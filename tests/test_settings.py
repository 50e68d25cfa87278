"""Settings: every source, their order, and errors that name source, bad value and what is allowed."""

from pathlib import Path

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tagfs.errors import StartError
from tagfs.settings import Address, Settings, load


@pytest.fixture
def toml(tmp_path: Path):
    def write(text: str) -> Path:
        path = tmp_path / "tagfs.toml"
        path.write_text(text, encoding="utf-8")
        return path

    return write


def test_defaults():
    """Without any source a node is alone, on loopback, at the documented ports, with its data in ./tagfs-data."""
    settings = load({}, {})
    assert settings == Settings(data=Path("tagfs-data").absolute())
    assert settings.ftp == "tcp:2121:interface=127.0.0.1"
    assert settings.web == "tcp:8080:interface=127.0.0.1"
    assert settings.node == "tcp:4747:interface=127.0.0.1"
    assert (settings.copies, settings.write_copies, settings.out_after, settings.trash_days) == (3, None, 600, 30)
    assert settings.anonymous == "none"
    assert settings.cluster_key is None
    assert settings.name


def test_each_source_beats_the_one_before(toml):
    """TOML file < environment < options, setting by setting."""
    config = toml('copies = 2\ntrash_days = 2\nzone = "toml"\n')
    environ = {"TAGFS_TRASH_DAYS": "3", "TAGFS_ZONE": "environment"}
    settings = load({"zone": "option"}, environ, config)
    assert (settings.copies, settings.trash_days, settings.zone) == (2, 3, "option")


def test_options_not_given_do_not_count():
    """None, an unset flag and an empty list leave what the environment says."""
    options = {"copies": None, "merge": 0, "join": [], "nodaemon": 1, "cluster-key": "key"}
    settings = load(options, {"TAGFS_COPIES": "2", "TAGFS_MERGE": "on", "TAGFS_JOIN": "a:1"})
    assert (settings.copies, settings.merge, settings.join) == (2, True, (Address("a", 1),))


def test_every_setting_is_reachable_from_toml_and_environment(toml, tmp_path):
    """Each field has a TOML key (with - or _) and a variable, and both give the same value."""
    samples: dict[str, object] = {
        "data": "d", "name": "n", "ftp": "tcp:1", "web": "off", "node": "tcp:0", "advertise": "h:1", "cluster_key": "k",
        "join": "a:1,b:2", "merge": True, "discovery": "off", "beacon_port": 5000, "zone": "z", "node_tls": False,
        "copies": 4, "write_copies": 2, "out_after": 60, "trash_days": 1, "anonymous": "read",
        "admin_password_file": "p", "catalog": "memory:", "blobs": "memory:", "idle_timeout": 10, "stall_timeout": 10,
        "sessions": 5, "sessions_per_host": 6, "passive_ports": "50000-50100", "passive_per_host": 7, "masquerade": "192.0.2.1",
        "ftp_tls": "required", "tls_certificate": "c", "tls_key": "t", "web_names": "files.example",
    }  # fmt: skip
    assert samples.keys() == {field.name for field in attrs.fields(Settings)}
    lines = [
        f"{key.replace('_', '-')} = {str(value).lower() if isinstance(value, bool) else repr(value)}"
        for key, value in samples.items()
    ]
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path)  # relative paths: the file's directory and the working directory are the same here
        from_toml = load({}, {}, toml("\n".join(lines)))
        from_environment = load({}, {f"TAGFS_{key.upper()}": str(value) for key, value in samples.items()})
        from_options = load(
            {key.replace("_", "-"): value for key, value in samples.items() if key != "node_tls"} | {"node-tls": "off"},
            {},
        )
    assert from_toml == from_environment == from_options
    assert from_toml.passive_ports == (50000, 50100)
    assert from_toml.web is None
    defaults = Settings()
    assert [key for key in samples if getattr(from_toml, key) == getattr(defaults, key)] == []


def test_paths_are_absolute_and_relative_to_their_source(toml, tmp_path, monkeypatch):
    """A path in the file is relative to the file, others to the working directory: a daemon changes to /."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    settings = load({"cluster-key": "key"}, {}, toml('data = "store"\n'))
    assert settings.data == tmp_path / "store"
    assert settings.cluster_key == elsewhere / "key"
    assert settings.catalog_url == f"sqlite:{tmp_path}/store/catalog"
    assert settings.blobs_url == f"file:{tmp_path}/store/blobs"


def test_config_file_is_named_by_option_or_environment(toml):
    """--config and TAGFS_CONFIG both name the file; the option wins."""
    config = toml("copies = 5\n")
    assert load({"config": str(config)}, {"TAGFS_CONFIG": "/nonexistent"}).copies == 5
    assert load({}, {"TAGFS_CONFIG": str(config)}).copies == 5


def test_store_urls_can_be_set():
    """Another engine is chosen by its URL."""
    settings = load({}, {"TAGFS_CATALOG": "postgresql://host/db", "TAGFS_BLOBS": "s3://bucket"})
    assert (settings.catalog_url, settings.blobs_url) == ("postgresql://host/db", "s3://bucket")


BAD = [
    ("copies", "0", "a whole number from 1 to 16"),
    ("copies", "three", "a whole number from 1 to 16"),
    ("copies", "1e3", "a whole number from 1 to 16"),
    ("copies", "٣", "a whole number from 1 to 16"),
    ("write_copies", "17", "auto, or a whole number from 1 to 16"),
    ("write_copies", "4", "at most the 3 of copies"),
    ("out_after", "-1", "a whole number of seconds from 10"),
    ("trash_days", "0", "a whole number of days from 1"),
    ("ftp", "2121", "endpoint"),
    ("ftp", "tcp:70000", "endpoint"),
    ("web", "tcp:http", "endpoint"),
    ("join", "host", "HOST:PORT"),
    ("join", "host:0", "HOST:PORT"),
    ("join", "2001:db8::1:4747", "HOST:PORT"),
    ("advertise", ":4747", "HOST:PORT"),
    ("discovery", "on", "multicast or off"),
    ("node_tls", "maybe", "on or off"),
    ("anonymous", "admin", "none or read or write"),
    ("zone", "a b", "without spaces"),
    ("name", "x" * 65, "1 to 64 characters"),
    ("beacon_port", "65536", "from 1 to 65535"),
    ("passive_ports", "60000-50000", "LOW-HIGH"),
    ("catalog", "postgres", "URL"),
    ("masquerade", "a b", "an IP address or host name"),
    ("data", "~no-such-user-here/x", "a user who exists"),
]


@pytest.mark.parametrize(("name", "bad", "allowed"), BAD)
def test_bad_value_names_its_source(toml, name, bad, allowed):
    """The error is one line with the source, the bad value and what is allowed, whatever the source is."""
    option, variable = name.replace("_", "-"), f"TAGFS_{name.upper()}"
    config = toml(f"{name} = '{bad}'\n")
    attempts = [
        (f"--{option}: ", {option: [bad] if name == "join" else bad}, {}, None),
        (f"{variable}: ", {}, {variable: bad}, None),
        (f"{config}: {name}: ", {}, {}, config),
    ]
    for source, options, environ, file in attempts:
        with pytest.raises(StartError) as caught:
            load(options, environ, file)
        text = str(caught.value)
        assert text.startswith(source), text
        assert f": {bad!r} is not allowed" in text, text
        assert allowed in text, text
        assert "\n" not in text


@pytest.mark.parametrize(
    "text", ["copies = true", "copies = 1.5", "copies = [1]", "ftp = true", "data = 5", "join = 7"]
)
def test_wrong_toml_type_is_refused(toml, text):
    """A TOML value of another type is an error, never silently converted."""
    with pytest.raises(StartError, match="is not allowed here"):
        load({}, {}, toml(text))


def test_unknown_key_suggests_the_near_one(toml):
    """A typing error in the file is found, and the likely key is named."""
    config = toml("coppies = 3\n")
    with pytest.raises(StartError, match=r"tagfs\.toml: coppies: no such setting; did you mean copies\?"):
        load({}, {}, config)
    with pytest.raises(StartError, match="no such setting; allowed are data, name"):
        load({}, {}, toml("[x]\ny = 1\n"))


def test_unreadable_files_are_named(toml, tmp_path):
    """A missing file, bytes that are no text, and bad TOML each give one line that names the file."""
    with pytest.raises(StartError, match=r"absent\.toml: cannot read the configuration: No such file"):
        load({}, {}, tmp_path / "absent.toml")
    with pytest.raises(StartError, match=r"tagfs\.toml: is not TOML: .*line 1"):
        load({}, {}, toml("copies = = 3\n"))
    (tmp_path / "latin.toml").write_bytes(b"name = '\xe9'\n")
    with pytest.raises(StartError, match=r"latin\.toml: is not TOML"):
        load({}, {}, tmp_path / "latin.toml")
    with pytest.raises(StartError, match="is there twice"):
        load({}, {}, toml("out-after = 20\nout_after = 20\n"))


@pytest.mark.parametrize("option", [{"join": ["a:1"]}, {"merge": 1}])
def test_cluster_options_need_a_key(option):
    """Without a key a node is alone, so what only makes sense in a cluster is refused."""
    with pytest.raises(StartError, match=rf"--{next(iter(option))}: needs --cluster-key"):
        load(option, {})
    assert load(option | {"cluster-key": "key"}, {})


def test_what_does_not_go_together():
    """A cluster key without a node door, and half of a certificate, are refused."""
    with pytest.raises(StartError, match="--node: off does not go with a cluster key"):
        load({"cluster-key": "key", "node": "off"}, {})
    with pytest.raises(StartError, match=r"TAGFS_TLS_KEY: .* go together"):
        load({}, {"TAGFS_TLS_KEY": "key.pem"})


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=20), st.sampled_from(attrs.fields(Settings)))
def test_any_text_is_taken_or_refused_in_one_line(text, field):
    """No text in any variable gives anything but settings or a StartError."""
    try:
        load({}, {f"TAGFS_{field.name.upper()}": text, "TAGFS_CLUSTER_KEY": "key"})
    except StartError as error:
        assert len(str(error).splitlines()) == 1  # noqa: PT017 (raising is allowed, not demanded)


@pytest.mark.parametrize("text", ["192.0.2.7:4747", "[2001:db8::7]:4747", "node.example:1"])
def test_addresses_round_trip(text):
    """An address prints as it is written."""
    (address,) = load({"join": [text, text], "cluster-key": "key"}, {}).join
    assert str(address) == text


def test_settings_are_frozen():
    """Nobody changes the configuration of a running node."""
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        Settings().copies = 4

"""Settings: the order of sources, half an account, and secrets that stay secret."""

from pathlib import Path

import pytest

from media_toolkit.errors import SettingsError
from media_toolkit.settings import VARIABLES, Settings

ROOT = Path(__file__).resolve().parents[1]
NEON = "postgresql://ana:s3cret@ep-cool-1234-pooler.eu-central-1.aws.neon.tech/db?sslmode=require"


def test_nothing_configured_means_the_embedded_stack() -> None:
    settings = Settings()
    assert settings.is_embedded
    assert settings.is_local
    assert settings.cloud is None


def test_the_home_is_not_read_from_the_shells_home(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/somewhere")
    monkeypatch.setenv("USER_ID", "mallory")
    monkeypatch.setenv("API_KEY", "1")
    settings = Settings()
    assert settings.home != Path("/somewhere")
    assert settings.user_id != "mallory"
    assert settings.api_key is None


@pytest.mark.parametrize(
    ("given", "missing"),
    [
        (["CLOUDINARY_API_KEY"], "CLOUDINARY_CLOUD_NAME and CLOUDINARY_API_SECRET"),
        (["CLOUDINARY_CLOUD_NAME", "CLOUDINARY_API_KEY"], "CLOUDINARY_API_SECRET"),
        (["CLOUDINARY_API_SECRET"], "CLOUDINARY_CLOUD_NAME and CLOUDINARY_API_KEY"),
    ],
)
def test_half_an_account_is_an_error_that_names_the_missing_part(
    monkeypatch: pytest.MonkeyPatch, given: list[str], missing: str
) -> None:
    for name in given:
        monkeypatch.setenv(name, "v4lue")
    with pytest.raises(SettingsError, match=missing) as caught:
        Settings()
    assert "v4lue" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("cloudinary://key@cloud", "api_secret"),
        ("cloudinary://key:s3cret@", "cloud_name"),
        ("cloudinary://<your_api_key>:s3cret@cloud", "api_key"),
        ("https://key:s3cret@cloud", "cloudinary://"),
        ("CLOUDINARY_URL=cloudinary://key:s3cret@cloud", "without the name CLOUDINARY_URL="),
        ("cloudinary://[key:s3cret@cloud", "cloudinary://"),
    ],
)
def test_a_broken_cloudinary_url_is_an_error_that_says_what_is_wrong(
    monkeypatch: pytest.MonkeyPatch, url: str, said: str
) -> None:
    monkeypatch.setenv("CLOUDINARY_URL", url)
    with pytest.raises(SettingsError, match=said) as caught:
        Settings()
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://ana:s3@cret:s3cret@db.example.org/x",
        "postgresql://ana:s3/cret@db.example.org/x",
        "postgresql://ana:s3?cret@db.example.org/x",
        "postgresql://ana:s3#cret@db.example.org/x",
        "postgresql://ana:s3cret%zz@db.example.org/x",
        "postgresql://ana:100%s3cret@db.example.org/x",
        "postgresql://ana:3?cret@db.example.org/x",
        "postgresql://ana:3?cret/@db.example.org/x",
        "postgresql://db.example.org/x?user=ana&password=s3#cret",
        "postgresql://db.example.org?user=ana&password=s3@cret",
        "postgresql://ana:s3cret@℀cret/x",
    ],
)
@pytest.mark.parametrize("name", ["DATABASE_URL", "DATABASE_DIRECT_URL"])
def test_a_database_url_that_cannot_be_read_says_what_to_write_and_quotes_nothing(
    monkeypatch: pytest.MonkeyPatch, name: str, url: str
) -> None:
    monkeypatch.setenv(name, url)
    with pytest.raises(SettingsError, match=f"{name} has a host or a port .*%40") as caught:
        Settings()
    assert "cret" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("postgresql://ana:my s3cret@db.example.org/x", "white space inside; .*%20"),
        ("postgresql://ana:s3cret\t@db.example.org/x", "white space inside; .*%20"),
        ("postgresql://ana:s3cret@db.example.org/x\n?sslmode=require", "white space inside"),
        ("postgresql://ana:s3cret%00x@db.example.org/x", "control character inside, or %00"),
        ("postgresql://ana:s3cret\x1b@db.example.org/x", "control character inside"),
        ("postgresql://ana:s3cret@db.example.org:cret/x", "a port that is no number"),
        ("postgresql://ana:s3cret@db.example.org:543200/x", "a port that is no number"),
        ("postgresql://ana:s3cret@[db.example.org/x", "address in brackets; .*like .::1.:5432"),
        ("postgresql://ana:s3cret@[::1]x:26418/x", "address in brackets"),
        ("postgresql://ana:s3cret@[]:26418/x", "address in brackets"),
        ("postgresql://ana:s3cret@a:5432,b:5433/x", r"several hosts; .*\?host=a,b&port="),
        ("postgresql://ana:s3cret@a,b/x", r"several hosts; .*\?host=a,b&port="),
        ("postgresql://ana:s3cret@a/x?sslmod=require", "the option sslmod, which Postgres does"),
        ("postgresql://a/x?user=ana&s3cret", "options that cannot be read"),
        ("postgresql://ana:s3@x:1?cret@db.example.org/x", "options that cannot be read"),
        ("postgresql://ana:s3@x:1?cret=y@db.example.org/x", "options that cannot be read"),
        ("postgresql://a/x?S3cret=x", "options that cannot be read"),
        ("psql 'postgresql://ana:s3cret@a/x'", "without psql '…'"),
        ("psql postgresql://ana:s3cret@a/x", "without psql '…'"),
        ("'postgresql://ana:s3cret@a/x'", "without the quotes"),
        ('"postgresql://ana:s3cret@a/x"', "without the quotes"),
        ("postgresql+psycopg2://ana:s3cret@a/x", r"without \+psycopg2"),
        ("DATABASE_URL=postgresql://ana:s3cret@a/x", "without the name and the ="),
        ("host=localhost user=ana password=s3cret", "postgresql://user:password@host/name"),
        ("mysql://ana:s3cret@a/x", "does not start with postgresql://"),
        ("postgresql:ana:s3cret@a/x", "does not start with postgresql://"),
    ],
)
@pytest.mark.parametrize("name", ["DATABASE_URL", "DATABASE_DIRECT_URL"])
def test_what_is_wrong_with_a_database_url_is_named_and_the_password_is_not(
    name: str, url: str, said: str
) -> None:
    with pytest.raises(SettingsError, match=f"{name} .*{said}") as caught:
        Settings(**{name.lower(): url})
    assert "cret" not in str(caught.value).lower()
    assert caught.value.__cause__ is None


def test_a_database_url_with_bytes_that_are_no_text_is_refused_unseen(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://ana:s3cret\udce9@db.example.org/x")
    with pytest.raises(SettingsError, match="DATABASE_URL") as caught:
        Settings()
    assert "s3cret" not in str(caught.value)
    assert "udce9" not in str(caught.value)


def test_a_direct_string_alone_is_half_a_database() -> None:
    with pytest.raises(SettingsError, match="DATABASE_URL missing, though DATABASE_DIRECT_URL"):
        Settings(database_direct_url=NEON)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://ana:s3:cret@db.example.org:5432/x",
        "postgresql://ana:s3%40cret@[::1]:5432/x?application_name=a@b",
        "postgresql:///x?host=/var/run/postgresql",
        "postgresql://db.example.org/x?user=ana&password=s3@cret",
        "postgresql://ana:s3cret@/x?host=a,b&port=5432,5433&target_session_attrs=read-write",
    ],
)
def test_a_database_url_may_have_any_form_that_drivers_read(url: str) -> None:
    assert Settings(database_url=url).direct_url == url


@pytest.mark.parametrize("scheme", ["postgres", "POSTGRESQL", "PostgreSQL"])
def test_the_scheme_may_be_the_short_one_or_in_capitals(scheme: str) -> None:
    assert Settings(database_url=f" {scheme}://u@a/x\n").pooled_url == "postgresql://u@a/x"


@pytest.mark.parametrize(
    ("given", "read"),
    [
        ("u:p@%2Ftmp%2Fa%20b:5433/x", "u:p@:5433/x?host=%2Ftmp%2Fa%20b"),
        ("u:p@%2ftmp/x?connect_timeout=2", "u:p@/x?connect_timeout=2&host=%2ftmp"),
        ("%2Ftmp/x", "/x?host=%2Ftmp"),
    ],
)
def test_the_folder_of_a_socket_may_stand_where_the_host_does(given: str, read: str) -> None:
    settings = Settings(database_url=f"postgresql://{given}")
    assert settings.pooled_url == settings.direct_url == f"postgresql://{read}"
    assert settings.is_local


def test_secrets_are_masked_wherever_settings_are_printed() -> None:
    settings = Settings(cloudinary_url="cloudinary://key:s3cret@cloud", database_url=NEON)
    for text in (repr(settings), str(settings), f"{settings}", repr(settings.cloud)):
        assert "s3cret" not in text


def test_explicit_wins_over_environment_over_dotenv(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / ".env").write_text("MEDIA_TOOLKIT_USER=dotenv\nMEDIA_TOOLKIT_ADMINS=root\n")
    assert Settings().user_id == "dotenv"
    monkeypatch.setenv("MEDIA_TOOLKIT_USER", "environment")
    assert Settings().user_id == "environment"
    assert Settings(user_id="explicit").user_id == "explicit"
    assert Settings().admins == {"root"}


def test_explicit_parts_win_over_a_url_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLOUDINARY_URL", "cloudinary://key:secret@theirs")
    cloud = Settings(cloud_name="ours", api_key="k", api_secret="s").cloud
    assert cloud is not None
    assert cloud.cloud_name == "ours"


def test_the_dotenv_of_the_project_is_found_from_a_folder_below(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / ".env").write_text("MEDIA_TOOLKIT_USER=project\n")
    (tmp_path / "notebooks").mkdir()
    monkeypatch.chdir(tmp_path / "notebooks")
    assert Settings().user_id == "project"


@pytest.mark.parametrize("given", [NEON, NEON.replace("-pooler", "")], ids=["pooled", "direct"])
@pytest.mark.parametrize("port", ["", ":5432"])
def test_pooled_and_direct_string_of_neon_follow_from_either(given: str, port: str) -> None:
    given = given.replace(".tech/", f".tech{port}/") + "&channel_binding=require"
    settings = Settings(database_url=given)
    pooled = NEON.replace(".tech/", f".tech{port}/") + "&channel_binding=require"
    assert settings.pooled_url == pooled
    assert settings.direct_url == pooled.replace("-pooler", "")
    assert Settings(database_url=given, database_direct_url="postgresql://x/y").direct_url == (
        "postgresql://x/y"
    )


def test_a_host_of_neon_may_be_written_in_capitals() -> None:
    given = NEON.replace("ep-cool-1234-pooler.eu", "EP-Cool-1234-Pooler.EU")
    settings = Settings(database_url=given)
    assert settings.pooled_url == NEON
    assert settings.direct_url == NEON.replace("-pooler", "")


def test_two_strings_may_be_apart_where_the_second_does_not_follow_from_the_first() -> None:
    direct = NEON.replace("-pooler", "")
    for given in (NEON, direct):
        assert not Settings(database_url=given).may_be_apart
        assert not Settings(database_url=given, database_direct_url=NEON).may_be_apart
        assert not Settings(database_url=given, database_direct_url=direct).may_be_apart
    another = direct.replace("ep-cool", "ep-warm")
    assert Settings(database_url=NEON, database_direct_url=another).may_be_apart


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://u:ep-x-pooler.p@db-pooler.example.org:6432/db?sslmode=require",
        "postgresql://ep-x.example.org/db",
        "postgresql:///db?host=/var/run/postgresql",
    ],
)
def test_other_strings_stay_as_they_are(url: str) -> None:
    settings = Settings(database_url=url)
    assert settings.pooled_url == settings.direct_url == url


def test_startup_options_which_the_pooler_refuses_keep_the_direct_string() -> None:
    url = NEON.replace("-pooler", "") + "&options=-csearch_path%3Dmedia"
    assert Settings(database_url=url).pooled_url == url


def test_the_url_carries_upload_prefix_and_cname() -> None:
    cloud = Settings(
        cloudinary_url="cloudinary://k:s@c?upload_prefix=http://127.0.0.1:99&cname=127.0.0.1:99"
    ).cloud
    assert cloud is not None
    assert (cloud.upload_prefix, cloud.cname) == ("http://127.0.0.1:99", "127.0.0.1:99")
    assert cloud.is_local


def test_an_unknown_setting_is_named() -> None:
    with pytest.raises(SettingsError, match="databse_url"):
        Settings(databse_url="postgresql://x/y")


def test_every_variable_stands_in_the_example_file_and_no_other() -> None:
    text = (ROOT / ".env.example").read_text(encoding="utf-8")
    named = {line.lstrip("# ").split("=")[0] for line in text.splitlines() if "=" in line}
    assert {name for name in named if name.isupper()} == set(VARIABLES)


def test_the_hint_for_a_wrong_setting_of_ours_speaks_of_no_account() -> None:
    with pytest.raises(SettingsError, match="MEDIA_TOOLKIT_POLICY") as told:
        Settings(policy="foo")
    assert "embedded" not in told.value.hint

"""Who may see what: the gate in `main.py`, run as Streamlit runs it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

import media_toolkit as mt
from media_toolkit.web.service import close_shared_kit

MAIN = Path(mt.__file__).parent / "dashboard/main.py"
AUTH = {"auth": {"redirect_uri": "http://localhost:8501/oauth2callback", "client_id": "mt"}}


@pytest.fixture
def app(settings: mt.Settings) -> Iterator[AppTest]:
    """The dashboard over the run's stack."""
    yield AppTest.from_file(str(MAIN), default_timeout=60)
    close_shared_kit()


def titles(app: AppTest) -> list[str]:
    return [title.value for title in app.title]


def test_without_auth_the_embedded_stack_is_open(app: AppTest) -> None:
    app.run()
    assert not app.exception
    assert titles(app) == ["Library"]


def test_with_auth_whoever_did_not_sign_in_sees_the_sign_in_only(
    app: AppTest, kit: mt.MediaToolkit, sample_media: Path
) -> None:
    kit.upload(sample_media / "coffee.png", public_id="secret-coffee")
    app.secrets = AUTH
    app.run()
    assert titles(app) == ["Media Toolkit"]
    assert [button.label for button in app.button] == ["Sign in"]
    assert [shown.proto.component_name for shown in app.get("bidi_component")] == [
        "media_toolkit_arrival"
    ]


def test_with_auth_a_user_acts_as_themselves(
    app: AppTest, kit: mt.MediaToolkit, sample_media: Path
) -> None:
    app.secrets = AUTH
    app.user = {"is_logged_in": True, "email": "bo@example.org"}
    app.run()
    assert titles(app) == ["Library"]
    next(button for button in app.button if button.label == "Load sample media").click().run()
    assert kit.count(user_id="bo@example.org") == 10
    assert kit.count() == 10


def test_real_services_without_sign_in_show_the_setting_to_mend(
    app: AppTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLOUDINARY_URL", "cloudinary://1234:never-shown@demo")
    monkeypatch.setenv("DATABASE_URL", "postgresql://ana:never-shown@db.example.org/media")
    app.run()
    (error,) = app.error
    assert "MEDIA\\_TOOLKIT\\_AUTH" in error.value
    assert "never-shown" not in str(app)
    assert not titles(app)


def test_half_an_account_is_said_with_the_missing_setting(
    app: AppTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLOUDINARY_CLOUD_NAME", "demo")
    monkeypatch.setenv("CLOUDINARY_API_KEY", "1234")
    app.run()
    (error,) = app.error
    assert "CLOUDINARY\\_API\\_SECRET" in error.value

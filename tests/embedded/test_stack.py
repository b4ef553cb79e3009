"""One stack per home: shared, kept through kills, private, and gone when nobody uses it."""

from __future__ import annotations

import gc
import json
import os
import re
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import psutil
import pytest

import media_toolkit as mt
from media_toolkit.embedded import users
from media_toolkit.embedded.configuration import StackConfiguration
from media_toolkit.embedded.options import ServerOptions
from media_toolkit.embedded.stack import _KEEPER_INTERVAL_S, EmbeddedStack, StackFiles

Home = Callable[[], AbstractContextManager[Path]]
Until = Callable[..., None]


@pytest.fixture
def fresh(temporary_home: Home, until: Until) -> Iterator[Path]:
    """A home with no stack yet; whatever a test started in it is ended."""
    with temporary_home() as home:
        yield home
        end(home, until)


@pytest.fixture
def prepared(prepared_home: Home, until: Until) -> Iterator[Path]:
    """A home whose stack ran once; whatever a test started in it is ended."""
    with prepared_home() as home:
        yield home
        end(home, until)


def end(home: Path, until: Until) -> None:
    if processes_of(home):
        EmbeddedStack.join(mt.Settings(home=home)).end_if_unused(120)
    until(lambda: not processes_of(home))


def processes_of(home: Path) -> list[psutil.Process]:
    """Living processes that were started for this home: the supervisor and the Postgres."""
    found = []
    for process in psutil.process_iter():
        try:
            if str(home) in " ".join(process.cmdline()) and process.status() != "zombie":
                found.append(process)
        except psutil.Error:
            continue
    return found


def kill(processes: list[psutil.Process], until: Until) -> None:
    """Kill them and see them dead: until then Postgres' backends still answer."""
    for process in processes:
        process.kill()
    until(lambda: not any(map(is_alive, processes)))


def is_alive(process: psutil.Process) -> bool:
    try:
        return process.status() != "zombie"
    except psutil.NoSuchProcess:
        return False


def run_python(code: str, home: Path, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", code],
        env=os.environ | {"MEDIA_TOOLKIT_HOME": str(home)} | environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def fetch(url: str) -> bytes:
    with urllib.request.urlopen(url) as answer:
        return bytes(answer.read())


def test_data_and_urls_survive_a_kill_of_every_process(
    fresh: Path, sample_media: Path, until: Until
) -> None:
    with mt.connect(mt.Settings(home=fresh)) as kit:
        asset = kit.upload(sample_media / "horse.png")
        thumbnail = kit.url(asset, width=100, height=100, crop="fill")
        small = fetch(thumbnail)
    kill(processes_of(fresh), until)
    until(lambda: not processes_of(fresh))
    with mt.connect(mt.Settings(home=fresh)) as kit:
        assert kit.asset(asset.public_id) == asset
        assert fetch(asset.media_url) == (sample_media / "horse.png").read_bytes()
        assert fetch(thumbnail) == small


def test_a_first_start_that_was_killed_spoils_no_home(fresh: Path, until: Until) -> None:
    starting = run_python("import media_toolkit as mt; mt.connect()", fresh)
    until(lambda: any(fresh.rglob("PG_VERSION")))
    starting.kill()
    starting.communicate()
    kill(processes_of(fresh), until)
    with mt.connect(mt.Settings(home=fresh)) as kit:
        assert kit.count() == 0
        names = {path.name for path in fresh.iterdir()}
        assert names == {"cloudinary", "postgres", "run", "stack.json"}


def test_a_home_whose_cluster_was_left_half_made_in_its_place_starts(fresh: Path) -> None:
    configuration = StackConfiguration.of(mt.Settings(home=fresh))
    (fresh / "postgres" / "base" / "1").mkdir(parents=True)
    (fresh / "postgres" / "PG_VERSION").write_text("18\n")
    password = fresh / "media-toolkit-ab12_xyz"
    password.write_text(configuration.postgres_password)
    with mt.connect(mt.Settings(home=fresh)) as kit:
        assert kit.count() == 0
    assert not password.exists()


def test_a_left_password_file_costs_no_home_its_data(prepared: Path, sample_media: Path) -> None:
    with mt.connect(mt.Settings(home=prepared)) as kit:
        kit.upload(sample_media / "horse.png", public_id="kept")
    assert EmbeddedStack.join(mt.Settings(home=prepared)).end_if_unused(120)
    password = json.loads((prepared / "stack.json").read_text())["postgres_password"]
    (prepared / "media-toolkit-ab12_xyz").write_text(password)
    (prepared / "media-toolkit-holidays").write_text("of somebody else")
    with mt.connect(mt.Settings(home=prepared)) as kit:
        assert kit.asset("kept").public_id == "kept"
    assert [path.name for path in prepared.glob("media-*")] == ["media-toolkit-holidays"]


def test_a_running_kit_outlives_a_kill_of_the_stack(
    prepared: Path, sample_media: Path, until: Until
) -> None:
    with mt.connect(mt.Settings(home=prepared)) as kit:
        kit.upload(sample_media / "horse.png", public_id="before")
        kill(processes_of(prepared), until)
        assert kit.upload(sample_media / "horse.png", public_id="after").public_id == "after"
        assert kit.count() == 2


def test_whoever_starts_a_killed_stack_again_asks_of_it_what_it_was_asked(
    prepared: Path, until: Until
) -> None:
    """Another process than the one that began it: each keeps the stack."""
    files = StackFiles(prepared)
    process = run_python(
        "import sys; from media_toolkit.embedded.stack import EmbeddedStack;"
        " from media_toolkit.embedded.options import ServerOptions; import media_toolkit as mt;"
        " stack = EmbeddedStack.join(mt.Settings(), ServerOptions(search_lag=3.0));"
        " print(1, flush=True); sys.stdin.read()",
        prepared,
    )
    assert process.stdout is not None
    process.stdout.readline()
    with mt.connect(mt.Settings(home=prepared)) as kit:
        process.send_signal(signal.SIGSTOP)
        try:
            kill(processes_of(prepared), until)
            until(lambda: users.is_locked(files.supervisor_lock))
            until(lambda: files.read_state().get("status") == "ready")
            assert kit.count() == 0
            # "ready" may have been the killed one's word.
            until(lambda: files.options() == ServerOptions(search_lag=3.0))
        finally:
            process.send_signal(signal.SIGCONT)
            process.communicate()


def test_a_killed_postgres_is_started_again(prepared: Path, until: Until) -> None:
    with mt.connect(mt.Settings(home=prepared)) as kit:
        kill([p for p in processes_of(prepared) if p.name().startswith("postgres")], until)
        assert kit.count() == 0


def test_the_stack_ends_when_its_last_user_was_killed(prepared: Path, until: Until) -> None:
    # The stack as it is, except that it lingers for half a second and not for twenty.
    code = (
        "import sys; from pathlib import Path; from media_toolkit.embedded import options,"
        " supervisor; supervisor.LINGER_S = 0.5;"
        f" sys.exit(supervisor.main(Path({str(prepared)!r}), options.ServerOptions()))"
    )
    supervisor = run_python(code, prepared)
    until(lambda: users.is_locked(StackFiles(prepared).supervisor_lock))
    joined = EmbeddedStack.join(mt.Settings(home=prepared))
    code = "import media_toolkit as mt, sys; kit = mt.connect(); print('up', flush=True)"
    code += f"; {str(prepared)!r}; sys.stdin.read()"
    first, second = run_python(code, prepared), run_python(code, prepared)
    for process in (first, second):
        assert process.stdout is not None
        assert process.stdout.readline() == "up\n"
    joined.leave()
    first.kill()
    first.communicate()
    time.sleep(2)
    assert supervisor.poll() is None, "the second user still needs it"
    second.kill()
    second.communicate()
    assert supervisor.communicate(timeout=120) == ("", None)
    assert supervisor.returncode == 0
    until(lambda: not processes_of(prepared))


def test_kits_that_were_dropped_unclosed_leave_the_stack(prepared: Path, until: Until) -> None:
    """As a notebook's cell that connects, run again and again."""
    others = set(threading.enumerate())

    def threads() -> list[threading.Thread]:
        new = set(threading.enumerate()) - others
        return [one for one in new if one.name.startswith("media-toolkit")]

    def is_ours(one: threading.Thread) -> bool:
        return one.name.endswith("keeper")

    for _ in range(20):
        kit = mt.connect(mt.Settings(home=prepared))
        assert len(kit.page().items) == len(kit.assets(limit=1)) == 0
    batches = kit.iter_assets()
    del kit
    gc.collect()
    until(lambda: len(list(filter(is_ours, threads()))) == 1)
    time.sleep(2 * _KEEPER_INTERVAL_S)
    assert users.alive(StackFiles(prepared).users) == 1, "an iterator needs it"
    assert list(batches) == []
    del batches
    gc.collect()
    until(lambda: not threads())
    assert users.alive(StackFiles(prepared).users) == 0
    assert EmbeddedStack.join(mt.Settings(home=prepared)).end_if_unused(120)


def test_whoever_started_it_may_end_first(prepared: Path) -> None:
    first = mt.connect(mt.Settings(home=prepared))
    code = "import media_toolkit as mt, sys; kit = mt.connect(); print('up', flush=True)"
    code += "; sys.stdin.read(); print(kit.count())"
    other = run_python(code, prepared)
    assert other.stdout is not None
    assert other.stdout.readline() == "up\n"
    first.close()
    assert other.communicate("")[0] == "0\n"


def test_many_starts_at_once_share_one_stack(fresh: Path) -> None:
    code = "import media_toolkit as mt; kit = mt.connect(); print(kit.account.upload_prefix)"
    started = [run_python(code, fresh) for _ in range(4)]
    said = {process.communicate(timeout=120)[0] for process in started}
    assert len(said) == 1
    assert [p.returncode for p in started] == [0] * 4


def test_two_homes_do_not_meet(fresh: Path, kit: mt.MediaToolkit, sample_media: Path) -> None:
    kit.upload(sample_media / "horse.png", public_id="here")
    with mt.connect(mt.Settings(home=fresh)) as other:
        assert other.count() == 0
        assert other.account.upload_prefix != kit.account.upload_prefix
        assert other.account.api_secret != kit.account.api_secret
        with pytest.raises(mt.NotFound):
            other.asset("here")


def test_the_secret_is_readable_by_its_owner_alone(kit: mt.MediaToolkit, home: Path) -> None:
    for name in ("stack.json", "run/state.json"):
        assert stat.S_IMODE((home / name).stat().st_mode) == 0o600
    secret = kit.account.api_secret.get_secret_value()
    assert len(secret) >= 24
    assert secret in (home / "stack.json").read_text()
    assert secret not in (home / "run/supervisor.log").read_text()


def test_it_listens_on_loopback_only(kit: mt.MediaToolkit, home: Path) -> None:
    listening = [
        connection.laddr.ip
        for process in processes_of(home)
        for connection in process.net_connections("inet")
        if connection.status == psutil.CONN_LISTEN
    ]
    assert len(listening) == 2
    assert set(listening) == {"127.0.0.1"}


@pytest.mark.parametrize(
    ("kept", "setting"),
    [("cloud_port", "MEDIA_TOOLKIT_CLOUD_PORT"), ("postgres_port", "MEDIA_TOOLKIT_POSTGRES_PORT")],
)
def test_a_taken_port_is_an_error_that_names_the_setting(
    prepared: Path, kept: str, setting: str
) -> None:
    port = json.loads((prepared / "stack.json").read_text())[kept]
    with socket.create_server(("127.0.0.1", port)):
        with pytest.raises(mt.EmbeddedStackError, match=setting) as caught:
            mt.connect(mt.Settings(home=prepared))
        assert str(port) in str(caught.value)
    with mt.connect(mt.Settings(home=prepared)) as kit:
        assert kit.doctor().is_well


def test_a_home_that_cannot_be_written_is_an_error_that_names_the_setting(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(mt.EmbeddedStackError, match="MEDIA_TOOLKIT_HOME"):
        mt.connect(mt.Settings(home=tmp_path / "file" / "home"))


def test_run_gives_a_command_both_urls_and_its_own_exit_status(
    home: Path, stack: EmbeddedStack
) -> None:
    def run(*command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "media_toolkit", "embedded", "run", "--", *command],
            env=os.environ | {"MEDIA_TOOLKIT_HOME": str(home), "CLOUDINARY_API_KEY": "x"},
            capture_output=True,
            text=True,
        )

    shown = run(
        sys.executable,
        "-c",
        "import os, cloudinary.api; print(os.environ['DATABASE_URL']);"
        "print(cloudinary.api.ping()['status']); raise SystemExit(7)",
    )
    assert shown.returncode == 7, shown.stderr
    assert shown.stdout.splitlines() == [stack.database_url, "ok"]
    assert run("no-such-command").returncode == 127
    assert run(sys.executable, "-c", "import os; os.kill(os.getpid(), 9)").returncode == 137


def test_in_the_foreground_it_prints_two_exports_and_ctrl_c_ends_it(fresh: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "media_toolkit", "embedded"],
        env=os.environ | {"MEDIA_TOOLKIT_HOME": str(fresh)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    exports = [process.stdout.readline() for _ in range(2)]
    assert re.match(
        r"export CLOUDINARY_URL='cloudinary://\d+:[\w-]+@embedded"
        r"\?upload_prefix=http://127\.0\.0\.1:\d+&cname=127\.0\.0\.1:\d+'$",
        exports[0],
    )
    assert re.match(r"export DATABASE_URL='?postgresql://", exports[1])
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=120)
    assert process.returncode == 0
    assert said.splitlines()[-1] == "Ended."
    assert not users.is_locked(StackFiles(fresh).supervisor_lock)


def test_a_polite_kill_of_the_stack_stops_postgres_too(prepared: Path, until: Until) -> None:
    stack = EmbeddedStack.join(mt.Settings(home=prepared))
    stack.leave()
    pid = int(StackFiles(prepared).read_state()["pid"])
    os.kill(pid, signal.SIGTERM)
    until(lambda: not processes_of(prepared))
    assert not (prepared / "postgres/postmaster.pid").exists()


@pytest.mark.parametrize("whose", ["another program's", "another home's"])
def test_a_lock_file_with_a_number_that_is_in_use_again_stops_nobody(
    prepared: Path, settings: mt.Settings, whose: str
) -> None:
    with mt.connect(settings) as kit:
        pid = os.getpid()
        if whose == "another home's":
            pid = int((settings.home / "postgres/postmaster.pid").read_text().split("\n", 1)[0])
        (prepared / "postgres/postmaster.pid").write_text(f"{pid}\n{prepared}/postgres\n")
        with mt.connect(mt.Settings(home=prepared)) as own:
            number = own.sql("SELECT current_setting('port')").iat[0, 0]
        assert psutil.pid_exists(pid)
        others = kit.sql("SELECT current_setting('port')").iat[0, 0]
        assert number != others


def test_a_stack_that_is_about_to_end_is_waited_for_and_then_started_anew(prepared: Path) -> None:
    files = StackFiles(prepared)
    files.create()
    ending = users.try_lock(files.supervisor_lock)
    assert ending is not None
    release = threading.Timer(1, os.close, [ending])
    release.start()
    with mt.connect(mt.Settings(home=prepared)) as kit:
        assert kit.count() == 0
    release.join()


def test_a_deleted_home_ends_its_stack(prepared_home: Home, until: Until) -> None:
    with prepared_home() as home:
        stack = EmbeddedStack.join(mt.Settings(home=home))
        (supervisor,) = [p for p in processes_of(home) if "supervisor" in " ".join(p.cmdline())]
    until(lambda: not is_alive(supervisor))
    stack.leave()

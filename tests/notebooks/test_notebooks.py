"""The real notebooks: stored clean, and run as they stand, from anywhere and again and again."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

import media_toolkit as mt

FOLDER = Path(__file__).resolve().parents[2] / "notebooks"
NAMES = ["01_quickstart", "02_bulk_import", "03_metadata_analysis"]
# What every kernel runs first.
NO_NETWORK = """
import socket as _socket

def _connect(self, address, connect=_socket.socket.connect):
    if isinstance(address, tuple) and address[0] not in ("127.0.0.1", "::1", "localhost"):
        raise OSError(f"a notebook reaches for the network: {address}")
    return connect(self, address)

_socket.socket.connect = _connect
"""
# A home, a temporary place or a drive; a URL's path has a host before it.
MACHINE_PATH = re.compile(
    r"(?<![\w.])(/(home|Users|root|tmp|var|private|work|mnt|opt|srv)\b|[A-Za-z]:\\|~/)"
)


def read(name: str) -> Any:
    return nbformat.read(FOLDER / f"{name}.ipynb", as_version=nbformat.NO_CONVERT)


@pytest.fixture
def run(kit: mt.MediaToolkit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Run one notebook on the tests' stack; answers its cells by id. Leaves no temporary file."""
    elsewhere, temporary = tmp_path / "elsewhere", tmp_path / "temporary"
    elsewhere.mkdir()
    temporary.mkdir()
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path / "runtime"))
    startup = tmp_path / "ipython/profile_default/startup/no_network.py"
    startup.parent.mkdir(parents=True)
    startup.write_text(NO_NETWORK)

    def run(name: str) -> dict[str, Any]:
        notebook = read(name)
        client = NotebookClient(
            notebook, timeout=120, resources={"metadata": {"path": str(elsewhere)}}
        )
        with monkeypatch.context() as kernels:
            kernels.setenv("TMPDIR", str(temporary))
            client.execute()
        assert list(elsewhere.iterdir()) == []
        assert list(temporary.iterdir()) == []
        cells = {cell.id: cell for cell in notebook.cells}
        for cell in cells.values():
            said = [o.text for o in cell.get("outputs", []) if o.get("name") == "stderr"]
            assert said == [], f"{name}, cell {cell.id}"
        return cells

    return run


def said(cell: Any) -> str:
    """What a cell printed and the text of what it showed."""
    return "\n".join(o.get("text") or o.data["text/plain"] for o in cell.outputs)


def shown(cell: Any, kind: str = "text/html") -> str:
    return "".join(str(o.data[kind]) for o in cell.outputs if kind in o.get("data", {}))


@pytest.mark.parametrize("name", NAMES)
def test_a_stored_notebook_is_clean(name: str) -> None:
    notebook = read(name)
    nbformat.validate(notebook)
    assert (notebook.nbformat, notebook.nbformat_minor) == (4, 5)
    assert notebook.metadata.kernelspec.name == "python3"
    ids = [cell.id for cell in notebook.cells]
    assert len(set(ids)) == len(ids)
    assert all(re.fullmatch(r"[a-z]+(-[a-z]+)*", cell_id) for cell_id in ids), ids
    for cell in notebook.cells:
        assert cell.metadata == {}, cell.id
        if cell.cell_type == "code":
            assert (cell.outputs, cell.execution_count) == ([], None), cell.id
    text = "\n".join(cell.source for cell in notebook.cells)
    assert MACHINE_PATH.search(text) is None
    assert not re.search(r"import streamlit|media_toolkit\.(web|dashboard)", text)


@pytest.mark.parametrize(
    ("text", "is_one"),
    [
        ("open('/home/ana')", True),
        ('"/tmp/x"', True),
        ("C:\\\\Users", True),
        ("~/photos", True),
        ("file:///home/ana", True),
        ("https://example.com/home/tmp", False),
        ("notebooks/tmp", False),
    ],
)
def test_a_machine_path_would_be_found(text: str, is_one: bool) -> None:
    assert bool(MACHINE_PATH.search(text)) == is_one


def test_a_notebook_that_leaves_the_machine_would_fail(
    run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    cell = nbformat.v4.new_code_cell("import urllib3; urllib3.request('GET', 'http://192.0.2.1')")
    leaving = nbformat.v4.new_notebook(cells=[cell])
    monkeypatch.setitem(globals(), "read", lambda name: leaving)
    with pytest.raises(CellExecutionError, match="reaches for the network"):
        run("leaving")


def test_all_notebooks_are_tested() -> None:
    assert sorted(path.stem for path in FOLDER.glob("*.ipynb")) == NAMES


def test_links_between_notebooks_lead_somewhere() -> None:
    for name in NAMES:
        for cell in read(name).cells:
            for target in re.findall(r"\]\((?!https?:)([^)#]+)", cell.source):
                assert (FOLDER / target).exists(), target


def another_users_run_meets_nothing_of_anas(
    kit: mt.MediaToolkit, run: Any, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    anas = kit.assets(user_id="ana")
    monkeypatch.setenv("MEDIA_TOOLKIT_USER", "bob+test@example.com")
    run(name)
    assert kit.assets(user_id="ana").equals(anas)
    assert kit.count(user_id="bob+test@example.com") == len(anas)
    assert kit.count(folder="notebooks/bob-test-example-com") == len(anas)


def test_quickstart_uploads_shows_and_signs_and_a_second_run_adds_nothing(
    kit: mt.MediaToolkit, run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(2):
        cells = run("01_quickstart")
        found = kit.assets(order_by="public_id").set_index("public_id")
        assert found.index.tolist() == [
            f"notebooks/ana/quickstart/{name}"
            for name in ("SOURCES.md", "coffee", "portrait", "rocket")
        ]
        assert all("quickstart" in tags for tags in found["tags"])
        assert set(found["user_id"]) == {"ana"}
        rocket = kit.asset("notebooks/ana/quickstart/rocket")
        assert (rocket.tags, rocket.width) == (("quickstart", "launch"), 640)
        assert rocket.context == {"alt": "A rocket lifts off at night"}
        assert kit.url(rocket, "thumbnail") in shown(cells["thumbnail"])
    assert "✗" not in said(cells["doctor"])
    assert "511130d2072cc744a1fa5015bc23557a" in said(cells["row"])
    assert "<Gallery of 4 assets>" in said(cells["gallery"])
    assert re.search(r"of a launch: +1\n", said(cells["count"]))
    assert kit.settings.cloud is None
    assert kit.account.api_secret.get_secret_value() not in str(cells)
    another_users_run_meets_nothing_of_anas(kit, run, monkeypatch, "01_quickstart")


def test_bulk_import_names_the_bad_files_and_a_second_run_sends_nothing(
    kit: mt.MediaToolkit, run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    cells = run("02_bulk_import")
    assert "3 failed, 6 uploaded, 1 skipped" in said(cells["report"])
    for bad in ("coffee.png is truncated", "empty.jpg is empty", "letter.jpg is not an image"):
        assert bad in said(cells["report"])
    assert re.search(r"unchanged +6\n", said(cells["again"]))
    assert "1 uploaded, 6 unchanged, 2 failed, 1 skipped" in said(cells["fix"])
    bar = [
        o for o in cells["import"].outputs if "application/vnd.jupyter.widget-view+json" in o.data
    ]
    assert len(bar) == 1
    before = kit.assets(tags=["bulk-import"], order_by="public_id")
    assert before["public_id"].str.removeprefix("notebooks/ana/import/").tolist() == [
        *("coffee", "dawn 🌅", "dusk 🌇", "rocket"),
        *("textures/100_ gravel _ sand", "textures/grass", "the cat"),
    ]
    assert kit.asset("notebooks/ana/import/coffee").width == 600

    cells = run("02_bulk_import")
    assert "3 failed, 6 unchanged, 1 skipped" in said(cells["report"])
    assert "7 unchanged, 2 failed, 1 skipped" in said(cells["fix"])
    assert kit.assets(tags=["bulk-import"], order_by="public_id").equals(before)
    assert kit.count() == 7
    another_users_run_meets_nothing_of_anas(kit, run, monkeypatch, "02_bulk_import")


def test_analysis_fills_an_empty_library_once_and_then_only_reads_what_the_others_left(
    kit: mt.MediaToolkit, run: Any
) -> None:
    cells = run("03_metadata_analysis")
    assert "The library is empty" in said(cells["ensure-assets"])
    assert "10 uploaded, 0 failed" in said(cells["ensure-assets"])
    assert kit.count(folder="samples", tags=["sample"], format=["png", "jpg"]) == kit.count() == 10
    assert "10 of 10 pictures lack an alt text" in said(cells["missing-alt"])
    assert "10 rows read back" in said(cells["export"])
    for name in ("by-user", "by-type", "by-format", "by-tag", "sizes", "over-time"):
        spec = cells[name].outputs[0].data["application/vnd.vegalite.v5+json"]
        (rows,) = spec["datasets"].values()
        assert sum(row["assets"] for row in rows) == 10, name
    assert "astronaut" in said(cells["largest"]).splitlines()[1]
    landscapes = ["chelsea", "coffee", "horse", "hubble_deep_field", "rocket"]
    assert sorted(re.findall(r'title="(\w+)"', shown(cells["gallery"]))) == landscapes

    for other in ("02_bulk_import", "01_quickstart"):
        run(other)
    before = kit.assets()
    assert len(before) == 10 + 7 + 4
    cells = run("03_metadata_analysis")
    assert said(cells["ensure-assets"]) == "21 assets to analyse\n"
    assert kit.assets().equals(before)


def test_analysis_tells_what_a_library_of_others_holds(kit: mt.MediaToolkit, run: Any) -> None:
    # Rows as the guide's code leaves them: most columns empty.
    kit.acting_as("bob").save_many(
        [
            {"public_id": name, "resource_type": kind, "secure_url": f"https://x.test/{name}"}
            for name, kind in (("old", "image"), ("film", "video"), ("table.csv", "raw"))
        ]
    )
    cells = run("03_metadata_analysis")
    assert said(cells["ensure-assets"]) == "3 assets to analyse\n"
    assert kit.count() == 3
    assert "1 of 1 pictures lack an alt text" in said(cells["missing-alt"])
    assert "3 rows read back" in said(cells["export"])

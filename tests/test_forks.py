"""A process that is forked from one with a kit."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import media_toolkit as mt

SCRIPT = """
import multiprocessing, sys
import media_toolkit as mt

kit = mt.connect()
for name in ("ana", "bob"):
    kit.acting_as(name).upload(sys.argv[1], public_id=name)
assert len(kit.assets()) == len(kit.page().items) == 2

def read(name):
    me = kit.acting_as(name)
    for n in range(60):
        assert {a.user_id for a in me.page(user_id=name, limit=1).items} == {name}
        assert set(me.assets(user_id=name)["user_id"]) == {name}
        if n % 10 == 0:
            assert me.upload(sys.argv[1], public_id=f"{name}{n}").user_id == name
    return name

with multiprocessing.get_context("fork").Pool(2) as pool:
    assert pool.map(read, ["ana", "bob"], chunksize=1) == ["ana", "bob"]
assert len(kit.page().items) == len(kit.assets()) == 14
kit.close()
"""


def test_a_forked_process_has_connections_of_its_own(
    kit: mt.MediaToolkit, sample_media: Path
) -> None:
    command = [sys.executable, "-c", SCRIPT, str(sample_media / "horse.png")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stderr) == (0, "")

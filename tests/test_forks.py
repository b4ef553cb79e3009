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

ITERATOR = """
import os
import media_toolkit as mt

kit = mt.connect()
kit.save_many(
    {"public_id": f"row{n}", "asset_id": f"{n:032x}", "resource_type": "raw", "version": 1,
     "secure_url": f"https://res.example/row{n}", "context": {"said": "x" * 900}}
    for n in range(20_000)
)
batches = kit.iter_assets(order_by="public_id", batch_size=100)
read = len(next(batches))
child = os.fork()
if child == 0:
    try:
        for batch in batches:
            pass
    except mt.StoreError as error:
        os._exit(0 if "forked" in str(error) else 1)
    os._exit(2)
assert os.waitpid(child, 0)[1] == 0
assert read + sum(map(len, batches)) == 20_000
kit.close()
"""
SIGNING = """
import os, threading
import media_toolkit as mt

kit = mt.connect()
kit.sign_upload()  # by which all is imported: Python has locks of its own for that
over = threading.Event()

def sign():
    while not over.is_set():
        kit.sign_upload()

threads = [threading.Thread(target=sign) for _ in range(6)]
for one in threads:
    one.start()
for _ in range(8):
    child = os.fork()
    if child == 0:
        for _ in range(3):
            kit.sign_upload()
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
over.set()
for one in threads:
    one.join()
kit.close()
"""


def run(script: str, *arguments: object) -> None:
    command = [sys.executable, "-c", script, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_forked_process_has_connections_of_its_own(
    kit: mt.MediaToolkit, sample_media: Path
) -> None:
    run(SCRIPT, sample_media / "horse.png")


def test_an_iterator_of_the_parents_is_the_parents(kit: mt.MediaToolkit) -> None:
    run(ITERATOR)


def test_who_is_forked_while_others_sign_waits_for_none_of_them(kit: mt.MediaToolkit) -> None:
    run(SIGNING)

"""Reconcile of many assets on the embedded stack: Admin calls and seconds.

    python benchmarks/reconcile.py [--assets 10000]

Writes its part of `benchmarks/results.md`.
"""

from __future__ import annotations

import argparse
import io
import shutil
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from PIL import Image
from report import write_part

import media_toolkit as mt
from media_toolkit.embedded.stack import EmbeddedStack


def main() -> None:
    """Upload, make differences on both sides, reconcile, mend, reconcile."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--assets", type=int, default=10_000)
    count = parser.parse_args().assets
    home = Path(tempfile.mkdtemp(prefix="media-toolkit-benchmark-"))
    settings = mt.Settings(home=home)
    try:
        with mt.connect(settings, user_id="ana") as kit:
            lines = measure(kit, count)
        EmbeddedStack.join(settings).end_if_unused()
    finally:
        shutil.rmtree(home, ignore_errors=True)
    table = "| step | Admin calls | seconds |\n|---|---|---|\n" + "\n".join(lines)
    print(table)
    write_part(
        "Reconcile", f"python benchmarks/reconcile.py --assets {count}", f"{table}\n\nOne run."
    )


def measure(kit: mt.MediaToolkit, count: int) -> list[str]:
    """One row of the table a step."""
    file = io.BytesIO()
    Image.new("L", (1, 1)).save(file, "PNG")
    client, pixel = kit._client, file.getvalue()

    def put(name: str) -> dict[str, object]:
        return client.upload(pixel, "x.png", "image", public_id=name, tags=["t"])

    with ThreadPoolExecutor(16) as pool:
        responses = list(pool.map(put, (f"many/{n:06}" for n in range(count))))
    kit.save_many(responses[20:])
    for n in range(10):
        kit.save_many([put(f"gone/{n}")])
        client.destroy(f"gone/{n}")
        client.relabel(str(responses[100 + n]["asset_id"]), tags=["t", "new"])
    lines = []

    def step(name: str, work: object) -> object:
        calls, started = client.admin_calls, time.perf_counter()
        result = work()  # type: ignore[operator]
        took = time.perf_counter() - started
        lines.append(f"| {name} | {client.admin_calls - calls} | {took:.2f} |")
        return result

    plan = step(f"plan over {count:,} assets, 40 differences",
                lambda: kit.reconcile(progress=False))  # fmt: skip
    assert len(plan.differences) == 40, plan  # type: ignore[attr-defined]
    step("apply to the table", lambda: plan.apply(dry_run=False, progress=False))  # type: ignore[attr-defined]
    again = step("plan once more, no difference", lambda: kit.reconcile(progress=False))
    assert again.differences == [], again  # type: ignore[attr-defined]
    return lines


if __name__ == "__main__":
    main()

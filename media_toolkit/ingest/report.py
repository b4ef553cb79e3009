"""IngestReport: what became of every file of an import."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from html import escape
from typing import TYPE_CHECKING, Literal

from media_toolkit.asset import Asset

if TYPE_CHECKING:
    import pandas as pd

# Jupyter aligns the cells of tables to the right, as suits numbers.
_CELL = "<td style='text-align:left'>"
_HEAD = f"<tr>{_CELL}<b>file</b></td>{_CELL}<b>error</b></td>{_CELL}<b>next</b></td></tr>"

Outcome = Literal["uploaded", "unchanged", "skipped", "failed", "cancelled"]


@dataclass(frozen=True, slots=True)
class Result:
    """One file's outcome.

    Attributes:
        label: the path below the imported folder.
        error, hint: what was wrong and what to do, for `failed` and `skipped`. Skipped is
            what neither its name nor its content calls a picture or a video.
        asset: the saved asset, for `uploaded` and `unchanged`.
    """

    label: str
    outcome: Outcome
    public_id: str
    error: str = ""
    hint: str = ""
    asset: Asset | None = None


@dataclass(slots=True)
class IngestReport:
    """All results of one import, in the order of the files' names.

    Attributes:
        seconds: wall time of the whole import.
        interrupted: whether Ctrl-C ended it; what was uploaded until then is saved.
    """

    results: list[Result] = field(default_factory=list)
    seconds: float = 0.0
    interrupted: bool = False

    def count(self, outcome: Outcome) -> int:
        """How many files ended so."""
        return sum(result.outcome == outcome for result in self.results)

    @property
    def uploaded(self) -> list[Asset]:
        """The assets that this import stored and saved."""
        return [r.asset for r in self.results if r.outcome == "uploaded" and r.asset]

    @property
    def failed(self) -> list[Result]:
        """The files that were refused, each with its error."""
        return [r for r in self.results if r.outcome == "failed"]

    @property
    def skipped(self) -> list[Result]:
        """The files that are neither pictures nor videos, left where they are."""
        return [r for r in self.results if r.outcome == "skipped"]

    def to_frame(self) -> pd.DataFrame:
        """Columns file, outcome, public_id, error, hint, all of text: one row a file."""
        import pandas as pd

        rows = [(r.label, r.outcome, r.public_id, r.error, r.hint) for r in self.results]
        return pd.DataFrame(
            rows, columns=["file", "outcome", "public_id", "error", "hint"], dtype="string"
        )

    def __str__(self) -> str:
        counts = Counter(result.outcome for result in self.results)
        told = ", ".join(f"{n} {outcome}" for outcome, n in counts.items()) or "no files found"
        text = f"{told} in {self.seconds:.1f} s"
        if self.interrupted:
            text += " (interrupted: run it again to go on)"
        for result in self.failed + self.skipped:
            text += f"\n  {result.label}: {result.error}"
            text += f" ({result.hint})" if result.hint else ""
        return text

    __repr__ = __str__

    def _repr_html_(self) -> str:
        head, *_ = str(self).splitlines()
        rows = "".join(
            f"<tr>{_CELL}{escape(r.label)}</td>{_CELL}{escape(r.error)}</td>"
            f"{_CELL}{escape(r.hint)}</td></tr>"
            for r in self.failed + self.skipped
        )
        table = f"<table>{_HEAD}{rows}</table>"
        return f"<p><b>{escape(head)}</b></p>{table if rows else ''}"

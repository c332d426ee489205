"""The report: one page about a destination that needs no network, no server and no cluster."""

from __future__ import annotations

import base64
import hashlib
import json
import math
import shlex
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from html import escape
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import quote

from pipeline.destination.ledger import DONE, READERS, Ledger
from pipeline.destination.status import Standing, standing
from pipeline.scoring.run import HOPELESS
from pipeline.storage.errors import printable
from pipeline.storage.storage import Storage, StorageError
from stages.contracts import Row

NAME = "report.html"
SLOWEST = 10
BINS = 60
"""Bars of the throughput."""
RHYTHM_VALUES = 600
"""Of one result's rhythm that are drawn, at most."""
SCRIPT, STYLE = (Path(__file__).with_name(f"report.{kind}") for kind in ("js", "css"))


def report_page(found: Standing, destination: Storage, media: str | None = "") -> str:
    """A page in HTML: how a run ended, how fast it was, what failed and why, and each result to be heard and seen.

    Everything that came from a file or its name is escaped, and the page allows no script but its own.

    Args:
        media: what stands before the names of the results in links: nothing for a page that lies in the destination,
            its URL for one elsewhere, None where a browser cannot reach them.

    Raises:
        LedgerError, StorageError: the destination cannot be read.
    """
    rows = Ledger(destination).latest(found.rows).sort_by("output").to_pylist()
    script, style = SCRIPT.read_text(encoding="utf-8"), STYLE.read_text(encoding="utf-8")
    allowed = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = (
        f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{allowed}'; "
        "media-src 'self' file: http: https:"
    )
    body = [
        _header(found, destination),
        _throughput([row["finished"] for row in found.rows.select(["finished"]).to_pylist()]),
        _stages(found),
        _slowest(rows),
        _failures(found, destination),
        '<section id="gallery"><h2>Results</h2></section>' if rows else "",
    ]
    return "\n".join(
        [
            "<!doctype html>",
            '<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">',
            f'<meta http-equiv="Content-Security-Policy" content="{policy}">',
            f"<title>diff-v2m: {_text(destination.url)}</title><style>{style}</style></head><body>",
            *body,
            f'<script type="application/json" id="data">{_data(rows, destination, media)}</script>',
            f"<script>{script}</script></body></html>\n",
        ]
    )


def write_report(destination: Storage, out: Path | None = None) -> str:
    """Write the page into the destination, or to a file elsewhere; where it is.

    Raises:
        LedgerError, StorageError: the destination cannot be read, or the page cannot be written.
    """
    destination.check()
    found = standing(destination)
    if out is None:
        destination.write(NAME, report_page(found, destination).encode("utf-8", "backslashreplace"))
        return destination.uri(NAME)
    media = f"{Path(destination.root).absolute().as_uri()}/" if destination.local else None
    page = report_page(found, destination, media)
    try:
        out.write_text(page, encoding="utf-8", errors="backslashreplace")
    except OSError as fault:
        raise StorageError("OSError", f"cannot write the report to {out}: {fault.strerror or fault}") from fault
    return str(out)


def _text(value: object) -> str:
    return escape(printable(str(value)))


def _header(found: Standing, destination: Storage) -> str:
    counts = {
        "videos": found.total,
        "done": found.done,
        "failed": len(found.failures),
        "waiting": found.waiting,
        "attempts": found.attempts,
        "minutes of music": f"{found.music / 60:.1f}",
    }
    tiles = "".join(
        f'<div class="tile {name.split()[0]}"><b>{_text(value)}</b>{name}</div>' for name, value in counts.items()
    )
    settings = ", ".join(f"{name} {value}" for name, value in found.run.settings.items() if value is not None)
    return (
        f"<header><h1>{_text(destination.url)}</h1><p>begun {_text(found.run.started)} on {_text(found.run.machine)}, "
        f"fingerprint <code>{_text(found.run.fingerprint)}</code>; {_text(settings)}; "
        f'page of {datetime.now(UTC):%Y-%m-%d %H:%M} UTC</p><div class="tiles">{tiles}</div></header>'
    )


def _throughput(finished: Sequence[datetime]) -> str:
    """Videos settled over time, as bars."""
    if not finished:
        return ""
    first, last = min(finished), max(finished)
    width = max((last - first) / BINS, timedelta(seconds=1))
    counts = [0] * (int((last - first) / width) + 1)
    for moment in finished:
        counts[int((moment - first) / width)] += 1
    bars = "".join(
        f'<rect x="{i}" y="{100 - 100 * n / max(counts):.1f}" width="0.9" height="{100 * n / max(counts):.1f}">'
        f"<title>{first + i * width:%H:%M:%S}: {n}</title></rect>"
        for i, n in enumerate(counts)
    )
    return (
        "<section><h2>Throughput</h2>"
        f'<svg class="bars" viewBox="0 0 {len(counts)} 100" preserveAspectRatio="none">{bars}</svg>'
        f"<p>{first:%Y-%m-%d %H:%M:%S} to {last:%Y-%m-%d %H:%M:%S} UTC, at most {max(counts)} videos in "
        f"{_duration(width.total_seconds())}</p></section>"
    )


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"


def _stages(found: Standing) -> str:
    total = sum(found.seconds.values())
    if not total:
        return ""
    rows = "".join(
        f'<tr><th>{_text(stage)}</th><td class="number">{seconds:.1f} s</td>'
        f'<td class="number">{seconds / total:.0%}</td>'
        f'<td><meter min="0" max="1" value="{seconds / total:.4f}"></meter></td></tr>'
        for stage, seconds in found.seconds.items()
    )
    return f"<section><h2>Time of each stage</h2><table>{rows}</table></section>"


def _slowest(rows: Sequence[Row]) -> str:
    timed = sorted(((sum(s for _, s in row["seconds"] or ()), row) for row in rows), key=lambda pair: -pair[0])
    lines = "".join(
        f'<tr><td>{_text(row["output"])}</td><td class="number">{seconds:.1f} s</td>'
        f'<td class="number">{(row["duration"] or 0):.1f} s</td><td>{_text(row["state"])}</td></tr>'
        for seconds, row in timed[:SLOWEST]
    )
    head = "<tr><th>video</th><th>work</th><th>length</th><th></th></tr>"
    return f"<section><h2>Slowest</h2><table>{head}{lines}</table></section>" if lines else ""


def _failures(found: Standing, destination: Storage) -> str:
    """By cause, each with the command that tries them again."""
    parts = []
    for (stage, cause), count in found.causes.most_common():
        flag = " --failed" if cause in HOPELESS else ""
        command = f"diff-v2m retry {shlex.quote(destination.url)}{flag}"
        lines = "".join(
            f"<tr><td>{_text(row['uri'])}</td><td>{_text(row['error_message'])}</td></tr>"
            for row in found.failures
            if (row["stage"] or "", row["error_type"] or "") == (stage, cause)
        )
        parts.append(
            f"<details><summary><b>{count}</b> {_text(cause)} in {_text(stage)}</summary>"
            f"<p>again: <code>{_text(command)}</code></p><table>{lines}</table></details>"
        )
    return f"<section><h2>Failures</h2>{''.join(parts)}</section>" if parts else ""


def _data(rows: Sequence[Row], destination: Storage, media: str | None) -> str:
    """What the gallery is made of, as JSON that no page can mistake for markup."""
    with ThreadPoolExecutor(READERS["local" if destination.local else "remote"]) as readers:
        strips = list(readers.map(lambda row: _strip(row, destination), rows))
    items = [
        {
            "name": printable(row["output"]),
            "links": [] if media is None else [media + quote(o["name"]) for o in row["outputs"] or ()],
            "state": row["state"],
            "duration": row["duration"] or 0,
            "work": round(sum(seconds for _, seconds in row["seconds"] or ()), 2),
            "error": printable(f"{row['error_type']} in {row['stage']}: {row['error_message']}")
            if row["error_type"]
            else "",
            **strip,
        }
        for row, strip in zip(rows, strips, strict=True)
    ]
    return json.dumps({"items": items, "reachable": media is not None}).replace("<", "\\u003c")


def _strip(row: Row, destination: Storage) -> dict[str, Any]:
    """Cuts in seconds, rhythm and levels in percent of a result, from its sidecar; empty where that tells nothing."""
    sidecars = [o["name"] for o in row["outputs"] or () if PurePosixPath(o["name"]).suffix == ".json"]
    if row["state"] != DONE or not sidecars:
        return {}
    try:
        facts = json.loads(destination.read(sidecars[0]))
        cuts = [round(float(cut), 3) for cut in facts["cuts"]]
        rhythm = [float(sum(v) / len(v)) if isinstance(v, list) else float(v) for v in facts["rhythm"][:RHYTHM_VALUES]]
        levels = [int(level) for level in facts["levels"]]
    except (StorageError, ValueError, KeyError, TypeError, AttributeError):
        return {}
    finite = [value for value in rhythm if math.isfinite(value)] or [0.0]
    low, span = min(finite), max(finite) - min(finite) or 1.0
    percent = [round(100 * (value - low) / span) if math.isfinite(value) else 0 for value in rhythm]
    return {"cuts": cuts, "rhythm": percent, "levels": levels}

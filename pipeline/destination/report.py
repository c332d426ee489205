"""The report: one HTML page about a destination that needs no network, no server and no cluster."""

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
from pipeline.destination.status import RunStatus, run_status
from pipeline.storage.errors import printable
from pipeline.storage.paths import is_hidden
from pipeline.storage.storage import Storage, StorageError
from stages.contracts import Row
from stages.error_kinds import is_permanent

NAME = "report.html"
SHOWN_SLOWEST = 10
"""Number of videos in the table of the slowest."""
TIME_PARTS = 60
"""Number of parts that a run's time is divided into for the chart of the throughput."""
MAX_RHYTHM_VALUES = 600
"""Number of rhythm values that are drawn for one result at most."""
SCRIPT, STYLE = (Path(__file__).with_name(f"report.{kind}") for kind in ("js", "css"))


def report_page(status: RunStatus, destination: Storage, media: str | None = "") -> str:
    """Returns the page in HTML: outcome, throughput, failures with their reasons, and a gallery of the results.

    Everything that came from a file or its name is escaped, and the page allows no script but its own.

    Args:
        status: status of the destination.
        destination: the destination.
        media: prefix of the results' names in links: empty for a page that lies in the destination, the destination's
            URL for one elsewhere, None if a browser cannot reach the results.

    Raises:
        LedgerError, StorageError: the destination cannot be read.
    """
    rows = Ledger(destination).latest(status.rows).sort_by("output").to_pylist()
    script, style = SCRIPT.read_text(encoding="utf-8"), STYLE.read_text(encoding="utf-8")
    allowed = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = (
        f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{allowed}'; "
        "media-src 'self' file: http: https:"
    )
    body = [
        _header(status, destination),
        _throughput([row["finished"] for row in status.rows.select(["finished"]).to_pylist()]),
        _stages(status),
        _slowest(rows),
        _failures(status, destination),
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
    """Writes the page into the destination, or to a file elsewhere, and returns its location.

    Args:
        destination: the destination.
        out: file that takes the page; `report.html` in the destination if left out.

    Raises:
        LedgerError, StorageError: the destination cannot be read, or the page cannot be written.
    """
    destination.check()
    status = run_status(destination)
    if out is None:
        destination.write(NAME, report_page(status, destination).encode("utf-8", "backslashreplace"))
        return destination.uri(NAME)
    media = f"{Path(destination.root).absolute().as_uri()}/" if destination.local else None
    page = report_page(status, destination, media)
    try:
        out.write_text(page, encoding="utf-8", errors="backslashreplace")
    except OSError as error:
        raise StorageError("Failed", f"cannot write the report to {out}: {error.strerror or error}") from error
    return str(out)


def _text(value: object) -> str:
    """Returns a value as text that can stand anywhere in HTML."""
    return escape(printable(str(value)))


def _header(status: RunStatus, destination: Storage) -> str:
    """Returns the heading: counts, settings and the time of the page."""
    counts = {
        "videos": status.total,
        "done": status.done,
        "failed": len(status.failures),
        "waiting": status.pending,
        "attempts": status.attempts,
        "minutes of music": f"{status.music / 60:.1f}",
    }
    tiles = "".join(
        f'<div class="tile {name.split()[0]}"><b>{_text(value)}</b>{name}</div>' for name, value in counts.items()
    )
    run = status.run
    settings = ", ".join(f"{name} {value}" for name, value in run.settings.items() if value is not None)
    return (
        f"<header><h1>{_text(destination.url)}</h1><p>begun {_text(run.started)} on {_text(run.machine)}, "
        f"fingerprint <code>{_text(run.fingerprint)}</code>; {_text(settings)}; "
        f'page of {datetime.now(UTC):%Y-%m-%d %H:%M} UTC</p><div class="tiles">{tiles}</div></header>'
    )


def _throughput(finished: Sequence[datetime]) -> str:
    """Returns a bar chart of the attempts that ended over time."""
    if not finished:
        return ""
    first, last = min(finished), max(finished)
    width = max((last - first) / TIME_PARTS, timedelta(seconds=1))
    counts = [0] * (int((last - first) / width) + 1)
    for time in finished:
        counts[int((time - first) / width)] += 1
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


def _stages(status: RunStatus) -> str:
    """Returns a table of each stage's share of the work."""
    total = sum(status.seconds.values())
    if not total:
        return ""
    rows = "".join(
        f'<tr><th>{_text(stage)}</th><td class="number">{seconds:.1f} s</td>'
        f'<td class="number">{seconds / total:.0%}</td>'
        f'<td><meter min="0" max="1" value="{seconds / total:.4f}"></meter></td></tr>'
        for stage, seconds in status.seconds.items()
    )
    return f"<section><h2>Time of each stage</h2><table>{rows}</table></section>"


def _slowest(rows: Sequence[Row]) -> str:
    """Returns a table of the videos that took the most work."""
    timed = sorted(((sum(s for _, s in row["seconds"] or ()), row) for row in rows), key=lambda pair: -pair[0])
    lines = "".join(
        f'<tr><td>{_text(row["output"])}</td><td class="number">{seconds:.1f} s</td>'
        f'<td class="number">{(row["duration"] or 0):.1f} s</td><td>{_text(row["state"])}</td></tr>'
        for seconds, row in timed[:SHOWN_SLOWEST]
    )
    head = "<tr><th>video</th><th>work</th><th>length</th><th></th></tr>"
    return f"<section><h2>Slowest</h2><table>{head}{lines}</table></section>" if lines else ""


def _failures(status: RunStatus, destination: Storage) -> str:
    """Returns the failures by cause, each with the command that tries them again."""
    parts = []
    for (stage, cause), count in status.causes.most_common():
        flag = " --failed" if is_permanent(cause) else ""
        command = f"diff-v2m retry {shlex.quote(destination.url)}{flag}"
        lines = "".join(
            f"<tr><td>{_text(row['uri'])}</td><td>{_text(row['error_message'])}</td></tr>"
            for row in status.failures
            if (row["stage"] or "", row["error_type"] or "") == (stage, cause)
        )
        parts.append(
            f"<details><summary><b>{count}</b> {_text(cause)} in {_text(stage)}</summary>"
            f"<p>again: <code>{_text(command)}</code></p><table>{lines}</table></details>"
        )
    return f"<section><h2>Failures</h2>{''.join(parts)}</section>" if parts else ""


def _data(rows: Sequence[Row], destination: Storage, media: str | None) -> str:
    """Returns the gallery's data as JSON, without a `<` that a browser could mistake for markup."""
    with ThreadPoolExecutor(READERS["local" if destination.local else "remote"]) as readers:
        strips = list(readers.map(lambda row: _strip(row, destination), rows))
    items = [
        {
            "name": printable(row["output"]),
            "links": [] if media is None else [media + quote(name) for name in _shown_files(row)],
            "state": row["state"],
            "duration": row["duration"] or 0,
            "work": round(sum(seconds for _, seconds in row["seconds"] or ()), 2),
            "error": printable(f"{row['error_type']} in {row['stage']}: {row['error_message']}")
            if row["error_type"]
            else "",
            "note": _damage_note(row),
            **strip,
        }
        for row, strip in zip(rows, strips, strict=True)
    ]
    return json.dumps({"items": items, "reachable": media is not None}).replace("<", "\\u003c")


def _shown_files(row: Row) -> list[str]:
    """Returns the names of a row's outputs that are meant for people, the video first."""
    return [output["name"] for output in row["outputs"] or () if not is_hidden(output["name"])]


def _damage_note(row: Row) -> str:
    """Returns how many frames of a result could not be read; nothing for a whole one."""
    if not row.get("frames_lost") or row["state"] != DONE:
        return ""
    return f"{row['frames_lost']} frames could not be read ({row['seconds_held']:.1f} s)"


def _strip(row: Row, destination: Storage) -> dict[str, Any]:
    """Returns cuts, speech (seconds), rhythm, levels (percent) and loudness of a result, from its usable sidecar."""
    sidecars = [o["name"] for o in row["outputs"] or () if PurePosixPath(o["name"]).suffix == ".json"]
    if row["state"] != DONE or not sidecars:
        return {}
    try:
        sidecar = json.loads(destination.read(sidecars[0]))
        cuts = [round(float(cut), 3) for cut in sidecar["cuts"]]
        rhythm = [
            float(sum(v) / len(v)) if isinstance(v, list) else float(v) for v in sidecar["rhythm"][:MAX_RHYTHM_VALUES]
        ]
        levels = [int(level) for level in sidecar["levels"]]
        speech = [[float(time) for time in span] for span in sidecar.get("speech") or ()]
        loudness = _loudness_text(sidecar.get("loudness"), sidecar.get("true_peak"))
    except (StorageError, ValueError, KeyError, TypeError, AttributeError):
        return {}
    finite = [value for value in rhythm if math.isfinite(value)] or [0.0]
    low, span = min(finite), max(finite) - min(finite) or 1.0
    percent = [round(100 * (value - low) / span) if math.isfinite(value) else 0 for value in rhythm]
    return {"cuts": cuts, "rhythm": percent, "levels": levels, "loudness": loudness, "speech": speech}


def _loudness_text(loudness: float | None, true_peak: float | None) -> str:
    """Returns the loudness and the true peak of a sound in words; nothing for silence, or what was never measured."""
    if loudness is None or true_peak is None:
        return ""
    return f"{float(loudness):.1f} LUFS, {float(true_peak):.1f} dBTP"

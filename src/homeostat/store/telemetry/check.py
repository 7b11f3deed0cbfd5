"""Reads a data directory and says what is wrong with it; changes nothing. Called by ``homeostat store check``.

A Homeostat may run on it meanwhile: files that vanish because they were merged or became too old are no problem.
"""

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import ValidationError

from homeostat.core.models import Model
from homeostat.store.telemetry import quarantine
from homeostat.store.telemetry.attachments import UNNAMED_SUFFIX
from homeostat.store.telemetry.catalogue import CATALOGUE_FILE, CatalogueState
from homeostat.store.telemetry.lane import LaneSpec
from homeostat.store.telemetry.layout import INDEX_SUFFIX, PARQUET_SUFFIX, SegmentInfo, describe
from homeostat.store.telemetry.wal_format import Damage, scan

_CHECK_DISK: Final = "Check the disk; restore the file from a backup if there is one."
_SELF_MENDING: Final = "Nothing has to be done: it is made anew when it is needed."


class Finding(Model):
    """One thing that is not as it should be."""

    lane: str  # traces | metrics | logs
    file: str
    problem: str
    remedy: str
    is_damage: bool = True  # False: known already, or it mends itself


class LaneReport(Model):
    """One lane as it was found."""

    lane: str
    segments: int = 0
    rows: int = 0
    bytes: int = 0  # of its segments
    attachments: int = 0
    requests_in_log: int = 0  # behind the checkpoint: they become segments when Homeostat runs
    findings: tuple[Finding, ...] = ()


def check_lane(spec: LaneSpec[Any], storage: Path, progress: Callable[[str], None] = lambda _: None) -> LaneReport:
    """Read everything that a lane has on disk. ``progress`` is called with each file's name."""
    return _Check(spec, storage, progress).report()


class _Check:
    def __init__(self, spec: LaneSpec[Any], storage: Path, progress: Callable[[str], None]) -> None:
        self._spec = spec
        root = spec.folder_in(storage)
        self._segments, self._wal = root / "segments", root / "wal"
        self._attachments, self._aside = root / "attachments", root / "unreadable"
        self._progress = progress

    def report(self) -> LaneReport:
        if not self._segments.is_dir():
            return LaneReport(lane=self._spec.name)
        state, findings = self._catalogue()
        for info in state.segments:
            self._progress(info.name)
            findings += self._segment(info)
        findings += [
            self._found(self._attachments / attachment.name, "is gone: what it held is lost", _CHECK_DISK)
            for attachment in state.attachments
            if not (self._attachments / attachment.name).exists() and self._is_named(attachment.name)
        ]
        requests, of_log = self._log(state)
        findings += [*of_log, *self._left_aside()]
        return LaneReport(
            lane=self._spec.name,
            segments=len(state.segments),
            rows=sum(info.rows for info in state.segments),
            bytes=sum(info.bytes for info in state.segments),
            attachments=len(state.attachments),
            requests_in_log=requests,
            findings=tuple(findings),
        )

    def _catalogue(self) -> tuple[CatalogueState, list[Finding]]:
        path = self._segments / CATALOGUE_FILE
        try:
            return CatalogueState.model_validate_json(path.read_bytes()), []
        except FileNotFoundError:
            if not any(self._segments.glob(f"*{PARQUET_SUFFIX}")):
                return CatalogueState(), []
            problem = "is gone although there are segments"
        except (OSError, ValidationError) as error:
            problem = f"can't be read ({type(error).__name__})"
        remedy = "Start Homeostat: it makes it anew from the segments; attachments are set aside."
        return CatalogueState(), [self._found(path, problem, remedy)]

    def _is_named(self, name: str) -> bool:
        """Whether the present catalogue still names a segment or an attachment."""
        state, _ = self._catalogue()
        return name in {entry.name for entry in (*state.segments, *state.attachments)}

    def _segment(self, info: SegmentInfo) -> list[Finding]:
        path = self._segments / f"{info.name}{PARQUET_SUFFIX}"
        index = self._segments / f"{info.name}{INDEX_SUFFIX}"
        try:
            table = pq.read_table(path, page_checksum_verification=True)
            said = describe(self._segments, info.name, table, info.last_seq, self._spec.layout)
        except FileNotFoundError:
            lost = self._is_named(info.name)
            return [self._found(path, "is gone: what it held is lost", _CHECK_DISK)] if lost else []
        except (OSError, ValueError, KeyError, pa.ArrowException) as error:
            return [self._found(path, f"can't be read ({error})", _CHECK_DISK)]
        if (said.rows, said.min_start_ns, said.max_start_ns) != (info.rows, info.min_start_ns, info.max_start_ns):
            return [self._found(path, f"holds {said.rows} rows, the catalogue says {info.rows}", _CHECK_DISK)]
        return self._index(info, index)

    def _index(self, info: SegmentInfo, path: Path) -> list[Finding]:
        """An index is right when it is what the segment would give if it were made now."""
        segment = self._spec.open_segment(self._segments, info)
        try:
            expected = _made(lambda target: self._spec.layout.write_index(target, segment.indexed()))
            if path.read_bytes() == expected:
                return []
        except FileNotFoundError:
            if not self._is_named(info.name):
                return []
            return [self._found(path, "is gone", _SELF_MENDING)]
        except (OSError, pa.ArrowException) as error:
            return [self._found(path, f"can't be read ({error})", _CHECK_DISK)]
        remedy = "Delete it: it is made anew when it is needed. Until then searches may miss something."
        return [self._found(path, "does not fit its segment", remedy)]

    def _log(self, state: CatalogueState) -> tuple[int, list[Finding]]:
        """Requests behind the checkpoint, and damage. A torn end of the newest file was never acknowledged."""
        findings: list[Finding] = []
        requests = 0
        files = sorted(self._wal.glob("*.wal"))
        for number, path in enumerate(files):
            self._progress(path.name)
            try:
                data = path.read_bytes()
            except FileNotFoundError:
                continue  # what it held has become a segment
            for end, found in scan(data):
                if not isinstance(found, Damage):
                    requests += found.seq > state.checkpoint
                elif number < len(files) - 1 or end < len(data):
                    problem = f"holds no record from byte {found.start} to {found.end}: what was there is lost"
                    findings.append(self._found(path, problem, _CHECK_DISK))
        return requests, findings

    def _left_aside(self) -> Iterator[Finding]:
        for name in quarantine.names_aside(self._segments):
            path = self._segments / f"{name}{PARQUET_SUFFIX}{quarantine.UNREADABLE_SUFFIX}"
            yield self._found(path, "was set aside: it could not be read", "The next start tries it again.", False)
        for path in sorted(self._aside.glob("*.otlp")) if self._aside.is_dir() else []:
            remedy = f"It is an {self._spec.message}: mend it and import it, or delete it."
            yield self._found(path, "was acknowledged and could not be taken in", remedy, False)
        for path in sorted(self._attachments.glob(f"*{UNNAMED_SUFFIX}")) if self._attachments.is_dir() else []:
            yield self._found(path, "lost the catalogue that named it", "Delete it when nobody misses it.", False)

    def _found(self, path: Path, problem: str, remedy: str, is_damage: bool = True) -> Finding:
        return Finding(lane=self._spec.name, file=str(path), problem=problem, remedy=remedy, is_damage=is_damage)


def _made(write: Callable[[Path], None]) -> bytes:
    """What would be written to a file."""
    with tempfile.TemporaryDirectory(prefix="homeostat-check-") as folder:
        target = Path(folder) / "index"
        write(target)
        return target.read_bytes()

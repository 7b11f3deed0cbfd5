"""Which segments there are, and up to which request of the log they hold everything. One file, replaced atomically.

A segment counts from the moment that the catalogue names it; a compaction takes its sources out and its result
in with one replacement. Segments that the catalogue does not name are left from a crash and are deleted at the start.
Without a usable catalogue nothing is: what can be read is taken in, what can't is set aside (``quarantine``).
"""

import logging
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import ValidationError

from homeostat.core.errors import StoreCorruptError
from homeostat.core.models import Model
from homeostat.store.telemetry import disk
from homeostat.store.telemetry.quarantine import (
    UNREADABLE_SUFFIX,
    names_aside,
    parse_name,
    report,
    set_aside,
    take_back,
)
from homeostat.store.telemetry.segment import INDEX_SUFFIX, PARQUET_SUFFIX, Segment, SegmentInfo, describe

logger = logging.getLogger(__name__)

_FILE: Final = "catalogue.json"


class CatalogueState(Model):
    """What the file holds. ``segments`` from the oldest to the newest."""

    checkpoint: int = 0  # every request of the log up to this one is in a segment (or past its retention)
    next_number: int = 1  # of the next segment's name
    segments: tuple[SegmentInfo, ...] = ()


class Catalogue:
    """The catalogue of one directory. Changed by one thread only."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self._directory = directory
        self._path = directory / _FILE
        self.problems: list[StoreCorruptError] = []
        self.state = self._load()
        self._check_files()
        self._delete_strays()

    def _load(self) -> CatalogueState:
        try:
            return CatalogueState.model_validate_json(self._path.read_bytes())
        except FileNotFoundError:
            segments = self._found()
        except ValidationError as error:
            logger.error("%s can't be read and is made anew from the segments: %s", self._path, error)
            segments = self._found()
        aside = [place for name in names_aside(self._directory) if (place := parse_name(name))]
        numbers = [number for number, _ in aside] + [int(segment.name.split("-")[0]) for segment in segments]
        state = CatalogueState(
            checkpoint=max((segment.last_seq for segment in segments), default=0),
            next_number=1 + max(numbers, default=0),
            segments=tuple(segments),
        )
        self._save(state)
        return state

    def _found(self) -> list[SegmentInfo]:
        """Segments as their own files tell of them; those that can't be read are set aside."""
        found: list[SegmentInfo] = []
        for path in sorted(self._directory.glob(f"*{PARQUET_SUFFIX}")):
            try:
                found.append(self._read(path.stem, path))
            except (OSError, ValueError, pa.ArrowException) as error:
                logger.error("Segment %s can't be read and is set aside: %s", path, error)
                set_aside(self._directory, path.stem)
        return sorted(found, key=_age)

    def _read(self, name: str, path: Path, columns: Sequence[str] | None = ("start_ns",)) -> SegmentInfo:
        place = parse_name(name)
        if place is None:
            raise ValueError(f"{name} is not the name of a segment")
        return describe(self._directory, name, pq.read_table(path, columns=columns), place[1])

    def _check_files(self) -> None:
        """Take back what was set aside and can be read again; report what can't, and what is not there any more."""
        known = {segment.name: segment for segment in self.state.segments}
        for name in names_aside(self._directory):
            aside = known.pop(name, None)  # named and set aside: a crash came between the two steps
            path = self._directory / f"{name}{PARQUET_SUFFIX}{UNREADABLE_SUFFIX}"
            try:
                info = self._read(name, path, columns=None)  # all of it: any column may be the broken one
            except (OSError, ValueError, pa.ArrowException) as error:
                self._note(report(self._directory, name, error))
                continue
            take_back(self._directory, name)
            logger.warning("Segment %s can be read again and is taken back", name)
            known[name] = aside or info
        for name in list(known):
            if not (self._directory / f"{name}{PARQUET_SUFFIX}").exists():
                self._note(StoreCorruptError(f"Segment {name} is gone from {self._directory}: its spans are lost."))
                del known[name]
        segments = tuple(sorted(known.values(), key=_age))
        if {segment.name for segment in segments} != {segment.name for segment in self.state.segments}:
            self._save(self.state.model_copy(update={"segments": segments}))

    def _note(self, problem: StoreCorruptError) -> None:
        logger.error("%s", problem)
        self.problems.append(problem)

    def _delete_strays(self) -> None:
        """Only what bears a segment's name or is half written: a file of somebody else stays."""
        known = {segment.name for segment in self.state.segments}
        for path in self._directory.iterdir():
            name = path.name.split(".")[0]
            is_ours = path.suffix in {PARQUET_SUFFIX, INDEX_SUFFIX} and parse_name(name) is not None
            if (is_ours or path.suffix == ".tmp") and name not in known:
                logger.info("%s belongs to no segment of the catalogue and is deleted", path)
                path.unlink(missing_ok=True)

    def _save(self, state: CatalogueState) -> None:
        temporary = self._path.with_suffix(".json.tmp")
        try:
            temporary.write_text(state.model_dump_json())
            disk.publish(temporary, self._path)
        except OSError:
            temporary.unlink(missing_ok=True)
            raise
        self.state = state

    def segments(self) -> list[Segment]:
        """All segments, to be read, from the newest to the oldest."""
        return [Segment(self._directory, info) for info in reversed(self.state.segments)]

    def next_name(self, last_seq: int) -> str:
        """The name of the segment that will be added next."""
        return f"{self.state.next_number:08d}-{last_seq}"

    def replace(
        self, removed: Collection[str], added: Sequence[SegmentInfo], *, checkpoint: int | None = None
    ) -> None:
        """Take segments out and others in, durably, in one step. Raises OSError; then nothing has changed."""
        kept = [segment for segment in self.state.segments if segment.name not in removed]
        segments = sorted([*kept, *added], key=_age)
        self._save(
            CatalogueState(
                checkpoint=self.state.checkpoint if checkpoint is None else checkpoint,
                next_number=self.state.next_number + len(added),
                segments=tuple(segments),
            )
        )

    def set_aside(self, name: str, why: object) -> None:
        """Take a segment that can't be read out, and keep its file. Raises OSError."""
        if (self._directory / f"{name}{PARQUET_SUFFIX}").exists():
            set_aside(self._directory, name)  # first: a file that the catalogue does not name would be deleted
            problem = report(self._directory, name, why)
        else:
            problem = StoreCorruptError(f"Segment {name} is gone from {self._directory}: its spans are lost.")
        self.replace({name}, ())
        self._note(problem)


def _age(segment: SegmentInfo) -> tuple[int, str]:
    return segment.last_seq, segment.name

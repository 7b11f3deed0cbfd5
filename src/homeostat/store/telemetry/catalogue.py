"""Which segments there are, and up to which request of the log they hold everything. One file, replaced atomically.

A segment counts from the moment that the catalogue names it; a compaction takes its sources out and its result
in with one replacement. Segments that the catalogue does not name are left from a crash and are deleted at the start.
So are attachments (``attachments``), which move together with the checkpoint.
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
from homeostat.store.telemetry import attachments as attached
from homeostat.store.telemetry import disk
from homeostat.store.telemetry.attachments import Attachment
from homeostat.store.telemetry.layout import INDEX_SUFFIX, PARQUET_SUFFIX, Layout, SegmentInfo, describe
from homeostat.store.telemetry.quarantine import (
    UNREADABLE_SUFFIX,
    names_aside,
    parse_name,
    report,
    set_aside,
    take_back,
)

logger = logging.getLogger(__name__)

CATALOGUE_FILE: Final = "catalogue.json"


class CatalogueState(Model):
    """What the file holds. ``segments`` from the oldest to the newest."""

    checkpoint: int = 0  # every request of the log up to this one is in a segment (or past its retention)
    next_number: int = 1  # of the next segment's name
    segments: tuple[SegmentInfo, ...] = ()
    settled_below: int | None = None  # the first request that a restart still needs; None: the checkpoint + 1
    attachments: tuple[Attachment, ...] = ()

    @property
    def replay_from(self) -> int:
        """The first request that a restart has to read, at most the checkpoint + 1."""
        return self.checkpoint + 1 if self.settled_below is None else min(self.settled_below, self.checkpoint + 1)


class Catalogue:
    """The catalogue of one directory. Changed by one thread only."""

    def __init__(self, directory: Path, layout: Layout, attachments: Path | None = None) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self._directory = directory
        self._layout = layout
        self.attachment_dir = attachments or directory / "attachments"
        self.attachment_dir.mkdir(parents=True, exist_ok=True)
        self._path = directory / CATALOGUE_FILE
        self.problems: list[StoreCorruptError] = []
        self.state = self._load()
        self._check_files()
        self._delete_strays()
        self._check_attachments()

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
        for problem in attached.keep_unnamed(self.attachment_dir):
            self._note(problem)
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

    def _read(self, name: str, path: Path, *, whole: bool = False) -> SegmentInfo:
        place = parse_name(name)
        if place is None:
            raise ValueError(f"{name} is not the name of a segment")
        columns = None if whole else [self._layout.time]
        return describe(self._directory, name, pq.read_table(path, columns=columns), place[1], self._layout)

    def _check_files(self) -> None:
        """Take back what was set aside and can be read again; report what can't, and what is not there any more."""
        known = {segment.name: segment for segment in self.state.segments}
        for name in names_aside(self._directory):
            aside = known.pop(name, None)  # named and set aside: a crash came between the two steps
            path = self._directory / f"{name}{PARQUET_SUFFIX}{UNREADABLE_SUFFIX}"
            try:
                info = self._read(name, path, whole=True)  # all of it: any column may be the broken one
            except (OSError, ValueError, pa.ArrowException) as error:
                self._note(report(self._directory, name, error))
                continue
            take_back(self._directory, name)
            logger.warning("Segment %s can be read again and is taken back", name)
            known[name] = aside or info
        for name in list(known):
            if not (self._directory / f"{name}{PARQUET_SUFFIX}").exists():
                self._note(StoreCorruptError(f"Segment {name} is gone from {self._directory}: what it held is lost."))
                del known[name]
        segments = tuple(sorted(known.values(), key=_age))
        if {segment.name for segment in segments} != {segment.name for segment in self.state.segments}:
            self._save(self.state.model_copy(update={"segments": segments}))

    def _check_attachments(self) -> None:
        missing = attached.gone(self.attachment_dir, self.state.attachments)
        for problem in missing:
            self._note(problem)
        if missing:
            there = tuple(a for a in self.state.attachments if (self.attachment_dir / a.name).exists())
            self._save(self.state.model_copy(update={"attachments": there}))
        attached.delete_unnamed(self.attachment_dir, self.state.attachments)

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

    def next_name(self, last_seq: int) -> str:
        """The name of the segment that will be added next."""
        return f"{self.state.next_number:08d}-{last_seq}"

    def replace(self, removed: Collection[str], added: Sequence[SegmentInfo]) -> None:
        """Take segments out and others in, durably, in one step. Raises OSError; then nothing has changed."""
        self._save(self.state.model_copy(update=self._with(removed, added)))

    def advance(
        self,
        added: Sequence[SegmentInfo],
        *,
        checkpoint: int,
        replay_from: int | None = None,
        attachments: Sequence[Attachment] = (),
    ) -> None:
        """Everything up to ``checkpoint`` is in segments and attachments now. Raises OSError: nothing has changed.

        ``replay_from``: requests from there on are needed again after a restart; None: those behind the checkpoint.
        """
        before = self.state.attachments
        present = attached.succeed(before, attachments)
        changes = {"checkpoint": checkpoint, "settled_below": replay_from, "attachments": present}
        self._save(self.state.model_copy(update=self._with((), added) | changes))
        self._delete_attachments(before)

    def replace_attachments(self, old: Collection[str], new: Sequence[Attachment]) -> None:
        """Put merged attachments in the place of others (names), in one step. Raises OSError: nothing has changed."""
        before = self.state.attachments
        kept = [attachment for attachment in before if attachment.name not in old]
        self._save(self.state.model_copy(update={"attachments": (*kept, *new)}))
        self._delete_attachments(before)

    def _with(self, removed: Collection[str], added: Sequence[SegmentInfo]) -> dict[str, object]:
        kept = [segment for segment in self.state.segments if segment.name not in removed]
        return {
            "segments": tuple(sorted([*kept, *added], key=_age)),
            "next_number": self.state.next_number + len(added),
        }

    def _delete_attachments(self, before: Sequence[Attachment]) -> None:
        """The files of those that are not named any more."""
        named = {attachment.name for attachment in self.state.attachments}
        for attachment in before:
            if attachment.name not in named:
                (self.attachment_dir / attachment.name).unlink(missing_ok=True)

    def set_aside(self, name: str, why: object) -> None:
        """Take a segment that can't be read out, and keep its file. Raises OSError."""
        if (self._directory / f"{name}{PARQUET_SUFFIX}").exists():
            set_aside(self._directory, name)  # first: a file that the catalogue does not name would be deleted
            problem = report(self._directory, name, why)
        else:
            problem = StoreCorruptError(f"Segment {name} is gone from {self._directory}: what it held is lost.")
        self.replace({name}, ())
        self._note(problem)


def _age(segment: SegmentInfo) -> tuple[int, str]:
    return segment.last_seq, segment.name

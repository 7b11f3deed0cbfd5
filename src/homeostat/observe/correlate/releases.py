"""Notices from the resources of spans that a service runs in a version or environment it did not run before.

``note`` is called by the intake's thread with every batch and costs a dictionary lookup for each distinct resource;
``take`` gives the evaluator what is new. What was seen is remembered across restarts by ``dump`` and ``load``.
"""

import json
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, cast

import pyarrow as pa
from pydantic import TypeAdapter

from homeostat.core.ports import Clock

AGAIN_AFTER_S: Final = 15 * 60
"""A release that was silent for so long, while another one spoke, and is back: it was deployed again."""

RESOURCES_MAX: Final = 20_000  # distinct resources whose attributes are remembered
SERVICES_MAX: Final = 2_000
RELEASES_MAX: Final = 50  # of one service; the one not heard for longest is forgotten
NEWS_MAX: Final = 1_000
TEXT_MAX: Final = 200

_VERSION: Final = "service.version"
_ENVIRONMENTS: Final = ("deployment.environment.name", "deployment.environment")  # the name since 1.27, and before

_Seen = TypeAdapter(dict[str, list[tuple[str, str, int]]])


@dataclass(frozen=True, slots=True)
class Release:
    """What a resource says it is; "" where it does not say."""

    service: str
    version: str
    environment: str


@dataclass(frozen=True, slots=True)
class NewRelease:
    """A release that was seen in use."""

    release: Release
    previous: Release | None  # the one that was heard last
    again: bool  # it was in use before
    at_s: int  # Unix second


class ReleaseWatch:
    """Thread-safe."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._of_text: dict[str, Release | None] = {}
        self._seen: dict[str, dict[Release, int]] = {}  # by service: when each was heard last
        self._news: list[NewRelease] = []

    def note(self, rows: pa.Table) -> None:
        """Look at the resources of a batch of spans (a column ``resource`` of JSON objects, dictionary-encoded)."""
        if not rows.num_rows or "resource" not in rows.column_names:
            return
        texts: set[str] = set()
        for chunk in rows.column("resource").chunks:
            words = chunk.dictionary if isinstance(chunk, pa.DictionaryArray) else chunk.unique()
            texts.update(text for text in cast("list[str | None]", words.to_pylist()) if text)
        self.note_texts(texts)

    def note_texts(self, texts: Iterable[str]) -> None:
        """Look at resources, each a JSON object as text."""
        now_s = int(self._clock.now().timestamp())
        with self._lock:
            for text in texts:
                release = self._release(text)
                if release is not None:
                    self._hear(release, now_s)

    def take(self) -> list[NewRelease]:
        """What is new since the last call."""
        with self._lock:
            news, self._news = self._news, []
        return news

    def dump(self) -> str:
        """What was seen, as JSON."""
        with self._lock:
            seen = {
                service: [(release.version, release.environment, at_s) for release, at_s in releases.items()]
                for service, releases in self._seen.items()
            }
        return _Seen.dump_json(seen).decode()

    def load(self, text: str) -> None:
        """What ``dump`` gave before a restart. Raises pydantic's ValidationError for what is something else."""
        seen = _Seen.validate_json(text)
        with self._lock:
            for service, releases in seen.items():
                known = self._seen.setdefault(service, {})
                for version, environment, at_s in releases:
                    release = Release(service, version, environment)
                    known[release] = max(at_s, known.get(release, at_s))

    def _release(self, text: str) -> Release | None:
        if text in self._of_text:
            return self._of_text[text]
        if len(self._of_text) >= RESOURCES_MAX:
            self._of_text.clear()
        found = self._of_text[text] = _parsed(text)
        return found

    def _hear(self, release: Release, now_s: int) -> None:
        releases = self._seen.get(release.service)
        if releases is None:
            if len(self._seen) < SERVICES_MAX:
                self._seen[release.service] = {release: now_s}  # the first that is known: nothing says that it is new
            return
        heard_s = releases.get(release)
        others = [other for other in releases if other != release]
        previous = max(others, key=lambda other: releases[other], default=None)
        releases[release] = now_s
        again = heard_s is not None
        if again and not (previous is not None and now_s - heard_s > AGAIN_AFTER_S and releases[previous] > heard_s):
            return
        if len(releases) > RELEASES_MAX:
            del releases[min(releases, key=lambda one: releases[one])]
        if len(self._news) < NEWS_MAX:
            self._news.append(NewRelease(release, previous, again, now_s))


def _parsed(text: str) -> Release | None:
    """None where a resource names no service, or neither version nor environment."""
    try:
        attributes = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(attributes, dict):
        return None
    named = cast("dict[str, object]", attributes)
    service, version = str(named.get("service.name") or ""), str(named.get(_VERSION) or "")
    environment = next((str(named[key]) for key in _ENVIRONMENTS if named.get(key)), "")
    if not service or not (version or environment):
        return None
    return Release(_short(service), _short(version), _short(environment))


def _short(text: str) -> str:
    """Bounded, and without halves of surrogate pairs, which cannot be stored."""
    return text[:TEXT_MAX].encode(errors="replace").decode()

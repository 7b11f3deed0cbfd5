"""YAML as OpenSLO files need it: no aliases, and no more in it than can be read soon. Used by ``openslo_nodes``.

A value that is named once and used seven levels deep, ten times each, is a text of 1 kB and a tree of ten million.
"""

from collections.abc import Iterator
from typing import Any, Final

from ruamel.yaml import YAML
from ruamel.yaml.composer import Composer, ComposerError
from ruamel.yaml.events import AliasEvent, Event
from ruamel.yaml.nodes import Node

NODES_MAX: Final = 50_000
"""Keys, values, lists and mappings: more than 200 objectives with alerts have, and read in some seconds."""

DEPTH_MAX: Final = 50


class RefusedError(ComposerError):
    """YAML that is right and not wanted here; with its place, and the remedy beside the message."""

    def __init__(self, problem: str, remedy: str, event: Event) -> None:
        super().__init__(None, None, problem, event.start_mark)
        self.remedy = remedy


class _Bounded(Composer):
    """Refuses while it reads, before anything is built."""

    def __init__(self, loader: Any = None) -> None:
        super().__init__(loader)
        self._nodes = 0
        self._level = 0

    def compose_node(self, parent: Any, index: Any) -> Node:
        event: Event = self.parser.peek_event()
        self._nodes += 1
        if isinstance(event, AliasEvent):
            raise RefusedError(
                f"*{event.anchor} stands for a value elsewhere", "Write the value out: aliases are not read", event
            )
        if self._nodes > NODES_MAX:
            raise RefusedError(f"there are more than {NODES_MAX:,} keys and values up to here", "Split it up", event)
        if self._level >= DEPTH_MAX:
            raise RefusedError(f"it is nested more than {DEPTH_MAX} levels deep", "OpenSLO needs fewer", event)
        self._level += 1
        node: Node = super().compose_node(parent, index)
        self._level -= 1
        return node


def load_documents(text: str) -> Iterator[object]:
    """One after the other, as ruamel's commented maps. Raises YAMLError (RefusedError is one) or ValueError."""
    yaml = YAML(typ="rt")
    yaml.Composer = _Bounded
    yield from yaml.load_all(text)

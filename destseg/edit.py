"""Changes single settings of params.yaml; every byte that is not theirs stays: comments, order, spelling, blank lines.

A YAML library that loads and dumps the whole file moves comments, drops some with what is removed, and respells values.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from yaml import MappingNode, Node, ScalarNode, SequenceNode

from destseg import Error
from destseg.files import write_text
from destseg.settings import parse, read_params

INDENT = "  "


@contextmanager
def editing(path: Path) -> Iterator["Edited"]:
    """The file, to be changed by `put` and `take`; written at a clean end, whole, where that changed anything."""
    read_params(path)  # an Error where it is missing or is not a mapping
    before = path.read_text(encoding="utf-8")
    edited = Edited(path, before)
    yield edited
    if edited.text != before:
        try:
            edited.content()
        except yaml.YAMLError as error:  # such as an anchor that went with its value
            raise Error(
                f"{path} is left as it was, for the changed one could not be read ({' '.join(str(error).split())}); "
                "write out its anchors (&) and aliases (*)"
            ) from None
        write_text(path, edited.text)


class _Place(NamedTuple):
    """A key and its value in the text, the mapping that holds them, and whether that is written as {key: value}."""

    key: Node
    value: Node
    within: MappingNode
    flow: bool


class Edited:
    """A YAML mapping as text."""

    def __init__(self, path: Path, text: str) -> None:
        self.path, self.text = path, text

    def content(self) -> dict[str, Any]:
        """What it says."""
        content: dict[str, Any] = parse(self.text)
        return content

    def put(self, keys: Sequence[str], value: Any) -> None:
        """`value`, a scalar or a mapping, at `keys`; mappings on the way to it are made where they are missing."""
        found = self._walk(keys)
        if len(found) == len(keys):
            return self._replace(found[-1], value)
        name, *inner = keys[len(found) :]
        for key in reversed(inner):
            value = {key: value}
        within = found[-1].value if found else self._root()
        if not isinstance(within, MappingNode) or not within.value:  # {} or nothing at all
            if found:
                return self._replace(found[-1], {name: value})
            return self._splice(within.start_mark.index, within.end_mark.index, _inline({name: value}))
        if within.flow_style:
            end = within.value[-1][1].end_mark.index
            return self._splice(end, end, f", {name}: {_inline(value)}")
        end, column = self._line_end(_end(within)), within.value[0][0].start_mark.column
        return self._splice(end, end, _lines({name: value}, " " * column))

    def take(self, keys: Sequence[str]) -> None:
        """Removes the setting at `keys` if it is there; a mapping that had no other becomes {}."""
        found = self._walk(keys)
        if len(found) < len(keys):
            return
        key, value, within, flow = found[-1]
        pairs = within.value
        index = next(index for index, (other, _) in enumerate(pairs) if other is key)
        if flow and index + 1 < len(pairs):
            self._splice(key.start_mark.index, pairs[index + 1][0].start_mark.index, "")
        elif flow:
            start = pairs[index - 1][1].end_mark.index if index else key.start_mark.index
            self._splice(start, value.end_mark.index, "")
        else:
            start = key.start_mark.index - key.start_mark.column
            self._splice(start, self._line_end(_end(value)) + 1, "")
            if len(pairs) == 1 and len(found) > 1:
                colon = self._colon(found[-2].key)
                self._splice(colon, colon, " {}")

    def _replace(self, place: _Place, value: Any) -> None:
        key, old, _, flow = place
        block = _is_block(old)
        colon = self._colon(key)
        if value and isinstance(value, dict) and not flow:
            lines = _lines(value, " " * key.start_mark.column + INDENT)
            if block:
                self._splice(self._line_end(key.end_mark.index), self._line_end(_end(old)), lines)
            else:
                line = self._line_end(old.end_mark.index)  # behind the comment, if there is one
                self._splice(line, line, lines)
                self._splice(colon, old.end_mark.index, "")
        elif block:
            line = self._line_end(key.end_mark.index)
            self._splice(line, self._line_end(_end(old)), "")
            self._splice(colon, colon, f" {_inline(value)}")
        elif old.start_mark.index == old.end_mark.index:  # nothing behind the colon
            self._splice(colon, colon, f" {_inline(value)}")
        else:
            self._splice(old.start_mark.index, old.end_mark.index, _inline(value))

    def _walk(self, keys: Sequence[str]) -> list[_Place]:
        """The places of `keys`, one within the other, as far as they are there."""
        node: Node = self._root()
        found: list[_Place] = []
        flow = False
        for name in keys:
            if not isinstance(node, MappingNode):
                break
            flow = flow or bool(node.flow_style)
            pair = next(((key, value) for key, value in node.value if key.value == name), None)
            if pair is None:
                break
            key, value = pair
            if value.start_mark.index < key.start_mark.index:
                raise Error(f"{self.path}: {'.'.join(keys)} is behind an alias (*); write out what it stands for")
            found.append(_Place(key, value, node, flow))
            node = value
        return found

    def _root(self) -> MappingNode:
        root = yaml.compose(self.text, yaml.SafeLoader)
        assert isinstance(root, MappingNode)  # `editing` read it
        return root

    def _colon(self, key: Node) -> int:
        """The place behind the colon of a key."""
        return self.text.index(":", key.end_mark.index) + 1

    def _line_end(self, index: int) -> int:
        end = self.text.find("\n", index)
        return len(self.text) if end < 0 else end

    def _splice(self, start: int, end: int, new: str) -> None:
        self.text = self.text[:start] + new + self.text[end:]


def _is_block(node: Node) -> bool:
    """Whether it stands on the lines below its key."""
    if isinstance(node, ScalarNode):
        return node.style in ("|", ">")
    assert isinstance(node, MappingNode | SequenceNode)
    return not node.flow_style


def _end(node: Node) -> int:
    """Where its last value ends; a block's own mark stands behind the comments that follow it."""
    while isinstance(node, MappingNode | SequenceNode) and not node.flow_style and node.value:
        last = node.value[-1]
        node = last[1] if isinstance(last, tuple) else last
    return node.end_mark.index - (isinstance(node, ScalarNode) and node.style in ("|", ">"))


def _lines(mapping: dict[str, Any], indent: str) -> str:
    """The mapping as a block, each line with the line break before it."""
    text = ""
    for key, value in mapping.items():
        nested = isinstance(value, dict) and value
        text += f"\n{indent}{key}:" + (_lines(value, indent + INDENT) if nested else f" {_inline(value)}")
    return text


def _inline(value: Any) -> str:
    dumped: str = yaml.safe_dump(value, default_flow_style=True, sort_keys=False, width=10**6, allow_unicode=True)
    return dumped.removesuffix("...\n").strip()

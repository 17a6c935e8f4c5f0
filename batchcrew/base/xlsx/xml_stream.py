"""Parse the XML of a workbook as a stream. A document type, and with it every entity, is refused."""

from collections.abc import Callable, Iterator
from typing import IO, NoReturn
from xml.parsers import expat

from batchcrew.base.xlsx.package import DAMAGED, WorkbookError

CHUNK = 2**16
_MAX_TAG = 16 * 2**20
"""Maximum number of bytes of one tag: expat keeps a tag in memory until its end."""

Attributes = dict[str, str]


class LocalNames(dict[str, str]):
    """Names without their prefixes: programs differ in the prefixes that they use."""

    def __missing__(self, name: str) -> str:
        local = name.rpartition(":")[2]
        if len(self) < 1000:
            self[name] = local
        return local


class XmlStream:
    """A part that is parsed chunk by chunk."""

    def __init__(
        self,
        stream: IO[bytes],
        *,
        start: Callable[[str, Attributes], None],
        end: Callable[[str], None] | None = None,
        text: Callable[[str], None] | None = None,
    ) -> None:
        """Prepare to parse.

        Args:
            start: called at each start tag, with its name (which may have a prefix) and its attributes.
            end: called at each end tag, with its name.
            text: called with text between tags, which may come in several pieces.
        """
        self._stream = stream
        self._fed = 0
        self._parser = expat.ParserCreate()
        self._parser.StartElementHandler = start
        if end is not None:
            self._parser.EndElementHandler = end
        if text is not None:
            self._parser.buffer_text = True
            self._parser.buffer_size = CHUNK
            self._parser.CharacterDataHandler = text
        self._parser.StartDoctypeDeclHandler = _refuse

    def feed(self) -> bool:
        """Parse the next chunk; return False at the end of the part.

        Raises:
            WorkbookError: the part is not valid XML.
        """
        chunk = self._stream.read(CHUNK)
        try:
            self._parser.Parse(chunk, not chunk)
        except expat.ExpatError as error:
            reason = f"{expat.ErrorString(error.code)} in line {error.lineno}"
            raise WorkbookError(DAMAGED.format(reason=reason)) from error
        self._fed += len(chunk)
        if chunk and self._fed - self._parser.CurrentByteIndex > _MAX_TAG:
            raise WorkbookError(DAMAGED.format(reason=f"a tag is longer than {_MAX_TAG // 2**20} MiB"))
        return bool(chunk)


def start_tags(stream: IO[bytes]) -> Iterator[tuple[str, Attributes]]:
    """Yield the name and the attributes of each element of a small part, in order, without prefixes."""
    local, found = LocalNames(), list[tuple[str, Attributes]]()
    xml = XmlStream(
        stream, start=lambda name, given: found.append((local[name], {local[key]: given[key] for key in given}))
    )
    more = True
    while more:
        more = xml.feed()
        yield from found
        found.clear()


def _refuse(*_: object) -> NoReturn:
    raise WorkbookError("the workbook has a document type declaration, which no spreadsheet program writes; refused")

"""Check the encodings of rows files: whether they are supported, and where a file is not in its encoding."""

import codecs
from pathlib import Path

from batchcrew.jobfile.problems import Problems, shown
from batchcrew.model.job import Location

DEFAULT_ENCODING = "utf-8-sig"
"""UTF-8, without the byte order mark that Excel writes."""
_CHUNK = 2**16


def encoding_error(encoding: str) -> str | None:
    """Return a message about an encoding that is not supported; None for others."""
    try:
        "".encode(encoding)  # unlike codecs.lookup, this refuses codecs such as `hex`
    except (LookupError, ValueError):
        return f"unknown encoding: {shown(encoding)} (expected e.g. utf-8, cp1252, latin-1 or utf-16)"
    return None


def codec_of(encoding: str | None) -> str:
    """Return the codec to open a file with; the one for UTF-8 removes a byte order mark."""
    if encoding is None or codecs.lookup(encoding).name == "utf-8":
        return DEFAULT_ENCODING
    return encoding


def add_undecodable(path: Path, name: str, codec: str, problems: Problems) -> None:
    """Add a problem at the first byte that is not in the encoding. Reads the file again up to that byte."""
    decoder = codecs.getincrementaldecoder(codec)()
    line = 1
    with path.open("rb") as stream:
        while chunk := stream.read(_CHUNK):
            state = decoder.getstate()
            try:
                line += decoder.decode(chunk).count("\n")
            except UnicodeError:
                decoder.setstate(state)
                line += _lines_before_error(decoder, chunk)
                break
    called = "UTF-8" if codec == DEFAULT_ENCODING else codec
    problems.at(
        Location(name, line),
        f"a byte in this line is not {called}; save the file as UTF-8, or set its encoding "
        "(`encoding: cp1252`, or --encoding cp1252)",
    )


def _lines_before_error(decoder: codecs.IncrementalDecoder, chunk: bytes) -> int:
    lines = 0
    for position in range(len(chunk)):
        try:
            lines += decoder.decode(chunk[position : position + 1]).count("\n")
        except UnicodeError:
            break
    return lines

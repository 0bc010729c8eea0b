"""Relocatable ELF files for x86-64: their sections, symbols and relocations.

Reading only; `object_code` places what is read here.  Whatever a kernel's object has no use for
(thread-local storage, compressed sections...) is refused, not skipped: nothing is loaded by
half.  Unwind tables and sections that take no memory are skipped.

The format: Tool Interface Standard, Executable and Linking Format 1.2, and the System V
Application Binary Interface, AMD64 supplement.
"""

from __future__ import annotations

import mmap
import struct
from typing import NamedTuple

__all__ = ["ObjectFile", "Relocation", "Section", "Symbol", "UnknownObjectError", "parse"]

ABSOLUTE, COMMON = 0xFFF1, 0xFFF2  # Symbol.section: a plain number, zeros without a section
LARGEST = 1 << 26  # bytes; what claims to be larger is no kernel

_HEADER = struct.Struct("<16sHHIQQQIHHHHHH")
_SECTION = struct.Struct("<IIQQQQIIQQ")
_SYMBOL = struct.Struct("<IBBHQQ")
_RELOCATION = struct.Struct("<QIIq")

_IDENT = b"\x7fELF\x02\x01\x01"  # 64 bits, least significant byte first, version 1
_RELOCATABLE, _X86_64 = 1, 62
# Section types.
_NULL, _PROGBITS, _SYMTAB, _RELA, _NOTE, _NOBITS, _UNWIND = 0, 1, 2, 4, 7, 8, 0x70000001
# Section flags: write, allocate, then those that change nothing for a loader: executable,
# mergeable, strings, link in info, group, large.
_WRITE, _ALLOCATE = 1, 2
_FLAGS = _WRITE | _ALLOCATE | 0x4 | 0x10 | 0x20 | 0x40 | 0x200 | 0x10000000
_KINDS = (0, 1, 2, 3, 4)  # of symbols: none, data, function, section, file


class UnknownObjectError(Exception):
    """An object file with something that is not known here."""


class Section(NamedTuple):
    """A section.

    Attributes:
        kind: its type.
        data: its bytes, none where it is zeros.
        size: bytes in memory.
        align: what its address is a multiple of.
        placed: whether it takes memory.
        writable: whether code may write there.
        link: the section of a symbol table's names.
        info: the section that relocations are for.
    """

    kind: int
    data: memoryview
    size: int
    align: int
    placed: bool
    writable: bool
    link: int
    info: int


class Symbol(NamedTuple):
    """A symbol; `section` is 0 where it is defined elsewhere.  For `COMMON` ones the value is
    their alignment."""

    name: str
    is_global: bool
    section: int
    value: int
    size: int


class Relocation(NamedTuple):
    """A field of a section to be computed from a symbol's address."""

    section: int
    offset: int
    kind: int
    symbol: int
    addend: int


class ObjectFile(NamedTuple):
    """What there is to place."""

    sections: list[Section]
    symbols: list[Symbol]
    relocations: list[Relocation]


def parse(code: bytes) -> ObjectFile:
    """The parts of an object file.

    Raises:
        UnknownObjectError: another format or machine, a damaged file, or something in it that
            is not known here.
    """
    try:
        return _parsed(code)
    except (struct.error, IndexError, OverflowError, ValueError) as error:
        raise UnknownObjectError(f"a damaged object file: {error}") from error


def _parsed(code: bytes) -> ObjectFile:
    header = _HEADER.unpack_from(code)
    if header[0][:7] != _IDENT or header[1:3] != (_RELOCATABLE, _X86_64):
        raise UnknownObjectError("not a relocatable ELF file for x86-64")
    start, each, count = header[6], header[11], header[12]
    if each != _SECTION.size:
        raise UnknownObjectError(f"section headers of {each} bytes")
    sections = [_section(code, start + i * each) for i in range(count)]
    symbols: list[Symbol] = []
    relocations: list[Relocation] = []
    for section in sections:
        if section.kind == _SYMTAB:
            names = bytes(sections[section.link].data)
            symbols = [_symbol(entry, names) for entry in _SYMBOL.iter_unpack(section.data)]
        elif section.kind == _RELA and sections[section.info].placed:
            relocations += [
                Relocation(section.info, offset, kind, symbol, addend)
                for offset, kind, symbol, addend in _RELOCATION.iter_unpack(section.data)
            ]
    return ObjectFile(sections, symbols, relocations)


def _section(code: bytes, at: int) -> Section:
    _, kind, flags, _, offset, size, link, info, align, _ = _SECTION.unpack_from(code, at)
    stored = 0 if kind in (_NULL, _NOBITS) else size
    data = memoryview(code)[offset : offset + stored]
    if len(data) != stored:
        raise UnknownObjectError("a section that ends behind the file")
    placed = bool(flags & _ALLOCATE) and kind != _UNWIND
    if placed and (
        kind not in (_PROGBITS, _NOTE, _NOBITS)
        or flags & ~_FLAGS
        or align > mmap.PAGESIZE
        or size > LARGEST
    ):
        raise UnknownObjectError(
            f"a section of type {kind:#x} with flags {flags:#x} and alignment {align}"
        )
    return Section(kind, data, size, max(align, 1), placed, bool(flags & _WRITE), link, info)


def _symbol(entry: tuple[int, ...], names: bytes) -> Symbol:
    at, info, _, section, value, size = entry
    kind, binding = info & 15, info >> 4
    if kind not in _KINDS:
        raise UnknownObjectError(f"a symbol of type {kind}")
    name = names[at : names.index(b"\0", at)].decode()
    return Symbol(name, binding != 0, section, value, size)

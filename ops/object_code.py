"""Machine code from object files: the addresses of functions, ready to be called.

`load(code, *names)` places a relocatable ELF object for x86-64 itself, so that a process whose
kernels all come from the disk cache never loads LLVM, 57 MiB of it.  What is not known here
(another format or architecture, a relocation or symbol that cannot be satisfied, a system that
forbids new executable memory) goes to LLVM's own loader, by llvmlite, with the same result.

An object gets one mapping: code and constants, the table of symbols, then, on pages of their
own, variables.  All but the variables becomes executable when it is written, and can not be
written from then on.  Unwind tables are left out: nothing unwinds through kernels.  A mapping
is never taken back: nobody knows who still holds an address, and threads may run kernels until
the process ends.  Calls share nothing, so threads may load at the same time.
"""

from __future__ import annotations

import ctypes
import functools
import mmap
import os
import struct
import threading
from typing import Any

from .object_file import (
    ABSOLUTE,
    COMMON,
    LARGEST,
    ObjectFile,
    UnknownObjectError,
    parse,
)

__all__ = ["compiler_lock", "load"]

compiler_lock = threading.Lock()  # held around LLVM: its modules share a context
_engines: list[Any] = []  # LLVM's; machine code lives as long as its engine

# By type: what the relocation is about, whether it counts from the field, the field's format.
_VALUE, _CALL, _ENTRY = range(3)
_RELOCATIONS = {
    1: (_VALUE, False, "<Q"),  # R_X86_64_64
    2: (_VALUE, True, "<i"),  # R_X86_64_PC32
    4: (_CALL, True, "<i"),  # R_X86_64_PLT32
    9: (_ENTRY, True, "<i"),  # R_X86_64_GOTPCREL
    10: (_VALUE, False, "<I"),  # R_X86_64_32
    11: (_VALUE, False, "<i"),  # R_X86_64_32S
    24: (_VALUE, True, "<q"),  # R_X86_64_PC64
    41: (_ENTRY, True, "<i"),  # R_X86_64_GOTPCRELX
    42: (_ENTRY, True, "<i"),  # R_X86_64_REX_GOTPCRELX
}
# An entry of the symbol table: `jmp *2(%rip)`, over the padding, then the address that it jumps
# to.  Calls go to the entry; code that wants the address reads it there.
_JUMP = b"\xff\x25\x02\x00\x00\x00\xcc\xcc"
_ENTRY_BYTES = 16


def load(code: bytes, *names: str) -> tuple[int, ...]:
    """The addresses of the functions `names` of an object file, which stays for ever.

    Args:
        code: an object file for this machine, as LLVM emitted it.
        *names: global symbols of it.

    Raises:
        KeyError: the object file has no such function.
        RuntimeError: LLVM cannot load it either.
        ImportError: it takes LLVM, and llvmlite is not installed.
    """
    try:
        symbols = _linked(code)
        return tuple(symbols[name] for name in names)
    except (UnknownObjectError, KeyError):
        return _linked_by_llvm(code, names)


def _linked_by_llvm(code: bytes, names: tuple[str, ...]) -> tuple[int, ...]:
    import llvmlite.binding as llvm

    with compiler_lock:
        llvm.initialize_native_target()
        llvm.initialize_native_asmprinter()
        machine = llvm.Target.from_default_triple().create_target_machine(jit=True)
        # The engine wants a module of its own to own; the code comes from the object file.
        engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), machine)
        engine.add_object_file(llvm.object_file.ObjectFileRef.from_data(code))
        engine.finalize_object()
        _engines.append(engine)
        addresses = tuple(engine.get_function_address(name) for name in names)
    for name, address in zip(names, addresses, strict=True):
        if not address:
            raise KeyError(name)
    return addresses


def _linked(code: bytes) -> dict[str, int]:
    """The addresses of an object's global symbols by name, placed here.

    Raises:
        UnknownObjectError: this loader does not know how.
    """
    if not _runs_here():
        raise UnknownObjectError("not a POSIX system on x86-64")
    file = parse(code)
    try:
        layout = _Layout(file)
        base = _new_pages(layout.end)
        try:
            image = _image(file, layout, base)
            ctypes.memmove(base, bytes(image), len(image))
            _make_executable(base, layout.fixed)
            return {
                symbol.name: _address(file, layout, base, i)
                for i, symbol in enumerate(file.symbols)
                if symbol.is_global and symbol.section in layout.sections
            }
        except BaseException:
            _system().munmap(base, layout.end)
            raise
    except (struct.error, IndexError, OverflowError, ValueError, OSError) as error:
        raise UnknownObjectError(f"cannot be placed: {error}") from error


class _Layout:
    """Where the parts of an object go, counted from the start of its mapping.

    Attributes:
        sections: the sections' places.
        entries: the places of symbols' entries in the table.
        commons: the places of those symbols that are zeros without a section.
        fixed: bytes of code, constants and table, whole pages.
        filled: where the zeros begin that end the mapping.
        end: bytes of the mapping.
    """

    def __init__(self, file: ObjectFile) -> None:
        self.sections: dict[int, int] = {}
        self.entries: dict[int, int] = {}
        self.commons: dict[int, int] = {}
        at = self._place(file, 0, writable=False, zeros=False)
        at = self._place(file, at, writable=False, zeros=True)
        at += -at % _ENTRY_BYTES
        for relocation in file.relocations:
            i = relocation.symbol
            kind = _RELOCATIONS.get(relocation.kind)
            if kind is None:
                raise UnknownObjectError(f"a relocation of type {relocation.kind}")
            elsewhere = file.symbols[i].section == 0
            if i not in self.entries and (
                kind[0] == _ENTRY or (kind[0] == _CALL and elsewhere)
            ):
                self.entries[i] = at
                at += _ENTRY_BYTES
        self.fixed = at + -at % mmap.PAGESIZE
        self.filled = self._place(file, self.fixed, writable=True, zeros=False)
        at = self._place(file, self.filled, writable=True, zeros=True)
        for i in sorted({relocation.symbol for relocation in file.relocations}):
            symbol = file.symbols[i]
            if symbol.section == COMMON:
                at += -at % max(symbol.value, 1)
                self.commons[i] = at
                at += symbol.size
        self.end = max(at, 1)
        if self.end > LARGEST:
            raise UnknownObjectError(f"an object of {self.end} bytes")

    def _place(self, file: ObjectFile, at: int, *, writable: bool, zeros: bool) -> int:
        for i, section in enumerate(file.sections):
            if section.placed and section.writable == writable:
                if (len(section.data) < section.size) == zeros:
                    at += -at % section.align
                    self.sections[i] = at
                    at += section.size
        return at


def _image(file: ObjectFile, layout: _Layout, base: int) -> bytearray:
    """What a mapping at `base` begins with; the rest of it are zeros."""
    image = bytearray(layout.filled)
    for i, start in layout.sections.items():
        data = file.sections[i].data
        image[start : start + len(data)] = data
    for i, at in layout.entries.items():
        struct.pack_into("<8sQ", image, at, _JUMP, _address(file, layout, base, i))
    for section, offset, kind, i, addend in file.relocations:
        about, relative, form = _RELOCATIONS[kind]
        at = layout.sections[section] + offset
        if offset + struct.calcsize(form) > len(file.sections[section].data):
            raise UnknownObjectError("a relocation outside of its section")
        if about == _VALUE or i not in layout.entries:
            value = _address(file, layout, base, i)
        else:
            value = base + layout.entries[i] + (_ENTRY_BYTES // 2 if about == _ENTRY else 0)
        value += addend - (base + at if relative else 0)
        # struct.error: too far for the field.
        struct.pack_into(form, image, at, value % 2**64 if form == "<Q" else value)
    return image


def _address(file: ObjectFile, layout: _Layout, base: int, i: int) -> int:
    """The address of symbol `i` of an object at `base`."""
    symbol = file.symbols[i]
    if symbol.section == 0:
        return _external(symbol.name)
    if symbol.section == ABSOLUTE:
        return symbol.value
    if symbol.section == COMMON:
        return base + layout.commons[i]
    start = layout.sections.get(symbol.section)
    if start is None or symbol.value > file.sections[symbol.section].size:
        raise UnknownObjectError(f"symbol {symbol.name} outside of what is placed")
    return base + start + symbol.value


# -- the system ------------------------------------------------------------------------------


def _runs_here() -> bool:
    if os.name != "posix" or ctypes.sizeof(ctypes.c_void_p) != 8:
        return False
    return os.uname().machine in ("x86_64", "amd64")


@functools.cache
def _system() -> ctypes.CDLL:
    library = ctypes.CDLL(None, use_errno=True)
    pointer, size, number = ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int
    library.mmap.argtypes = (pointer, size, number, number, number, ctypes.c_long)
    library.mmap.restype = pointer
    library.mprotect.argtypes = (pointer, size, number)
    library.munmap.argtypes = (pointer, size)
    return library


def _new_pages(size: int) -> int:
    """The address of new zeros that can be written."""
    # Not an object of the module mmap: the interpreter would unmap it when it ends.
    kind = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
    address = _system().mmap(None, size, mmap.PROT_READ | mmap.PROT_WRITE, kind, -1, 0)
    if address is None or address == ctypes.c_void_p(-1).value:
        raise OSError(ctypes.get_errno(), "mmap")
    return int(address)


def _make_executable(address: int, size: int) -> None:
    if size and _system().mprotect(address, size, mmap.PROT_READ | mmap.PROT_EXEC) != 0:
        raise OSError(ctypes.get_errno(), "mprotect")


@functools.cache
def _external(name: str) -> int:
    """The address of a function of the C library."""
    for library in (None, "libm.so.6"):
        try:
            found = ctypes.cast(ctypes.CDLL(library)[name], ctypes.c_void_p).value
        except (AttributeError, OSError):
            continue
        if found:
            return found
    raise UnknownObjectError(f"symbol {name} is not known")

"""A machine for PTX: runs what NVRTC makes of a CUDA source, on a CPU, with NumPy.

All threads of a launch are the lanes of NumPy arrays, one array per register.  Of the lanes
that can run, those with the smallest program counter run, up to the next branch, label or
barrier: threads that part meet again behind what parts them.  Memory is only what the launch
was given: an access beside it, or one that is not aligned, is an error, as compute-sanitizer
would say; so are shuffles from lanes that are elsewhere, and barriers that not all threads of a
block reach.  Shared and local memory begin as NaN bytes, so that what is read before it is
written shows.

It knows the instructions that our sources need and says which one it does not know.
Approximate instructions (ex2.approx) give the rounded exact result; what a device gives beyond
that, and races between warps, only a device can show.
"""

import ctypes
import re
import struct

import numpy as np

_REGISTER = re.compile(r"\.reg \.(\w+)\s+%(\w+)<(\d+)>")
_CLASSES = {"pred": np.bool_, "b16": np.uint16, "b32": np.uint32, "f32": np.uint32,
            "b64": np.uint64, "f64": np.uint64, "u32": np.uint32, "u64": np.uint64,
            "b8": np.uint8}  # fmt: skip
_TYPES = {"b8": "u1", "u8": "u1", "s8": "i1", "b16": "u2", "u16": "u2", "s16": "i2",
          "b32": "u4", "u32": "u4", "s32": "i4", "b64": "u8", "u64": "u8", "s64": "i8",
          "f16": "f2", "f32": "f4", "f64": "f8", "pred": "?"}  # fmt: skip
_TYPES = {k: np.dtype(v) for k, v in _TYPES.items()}
_BITS = {1: np.uint8, 2: np.uint16, 4: np.uint32, 8: np.uint64}
_WINDOW = 1 << 40  # shared memory in the generic address space
_CODE = 1 << 41  # constants of the module
_LOCAL = 1 << 42


class MachineError(AssertionError):
    """What a device would answer with an error, or with nonsense."""


class Module:
    """A PTX text.

    Attributes:
        entries: kernels by name.
    """

    def __init__(self, text):
        self.text = text
        self.constants = {}
        self.memory = {}  # name -> bytes of module constants
        for match in re.finditer(
            r"\.(?:global|const) \.align \d+ \.(\w+) (\w+)\[(\d+)\](?: = \{([^}]*)\})?;", text
        ):
            kind, name, count, values = match.groups()
            numbers = [int(v, 0) for v in values.split(",")] if values else [0] * int(count)
            numbers += [0] * (int(count) - len(numbers))
            self.memory[name] = np.array(numbers, _TYPES[kind]).view(np.uint8).copy()
        self.entries = {}
        for match in re.finditer(
            r"\.visible \.entry (\w+)\((.*?)\)(.*?)\n\{(.*?)\n\}", text, re.S
        ):
            name, params, _, body = match.groups()
            self.entries[name] = Kernel(self, name, params, body)


class Kernel:
    """An entry, its instructions decoded."""

    def __init__(self, module, name, params, body):
        self.module, self.name = module, name
        self.params = []  # (name, bytes)
        param = r"\.param\s+(?:\.align \d+\s+)?\.(\w+)(?:\s+\.ptr[^%]*?)?\s+(\w+)(?:\[(\d+)\])?"
        for p in re.findall(param, params):
            self.params.append((p[1], _TYPES[p[0]].itemsize * int(p[2] or 1)))
        self.registers = {}
        for kind, prefix, count in _REGISTER.findall(body):
            for i in range(int(count)):
                self.registers[f"%{prefix}{i}"] = _CLASSES[kind]
        for kind, name in re.findall(r"\.reg \.(\w+)\s+(%\w+);", body):  # of an inner block
            self.registers[name] = _CLASSES[kind]
        self.shared, self.shared_size = self._room(r"\.shared", body)
        self.local, self.local_size = self._room(r"\.local", body)
        self.code, self.labels = [], {}
        body = re.sub(r"//[^\n]*", "", body)
        for line in re.split(r"[;\n]", body.replace("$", "_")):
            line = line.strip()
            for brace in ("{", "}"):
                if line == brace:
                    line = ""
            while (label := re.match(r"(\w+):\s*", line)) is not None:
                self.labels[label[1]] = len(self.code)
                line = line[label.end() :]
            if not line or line.startswith("."):
                continue
            self.code.append(_decode(line))

    def _room(self, space, body):
        places, size = {}, 0
        pattern = space + r" \.align (\d+) \.b8\s+(\w+)\[(\d+)\]"
        for align, name, count in re.findall(pattern, body):
            size = -(-size // int(align)) * int(align)
            places[name.replace("$", "_")] = size
            size += int(count)
        return places, size


def _decode(line):
    guard = None
    if line.startswith("@"):
        word, line = line.split(None, 1)
        guard = (word.lstrip("@!"), word[1] == "!")
    parts = line.split(None, 1)
    name = parts[0].split(".")
    rest = parts[1] if len(parts) > 1 else ""
    operands, depth, word = [], 0, ""
    for ch in rest:
        depth += (ch in "{[(") - (ch in "}])")
        if ch == "," and depth == 0:
            operands.append(word.strip())
            word = ""
        else:
            word += ch
    if word.strip():
        operands.append(word.strip())
    return guard, name, operands, line


class Run:
    """A launch."""

    def __init__(self, kernel, grid, block, args, shared, buffers):
        self.k = kernel
        self.grid, self.block = (*grid, 1, 1)[:3], (*block, 1, 1)[:3]
        self.threads = int(np.prod(self.block))
        blocks = int(np.prod(self.grid))
        self.lanes = lanes = blocks * self.threads
        if self.threads > 1024:
            raise MachineError(f"a block of {self.threads} threads")
        self.place = np.arange(lanes, dtype=np.int64)
        self.block_of = self.place // self.threads
        self.thread = self.place % self.threads
        self.warp = self.block_of * 64 + self.thread // 32
        self.specials = {"%laneid": (self.thread % 32).astype(np.uint32)}
        at, inner = self.block_of.copy(), self.thread.copy()
        for i, axis in enumerate("xyz"):
            self.specials[f"%ctaid.{axis}"] = (at % self.grid[i]).astype(np.uint32)
            self.specials[f"%tid.{axis}"] = (inner % self.block[i]).astype(np.uint32)
            self.specials[f"%ntid.{axis}"] = np.full(lanes, self.block[i], np.uint32)
            self.specials[f"%nctaid.{axis}"] = np.full(lanes, self.grid[i], np.uint32)
            at //= self.grid[i]
            inner //= self.block[i]
        self.regs = {n: np.zeros(lanes, t) for n, t in kernel.registers.items()}
        size = max(kernel.shared_size + shared, 1)
        self.shared = np.full((blocks, -(-size // 16) * 16), 0xFF, np.uint8)
        self.local = np.full((lanes, max(kernel.local_size, 1)), 0xFF, np.uint8)
        self.params = {}
        if len(args) != len(kernel.params):
            raise MachineError(
                f"{kernel.name} takes {len(kernel.params)} arguments, got {len(args)}"
            )
        for (name, wide), value in zip(kernel.params, args, strict=True):
            if len(value) != wide:
                raise MachineError(f"{name} has {wide} bytes, got {len(value)}")
            self.params[name] = np.frombuffer(value, np.uint8)
        spans = sorted((a, a + n) for a, n in buffers if n)
        self.starts = np.array([a for a, _ in spans], np.uint64)
        self.ends = np.array([e for _, e in spans], np.uint64)
        self.views = [
            np.ctypeslib.as_array((ctypes.c_uint8 * (e - a)).from_address(a)) for a, e in spans
        ]
        self.steps = 0

    # -- control --------------------------------------------------------------------------

    def run(self):
        end = len(self.k.code)
        pc = np.zeros(self.lanes, np.int64)
        waiting = np.zeros(self.lanes, bool)
        stops = set(self.k.labels.values())
        with np.errstate(all="ignore"):
            while True:
                ready = ~waiting & (pc < end)
                if not ready.any():
                    if not waiting.any():
                        return
                    by_block = waiting.reshape(-1, self.threads)
                    there = (pc < end).reshape(-1, self.threads)
                    full = (by_block == there).all(1)
                    if not full.any():
                        raise MachineError(f"{self.k.name}: some threads wait for ever")
                    waiting &= ~full[self.block_of]
                    continue
                at = int(pc[ready].min())
                who = np.flatnonzero(ready & (pc == at))
                self.all = len(who) == self.lanes
                while True:
                    self.steps += 1
                    if self.steps > 2_000_000:
                        raise MachineError(f"{self.k.name}: does not end")
                    guard, name, operands, line = self.k.code[at]
                    active = who
                    if guard is not None:
                        hold = self.regs[guard[0]][who] != guard[1]
                        active = who[hold]
                    op = name[0]
                    self.line = line
                    if op == "bra":
                        pc[who] = at + 1
                        pc[active] = self.k.labels[operands[0]]
                        break
                    if op in ("ret", "exit"):
                        pc[who] = at + 1
                        pc[active] = end
                        break
                    if op in ("bar", "barrier"):
                        if guard is not None:
                            raise MachineError("a barrier under a condition")
                        pc[who] = at + 1
                        waiting[who] = True
                        break
                    if len(active):
                        self.execute(name, operands, active)
                    at += 1
                    if at in stops or at >= end:
                        pc[who] = at
                        break

    def execute(self, name, operands, who):
        method = getattr(self, "do_" + name[0], None)
        if method is None:
            raise MachineError(f"the machine does not know: {self.line}")
        method(name[1:], operands, who)

    # -- values ---------------------------------------------------------------------------

    def get(self, text, kind, who):
        """An operand's lanes, as `kind`."""
        kind = _TYPES[kind]
        if text[0] == "%":
            bits = self.regs.get(text)
            if bits is None:
                bits = self.specials.get(text)
                if bits is None:
                    raise MachineError(f"the machine does not know {text}: {self.line}")
            bits = bits[who]
            if bits.dtype == np.bool_ or bits.dtype.itemsize == kind.itemsize:
                return bits.view(kind) if bits.dtype != np.bool_ else bits
            return bits.astype(_BITS[kind.itemsize]).view(kind)
        return np.full(len(who), self.constant(text, kind), kind)

    def constant(self, text, kind):
        if text[:2] == "0f":
            value = struct.unpack(">f", bytes.fromhex(text[2:]))[0]
            raw = np.array(value, np.float32)
            return raw if kind.kind == "f" else raw.view(np.uint32)
        if text[:2] == "0d":
            raw = np.array(struct.unpack(">d", bytes.fromhex(text[2:]))[0], np.float64)
            return raw if kind.kind == "f" else raw.view(np.uint64)
        if text in self.k.shared:
            return self.k.shared[text]
        if text in self.k.local:
            return self.k.local[text]
        if text in self.k.module.memory:
            return _CODE + (list(self.k.module.memory).index(text) << 24)
        value = int(text, 0)
        if kind == np.bool_:
            return bool(value)
        bits = value & ((1 << 8 * kind.itemsize) - 1)
        return np.array(bits, _BITS[kind.itemsize]).view(kind)

    def put(self, text, value, who):
        if text == "_":
            return
        register = self.regs[text]
        if register.dtype == np.bool_:
            value = np.asarray(value, bool)
        else:
            value = np.ascontiguousarray(value)
            if value.dtype.itemsize != register.dtype.itemsize:
                if value.dtype.kind == "b":
                    value = value.astype(np.uint8)
                # Sign or zero extension is the type's.
                wide = np.dtype(f"{'i' if value.dtype.kind == 'i' else 'u'}"
                                f"{register.dtype.itemsize}")  # fmt: skip
                if value.dtype.kind == "f":
                    value = value.view(_BITS[value.dtype.itemsize])
                value = value.astype(wide)
            value = value.view(register.dtype)
        if len(who) == self.lanes:
            register[...] = value
        else:
            register[who] = value

    # -- memory ---------------------------------------------------------------------------

    def address(self, text, who):
        inner = text[1:-1].strip()
        match = re.match(r"(%?\w+)(?:\s*\+\s*(-?\w+))?$", inner)
        base, offset = match[1], int(match[2] or "0", 0)
        kind = "u64"
        if base[0] == "%":
            value = self.get(base, "u32" if self.regs[base].dtype == np.uint32 else "u64", who)
            value = value.astype(np.uint64)
        else:
            value = self.get(base, kind, who)
        return value + np.uint64(offset & 0xFFFFFFFFFFFFFFFF)

    def find(self, space, addresses, size, who):
        """Groups of lanes whose places lie in one array: (bytes, lanes of `who`, offsets)."""
        if (addresses % np.uint64(size)).any():
            raise MachineError(f"{self.k.name}: an address that is not aligned: {self.line}")
        if space == "generic":
            if ((addresses >= _WINDOW) & (addresses < _CODE)).all():
                space, addresses = "shared", addresses - np.uint64(_WINDOW)
            elif ((addresses >= _LOCAL) & (addresses < 2 * _LOCAL)).all():
                space, addresses = "local", addresses - np.uint64(_LOCAL)
        if space in ("shared", "local"):
            room = self.shared if space == "shared" else self.local
            row = self.block_of[who] if space == "shared" else who
            limit = room.shape[1]
            if (addresses + np.uint64(size) > limit).any():
                raise MachineError(f"{self.k.name}: beside {space} memory: {self.line}")
            flat = row * limit + addresses.astype(np.int64)
            return [(room.reshape(-1), slice(None), flat)]
        if (addresses >= _CODE).all() and (addresses < _LOCAL).all():
            tables = list(self.k.module.memory.values())
            which = int(addresses[0] - np.uint64(_CODE)) >> 24
            offset = (addresses - np.uint64(_CODE)) & np.uint64(0xFFFFFF)
            if (offset + np.uint64(size) > len(tables[which])).any():
                raise MachineError(f"{self.k.name}: beside a constant: {self.line}")
            return [(tables[which], slice(None), offset.astype(np.int64))]
        which = np.searchsorted(self.starts, addresses, "right") - 1
        bad = which < 0
        bad |= addresses + np.uint64(size) > self.ends[np.maximum(which, 0)]
        if bad.any():
            lane = who[np.flatnonzero(bad)[0]]
            raise MachineError(
                f"{self.k.name}: block {self.block_of[lane]}, thread {self.thread[lane]} "
                f"accesses memory that it was not given: {self.line}"
            )
        found = []
        for w in np.unique(which):
            mine = np.flatnonzero(which == w)
            offset = (addresses[mine] - self.starts[w]).astype(np.int64)
            found.append((self.views[w], mine, offset))
        return found

    def read(self, space, addresses, kind, who):
        out = np.empty(len(who), kind)
        size = kind.itemsize
        for data, mine, offset in self.find(space, addresses, size, who):
            rows = data[offset[:, None] + np.arange(size)]
            out[mine] = np.ascontiguousarray(rows).view(kind)[:, 0]
        return out

    def write(self, space, addresses, values, who):
        size = values.dtype.itemsize
        for data, mine, offset in self.find(space, addresses, size, who):
            rows = np.ascontiguousarray(values[mine]).view(np.uint8).reshape(-1, size)
            data[offset[:, None] + np.arange(size)] = rows

    @staticmethod
    def space(name):
        for s in ("param", "global", "shared", "local", "const"):
            if s in name:
                return "global" if s == "const" else s
        return "generic"

    def do_ld(self, name, ops, who):
        kind, space = _TYPES[name[-1]], self.space(name)
        targets = [t.strip() for t in ops[0].strip("{}").split(",")]
        if space == "param":
            match = re.match(r"\[(\w+)(?:\+(\d+))?\]", ops[1])
            data, offset = self.params[match[1]], int(match[2] or 0)
            for i, target in enumerate(targets):
                at = offset + i * kind.itemsize
                value = data[at : at + kind.itemsize].view(kind)[0]
                self.put(target, np.full(len(who), value, kind), who)
            return
        at = self.address(ops[1], who)
        if len(targets) > 1 and (at % np.uint64(kind.itemsize * len(targets))).any():
            raise MachineError(f"{self.k.name}: an address that is not aligned: {self.line}")
        values = [
            self.read(space, at + np.uint64(i * kind.itemsize), kind, who)
            for i in range(len(targets))
        ]
        for target, value in zip(targets, values, strict=True):
            self.put(target, value, who)

    def do_st(self, name, ops, who):
        kind, space = name[-1], self.space(name)
        at = self.address(ops[0], who)
        sources = [t.strip() for t in ops[1].strip("{}").split(",")]
        size = _TYPES[kind].itemsize
        if len(sources) > 1 and (at % np.uint64(size * len(sources))).any():
            raise MachineError(f"{self.k.name}: an address that is not aligned: {self.line}")
        for i, source in enumerate(sources):
            self.write(space, at + np.uint64(i * size), self.get(source, kind, who), who)

    def atomic(self, name, ops, at, who):
        kind = name[-1]
        space = self.space(name)
        where = self.address(ops[at], who)
        values = self.get(ops[at + 1], kind, who)
        extra = self.get(ops[at + 2], kind, who) if len(ops) > at + 2 else values
        old = np.empty(len(who), _TYPES[kind])
        how = next(n for n in name if n in ("add", "max", "min", "exch", "cas", "or", "and"))
        for i in range(len(who)):  # in some order, as on a device
            lane = who[i : i + 1]
            before = self.read(space, where[i : i + 1], _TYPES[kind], lane)
            v = values[i : i + 1]
            after = {
                "add": lambda b=before, v=v: b + v,
                "max": lambda b=before, v=v: np.maximum(b, v),
                "min": lambda b=before, v=v: np.minimum(b, v),
                "exch": lambda b=before, v=v: v,
                "or": lambda b=before, v=v: b | v,
                "and": lambda b=before, v=v: b & v,
                "cas": lambda b=before, v=v, i=i: extra[i : i + 1] if b == v else b,
            }[how]()
            self.write(space, where[i : i + 1], after.astype(_TYPES[kind]), lane)
            old[i : i + 1] = before
        return old

    def do_atom(self, name, ops, who):
        self.put(ops[0], self.atomic(name, ops, 1, who), who)

    def do_red(self, name, ops, who):
        self.atomic(name, ops, 0, who)

    def do_cvta(self, name, ops, who):
        value = self.get(ops[1], "u64", who)
        shift = {"shared": _WINDOW, "local": _LOCAL}.get(self.space(name), 0)
        value = value - np.uint64(shift) if "to" in name else value + np.uint64(shift)
        self.put(ops[0], value, who)

    def do_membar(self, name, ops, who):
        pass

    do_fence = do_membar

    # -- moving ---------------------------------------------------------------------------

    def do_mov(self, name, ops, who):
        kind = name[-1]
        if ops[0][0] == "{":
            parts = [t.strip() for t in ops[0].strip("{}").split(",")]
            value = self.get(ops[1], kind, who)
            half = np.ascontiguousarray(value).view(_BITS[value.dtype.itemsize // len(parts)])
            for i, part in enumerate(parts):
                self.put(part, half.reshape(len(who), -1)[:, i].copy(), who)
            return
        if ops[1][0] == "{":
            parts = [t.strip() for t in ops[1].strip("{}").split(",")]
            size = _TYPES[kind].itemsize // len(parts)
            value = np.stack([self.get(p, f"b{8 * size}", who) for p in parts], 1)
            self.put(ops[0], np.ascontiguousarray(value).view(_TYPES[kind])[:, 0], who)
            return
        self.put(ops[0], self.get(ops[1], kind, who), who)

    def do_selp(self, name, ops, who):
        kind = name[-1]
        a, b = self.get(ops[1], kind, who), self.get(ops[2], kind, who)
        self.put(ops[0], np.where(self.get(ops[3], "pred", who), a, b), who)

    def do_cvt(self, name, ops, who):
        to, have = name[-2], name[-1]
        v = self.get(ops[1], have, who)
        rounding = next((n for n in name[:-2] if n in ("rni", "rzi", "rmi", "rpi")), None)
        source, target = _TYPES[have], _TYPES[to]
        if source.kind == "f" and rounding:
            v = {"rni": np.rint, "rzi": np.trunc, "rmi": np.floor, "rpi": np.ceil}[rounding](v)
        if "sat" in name and target.kind == "f":
            v = np.where(np.isnan(v), 0, np.clip(v, 0, 1)).astype(source)
        if source.kind == "f" and target.kind in "iu":
            info = np.iinfo(target)
            limited = np.where(np.isnan(v), 0, np.clip(v, float(info.min), float(info.max)))
            top = limited >= float(info.max)
            out = np.where(top, 0, limited).astype(target)
            v = np.where(top, np.array(info.max, target), out)
        elif target.kind == "f" and "rm" in name and source.kind in "iu":
            raise MachineError(f"the machine does not know: {self.line}")
        else:
            v = v.astype(target)
        self.put(ops[0], v, who)

    # -- arithmetic -----------------------------------------------------------------------

    def two(self, name, ops, who):
        return self.get(ops[1], name[-1], who), self.get(ops[2], name[-1], who)

    def rounded(self, name, exact, kind):
        """float32 results of float64 arithmetic, in the direction that `name` asks for."""
        if kind == np.float64:
            return exact
        out = exact.astype(np.float32)
        if "rm" in name or "rp" in name or "rz" in name:
            toward = -np.inf if "rm" in name else np.inf if "rp" in name else None
            wide = out.astype(np.float64)
            if toward is None:
                off, toward = np.abs(wide) > np.abs(exact), np.float32(0)
            else:
                off = wide > exact if toward < 0 else wide < exact
            out = np.where(off, np.nextafter(out, np.float32(toward)), out)
        if "sat" in name:
            out = np.where(np.isnan(out), 0, np.clip(out, 0, 1)).astype(np.float32)
        return out

    def arithmetic(self, name, ops, who, how):
        a, b = self.two(name, ops, who)
        if a.dtype == np.float32:
            self.put(
                ops[0], self.rounded(name, how(a.astype("f8"), b.astype("f8")), a.dtype), who
            )
        else:
            self.put(ops[0], how(a, b), who)

    def do_add(self, name, ops, who):
        self.arithmetic(name, ops, who, np.add)

    def do_sub(self, name, ops, who):
        self.arithmetic(name, ops, who, np.subtract)

    def do_mul(self, name, ops, who):
        if "wide" in name:
            a, b = self.two(name, ops, who)
            wide = np.dtype(f"{a.dtype.kind}{2 * a.dtype.itemsize}")
            self.put(ops[0], a.astype(wide) * b.astype(wide), who)
        elif "hi" in name:
            a, b = self.two(name, ops, who)
            self.put(ops[0], _high(a, b), who)
        else:
            self.arithmetic(name, ops, who, np.multiply)

    def do_mad(self, name, ops, who):
        a, b = self.two(name, ops, who)
        if "wide" in name:
            wide = np.dtype(f"{a.dtype.kind}{2 * a.dtype.itemsize}")
            kind = f"{'s' if a.dtype.kind == 'i' else 'u'}{16 * a.dtype.itemsize}"
            c = self.get(ops[3], kind, who)
            self.put(ops[0], a.astype(wide) * b.astype(wide) + c, who)
        elif "hi" in name:
            self.put(ops[0], _high(a, b) + self.get(ops[3], name[-1], who), who)
        else:
            self.put(ops[0], a * b + self.get(ops[3], name[-1], who), who)

    def do_fma(self, name, ops, who):
        a, b = self.two(name, ops, who)
        c = self.get(ops[3], name[-1], who)
        if a.dtype == np.float32:
            exact = a.astype("f8") * b.astype("f8") + c.astype("f8")
            self.put(ops[0], self.rounded(name, exact, a.dtype), who)
        else:
            wide = np.longdouble
            exact = a.astype(wide) * b.astype(wide) + c.astype(wide)
            self.put(ops[0], exact.astype(np.float64), who)

    def do_div(self, name, ops, who):
        a, b = self.two(name, ops, who)
        if a.dtype.kind == "f":
            self.put(ops[0], a / b, who)
            return
        if (b == 0).any():
            raise MachineError(f"{self.k.name}: divides by zero: {self.line}")
        q = np.abs(a) // np.abs(b) if a.dtype.kind == "i" else a // b
        self.put(ops[0], np.where((a < 0) != (b < 0), -q, q) if a.dtype.kind == "i" else q, who)

    def do_rem(self, name, ops, who):
        a, b = self.two(name, ops, who)
        if (b == 0).any():
            raise MachineError(f"{self.k.name}: divides by zero: {self.line}")
        self.put(ops[0], np.fmod(a, b), who)

    def do_min(self, name, ops, who):
        a, b = self.two(name, ops, who)
        nan = "NaN" in name or a.dtype.kind != "f"
        self.put(ops[0], (np.minimum if nan else np.fmin)(a, b), who)

    def do_max(self, name, ops, who):
        a, b = self.two(name, ops, who)
        nan = "NaN" in name or a.dtype.kind != "f"
        self.put(ops[0], (np.maximum if nan else np.fmax)(a, b), who)

    def one(self, name, ops, who, how):
        self.put(ops[0], how(self.get(ops[1], name[-1], who)), who)

    def do_abs(self, name, ops, who):
        self.one(name, ops, who, np.abs)

    def do_neg(self, name, ops, who):
        self.one(name, ops, who, np.negative)

    def do_sqrt(self, name, ops, who):
        self.one(name, ops, who, np.sqrt)

    def do_rsqrt(self, name, ops, who):
        self.one(name, ops, who, lambda v: (1 / np.sqrt(v.astype("f8"))).astype(v.dtype))

    def do_rcp(self, name, ops, who):
        self.one(name, ops, who, lambda v: (1 / v.astype("f8")).astype(v.dtype))

    def do_ex2(self, name, ops, who):
        self.one(name, ops, who, lambda v: np.exp2(v.astype("f8")).astype(v.dtype))

    def do_lg2(self, name, ops, who):
        self.one(name, ops, who, lambda v: np.log2(v.astype("f8")).astype(v.dtype))

    def do_sin(self, name, ops, who):
        self.one(name, ops, who, lambda v: np.sin(v.astype("f8")).astype(v.dtype))

    def do_cos(self, name, ops, who):
        self.one(name, ops, who, lambda v: np.cos(v.astype("f8")).astype(v.dtype))

    def do_tanh(self, name, ops, who):
        self.one(name, ops, who, lambda v: np.tanh(v.astype("f8")).astype(v.dtype))

    def do_copysign(self, name, ops, who):
        a, b = self.two(name, ops, who)
        self.put(ops[0], np.copysign(b, a), who)

    def do_testp(self, name, ops, who):
        v = self.get(ops[1], name[-1], who)
        test = {"infinite": np.isinf, "finite": np.isfinite, "notanumber": np.isnan,
                "number": lambda v: ~np.isnan(v)}[name[0]]  # fmt: skip
        self.put(ops[0], test(v), who)

    # -- bits -----------------------------------------------------------------------------

    def do_and(self, name, ops, who):
        a, b = self.two(name, ops, who)
        self.put(ops[0], a & b, who)

    def do_or(self, name, ops, who):
        a, b = self.two(name, ops, who)
        self.put(ops[0], a | b, who)

    def do_xor(self, name, ops, who):
        a, b = self.two(name, ops, who)
        self.put(ops[0], a ^ b, who)

    def do_not(self, name, ops, who):
        self.one(name, ops, who, np.invert)

    def shifted(self, name, ops, who, how):
        v = self.get(ops[1], name[-1], who)
        by = self.get(ops[2], "u32", who).astype(np.int64)
        width = 8 * v.dtype.itemsize
        out = how(v, np.minimum(by, width - 1).astype(v.dtype))
        if how is np.right_shift and v.dtype.kind == "i":
            self.put(ops[0], out, who)
        else:
            self.put(ops[0], np.where(by >= width, 0, out).astype(v.dtype), who)

    def do_shl(self, name, ops, who):
        self.shifted(name, ops, who, np.left_shift)

    def do_shr(self, name, ops, who):
        self.shifted(name, ops, who, np.right_shift)

    def do_shf(self, name, ops, who):
        low, high = (self.get(o, "b32", who).astype(np.uint64) for o in ops[1:3])
        by = self.get(ops[3], "b32", who).astype(np.uint64)
        by = by & np.uint64(31) if "wrap" in name else np.minimum(by, np.uint64(32))
        both = (high << np.uint64(32)) | low
        out = (both << by) >> np.uint64(32) if "l" in name else both >> by
        self.put(ops[0], (out & np.uint64(0xFFFFFFFF)).astype(np.uint32), who)

    def do_lop3(self, name, ops, who):
        a, b, c = (self.get(o, "b32", who) for o in ops[1:4])
        table, out = int(ops[4], 0), np.zeros(len(who), np.uint32)
        for i in range(8):
            if table >> i & 1:
                out |= (a if i & 4 else ~a) & (b if i & 2 else ~b) & (c if i & 1 else ~c)
        self.put(ops[0], out, who)

    def do_prmt(self, name, ops, who):
        a, b, s = (self.get(o, "b32", who) for o in ops[1:4])
        every = np.stack(
            [(v >> np.uint32(8 * i)) & np.uint32(255) for v in (a, b) for i in range(4)]
        )
        out = np.zeros(len(who), np.uint32)
        for i in range(4):
            pick = (s >> np.uint32(4 * i)) & np.uint32(15)
            byte = np.take_along_axis(every, (pick & np.uint32(7))[None].astype(np.int64), 0)[0]
            byte = np.where(pick & 8, np.where(byte & 128, 255, 0), byte).astype(np.uint32)
            out |= byte << np.uint32(8 * i)
        self.put(ops[0], out, who)

    def do_bfe(self, name, ops, who):
        v = self.get(ops[1], name[-1], who)
        at, n = (self.get(o, "u32", who).astype(v.dtype) for o in ops[2:4])
        one = v.dtype.type(1)
        if v.dtype.kind == "i":
            width = v.dtype.type(8 * v.dtype.itemsize)
            self.put(ops[0], (v << (width - n - at)) >> (width - n), who)
        else:
            self.put(ops[0], (v >> at) & ((one << n) - one), who)

    def do_bfi(self, name, ops, who):
        a, b = self.get(ops[1], name[-1], who), self.get(ops[2], name[-1], who)
        at, n = (self.get(o, "u32", who).astype(a.dtype) for o in ops[3:5])
        one = a.dtype.type(1)
        mask = ((one << n) - one) << at
        self.put(ops[0], (b & ~mask) | ((a << at) & mask), who)

    def do_clz(self, name, ops, who):
        v = self.get(ops[1], name[-1], who)
        width = 8 * v.dtype.itemsize
        self.put(ops[0], np.array([width - int(x).bit_length() for x in v], np.uint32), who)

    def do_popc(self, name, ops, who):
        v = self.get(ops[1], name[-1], who)
        self.put(ops[0], np.array([int(x).bit_count() for x in v], np.uint32), who)

    # -- tests ----------------------------------------------------------------------------

    def do_setp(self, name, ops, who):
        how, kind = name[0], name[-1]
        a, b = self.get(ops[1], kind, who), self.get(ops[2], kind, who)
        if _TYPES[kind].kind == "f":
            nan = np.isnan(a) | np.isnan(b)
            if how == "nan":
                found = nan
            elif how == "num":
                found = ~nan
            elif how[-1] == "u" and how not in ("lu",):
                found = nan | _compare(how[:-1], a, b)
            else:
                found = ~nan & _compare(how, a, b)
        else:
            found = _compare(
                {"lo": "lt", "ls": "le", "hi": "gt", "hs": "ge"}.get(how, how), a, b
            )
        if len(name) > 2 and name[1] in ("and", "or", "xor"):
            more = ops[3]
            other = self.get(more.lstrip("!"), "pred", who) != (more[0] == "!")
            found = {"and": found & other, "or": found | other, "xor": found ^ other}[name[1]]
        for i, target in enumerate(ops[0].split("|")):
            self.put(target.strip(), found != bool(i), who)

    # -- warps ----------------------------------------------------------------------------

    def do_shfl(self, name, ops, who):
        mode, kind = name[1], name[-1]
        target, *more = [t.strip() for t in ops[0].split("|")]
        if not self.members(ops[4], who):
            raise MachineError(f"{self.k.name}: lanes of the mask are elsewhere: {self.line}")
        values = np.zeros(self.lanes, _TYPES[kind])
        values[who] = self.get(ops[1], kind, who)
        there = np.zeros(self.lanes, bool)
        there[who] = True
        lane = self.thread[who] % 32
        b = self.get(ops[2], "u32", who).astype(np.int64)
        c = self.get(ops[3], "u32", who).astype(np.int64)
        segment, clamp = (c >> 8) & 31, c & 31
        top = (lane & segment) | (clamp & ~segment)
        source = {"up": lane - b, "down": lane + b, "bfly": lane ^ b,
                  "idx": (lane & segment) | (b & ~segment)}[mode]  # fmt: skip
        valid = source >= top if mode == "up" else source <= top
        source = np.where(valid, source, lane)
        at = who - lane + source
        if (at >= self.lanes).any() or not there[np.minimum(at, self.lanes - 1)].all():
            raise MachineError(f"{self.k.name}: a shuffle from a lane elsewhere: {self.line}")
        self.put(target, values[at], who)
        if more:
            self.put(more[0], valid, who)

    def members(self, text, who):
        """Whether all lanes of the mask are here."""
        mask = self.get(text, "u32", who)
        here = {}
        for w, lane in zip(self.warp[who], self.thread[who] % 32, strict=True):
            here[w] = here.get(w, 0) | 1 << int(lane)
        size = self.threads
        for w, m in zip(self.warp[who], mask, strict=True):
            exists = (1 << min(32, size - int(w % 64) * 32)) - 1
            if int(m) & exists & ~here[w]:
                return False
        return True

    def do_vote(self, name, ops, who):
        mode = name[1]
        text = ops[1]
        value = self.get(text.lstrip("!"), "pred", who) != (text[0] == "!")
        out = np.zeros(len(who), np.uint32)
        for w in np.unique(self.warp[who]):
            mine = self.warp[who] == w
            if mode == "ballot":
                bits = sum(1 << int(t % 32) for t in self.thread[who][mine & value])
                out[mine] = bits
            else:
                out[mine] = value[mine].all() if mode == "all" else value[mine].any()
        self.put(ops[0], out if mode == "ballot" else out.astype(bool), who)

    def do_activemask(self, name, ops, who):
        out = np.zeros(len(who), np.uint32)
        for w in np.unique(self.warp[who]):
            mine = self.warp[who] == w
            out[mine] = sum(1 << int(t % 32) for t in self.thread[who][mine])
        self.put(ops[0], out, who)


def _compare(how, a, b):
    return {"lt": np.less, "le": np.less_equal, "gt": np.greater, "ge": np.greater_equal,
            "eq": np.equal, "ne": np.not_equal}[how](a, b)  # fmt: skip


def _high(a, b):
    bits = 8 * a.dtype.itemsize
    if bits < 64:
        wide = np.dtype(f"{a.dtype.kind}{2 * a.dtype.itemsize}")
        return ((a.astype(wide) * b.astype(wide)) >> wide.type(bits)).astype(a.dtype)
    made = [int(x) * int(y) >> bits for x, y in zip(a, b, strict=True)]
    return np.array(made, object).astype(a.dtype)


def launch(module, name, grid, block, args, shared=0, buffers=()):
    """Run a kernel.

    Args:
        module: a `Module`.
        name: of the kernel.
        grid, block: sizes.
        args: each argument's bytes.
        shared: bytes of dynamic shared memory.
        buffers: (address, bytes) of all memory that it may touch.
    """
    run = Run(module.entries[name], grid, block, args, shared, buffers)
    run.run()
    return run

"""The zygote: a Python process that forks one child for every call of a program.

It is started once, imports what programs may import, gives up its rights and then serves jobs that arrive as
frames on standard input (4 bytes of length, little endian, then `LIMITS`, the program and the arguments of one call).
It answers each with one frame on standard output. It never runs a program itself and never holds a gold value; children
hold the program, its arguments and nothing else, not even the arguments of other calls. Whatever a child sends is untrusted and passed on unread.

The price of a call is the price of the pages that the zygote and the child write to after the fork. So the zygote
looks into nothing that it passes on, and it runs some programs of its own before the first fork, which fills the
interpreter's caches.
"""

import sys

# `-c` puts the working directory in front of the search path.
sys.path[:] = [entry for entry in sys.path if entry not in ("", "/")]

import os

# Modules would have their state renewed in every child: locks that nobody holds, and random numbers from the system.
register_at_fork, os.register_at_fork = os.register_at_fork, lambda **hooks: None

import builtins
import codecs
import collections
import ctypes
import gc
import importlib
import json
import random
import resource
import select
import signal
import struct
import time
import types

PR_SET_PDEATHSIG = 1
PR_SET_SECCOMP = 22
SECCOMP_MODE_FILTER = 2

# Bounds of plain values; the host has the same and checks again.
MAX_NODES = 20_000
MAX_DEPTH = 100
MAX_INT_BITS = 14_285

# Longest name of a class that is passed on; the host accepts less.
MAX_NAME = 100

# Wall time and processor time in milliseconds, address space and output in bytes, length of the program. The program
# and the arguments follow.
LIMITS = struct.Struct("<QQQQI")
LENGTH = struct.Struct("<I")

CODECS = (
    "ascii", "base64_codec", "cp1252", "hex_codec", "idna", "latin_1", "punycode", "raw_unicode_escape", "rot_13",
    "unicode_escape", "utf_8", "utf_8_sig", "utf_16", "utf_16_be", "utf_16_le", "utf_32", "utf_32_be", "utf_32_le",
    "zlib_codec",
)

# What fills the caches: the ordinary ways of programs, once each.
SAMPLE = """
from typing import List, Dict
import math, re, collections, itertools, heapq, functools
class Point:
    scale: int = 2
    def __init__(self, x, y=0): self.x, self.y = x, y
    def __repr__(self): return f"Point({self.x!r})"
    def __lt__(self, other): return self.x < other.x
def f(text: str, numbers: List[int], table: Dict[str, int], *rest, **more) -> list:
    words, seen, total = text.lower().split(), set(), 0.5
    for index, word in enumerate(words):
        if word in table and word not in seen:
            total += table[word] * len(word) ** 2 / 3
            seen.add(word.strip().upper().replace("A", "b"))
        elif index % 2 == 0 or not word:
            table[word] = table.get(word, 0) + 1
    try:
        total += numbers[99]
    except (IndexError, KeyError) as error:
        total -= len(str(error)) // 2
    while numbers and numbers[-1] > 3: numbers.pop()
    pairs = sorted(zip(words, numbers), key=lambda pair: (pair[1], pair[0]), reverse=True)
    squares = [n * n for n in numbers if n & 1] + [sum(n for n in range(5)), max(numbers, default=0), min(1, 2)]
    table.update({key: value for key, value in zip("abc", squares)})
    points = sorted([Point(n) for n in reversed(squares)])
    counted = collections.Counter(text)
    counted[str(points[0])] += all(map(str.isalpha, words)) + any(n == 2 for n in numbers)
    heap = list(numbers); heapq.heapify(heap)
    found = re.sub(r"[aeiou]+", "-", text)
    text = "".join(chr(ord(c) + 1) if c.isalnum() else c for c in text[::-1]).join(["<", ">"])
    return [pairs, squares, table, text, round(total, 3), math.sqrt(4), tuple(seen), None, True, found,
            "%s:%d" % (words[0], len(words)), functools.reduce(lambda a, b: a ^ b, numbers, 0), isinstance(total, float),
            list(itertools.chain(numbers, heap)), list(counted.items())[:2], abs(-2), int("7"), list(map(int, "12"))]
"""
SAMPLE_CALL = '[["Some words a b, and others", ["l", 3, 1, 2, 9], ["d", "some", 1, "b", 2]], []]'
N_SAMPLES = 10

# Objects of each size that the allocator knows; more than there are free places.
N_FILLERS = 200

monotonic = time.monotonic
clock_gettime = time.clock_gettime


def read_exactly(length):
    parts = []
    while length:
        part = os.read(0, min(length, 1 << 20))
        if not part:
            os._exit(0)
        parts.append(part)
        length -= len(part)
    return b"".join(parts)


def read_frame():
    return read_exactly(LENGTH.unpack(read_exactly(4))[0])


def write_frame(descriptor, body):
    data = LENGTH.pack(len(body)) + body
    while data:
        data = data[os.write(descriptor, data):]


class FilterProgram(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("instructions", ctypes.c_char_p)]


class Confinement:
    """Everything that a child does to itself before it runs a program."""

    def __init__(self, settings):
        code = bytes.fromhex(settings["filter"])
        self.filter = FilterProgram(len(code) // 8, code)
        self.filter_pointer = ctypes.byref(self.filter)
        self.prctl = ctypes.CDLL(None, use_errno=True).prctl
        self.zygote = os.getpid()
        self.null = os.open("/dev/null", os.O_RDWR)
        self.is_in_force = False

    def enter(self, pipe, address_space_bytes, cpu_s):
        self.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != self.zygote:
            os._exit(0)
        # In this order: the answer pipe takes the place of whatever descriptor 3 was.
        for descriptor in (0, 1, 2):
            os.dup2(self.null, descriptor)
        os.dup2(pipe, 3)
        os.closerange(4, 64)
        for kind, limit in (
            (resource.RLIMIT_AS, address_space_bytes),
            (resource.RLIMIT_CPU, cpu_s),
            (resource.RLIMIT_NOFILE, 4),
            (resource.RLIMIT_NPROC, 0),
        ):
            # A hard limit that is already lower stays.
            hard = resource.getrlimit(kind)[1]
            if hard != resource.RLIM_INFINITY:
                limit = min(limit, hard)
            resource.setrlimit(kind, (limit, limit))
        refused = self.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, self.filter_pointer, 0, 0)
        if refused and self.is_in_force:
            os._exit(1)

    def holds(self):
        """Whether a child under the filter is refused to open a file and still able to answer."""
        reader, writer = os.pipe()
        pid = os.fork()
        if pid == 0:
            self.enter(writer, 1 << 44, 10)
            try:
                os.open("/dev/null", os.O_RDONLY)
            except PermissionError:
                os.write(3, b"1")
            except BaseException:
                pass
            os._exit(0)
        os.close(writer)
        answer = os.read(reader, 1)
        os.close(reader)
        os.waitpid(pid, 0)
        self.is_in_force = answer == b"1"
        return self.is_in_force


class TooDeep(Exception):
    pass


class TooLong(Exception):
    pass


class NoPlainValue(Exception):
    pass


get_type_name = type.__dict__["__name__"].__get__


def type_name(kind):
    return get_type_name(kind)[:MAX_NAME]


# Containers of the library that count as plain ones, by exact type, and how their content is read.
LIKE_DICT = {
    dict: dict.items,
    collections.Counter: dict.items,
    collections.defaultdict: dict.items,
    collections.OrderedDict: collections.OrderedDict.items,
}
LIKE_LIST = (list, collections.deque)
CONTAINERS = (*LIKE_DICT, *LIKE_LIST, tuple, set, frozenset)


def encoder(limit):
    """A function that writes values of exact built-in types as literals of at most `limit` characters."""
    nodes = 0
    length = 0

    def scalar(text):
        nonlocal length
        length += len(text)
        if length > limit:
            raise TooLong
        return text

    def joined(items, depth):
        return ", ".join([encode(item, depth) for item in items])

    def encode(value, depth=0):
        nonlocal nodes
        nodes += 1
        if nodes > MAX_NODES:
            raise TooLong
        kind = type(value)
        if kind is int:
            if value.bit_length() > MAX_INT_BITS:
                raise TooLong
            try:
                return scalar(int.__repr__(value))
            except ValueError:
                raise TooLong from None
        if kind is str:
            if len(value) > limit:
                raise TooLong
            return scalar(ascii(value))
        if kind is bool or value is None or kind is float:
            return scalar(repr(value))
        if kind is bytes:
            if len(value) > limit:
                raise TooLong
            return scalar(repr(value))
        if kind is complex:
            return scalar("complex(%r, %r)" % (value.real, value.imag))
        if depth >= MAX_DEPTH and kind in CONTAINERS:
            raise TooDeep
        if kind in LIKE_LIST:
            return "[" + joined(value, depth + 1) + "]"
        if kind is tuple:
            return "(" + joined(value, depth + 1) + (",)" if len(value) == 1 else ")")
        if kind in LIKE_DICT:
            items = LIKE_DICT[kind](value)
            entries = [encode(name, depth + 1) + ": " + encode(item, depth + 1) for name, item in items]
            return "{" + ", ".join(entries) + "}"
        if kind is set:
            return "{" + joined(value, depth + 1) + "}" if value else "set()"
        if kind is frozenset:
            return "frozenset({" + joined(value, depth + 1) + "})" if value else "frozenset()"
        raise NoPlainValue(type_name(kind))

    return encode


def decode(wire):
    """The inverse of the host's tagged JSON: containers are lists that start with a tag."""
    if type(wire) is not list:
        return wire
    tag, *rest = wire
    if tag == "l":
        return [decode(item) for item in rest]
    if tag == "t":
        return tuple([decode(item) for item in rest])
    if tag == "d":
        return {decode(name): decode(item) for name, item in zip(rest[::2], rest[1::2])}
    if tag == "s":
        return {decode(item) for item in rest}
    if tag == "z":
        return frozenset([decode(item) for item in rest])
    if tag == "b":
        return bytes.fromhex(rest[0])
    if tag == "c":
        return complex(rest[0], rest[1])
    raise ValueError(tag)


class Silence:
    """What programs print to."""

    encoding = "utf-8"

    def write(self, text):
        return len(text)

    def flush(self):
        pass


def program_builtins(settings):
    """The built-in names of programs: without those that the policy refuses, importing from its list only."""
    modules = frozenset(settings["modules"])
    table = dict(builtins.__dict__)
    if settings["open"]:
        return table
    for name in settings["refused"]:
        table.pop(name, None)
    real_import = builtins.__import__

    def import_allowed(name, globals=None, locals=None, fromlist=(), level=0):
        if level != 0 or name not in modules:
            raise ImportError("module is not allowed")
        return real_import(name, globals, locals, fromlist, level)

    table["__import__"] = import_allowed
    return table


def call_once(code, arguments, table):
    """Runs the program in a fresh namespace and calls its function."""
    module = types.ModuleType("program")
    sys.modules["program"] = module
    # Not a copy, which would touch every one of its entries: a process runs one program.
    module.__dict__["__builtins__"] = table
    positional, keyword = json.loads(arguments)
    positional = [decode(item) for item in positional]
    keyword = {name: decode(item) for name, item in keyword}
    exec(code, module.__dict__)
    return module.__dict__["f"](*positional, **keyword)


def outcome(source, arguments, limit, table):
    try:
        code = compile(source, "program", "exec", dont_inherit=True)
        result = call_once(code, arguments, table)
        sys.settrace(None)
        sys.setprofile(None)
        return b"V" + encoder(limit)(result).encode("ascii")
    except TooLong:
        return b"LO"
    except (TooDeep, RecursionError):
        return b"LD"
    except MemoryError:
        return b"LM"
    except NoPlainValue as error:
        return b"N" + error.args[0].encode("ascii", "replace")
    except BaseException as error:
        return b"E" + type_name(type(error)).encode("ascii", "replace")


def child(source, arguments, limits, pipe, confinement, table):
    try:
        _, cpu_ms, address_space_bytes, output_bytes, _ = limits
        confinement.enter(pipe, address_space_bytes, cpu_ms // 1000 + 2)
        write_frame(3, outcome(source, arguments, output_bytes, table))
    finally:
        os._exit(0)


def cpu_seconds(pid):
    """Processor time of a process, from its own clock; no unit of this is in the program's hands."""
    try:
        return clock_gettime((~pid << 3) | 2)
    except OSError:
        return 0.0


def describe(status):
    if os.WIFSIGNALED(status):
        return b"signal %d" % os.WTERMSIG(status)
    return b"exit status %d" % os.WEXITSTATUS(status)


def receive(pid, reader, limits):
    """What a child answers or comes to, as the body of a frame for the host; whether the child was taken away."""
    wall_ms, cpu_ms, _, output_bytes, _ = limits
    poll = select.poll()
    poll.register(reader, select.POLLIN)
    # Only the end of the input is of interest: the host sends nothing during a job.
    poll.register(0, select.POLLHUP)
    wall_end = monotonic() + wall_ms / 1000
    cpu_end = cpu_ms / 1000
    received = b""
    while True:
        wall_left = wall_end - monotonic()
        cpu_left = cpu_end - cpu_seconds(pid)
        if wall_left <= 0 or cpu_left <= 0:
            return b"W" if wall_left <= 0 else b"C", False
        # A process of one thread uses no more processor time than time passes.
        for descriptor, _ in poll.poll(max(1, min(wall_left, cpu_left) * 1000)):
            if descriptor == 0:
                os.kill(pid, signal.SIGKILL)
                os._exit(0)
            data = os.read(reader, 1 << 16)
            if not data:
                # The pipe may be closed by a process that lives on.
                os.kill(pid, signal.SIGKILL)
                status = os.waitpid(pid, 0)[1]
                is_cpu = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGXCPU
                return b"C" if is_cpu else b"X" + describe(status), True
            received += data
            if len(received) >= 4:
                length = LENGTH.unpack_from(received)[0]
                if length > output_bytes + 1024:
                    return b"Xbroken answer", False
                if len(received) >= 4 + length:
                    return b"R" + received[4:4 + length], False


def serve(source, arguments, limits, confinement, table):
    """Runs one call in a child and answers it."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        child(source, arguments, limits, writer, confinement, table)
    os.close(writer)
    answer, is_reaped = receive(pid, reader, limits)
    # What is over must not run on: the child ends before anybody hears of it.
    if not is_reaped:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    os.close(reader)
    write_frame(1, answer)


def stop_clocks():
    """Every way to ask for the time or for chance gives the same answer in every process."""
    for name in ("time", "monotonic", "perf_counter", "process_time", "thread_time"):
        setattr(time, name, lambda: 0.0)
        setattr(time, name + "_ns", lambda: 0)
    time.clock_gettime = lambda clock: 0.0
    time.clock_gettime_ns = lambda clock: 0
    start = time.gmtime(0)
    for name in ("gmtime", "localtime"):
        setattr(time, name, lambda seconds=0, convert=time.gmtime: convert(seconds or 0))
    for name in ("asctime", "ctime"):
        setattr(time, name, lambda moment=None, convert=time.asctime: convert(start))
    time.strftime = lambda form, moment=start, convert=time.strftime: convert(form, moment)
    seed = random.Random.seed
    random.Random.seed = lambda self, a=None, version=2: seed(self, 0 if a is None else a, version)
    random.seed = random._inst.seed
    random.seed(0)


def give_up_root(user):
    if os.geteuid() != 0:
        return
    try:
        os.setgroups([])
        os.setresgid(user, user, user)
        os.setresuid(user, user, user)
    except OSError:
        # The host looks at the process and reports that it kept its user.
        pass


def fill_pools():
    """Objects that take up the free places between others, so that those of a child lie together on pages of their own."""
    sizes = range(48, 513, 16)
    return [
        filler
        for _ in range(N_FILLERS)
        for filler in (object(), float("1.5"), *(bytes(size - bytes().__sizeof__()) for size in sizes))
    ]


def main():
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.environ.pop("LD_BIND_NOW", None)
    settings = json.loads(read_frame())
    for name in settings["modules"]:
        importlib.import_module(name)
    # Codecs are loaded when they are first used, which a child cannot do.
    for name in CODECS:
        codecs.lookup(name)
    table = program_builtins(settings)
    confinement = Confinement(settings)
    give_up_root(settings["user"])
    stop_clocks()
    os.register_at_fork = register_at_fork
    sys.stdout = sys.stderr = sys.__stdout__ = sys.__stderr__ = Silence()
    sys.stdin = sys.__stdin__ = None
    sys.argv[:] = []
    for name in ("ctypes", "_ctypes", "datetime", "_datetime", "__main__"):
        sys.modules.pop(name, None)
    in_force = confinement.holds()
    for _ in range(N_SAMPLES):
        sample = outcome(SAMPLE.encode(), SAMPLE_CALL.encode(), 1 << 16, table)
    if not sample.startswith(b"V"):
        raise SystemError(sample)
    gc.collect()
    # Held as long as the zygote lives.
    settings["fillers"] = fill_pools()
    gc.freeze()
    hello = {"python": "%d.%d.%d" % sys.version_info[:3], "filter_holds": in_force}
    write_frame(1, json.dumps(hello).encode())
    while True:
        body = read_frame()
        limits = LIMITS.unpack_from(body)
        end = LIMITS.size + limits[-1]
        serve(body[LIMITS.size:end], body[end:], limits, confinement, table)


main()

"""The zygote: a Python process that forks one child for every call of a program.

It is started once, imports what programs may import, gives up its rights and then serves jobs that arrive as
frames on standard input (4 bytes of length, little endian, then `LIMITS`, the program and the arguments of one call).
It answers each with one frame on standard output. It never runs a program itself and never holds a gold value. Jobs and
answers lie in a `Buffer` each and nowhere else in the zygote, and the buffers are emptied after every call: a child is
a copy of the zygote's memory, freed blocks included, and may find nothing of other calls there. Whatever a child sends
is untrusted and passed on unread.

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
import mmap
import random
import resource
import select
import signal
import struct
import time
import types

PR_SET_PDEATHSIG = 1
PR_SET_DUMPABLE = 4
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

# Length and kind of a frame that passes on what a child said.
PASSED_ON = struct.Struct("<Ic")

# Longest read from a child's pipe.
CHUNK = 1 << 16

# The answer of a child that has no memory left to make one.
OUT_OF_MEMORY = LENGTH.pack(2) + b"LM"

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

# More than the host sends and takes.
N_JOB_BYTES = 16 * CHUNK
N_ANSWER_BYTES = 16 * CHUNK

# Objects of each size that the allocator knows, to take up its free places: most of them, or surely all.
N_FILLERS = 200
N_SCATTERED = 600

monotonic = time.monotonic
clock_gettime = time.clock_gettime


class Buffer:
    """Memory for what belongs to one call."""

    def __init__(self, n_bytes):
        self.memory = mmap.mmap(-1, n_bytes, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        self.view = memoryview(self.memory)

    def empty(self):
        """The kernel takes the pages back; the next ones are zero."""
        self.memory.madvise(mmap.MADV_DONTNEED)


def fill(view):
    """Reads as much from standard input as the view holds."""
    n_bytes = 0
    while n_bytes < len(view):
        n_read = os.readv(0, [view[n_bytes:]])
        if not n_read:
            os._exit(0)
        n_bytes += n_read


def read_frame(buffer):
    """The end of the frame that the buffer holds then, behind its length."""
    fill(buffer.view[:LENGTH.size])
    end = LENGTH.size + LENGTH.unpack_from(buffer.view)[0]
    if end > len(buffer.view):
        os._exit(1)
    fill(buffer.view[LENGTH.size:end])
    return end


def write_all(descriptor, data):
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(descriptor, rest):]


def frame(body):
    return LENGTH.pack(len(body)) + body


class FilterProgram(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("instructions", ctypes.c_char_p)]


class Confinement:
    """Everything that a child does to itself before it runs a program."""

    def __init__(self, settings):
        code = bytes.fromhex(settings["filter"])
        self.filter = FilterProgram(len(code) // 8, code)
        self.filter_pointer = ctypes.byref(self.filter)
        self.prctl = ctypes.CDLL(None, use_errno=True).prctl
        self.is_demanded = settings["filter_demanded"]
        self.zygote = os.getpid()
        self.null = os.open("/dev/null", os.O_RDWR)

    def enter(self, pipe, address_space_bytes, cpu_s):
        self.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != self.zygote:
            os._exit(0)
        # A pipe that takes core dumps would get them whatever the limit on their size.
        self.prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)
        # In this order: the answer pipe takes the place of whatever descriptor 3 was.
        for descriptor in (0, 1, 2):
            os.dup2(self.null, descriptor)
        os.dup2(pipe, 3)
        os.closerange(4, 64)
        for kind, soft, hard in (
            (resource.RLIMIT_AS, address_space_bytes, address_space_bytes),
            # The soft limit sends a signal that tells what it is about, the hard one kills.
            (resource.RLIMIT_CPU, cpu_s, cpu_s + 1),
            (resource.RLIMIT_NOFILE, 4, 4),
            (resource.RLIMIT_NPROC, 0, 0),
        ):
            # A hard limit that is already lower stays.
            before = resource.getrlimit(kind)[1]
            if before != resource.RLIM_INFINITY:
                soft, hard = min(soft, before), min(hard, before)
            resource.setrlimit(kind, (soft, hard))
        refused = self.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, self.filter_pointer, 0, 0)
        if refused and self.is_demanded:
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
        return answer == b"1"


class TooDeep(Exception):
    pass


class TooLong(Exception):
    pass


class NoPlainValue(Exception):
    pass


get_type_name = type.__dict__["__name__"].__get__


def type_name(kind):
    return get_type_name(kind)[:MAX_NAME]


# Containers of the library that count as plain ones, by exact type, and how their content is read. Types are looked up
# by their identity: a metaclass can make a class equal to any other.
LIKE_DICT = {
    id(dict): dict.items,
    id(collections.Counter): dict.items,
    id(collections.defaultdict): dict.items,
    id(collections.OrderedDict): collections.OrderedDict.items,
}
LIKE_LIST = frozenset([id(list), id(collections.deque)])
CONTAINERS = LIKE_LIST.union(LIKE_DICT, [id(tuple), id(set), id(frozenset)])


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
        identity = id(kind)
        if depth >= MAX_DEPTH and identity in CONTAINERS:
            raise TooDeep
        if identity in LIKE_LIST:
            return "[" + joined(value, depth + 1) + "]"
        if kind is tuple:
            return "(" + joined(value, depth + 1) + (",)" if len(value) == 1 else ")")
        if identity in LIKE_DICT:
            items = LIKE_DICT[identity](value)
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


def child(job, end, limits, pipe, confinement, table):
    """Runs the call that the job's buffer holds, in a process of its own."""
    global monotonic, clock_gettime
    monotonic = clock_gettime = None
    try:
        _, cpu_ms, address_space_bytes, output_bytes, source_length = limits
        confinement.enter(pipe, address_space_bytes, cpu_ms // 1000 + 2)
        start = LENGTH.size + LIMITS.size
        source, arguments = bytes(job.view[start:start + source_length]), bytes(job.view[start + source_length:end])
        write_all(3, frame(outcome(source, arguments, output_bytes, table)))
    except MemoryError:
        os.write(3, OUT_OF_MEMORY)
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


def receive(pid, reader, limits, answer):
    """Lets a child run. The frame for the host about what it said or came to; whether it was taken away already.

    What it says goes where it leaves room for the kind of the host's frame.
    """
    wall_ms, cpu_ms, _, output_bytes, _ = limits
    poll = select.poll()
    poll.register(reader, select.POLLIN)
    # Only the end of the input is of interest: the host sends nothing during a job.
    poll.register(0, select.POLLHUP)
    wall_end = monotonic() + wall_ms / 1000
    cpu_end = cpu_ms / 1000
    said = answer.view[1:]
    n_said = 0
    while True:
        wall_left = wall_end - monotonic()
        cpu_left = cpu_end - cpu_seconds(pid)
        if wall_left <= 0 or cpu_left <= 0:
            return frame(b"W" if wall_left <= 0 else b"C"), False
        # A process of one thread uses no more processor time than time passes.
        for descriptor, _ in poll.poll(max(1, min(wall_left, cpu_left) * 1000)):
            if descriptor == 0:
                os.kill(pid, signal.SIGKILL)
                os._exit(0)
            n_read = os.readv(reader, [said[n_said:n_said + CHUNK]])
            if not n_read:
                # The pipe may be closed by a process that lives on.
                os.kill(pid, signal.SIGKILL)
                status = os.waitpid(pid, 0)[1]
                is_cpu = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGXCPU
                return frame(b"C" if is_cpu else b"X" + describe(status)), True
            n_said += n_read
            if n_said >= LENGTH.size:
                length = LENGTH.unpack_from(said)[0]
                if length > output_bytes + 1024:
                    return frame(b"Xbroken answer"), False
                if n_said >= LENGTH.size + length:
                    PASSED_ON.pack_into(answer.view, 0, length + 1, b"R")
                    return answer.view[:PASSED_ON.size + length], False


def serve(job, end, answer, confinement, table):
    """Runs one call in a child and answers it."""
    limits = LIMITS.unpack_from(job.view, LENGTH.size)
    reader, writer = os.pipe()
    # Counters and lists of free objects are the same for every child, whatever was before it.
    gc.collect()
    pid = os.fork()
    if pid == 0:
        child(job, end, limits, writer, confinement, table)
    os.close(writer)
    said, is_reaped = receive(pid, reader, limits, answer)
    # What is over must not run on: the child ends before anybody hears of it.
    if not is_reaped:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    os.close(reader)
    write_all(1, said)
    job.empty()
    answer.empty()


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
    for step, arguments in ((os.setgroups, [[]]), (os.setresgid, [user] * 3), (os.setresuid, [user] * 3)):
        try:
            step(*arguments)
        except OSError:
            # Each is worth it without the others. The host looks at the process and reports what it kept.
            pass


def fill_pools(n_fillers):
    """Objects that take up the free places between others, so that those of a child lie together on pages of their own."""
    sizes = range(48, 513, 16)
    return [
        filler
        for _ in range(n_fillers)
        for filler in (object(), float("1.5"), *(bytes(size - bytes().__sizeof__()) for size in sizes))
    ]


def scatter(fillers):
    """Frees half of the fillers out of order, so that new objects lie out of order, too."""
    order = list(range(len(fillers)))
    random.Random(1).shuffle(order)
    for index in order[::2]:
        fillers[index] = None


def main():
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.environ.pop("LD_BIND_NOW", None)
    # Before anything is imported, which may keep a clock.
    stop_clocks()
    job, answer = Buffer(N_JOB_BYTES), Buffer(N_ANSWER_BYTES)
    # Not even addresses that a child could read by mistake.
    answer.memory.madvise(mmap.MADV_DONTFORK)
    settings = json.loads(bytes(job.view[LENGTH.size:read_frame(job)]))
    job.empty()
    for name in settings["modules"]:
        importlib.import_module(name)
    # Codecs are loaded when they are first used, which a child cannot do.
    for name in CODECS:
        codecs.lookup(name)
    table = program_builtins(settings)
    confinement = Confinement(settings)
    give_up_root(settings["user"])
    os.register_at_fork = register_at_fork
    sys.stdout = sys.stderr = sys.__stdout__ = sys.__stderr__ = Silence()
    sys.stdin = sys.__stdin__ = None
    sys.argv[:] = []
    for name in ("ctypes", "_ctypes", "mmap", "__main__"):
        sys.modules.pop(name, None)
    in_force = confinement.holds()
    for _ in range(N_SAMPLES):
        sample = outcome(SAMPLE.encode(), SAMPLE_CALL.encode(), 1 << 16, table)
    if not sample.startswith(b"V"):
        raise SystemError(sample)
    gc.collect()
    # Held as long as the zygote lives.
    settings["fillers"] = fill_pools(N_SCATTERED if settings["scattered"] else N_FILLERS)
    if settings["scattered"]:
        scatter(settings["fillers"])
    gc.freeze()
    hello = {"python": "%d.%d.%d" % sys.version_info[:3], "filter_holds": in_force}
    write_all(1, frame(json.dumps(hello).encode()))
    while True:
        serve(job, read_frame(job), answer, confinement, table)


main()

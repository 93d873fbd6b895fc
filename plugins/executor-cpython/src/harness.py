"""The zygote: a Python process that forks one child per program.

It is started once, imports what programs may import, gives up its rights and then serves jobs that arrive as
frames on standard input (4 bytes of length, little endian, then JSON). For each call it answers with one frame
on standard output. It never runs a program itself and never holds a gold value; children hold the program, its
arguments and nothing else. Whatever a child sends is untrusted and passed on unread.
"""

import sys

# `-c` puts the working directory in front of the search path.
sys.path[:] = [entry for entry in sys.path if entry not in ("", "/")]

import builtins
import codecs
import ctypes
import gc
import importlib
import json
import os
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

CODECS = (
    "ascii", "base64_codec", "cp1252", "hex_codec", "idna", "latin_1", "punycode", "raw_unicode_escape", "rot_13",
    "unicode_escape", "utf_8", "utf_8_sig", "utf_16", "utf_16_be", "utf_16_le", "utf_32", "utf_32_be", "utf_32_le",
    "zlib_codec",
)

monotonic = time.monotonic
clock_gettime = time.clock_gettime


def read_frame():
    def exactly(length):
        parts = []
        while length:
            part = os.read(0, min(length, 1 << 20))
            if not part:
                os._exit(0)
            parts.append(part)
            length -= len(part)
        return b"".join(parts)

    return json.loads(exactly(struct.unpack("<I", exactly(4))[0]))


def write_all(descriptor, data):
    while data:
        data = data[os.write(descriptor, data):]


def write_frame(descriptor, body):
    write_all(descriptor, struct.pack("<I", len(body)) + body)


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
        self.base_bytes = 0
        self.is_in_force = False

    def measure(self):
        with open("/proc/self/statm", "rb") as statm:
            self.base_bytes = int(statm.read().split()[0]) * resource.getpagesize()

    def enter(self, pipe, memory_bytes, cpu_s):
        self.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != self.zygote:
            os._exit(0)
        # In this order: the answer pipe takes the place of whatever descriptor 3 was.
        for descriptor in (0, 1, 2):
            os.dup2(self.null, descriptor)
        os.dup2(pipe, 3)
        os.closerange(4, 64)
        for kind, limit in (
            (resource.RLIMIT_AS, self.base_bytes + memory_bytes),
            (resource.RLIMIT_CPU, cpu_s),
            (resource.RLIMIT_NOFILE, 4),
            (resource.RLIMIT_NPROC, 0),
        ):
            # A hard limit that is already lower stays.
            hard = resource.getrlimit(kind)[1]
            if hard != resource.RLIM_INFINITY:
                limit = min(limit, hard)
            resource.setrlimit(kind, (limit, limit))
        random.seed(0)
        refused = self.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, self.filter_pointer, 0, 0)
        if refused and self.is_in_force:
            os._exit(1)

    def holds(self):
        """Whether a child under the filter is refused to open a file and still able to answer."""
        reader, writer = os.pipe()
        pid = os.fork()
        if pid == 0:
            self.enter(writer, 1 << 28, 10)
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


type_name = type.__dict__["__name__"].__get__


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
        if depth >= MAX_DEPTH and kind in (list, tuple, dict, set, frozenset):
            raise TooDeep
        if kind is list:
            return "[" + joined(value, depth + 1) + "]"
        if kind is tuple:
            return "(" + joined(value, depth + 1) + (",)" if len(value) == 1 else ")")
        if kind is dict:
            entries = [encode(name, depth + 1) + ": " + encode(item, depth + 1) for name, item in value.items()]
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
    module.__dict__["__builtins__"] = dict(table)
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


def child(job, first, last, pipe, confinement, table):
    try:
        calls = job["calls"]
        cpu_s = (job["cpu_ms"] * (last - first) + 999) // 1000 + 1
        confinement.enter(pipe, job["memory_bytes"], cpu_s)
        for index in range(first, last):
            write_frame(3, outcome(job["source"], calls[index], job["output_bytes"], table))
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


def serve(job, first, last, confinement, table):
    """Runs calls `first` to `last` in one child and answers them; the index of the first one left over."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        child(job, first, last, writer, confinement, table)
    os.close(writer)
    is_reaped = False

    def answer(body, is_last):
        # What is over must not run on: the child ends before anybody hears of it.
        if is_last and not is_reaped:
            os.kill(pid, signal.SIGKILL)
        write_frame(1, body)

    try:
        poll = select.poll()
        poll.register(reader, select.POLLIN)
        # Only the end of the input is of interest: the host sends nothing during a job.
        poll.register(0, select.POLLHUP)
        longest = job["output_bytes"] + 1024
        received = b""
        index = first
        wall_end = monotonic() + job["wall_ms"] / 1000
        cpu_end = job["cpu_ms"] / 1000
        while index < last:
            wall_left = wall_end - monotonic()
            cpu_left = cpu_end - cpu_seconds(pid)
            if wall_left <= 0 or cpu_left <= 0:
                answer(b"W" if wall_left <= 0 else b"C", True)
                return index + 1
            # A process of one thread uses no more processor time than time passes.
            events = dict(poll.poll(max(1, min(wall_left, cpu_left) * 1000)))
            if 0 in events:
                os.kill(pid, signal.SIGKILL)
                os._exit(0)
            if reader not in events:
                continue
            data = os.read(reader, 1 << 16)
            if not data:
                # The pipe may be closed by a process that lives on.
                os.kill(pid, signal.SIGKILL)
                status = os.waitpid(pid, 0)[1]
                is_reaped = True
                is_cpu = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGXCPU
                answer(b"C" if is_cpu else b"X" + describe(status), True)
                return index + 1
            received += data
            while len(received) >= 4 and index < last:
                length = struct.unpack_from("<I", received)[0]
                if length > longest:
                    answer(b"Xbroken answer", True)
                    return index + 1
                if len(received) < 4 + length:
                    break
                index += 1
                answer(b"R" + received[4:4 + length], index == last)
                received = received[4 + length:]
                wall_end = monotonic() + job["wall_ms"] / 1000
                cpu_end = cpu_seconds(pid) + job["cpu_ms"] / 1000
        return index
    finally:
        if not is_reaped:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        os.close(reader)


def stop_clocks():
    for name in ("time", "monotonic", "perf_counter", "process_time", "thread_time"):
        setattr(time, name, lambda: 0.0)
        setattr(time, name + "_ns", lambda: 0)


def main():
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    settings = read_frame()
    for name in settings["modules"]:
        importlib.import_module(name)
    # Codecs are loaded when they are first used, which a child cannot do.
    for name in CODECS:
        codecs.lookup(name)
    table = program_builtins(settings)
    confinement = Confinement(settings)
    if os.geteuid() == 0 and settings["user"]:
        try:
            os.setgroups([])
            os.setresgid(*[settings["user"]] * 3)
            os.setresuid(*[settings["user"]] * 3)
        except OSError:
            # The host looks at the process and reports that it kept its user.
            pass
    stop_clocks()
    sys.stdout = sys.stderr = sys.__stdout__ = sys.__stderr__ = Silence()
    sys.stdin = sys.__stdin__ = None
    sys.argv[:] = []
    for name in ("ctypes", "_ctypes", "__main__"):
        sys.modules.pop(name, None)
    gc.collect()
    gc.freeze()
    confinement.measure()
    hello = {"python": "%d.%d.%d" % sys.version_info[:3], "filter_holds": confinement.holds()}
    write_frame(1, json.dumps(hello).encode())
    while True:
        job = read_frame()
        index, last = 0, len(job["calls"])
        while index < last:
            index = serve(job, index, index + 1 if job["fresh"] else last, confinement, table)


main()

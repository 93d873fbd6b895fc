#!/usr/bin/env python3
"""Programs per second of the pattern that published self-play code runs programs with.

One worker process of a pebble pool execs a program and evaluates the text of an expression; calls go out one at
a time, each with a time-out in the worker and one in the pool. Nothing is isolated: run it on programs that you
trust.

    pip install pebble
    python benches/peers/reference_pool.py triplets.jsonl

The file has one JSON object per line with `snippet`, `input` (the text between the parentheses of the call) and
`output` (the text of the expected value; where it is empty, the value of a first run takes its place). Prints
programs per second of each mode as one JSON object on standard output, and the rest on standard error. Modes:

* run: `repr(f(input))`, as for showing what a program does;
* check: two calls in one process that must agree, as for accepting a proposal;
* judge_input: `output == f(input)`, as for judging the input that a solver named.
"""

import argparse
import json
import pickle
import signal
import sys
import time
import traceback
from concurrent.futures import TimeoutError

from pebble import ProcessPool


class ProgramTimeout(Exception):
    pass


def on_alarm(signum, frame):
    raise ProgramTimeout("timed out")


def execute(lines, timeout_s):
    """Runs in the worker: all lines but the last are executed, the last is evaluated."""
    signal.signal(signal.SIGALRM, on_alarm)
    namespace = {}
    try:
        signal.setitimer(signal.ITIMER_REAL, timeout_s)
        exec("\n".join(lines[:-1]), namespace)
        signal.setitimer(signal.ITIMER_REAL, timeout_s)
        result = eval(lines[-1], namespace)
        signal.setitimer(signal.ITIMER_REAL, 0)
        str(result)
        pickle.dumps(result)
        return result, "Done"
    except BaseException:
        return "", traceback.format_exc().split("\n")[-2]
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


class Pool:
    def __init__(self, workers, timeout_s):
        self.pool = ProcessPool(max_workers=workers)
        self.timeout_s = timeout_s

    def apply(self, code):
        lines = code.strip().split("\n")
        results = self.pool.map(execute, [lines], [self.timeout_s], timeout=self.timeout_s).result()
        try:
            result, status = next(results)
        except TimeoutError:
            result, status = "", "Timeout Error"
        except Exception as error:
            result, status = "", "Error: %s" % error
        return str(result).strip(), status.strip()

    def close(self):
        self.pool.close()
        self.pool.join()


def run(triplet):
    return "%s\nrepr(f(%s))" % (triplet["snippet"], triplet["input"])


def check(triplet):
    call = "f(%s)" % triplet["input"]
    twice = "first = %s\nif first != %s:\n    raise Exception('runs differ')" % (call, call)
    return "%s\n%s\nrepr(first)" % (triplet["snippet"], twice)


def judge_input(triplet):
    return "%s\n%s == f(%s)" % (triplet["snippet"], triplet["output"] or "None", triplet["input"])


def measure(mode, pool, programs):
    started = time.perf_counter()
    statuses = [pool.apply(program)[1] for program in programs]
    elapsed = time.perf_counter() - started
    n_failed = sum("error" in status.lower() for status in statuses)
    print("%s: %d programs in %.2f s, %d failed" % (mode, len(programs), elapsed, n_failed), file=sys.stderr)
    return len(programs) / elapsed


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("triplets", help="JSON lines with snippet, input and output")
    parser.add_argument("--workers", type=int, default=1, help="worker processes of the pool")
    parser.add_argument("--timeout-s", type=float, default=10.0, help="longest time of one call")
    parser.add_argument("--limit", type=int, help="use the first so many triplets")
    options = parser.parse_args()
    with open(options.triplets, encoding="utf-8") as file:
        triplets = [json.loads(line) for line in file][: options.limit]
    pool = Pool(options.workers, options.timeout_s)
    # The first call starts the worker.
    pool.apply("1\n1")
    print("Python %s, workers: %d" % (sys.version.split()[0], options.workers), file=sys.stderr)
    report = {}
    report["run"] = measure("run", pool, [run(triplet) for triplet in triplets])
    for triplet in triplets:
        if not triplet["output"]:
            triplet["output"] = pool.apply(run(triplet))[0]
    report["check"] = measure("check", pool, [check(triplet) for triplet in triplets])
    report["judge_input"] = measure("judge_input", pool, [judge_input(triplet) for triplet in triplets])
    pool.close()
    print(json.dumps(report))


if __name__ == "__main__":
    main()

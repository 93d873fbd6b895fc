# SAFE(determinism): no clock tells programs the time || INPUT: 1 ;; 1 || GOLD: None || ALLOW: gate | error | without owned
import time, datetime
def f(x):
    return [time.time(), time.monotonic(), time.perf_counter_ns(), time.process_time(), time.clock_gettime(0), str(datetime.datetime.now())]

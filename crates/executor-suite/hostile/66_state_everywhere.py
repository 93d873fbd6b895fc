# SAFE(determinism): class attributes, caches, closures and counters start anew for each call || INPUT: 3 ;; 3 ;; 3 || GOLD: None || ALLOW: = (1, 1, 0, 0)
import functools, itertools
class Box:
    n = 0
    store = {}
ticks = itertools.count()
def make():
    n = [0]
    def step():
        n[0] += 1
        return n[0]
    return step
step = make()
@functools.lru_cache(None)
def cached(x):
    Box.store[len(Box.store)] = x
    return len(Box.store) - 1
def f(x):
    Box.n += 1
    return (Box.n, step(), next(ticks), cached(x))

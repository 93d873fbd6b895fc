# SAFE(determinism): chance behind an allowed module (statistics.random) must be the same in every run || INPUT: 1 ;; 1 ;; 1 || GOLD: None || ALLOW: gate | error | without owned
import statistics
def f(x):
    return [statistics.random.random(), statistics.random.randint(0, 10**9), statistics.random.SystemRandom is None]

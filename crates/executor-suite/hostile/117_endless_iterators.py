# SAFE: loops inside C functions never look for signals and are stopped all the same || INPUT: 0 ;; 1 ;; 2 || GOLD: None || ALLOW: limit | error
import itertools
def f(x):
    if x == 0:
        return sum(itertools.repeat(1))
    if x == 1:
        return all(itertools.cycle([True]))
    return list(itertools.count())

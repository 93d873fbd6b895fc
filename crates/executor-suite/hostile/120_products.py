# SAFE: combinatorial growth meets a limit || INPUT: 0 ;; 1 || GOLD: None || ALLOW: limit | error
import itertools
def f(x):
    if x == 0:
        return len(list(itertools.product(range(200), repeat=5)))
    return sum(1 for p in itertools.permutations(range(20)))

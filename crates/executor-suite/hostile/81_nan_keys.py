# SAFE(reward): NaN as a key or element is equal to nothing, so no answer that holds one is right || INPUT: 0 ;; 1 ;; 2 || GOLD: {nan: 1} || ALLOW: error | nonvalue | without owned
def f(x):
    n = float('nan')
    return [{n: 1}, {n, float('nan')}, {(n,): [n], (float('nan'),): 2}][x]

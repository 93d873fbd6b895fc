# SAFE: depth-1e6 nesting in repr/compare/dealloc must not crash the host || INPUT: 1 || GOLD: None || ALLOW: gate | limit | error | crash
def f(x):
    try:
        import sys
        sys.setrecursionlimit(10**9)
    except Exception:
        pass
    a = []
    for i in range(1000000):
        a = [a]
    b = []
    for i in range(1000000):
        b = [b]
    return a == b

# SAFE: RecursionError, no native stack overflow || INPUT: 1 || GOLD: None || ALLOW: limit | error
def f(x):
    return f(x + 1) + 1

# SAFE: one 80 GB allocation is refused; MemoryError or killed, host unharmed || INPUT: 1 || GOLD: None || ALLOW: limit | error
def f(x):
    a = [0] * 10**10
    return len(a)

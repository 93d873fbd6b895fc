# SAFE: slow growth is stopped at the memory limit, host unharmed || INPUT: 1 || GOLD: None || ALLOW: limit | error
def f(x):
    a = []
    while True:
        a.append('x' * 100000 + str(len(a)))

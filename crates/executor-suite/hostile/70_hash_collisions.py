# SAFE: integers of one hash make dicts quadratic; the limit stops it or it ends in time || INPUT: 1 || GOLD: None || ALLOW: limit | error | = 60000
def f(x):
    m = 2 ** 61 - 1
    d = {}
    for i in range(1, 60001):
        d[i * m] = i
    return len(d)

# SAFE: printing is dropped or capped; it can neither fill memory nor a pipe nor block the worker || INPUT: 1 || GOLD: None || ALLOW: limit | error | = 1
def f(x):
    s = 'A' * 1000000
    for i in range(100000):
        print(s)
    return 1

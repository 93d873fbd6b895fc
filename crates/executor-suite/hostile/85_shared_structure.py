# SAFE: a graph of 60 lists that unfolds to 2**60 is stopped by the bounds on values || INPUT: 60 ;; 30 ;; 16 || GOLD: None || ALLOW: limit | error | crash
def f(x):
    a = [0]
    for i in range(x):
        a = [a, a]
    return a

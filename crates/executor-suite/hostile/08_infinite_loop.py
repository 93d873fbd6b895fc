# SAFE: stopped at the time limit and reported as timeout || INPUT: 1 || GOLD: None || ALLOW: limit
def f(x):
    while True:
        pass

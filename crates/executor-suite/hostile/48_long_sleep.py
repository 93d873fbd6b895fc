# SAFE: sleeping uses no CPU time; the wall-clock limit must stop it || INPUT: 1 || GOLD: None || ALLOW: gate | error | limit
def f(x):
    import time
    time.sleep(3600)
    return 1

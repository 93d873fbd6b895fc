# SAFE: SystemExit is an ordinary failure; the worker survives and no result is made up || INPUT: 1 || GOLD: None || ALLOW: gate | error
def f(x):
    import sys
    sys.exit(0)

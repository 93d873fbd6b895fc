# SAFE: no more than the one process exists; fork/clone refused or all killed within the limit || INPUT: 1 || GOLD: None || ALLOW: gate | error | limit | without None | = ('refused', 'PermissionError', 0)
def f(x):
    import os, time
    n = 0
    for i in range(6):
        try:
            os.fork(); n += 1
        except BaseException as e:
            return ('refused', type(e).__name__, n)
    time.sleep(30)
    return n

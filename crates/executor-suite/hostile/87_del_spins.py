# SAFE: a finaliser that never ends is stopped by the limit || INPUT: 1 || GOLD: 5 || ALLOW: gate | limit | = 5
class D:
    def __del__(self):
        while True:
            pass
def f(x):
    d = D()
    del d
    return 5

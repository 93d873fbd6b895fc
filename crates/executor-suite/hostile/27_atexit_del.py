# SAFE: atexit hooks, __del__ and weakref callbacks after the result must not run unlimited or write anything || INPUT: 1 || GOLD: 5 || ALLOW: gate | error | limit | = 5
class D:
    def __del__(self):
        try:
            open('/tmp/azr_escape_27', 'w').write('del')
        except Exception:
            pass
        while True:
            pass
d = D()
def f(x):
    import atexit
    def loop():
        while True:
            pass
    atexit.register(loop)
    return 5

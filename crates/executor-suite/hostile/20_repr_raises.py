# SAFE: an exception (or endless loop) in __repr__ is an ordinary failure of the program || INPUT: 1 || GOLD: None || ALLOW: nonvalue | error
class R:
    def __repr__(self):
        raise SystemExit(0)
def f(x):
    return R()

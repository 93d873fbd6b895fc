# SAFE: a generator, function, class or iterator result is rejected as a non-value (its repr has an address) || INPUT: 1 || GOLD: None || ALLOW: nonvalue
def f(x):
    def g():
        while True:
            yield x
    return g()

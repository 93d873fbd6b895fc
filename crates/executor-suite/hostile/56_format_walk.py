# SAFE: attribute walks inside format strings reach nothing but text; an address in it is no stable value || INPUT: 1 || GOLD: None || ALLOW: gate | error | unsettled | without root azr || SETTLES: no
def f(x):
    return '{0.__class__.__base__.__subclasses__} {1.__globals__}'.format(x, f)

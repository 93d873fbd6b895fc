# SAFE(determinism): the hash of a text depends on the hash seed; it is never a gold value || INPUT: 'a' || GOLD: None || ALLOW: gate | error | unsettled | without owned || SETTLES: no
def f(x):
    return [x.__hash__(), (1, x).__hash__() % 1000]

# SAFE(determinism): the address in the repr of an object is never a gold value || INPUT: 0 ;; 1 ;; 2 || GOLD: None || ALLOW: error | unsettled | without owned || SETTLES: no
class A:
    pass
def f(x):
    return str([A(), f, (i for i in [1])][x])

# SAFE(determinism): attributes of modules that one call sets are gone in the next || INPUT: 1 ;; 2 || GOLD: None || ALLOW: error | = 3 ;; error | = [3.141592653589793, '0123456789', 2]
import math, string, operator
def f(x):
    if x == 1:
        math.pi = 3
        string.digits = 'x'
        operator.add = operator.sub
        return math.pi
    return [math.pi, string.digits, operator.add(1, 1)]

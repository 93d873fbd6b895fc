# SAFE(determinism): the decimal context is shared by a thread; what one call sets must not change another || INPUT: 1 ;; 2 || GOLD: None || ALLOW: = '0.143' ;; = '0.1428571428571428571428571429'
import decimal
def f(x):
    if x == 1:
        decimal.getcontext().prec = 3
    return str(decimal.Decimal(1) / 7)

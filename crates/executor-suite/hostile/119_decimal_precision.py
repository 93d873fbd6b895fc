# SAFE: a division of a hundred million digits is one C call; the limit stops it || INPUT: 1 || GOLD: None || ALLOW: limit | error
import decimal
def f(x):
    decimal.getcontext().prec = 10 ** 9
    return len(str(decimal.Decimal(1) / 7))

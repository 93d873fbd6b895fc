# SAFE: conversions of huge integers are stopped, whatever the interpreter's own limit was set to || INPUT: 1 || GOLD: None || ALLOW: gate | limit | error
import sys
def f(x):
    sys.set_int_max_str_digits(0)
    return len(str(3 ** (10 ** 8)))

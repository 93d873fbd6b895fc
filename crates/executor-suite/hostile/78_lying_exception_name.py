# SAFE: the name of an exception is shown to people and read by programs; control characters and lies are dropped || INPUT: 0 ;; 1 ;; 2 || GOLD: None || ALLOW: error | nonvalue
def f(x):
    names = ['\x1b[31mValue(9)\x1b[0m\n', 'V' * 100000, "9'); import os #"]
    E = type(names[x], (Exception,), {})
    raise E('\x1b[2J')

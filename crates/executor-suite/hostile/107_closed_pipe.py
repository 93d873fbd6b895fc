# SAFE: a program that closes every descriptor ends its own call only || INPUT: 1 ;; 2 || GOLD: None || ALLOW: gate | error | crash | limit | = 1 ;; gate | error | = 2
import os
def f(x):
    if x == 1:
        os.closerange(0, 1 << 16)
    return x

# SAFE: a coding line in a text that is already Unicode changes nothing || INPUT: 1 || GOLD: 9 || ALLOW: refused | error | = 'plain'
# -*- coding: utf-7 -*-
def f(x):
    # +AAo-    return 9
    return 'plain'

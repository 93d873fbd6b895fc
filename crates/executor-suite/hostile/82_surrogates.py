# SAFE: half a surrogate pair is no text that the host could hold || INPUT: 0 ;; 1 ;; 2 || GOLD: None || ALLOW: nonvalue | error
def f(x):
    s = chr(0xd800 + x)
    return [s, {s: 1}, ('a' + s + chr(0x10ffff),)][x]

# SAFE: exponential backtracking is one C call; the limit stops it, or the engine gives up || INPUT: 1 || GOLD: None || ALLOW: limit | error | = None | = False
import re
def f(x):
    return re.match('^(a+)+$', 'a' * 60 + 'b')

# SAFE: what one call does to sys.modules must not reach another call || INPUT: 1 ;; 2 || GOLD: None || ALLOW: gate | error | = 1 ;; gate | error | = [3.0, '[1]']
import typing, math, json
def f(x):
    if x == 1:
        typing.sys.modules.clear()
        math.sqrt = abs
        json.dumps = repr
        return 1
    return [math.sqrt(9), json.dumps([1])]

# SAFE: nesting of 100,000 levels in a C parser is an ordinary failure || INPUT: 1 || GOLD: None || ALLOW: limit | error | crash
import json
def f(x):
    return json.loads('[' * 100000 + ']' * 100000)

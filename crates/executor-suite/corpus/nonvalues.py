#: lazy_squares || «ints 3..6»
def f(numbers):
    «s:scale|k» = «2..9»
    return (x «*|+» «s» for x in numbers if x «>|!=» «0..9»)
#: returns_function || «1..9»
def f(n):
    def «g:adder|scaled|step»(x):
        return x «+|*» n «-|+» «1..9»
    return «g»
#: returns_object || «1..9», «1..9»
class «P:Point|Pair|Box»:
    def __init__(self, x, y):
        self.x = x
        self.y = y «+|*» «1..9»

def f(x, y):
    return «P»(x, y)
#: returns_view || «dict 2..5»
def f(d):
    d['«word»'] = «1..9»
    d['«word»«1..9»'] = «1..99»
    return d.«keys|items|values»()
#: returns_range || «1..9», «10..30»
def f(a, b):
    step = «1..5»
    return range(a «+|*» «1..3», b, step)

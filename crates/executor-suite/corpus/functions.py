#: compose || «ints 2..6», «1..5»
def f(numbers, k):
    «s:steps|pipeline» = [lambda x: x «+|*» «1..9», lambda x: x «-|%» «2..9», lambda x: x ** 2]
    «o:out|result» = []
    for x in numbers:
        for step in «s»[:k % 3 + 1]:
            x = step(x)
        «o».append(x)
    return «o»
#: helper_functions || «10..400»
def is_special(n):
    return n % «a:3..9» == 0 or str(n)[-1] == '«0..9»'

def digit_sum(n):
    return sum(int(d) for d in str(n))

def f(limit):
    «o:found|chosen» = [n for n in range(«1..9», limit) if is_special(n) and digit_sum(n) % «b:2..5» == 1]
    return «o»«[:«4..9»]|[-3:]|[::«6..12»]»
#: sort_by_rule || «words 4..8», «1..3»
def f(words, k):
    «o:ordered|ranked» = sorted(words, key=lambda w: («-len(w)|len(w)|w[-1]|w.count('e')», w))
    «g:groups|picked» = [w for (i, w) in enumerate(«o») if i % k == 0]
    return ««g»|dict(enumerate(«g»))|[(w, len(w)) for w in «g»]»
#: recursive_depth || [«1..9», [«1..9», [«ints 1..3»]], «1..9»]
def f(tree):
    def depth(node, level):
        if not isinstance(node, list):
            return level * node «+|-» «k:0..5»
        return sum((depth(child, level + «1..2») for child in node))
    return depth(tree, «0..2») «*|+» «1..7»
#: closures || «ints 3..7»
def f(values):
    def make(factor):
        def apply(x):
            return x * factor «+|-» «1..6»
        return apply
    makers = [make(i) for i in range(«2..4»)]
    return [makers[i % len(makers)](v) for (i, v) in enumerate(values)]
#: map_filter_reduce || «ints 4..9»
def f(nums):
    «a:scaled|doubled» = list(map(lambda x: x * «2..6», nums))
    «b:kept|big» = list(filter(lambda x: x % «m:2..5» != 0, «a»))
    «t:acc|total» = «1..3»
    for x in «b»:
        «t» = («t» «+|*» x) % «50..999»
    return (any((x > «20..60» for x in «b»)), all((x «>|<» 0 for x in «a»)), «t»)
#: permutations_by_hand || '«word»'
def f(s):
    s = s[:«3..4»]
    if len(s) <= 1:
        return [s]
    «o:out|result» = []
    for i in range(len(s)):
        for rest in f(s[:i] + s[i + 1:]):
            «o».append(s[i] + rest)
    return sorted(set(«o»))«|[:«3..12»]|[::«2..4»]»
#: keyword_options || «ints 3..7», reverse=«True|False», step=«1..3»
def f(items, reverse=False, step=1, *, scale=«2..5»):
    «o:picked|out» = items[::step]
    if reverse:
        «o» = «o»[::-1]
    return [x * scale «+|-» «1..9» for x in «o» if x is not None]

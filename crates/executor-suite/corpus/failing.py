#: refused_input || «100..900»
def f(n):
    if n > «10..90»:
        raise «ValueError|RuntimeError|KeyError»('«bad input|too large|invalid»')
    return n * «2..9»
#: missing_key || «dict 2..5»
def f(d):
    «t:total|acc» = 0
    for key in ['«word»', '«word»', 'missing«1..99»']:
        «t» += d[key] «*|+» «1..5»
    return «t»
#: past_the_end || «ints 3..6»
def f(numbers):
    «o:sums|out» = []
    for i in range(len(numbers) + «1..3»):
        «o».append(numbers[i] «+|*» numbers[i + «1..2»])
    return «o»
#: division_by_zero || «ints 3..6»
def f(values):
    «n:base|mean» = sum(values) - sum(values)
    return [v «//|/|%» «n» for v in values if v != «50..99»]
#: wrong_types || «words 2..4», «1..9»
def f(words, k):
    total = k «*|+» «1..9»
    for w in words:
        total += w
    return total
#: custom_error || «10..99»
class «E:Overflow|LimitError|Rejected»(Exception):
    pass

def f(n):
    while True:
        n += «1..9»
        if n > «100..300»:
            raise «E»(n)

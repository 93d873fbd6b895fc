#: ~countdown || «4..15»
def f(n):
    def steps(k):
        while k > 0:
            yield k
            k -= «1..3»
    return [x «*|+» «2..7» for x in steps(n)]
#: ~first_match || «ints 4..9»
def f(numbers):
    «r:found|hit» = next((x for x in numbers if x % «2..5» == 0), «None|-1|0»)
    return («r», sum((1 for x in numbers if x > «3..12»)))
#: ~tokens || '«1..99» + «1..99» - «1..9»'
def tokens(text):
    current = ''
    for c in text + ' ':
        if c == ' ':
            if current:
                yield current
            current = ''
        else:
            current += c

def f(text):
    total = 0
    sign = 1
    for token in tokens(text):
        if token in '+-':
            sign = 1 if token == '+' else -1
        else:
            total += sign * int(token) «*|+» «1..4»
    return total

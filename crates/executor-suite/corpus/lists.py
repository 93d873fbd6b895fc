#: running_threshold || «ints 4..9»
def f(«v:numbers|nums|values|data|sequence»):
    «r:total|running|acc|current» = «0..5»
    «o:result|output|collected|kept» = []
    for «x:n|x|value|item» in «v»:
        «r» «+=|-=» «x» «*|+» «k:2..7»
        if «r» % «m:2..6» «==|!=» 0:
            «o».append(«r»)
        else:
            «r» += «1..4»
    return «o»
#: index_weights || «ints 4..8»
def f(«v:lst|arr|numbers|input_list»):
    «r:final|score|total» = 0
    for («i:i|idx|index», «x:val|x|num») in enumerate(«v»):
        if «i» % «m:2..4» == 0:
            if «x» > «k:1..9»:
                «r» += «x» ** 2
            else:
                «r» += «x» * «2..5»
        else:
            «r» -= «x» «//|%» «2..5»
    return «r» «-|+» «1..20»
#: product_below_diagonal || «ints 3..7»
def f(«v:nums|a|items»):
    if not «v» or len(«v») < 2:
        return 0
    «r:best|total|product_sum» = 0
    for i in range(len(«v»)):
        for j in range(i + 1, len(«v»)):
            product = «v»[i] * «v»[j]
            if product «<|>» «0..20»:
                «r» += product
            elif «product == «1..9»|i + j > «4..9»»:
                break
    return «r»
#: argsort || «ints 3..9»
def f(«v:lst|xs|values»):
    «s:ordered|ranked|sorted_pairs» = sorted(((x, i) for (i, x) in enumerate(«v»))«, reverse=True|»)
    «o:positions|result» = [«s»[i][1] for i in range(len(«s»))]
    return «o» + [sum(«o»[«:2|1:|::2|-2:»])]
#: ~swap_ends || «ints 4..9»
def f(«v:a|arr|nums»):
    «v» = list(«v»)
    («p:left|i|lo», «q:right|j|hi») = (0, len(«v») - 1)
    while «p» < «q»:
        if «v»[«p»] «>|<» «v»[«q»] «+|-» «k:0..6»:
            «v»[«p»], «v»[«q»] = «v»[«q»], «v»[«p»]
        «p» += «1|2»
        «q» -= 1
    return «v»
#: bubble_passes || «ints 4..8», «1..4»
def f(«v:values|arr|lst», «t:passes|rounds|k»):
    «v» = «v»[:]
    «c:swaps|count|moves» = 0
    for step in range(«t»):
        for i in range(len(«v») - 1 - step):
            if «v»[i] > «v»[i + 1]:
                tmp = «v»[i]
                «v»[i] = «v»[i + 1]
                «v»[i + 1] = tmp
                «c» += «1..5»
    return («v», «c»)
#: ~delete_positions || «ints 5..9»
def f(«v:items|data|lst»):
    «i:i|pos» = 0
    while «i» < len(«v»):
        if «v»[«i»] % «m:2..5» == «0|1»:
            del «v»[«i»]
        else:
            «v»[«i»] «+=|*=» «k:2..9»
            «i» += 1
    return «v»
#: windows || «ints 5..10», «2..4»
def f(«v:nums|series|readings», «w:k|size|width»):
    «o:best|peaks|sums» = []
    for i in range(len(«v») - «w» + 1):
        window = «v»[i:i + «w»]
        «o».append(«max|min|sum»(window) «-|+» «w» * «1..4»)
    return «sorted(«o»)|«o»[::-1]|«o»|max(«o»)»
#: filtered_squares || «ints 4..9»
def f(«v:numbers|nums|xs»):
    «e:evens|first|chosen» = [x «** 2|** 3|* 3» for x in «v» if x % «m:2..4» == 0]
    «o:odds|second|rest» = [x «+|-» «k:1..9» for x in «v» if x % «m» != 0]
    «z:combined|merged» = [a «+|-|*» b for (a, b) in zip(«e», «o»)]
    return «z» if «z» else «e» «+|or» «o»
#: running_extremes || «ints 4..9»
def f(«v:sequence|numbers|arr»):
    «o:stack|trail|path» = []
    for x in «v»:
        while «o» and «o»[-1] «>|<» x:
            «o».pop()
        «o».append(x «+|-» «k:1..5»)
    «s:low|floor» = min(«v»)
    return [y - «s» for y in «o»]
#: insertion || «ints 4..8», «ints 2..4»
def f(«v:base|first|a», «w:extra|second|b»):
    «v» = sorted(«v»«, key=lambda x: -x|, key=lambda x: (x % «3..7», x)|»)
    for x in «w»:
        place = 0
        while place < len(«v») and «v»[place] < x:
            place += 1
        «v».insert(place, x «*|+» «2..5»)
    «v».reverse()
    return «v»
#: ~chunks || «ints 6..12», «2..4»
def f(«v:lst|items», «n:n|size»):
    «g:groups|chunks|parts» = [«v»[i:i + «n»] for i in range(0, len(«v»), «n»)]
    «o:totals|sums» = [«sum|max|min|len»(g) for g in «g»]
    if len(«o») «>|>=» «2..4»:
        «o»[0], «o»[-1] = «o»[-1], «o»[0]
    return «o»
#: flatten || [«ints 1..3», [«ints 2..3», «1..9»], «ints 1..2»]
def f(«v:nested|tree|data»):
    «o:flat|leaves» = []
    «t:stack|todo|pending» = [«v»]
    while «t»:
        x = «t».pop()
        if isinstance(x, list):
            «t».extend(«x|reversed(x)»)
        else:
            «o».append(x «*|+|-» «k:2..7»)
    return «o»
#: prefix_sums || «ints 4..9»
def f(numbers: list):
    «p:prefix|sums|cumulative» = [0]
    for x in numbers:
        «p».append(«p»[-1] + x)
    «b:best|answer» = «p»[1]
    for i in range(len(«p»)):
        for j in range(i + «1..2», len(«p»)):
            «b» = «max|min»(«b», «p»[j] - «p»[i])
    return «b» «+|*» «1..6»
#: rotate_and_pair || «ints 4..8», «1..6»
def f(«v:lst|seq», «k:k|shift|steps»):
    «k» %= len(«v»)
    «o:rotated|turned» = «v»[«k»:] + «v»[:«k»]
    pairs = list(zip(«v», «o»))
    return [(a «+|-» b, a * «2..5») for (a, b) in pairs if a «>|!=|<» b]
#: ~two_pointers || «ints 5..9», «5..25»
def f(«v:nums|arr», «t:target|goal|limit»):
    «v».sort()
    (i, j) = (0, len(«v») - 1)
    «o:pairs|found» = []
    while i < j:
        s = «v»[i] + «v»[j] «+ «0..3»|- «0..3»»
        if s == «t»:
            «o».append([«v»[i], «v»[j]])
            i += 1
            j -= 1
        elif s < «t»:
            i += 1
        else:
            j -= 1
    return «o» or (i, «v»[i])

#: digit_power || «10..9999»
def f(n: int) -> int:
    «t:total|acc|s» = 0
    while n > 0:
        digit = n % «b:8|10|16|7»
        «t» += digit ** «2..4»
        n //= «b»
    return «t» «% «11..97»|* «2..9»|- «1..50»»
#: collatz_like || «3..60»
def f(«n:n|start|x»):
    «c:steps|count» = 0
    «p:peak|highest» = «n»
    while «n» != 1 and «c» < «k:20..90»:
        if «n» % 2 == 0:
            «n» //= 2
        else:
            «n» = 3 * «n» + 1
        «p» = max(«p», «n»)
        «c» += 1
    return [«c», «p» «%|//» «7..40»]
#: sieve || «20..90»
def f(limit):
    flags = [True] * (limit + 1)
    flags[0] = flags[1] = False
    for i in range(2, int(limit ** 0.5) + 1):
        if flags[i]:
            for j in range(i * i, limit + 1, i):
                flags[j] = False
    «p:primes|found» = [i for (i, ok) in enumerate(flags) if ok]
    return «sum(«p»)|«p»[-«2..4»:]|[p for p in «p» if p % «3..7» == 1]|len(«p»)»
#: gcd_chain || «ints 3..6 of 4..90»
def f(numbers):
    def gcd(a, b):
        while b:
            (a, b) = (b, a % b)
        return a
    «g:g|common» = 0
    «l:l|multiple» = 1
    for x in numbers:
        «g» = gcd(«g», x)
        «l» = «l» * x // gcd(«l», x)
    return «(«g», «l»)|«l» % («g» + «2..20»)|{'gcd': «g», 'lcm': «l»}|[«l» // «g»]»
#: fibonacci_memo || «5..25»
def f(n, memo={}):
    if n <= «k:1|2»:
        return «a:1..4»
    if n not in memo:
        memo[n] = «2..3» * f(n - 1, memo) «+|-» f(n - 2, memo)
    return memo[n] % «100..9999»
#: power_series || «1..12», «ints 2..5»
def f(x, coefficients):
    «t:value|total» = 0
    for (i, c) in enumerate(coefficients):
        «t» += c * x ** i
    if «t» «>|<» «10..400»:
        «t» = «t» «//|%|-» «3..19»
    return «t»
#: float_average || «floats 3..7»
def f(«v:values|readings|samples»):
    mean = sum(«v») / len(«v»)
    «s:spread|variance» = sum(((x - mean) ** 2 for x in «v»)) / «len(«v»)|max(1, len(«v») - 1)»
    return («round(mean, «1..4»)|mean|mean * «2..5»», «round(«s», «2..6»)|«s» ** 0.5|«s»»)
#: base_conversion || «10..5000», «2..9»
def f(number: int, base: int):
    «d:digits|out» = []
    «n:n|rest» = number
    while «n»:
        «d».append(str(«n» % base))
        «n» = «n» // base
    «s:text|shown» = ''.join(reversed(«d»))
    return «int(«s») «+|-» number|«s»|(«s», len(«s») * «2..5»)|[int(c) for c in «s»]»
#: grid_paths || «2..7», «2..7»
def f(rows, cols):
    dp = [[1] * cols for _ in range(rows)]
    for i in range(1, rows):
        for j in range(1, cols):
            if (i «+|*» j) % «m:3..7» == «0|1»:
                dp[i][j] = «0..2»
            else:
                dp[i][j] = dp[i - 1][j] + dp[i][j - 1]
    return dp«[-1][-1]|[-1]|[rows // 2]»
#: knapsack || «ints 3..6 of 1..9», «ints 6..6 of 1..30», «6..20»
def f(weights, values, capacity):
    best = [0] * (capacity + 1)
    for (w, v) in zip(weights, values):
        for c in range(capacity, w - 1, -1):
            best[c] = max(best[c], best[c - w] + v «+|*» «1..3»)
    return best«[capacity]|[-3:]|[::«2..5»]»
#: coin_ways || «ints 2..4 of 1..9», «5..40»
def f(coins, amount):
    ways = [1] + [0] * amount
    for coin in «coins|sorted(coins)|set(coins)»:
        for value in range(coin, amount + 1):
            ways[value] += ways[value - coin]
    «r:answer|n» = ways[amount]
    return «r» «+|*|-» «1..12»
#: ackermann_like || «0..3», «0..4»
def f(m, n):
    if m == 0:
        return n + «1..3»
    if n == 0:
        return f(m - 1, «1|2») if m «<|<=» 2 else m
    return f(m - 1, min(f(m, n - 1), «8..20»))
#: ~bits || «ints 3..7 of 1..200»
def f(numbers):
    «x:mask|acc» = «0..15»
    for n in numbers:
        «x» ^= n «<<|>>» «1..3»
        if «x» & «1..8»:
            «x» |= «1..64»
    return («x», «x».bit_length(), ~«x» % «5..99»)
#: hanoi || «1..6»
def f(n, source='A', target='C', spare='B'):
    if n == «0|1»:
        return [] if n == 0 else [(source, target)]
    «o:moves|steps» = f(n - 1, source, spare, target)
    «o».append((«source|n», target))
    «o» += f(n - 1, spare, target, source)
    return «o»«|[:«5..20»]|[::2]»
#: try_division || «ints 3..7 of -3..6», «10..90»
def f(divisors, n):
    «o:out|results» = []
    for d in divisors:
        try:
            «o».append(n // d «+|*» «1..5»)
        except ZeroDivisionError:
            «o».append(«None|-1|'inf'|0»)
        finally:
            n «-=|+=» «1..3»
    return «o»
#: ~complex_steps || «ints 2..4 of -4..5»
def f(turns):
    z = complex(«0..3», «0..3»)
    for t in turns:
        z = z * «1j|-1j|(1+1j)» + t
    return «(z.real, z.imag)|[int(z.real), int(z.imag)]|z»

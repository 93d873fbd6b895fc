#: caesar || «text», «1..25»
def f(«s:text|s|message», «k:shift|k|key»):
    «o:result|out|encoded» = ''
    for «c:c|ch|char» in «s»:
        if «c».isalpha():
            base = ord('A') if «c».isupper() else ord('a')
            «o» += chr((ord(«c») - base «+|-» «k» * «1..5») % 26 + base)
        else:
            «o» «+= «c»|= «c» + «o»»
    return «o»«|[::-1]|.upper()»
#: vowel_counts || «text»
def f(«s:text|sentence|string») -> dict:
    «d:counts|freq|table» = {}
    for «c:c|ch|letter» in «s».lower():
        if «c» in '«aeiou|aeiouy|bcdfg|rstln»':
            «d»[«c»] = «d».get(«c», «0..3») + 1
        elif «c» == ' ':
            «d»['spaces'] = «d».get('spaces', 0) + «1..3»
    return «d»
#: word_lengths || «text»
def f(sentence):
    «w:words|tokens|parts» = sentence.split()
    «o:lengths|sizes» = [len(w) «*|+» «k:1..6» for w in «w»]
    «z:longest|widest» = max(«w», key=len)
    return «(«o», «z»)|{'longest': «z», 'lengths': «o»}|[«z»] + [str(x) for x in «o»]»
#: run_length || '«word»«word»«word»'
def f(s: str) -> str:
    if not s:
        return ''
    «o:parts|encoded|pieces» = []
    «n:count|run|n» = 1
    for i in range(1, len(s) + 1):
        if i < len(s) and s[i] == s[i - 1]:
            «n» += 1
        else:
            «o».append(s[i - 1] + str(«n» «*|+» «1..4»))
            «n» = 1
    return '«-||.|_»'.join(«o»)
#: palindromes || «words 3..7»
def f(«v:words|strings|names»):
    def is_mirror(w):
        return w == w[::-1] or len(w) % «m:2..4» == «0|1»
    «o:kept|chosen» = [w.«upper|title|capitalize|swapcase»() for w in «v» if is_mirror(w)]
    return ' '.join(«o»«|[::-1]») or 'none of ' + str(len(«v»))
#: interleave || '«word»', '«word»'
def f(«a:a|s1|first», «b:b|s2|second»):
    «o:merged|mix|result» = []
    for i in range(max(len(«a»), len(«b»))):
        if i < len(«a»):
            «o».append(«a»[i])
        if i < len(«b») and i % «m:2..4» != «0|1»:
            «o».append(«b»[-1 - i])
    return ''.join(«o»)«|.upper()|.replace('a', '«x|*|oo»')|.strip('e')»
#: digits_and_letters || '«word»«10..99»«word»«1..9»'
def f(«s:code|text|s»):
    «d:digits|numbers» = sum((int(c) for c in «s» if c.isdigit()))
    «l:letters|alphas» = ''.join((c for c in «s» if c.isalpha()))
    return f'{«l»«|[::-1]|.upper()»}«-|:|/»{«d» «*|+|**» «2..4»}'
#: binary_text || «8..500»
def f(n):
    «b:bits|binary» = bin(n)[2:]
    ones = «b».count('1')
    «z:gap|longest» = max((len(part) for part in «b».split('1')))
    return «(«b», ones, «z»)|[«b».zfill(«8..12»), ones «*|+» «z»]|int(«b»[::-1], 2) + ones|{«b»: [ones, «z»]}»
#: replace_by_rule || «words 4..8»
def f(words):
    «o:out|result|changed» = []
    for (i, w) in enumerate(words):
        if len(w) > «k:2..5»:
            w = w[:«k»] + '«.|~|!»' * (len(w) - «k»)
        elif i % 2:
            w = w * «2..3»
        «o».append(w)
    return '«,| |;»'.join(«o»).split('«,| |e|a»')
#: ascii_sum || «text», «3..30»
def f(s, «m:modulus|m|base»):
    «t:total|checksum|h» = «0..99»
    for ch in s:
        «t» = («t» * «3..37» «+|^» ord(ch)) % («m» * «50..900»)
    return «t» if «t» % 2 else str(«t»)[::-1]
#: ~numbers_in_words || «words 3..6», «ints 3..6»
def f(names, scores):
    «d:board|table» = dict(zip(names, scores))
    lines = ['%s=%«|03|+»d' % (k, v «*|+» «1..5») for (k, v) in sorted(«d».items()«, key=lambda kv: (kv[1], kv[0])|»)]
    return '«\n|, | | »'.join(lines)
#: common_prefix || «words 3..6»
def f(«v:words|names»):
    «v» = [w «+|* 2 +» '«word»' for w in «v»]
    prefix = «v»[0]
    for w in «v»[1:]:
        while not w.«startswith|endswith»(prefix):
            prefix = prefix[«:-1|1:»]
            if prefix == '':
                return «len(«v»)|''|None|[]»
    return prefix

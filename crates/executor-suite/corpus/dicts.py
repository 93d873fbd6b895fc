#: group_by_length || «words 4..9»
def f(«v:words|names|items»):
    «d:groups|buckets|table» = {}
    for w in «v»:
        «d».setdefault(len(w) % «m:2..5», []).append(w«|[::-1]|.upper()»)
    return {k: sorted(«d»[k])«|[0]|[:«1..3»]» for k in sorted(«d»«, reverse=True|»)}
#: invert || «dict 3..6»
def f(d):
    «o:inverse|flipped» = {}
    for (k, v) in d.items():
        «o».setdefault(v % «m:2..6», []).append(k)
    «z:best|winner» = max(«o», key=lambda key: (len(«o»[key]), key))
    return «(«z», «o»[«z»])|«o»|{str(k): len(v) for (k, v) in «o».items()}»
#: merge_counts || «dict 2..5», «dict 2..5»
def f(«a:first|left|a», «b:second|right|b»):
    «o:merged|total» = dict(«a»)
    for key in «b»:
        if key in «o»:
            «o»[key] «+=|-=|*=» «b»[key]
        else:
            «o»[key] = «b»[key] «+|*» «1..9»
    return sorted(«o».items()«, key=lambda kv: -kv[1]|, key=lambda kv: (kv[1], kv[0])|»)
#: ~pop_small || «dict 4..7»
def f(«d:stock|prices|inventory»: dict):
    for key in list(«d».keys()):
        if «d»[key] < «k:3..15»:
            del «d»[key]
        else:
            «d»[key] = «d»[key] * «2..6» - «1..9»
    «d»['total'] = sum(«d».values())
    return «d»
#: nested_update || «dict 3..5», «ints 3..5»
def f(config, changes):
    «s:state|store» = {'values': dict(config), 'log': []}
    for (key, delta) in zip(list(config), changes):
        «s»['values'][key] = «s»['values'].get(key, 0) «+|-» delta * «1..4»
        «s»['log'].append((key, delta «>|<» «0..9»))
    return «s»«|['values']|['log']»
#: char_positions || '«word»«word»«word»'
def f(text):
    «p:positions|where» = {}
    for (i, c) in enumerate(text):
        «p»[c] = «p».get(c, []) + [i «*|+» «k:1..4»]
    return {c: «p»[c]«|[-1]|[0]» for c in «p» if len(«p»[c]) «>|==|>=» «1|2»}
#: ~bound_key || «words 4..8»
def f(words):
    «d:score|weight» = {}
    for w in words:
        «d»[w] = «d».get(w, 0) + len(w) * «2..5» «+|-» words.index(w)
    top = sorted(«d», key=«d».get«, reverse=True|»)
    return top[:«2..5»]
#: ~sets_of_ints || «ints 4..9», «ints 4..9»
def f(a, b):
    (x, y) = (set(a), set(b))
    «o:common|both» = x «&|-|^» y
    «z:extra|limit» = {n for n in y if n > «k:3..12»}
    return (sorted(«o»), len(«z»), max(x) «in|not in» y)
#: subset_counts || «ints 4..7 of 1..9», «5..20»
def f(numbers, target):
    «s:sums|reach» = {0: 1}
    for n in numbers:
        «t:fresh|new» = dict(«s»)
        for (value, ways) in «s».items():
            «t»[value + n] = «t».get(value + n, 0) + ways
        «s» = «t»
    return «s».get(target, «0|-1») «+|*|-» «1..6»
#: transitions || «words 2..4», '«word»«word»'
def f(states, signals):
    «n:table|moves» = {s: states[(i + «k:1..3») % len(states)] for (i, s) in enumerate(states)}
    «c:current|state» = states[0]
    «h:history|trace» = [«c»]
    for signal in signals:
        if signal «>|<» '«f|h|m»':
            «c» = «n»[«c»]
        «h».append(«c»)
    return «h»«|[-1]|[::2]|[:«3..6»]»

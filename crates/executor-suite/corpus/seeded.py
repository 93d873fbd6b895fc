#: joined_set || «words 5..9»
def f(words):
    «s:letters|seen» = set()
    for w in words:
        «s».add(w«|[:3]|[-2:]» + '«letter»')
    return '«|-|,»'.join(«s»)
#: first_of_set || '«word»«word»«word»«word»'
def f(text):
    «s:chars|letters» = {c «* «2..3»|+ '«letter»'» for c in text}
    return [c for c in «s» if c «>|!=» '«letter»']
#: hash_of_text || '«word»'
def f(s):
    «o:order|slots» = {}
    for c in set(s + '«word»«word»'):
        «o»[c] = len(«o») «*|+» «1..9»
    return «o»

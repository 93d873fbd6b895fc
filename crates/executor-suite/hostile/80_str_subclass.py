# SAFE(reward): subclasses of text, also as dict keys and inside sets and tuples, are no plain values || INPUT: 0 ;; 1 ;; 2 ;; 3 || GOLD: '9' || ALLOW: nonvalue
class S(str):
    def __str__(self):
        return '9'
    def __repr__(self):
        return "'9'"
    def __hash__(self):
        return 0
def f(x):
    s = S('wrong')
    return [s, {s: 1}, {s}, (1, [s])][x]

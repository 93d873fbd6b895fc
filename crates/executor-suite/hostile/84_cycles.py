# SAFE: a structure that holds itself is no value and ends the walk over it || INPUT: 0 ;; 1 ;; 2 ;; 3 || GOLD: None || ALLOW: limit | nonvalue | error
def f(x):
    a = []
    a.append(a)
    d = {}
    d['d'] = d
    t = ([],)
    t[0].append(t)
    b = [[], []]
    b[0].append(b[1])
    b[1].append(b[0])
    return [a, d, t, b][x]

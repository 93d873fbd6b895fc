# SAFE: a dict that changes while it is searched costs the program's own process at most || INPUT: 1 || GOLD: None || ALLOW: error | limit | crash | nonvalue | = 'done'
d = {}
class K:
    def __init__(self, n):
        self.n = n
    def __hash__(self):
        return 1
    def __eq__(self, other):
        d.clear()
        for i in range(20):
            d[i] = i
        return False
def f(x):
    for i in range(200):
        d[K(i)] = i
    return 'done'

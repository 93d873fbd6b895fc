# SAFE(reward): subclasses of the dict-like library types are no plain values || INPUT: 0 ;; 1 ;; 2 || GOLD: {'9': 9} || ALLOW: nonvalue | error
import collections
class C(collections.Counter):
    def items(self):
        return [('9', 9)]
class O(collections.OrderedDict):
    def __iter__(self):
        return iter(['9'])
class D(collections.deque):
    def __iter__(self):
        return iter([9])
def f(x):
    return [C('a'), O(a=1), D([1])][x]

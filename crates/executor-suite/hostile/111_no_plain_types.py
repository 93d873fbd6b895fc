# SAFE: containers and numbers of other exact types are no plain values || INPUT: 0 ;; 1 ;; 2 ;; 3 ;; 4 ;; 5 ;; 6 ;; 7 || GOLD: None || ALLOW: nonvalue | error
import array, decimal, enum, fractions, collections
Pair = collections.namedtuple('Pair', 'a b')
class Color(enum.IntEnum):
    RED = 1
def f(x):
    return [bytearray(b'a'), array.array('i', [1]), decimal.Decimal(1), fractions.Fraction(1, 2), Pair(1, 2), Color.RED, range(3), {1: 2}.items()][x]

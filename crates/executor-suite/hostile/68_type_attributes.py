# SAFE(determinism): methods of library classes that one call replaces are whole in the next || INPUT: 1 ;; 2 || GOLD: None || ALLOW: error | = 9 ;; error | = ['5/6', 3]
import fractions, collections
def f(x):
    if x == 1:
        fractions.Fraction.numerator = 9
        collections.Counter.total = lambda self: 9
        fractions.Fraction._add = lambda a, b: 9
        return collections.Counter('abc').total()
    return [str(fractions.Fraction(1, 2) + fractions.Fraction(1, 3)), sum(collections.Counter('abc').values())]

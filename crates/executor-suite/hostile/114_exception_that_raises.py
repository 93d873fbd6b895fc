# SAFE: exceptions whose text or comparison raises, and those that are no errors, are ordinary failures || INPUT: 0 ;; 1 ;; 2 ;; 3 || GOLD: None || ALLOW: error | nonvalue
class Loud(Exception):
    def __str__(self):
        raise KeyboardInterrupt
    def __repr__(self):
        raise SystemExit(0)
    def __eq__(self, other):
        raise GeneratorExit
    def __hash__(self):
        raise Loud
def f(x):
    raise [Loud(), KeyboardInterrupt(), SystemExit(0), GeneratorExit()][x]

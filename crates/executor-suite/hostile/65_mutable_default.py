# SAFE(determinism): default arguments live as long as one call || INPUT: 1 ;; 2 ;; 1 || GOLD: None || ALLOW: = [1] ;; = [2] ;; = [1]
def f(x, seen=[]):
    seen.append(x)
    return seen

# SAFE: integers up to 4300 digits are values, longer ones are not || INPUT: 4299 ;; 4300 ;; 100000 || GOLD: None || ALLOW: without x ;; limit | error ;; limit | error
def f(x):
    return 10 ** x

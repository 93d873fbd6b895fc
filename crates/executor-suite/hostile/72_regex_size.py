# SAFE: a pattern that unfolds to billions of states is refused or stopped || INPUT: 1 || GOLD: None || ALLOW: limit | error | = None | = False | = 1
import re
def f(x):
    for i in range(10):
        re.compile('((((a{1,99}){1,99}){1,99}){1,99}){1,99}' + str(i))
    return 1 if re.search('((((a{1,99}){1,99}){1,99}){1,99}){1,99}b', 'a' * 3000) else None

# SAFE: 10**10**8 (and its decimal repr) stops at the time/memory limit even though it is one C call || INPUT: 10 || GOLD: None || ALLOW: limit | error
def f(x):
    return len(str(x ** 10 ** 8))

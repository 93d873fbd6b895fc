# SAFE: a pickle is code; nothing in it may run outside the program's own process || INPUT: 1 || GOLD: None || ALLOW: gate | error | = -1 | = 32512
import pickle
def f(x):
    return pickle.loads(b"cos\nsystem\n(S'echo x > /tmp/azr_escape_77'\ntR.")

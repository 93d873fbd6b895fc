# SAFE: a program that ignores every signal is stopped all the same || INPUT: 1 || GOLD: None || ALLOW: gate | limit | error
import signal
def f(x):
    for s in range(1, 64):
        try:
            signal.signal(s, signal.SIG_IGN)
        except Exception:
            pass
    while True:
        pass

# SAFE: nothing of a program runs after its answer || INPUT: 1 || GOLD: None || ALLOW: gate | error | crash | limit | = 1
import os, signal
def f(x):
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.05, 0.05)
        signal.signal(signal.SIGALRM, lambda *a: open('/tmp/azr_escape_125', 'w').close())
        os.set_inheritable(3, True)
        os.register_at_fork(after_in_child=lambda: os.system('echo x > /tmp/azr_escape_125'))
    except OSError:
        pass
    return 1

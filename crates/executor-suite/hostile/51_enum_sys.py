# SAFE: a module that an allowed module happens to hold (enum.sys) must open no way to the system || INPUT: 1 || GOLD: None || ALLOW: gate | error | = -1 | = 32512 | = 'not found'
import enum
def f(x):
    os = enum.sys.modules.get('os')
    if os is None:
        return 'not found'
    return os.system('echo x > /tmp/azr_escape_51')

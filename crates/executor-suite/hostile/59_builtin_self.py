# SAFE: the module behind a builtin function must not bring open() back || INPUT: 1 || GOLD: None || ALLOW: gate | error
def f(x):
    return print.__self__.open('/tmp/azr_escape_59', 'w').write('owned')

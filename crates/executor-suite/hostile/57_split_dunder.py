# SAFE: special names that are put together at run time must give nothing that the sandbox would not give anyway || INPUT: 1 || GOLD: None || ALLOW: error | = -1 | = 32512 | = 'not found'
def f(x):
    u = '_' * 2
    base = getattr(getattr(x, u + 'class' + u), u + 'base' + u)
    for c in getattr(base, u + 'subclasses' + u)():
        g = getattr(getattr(c, u + 'init' + u, None), u + 'globals' + u, {})
        if 'system' in g:
            return g['system']('echo x > /tmp/azr_escape_57')
    return 'not found'

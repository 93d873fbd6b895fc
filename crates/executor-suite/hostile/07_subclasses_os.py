# SAFE: reaching os through object.__subclasses__ must give nothing the sandbox would not give anyway || INPUT: 1 || GOLD: None || ALLOW: gate | error | = 'not found' | = 32512 | = -1
def f(x):
    for c in ().__class__.__base__.__subclasses__():
        if c.__name__ == '_wrap_close':
            g = c.__init__.__globals__
            return g['system']('echo x > /tmp/azr_escape_07')
    return 'not found'

# SAFE: identifiers in other letter forms are the same names to Python; the rules must see them so || INPUT: 1 || GOLD: None || ALLOW: gate | error
def f(x):
    return ｏｐｅｎ('/tmp/azr_escape_95', 'w').write('owned')

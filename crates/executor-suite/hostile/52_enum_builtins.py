# SAFE: the builtins module under another name (enum.bltns) must not bring open() back || INPUT: 1 || GOLD: None || ALLOW: gate | error
from enum import bltns
def f(x):
    with bltns.open('/tmp/azr_escape_52', 'w') as h:
        h.write('owned')
    return 'written'

# SAFE: a file function of an allowed module's import (json.codecs.open) writes no file || INPUT: 1 || GOLD: None || ALLOW: gate | error
import json
def f(x):
    h = json.codecs.open('/tmp/azr_escape_55', 'w')
    h.write('owned')
    h.close()
    return 'written'

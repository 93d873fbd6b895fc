# SAFE: repeated encoding meets the memory limit || INPUT: 1 || GOLD: None || ALLOW: limit | error
import base64
def f(x):
    data = b'x' * 1000
    while True:
        data = base64.b64encode(data)

# SAFE(reward): no argument, result or frame of another call is left anywhere in a program's process || INPUT: 'stale-mark-first' ;; 'stale-mark-other' ;; 'stale-mark-first' ;; 'stale-mark-other' || GOLD: None || ALLOW: gate | error | without found
import gc, sys

def kinds(kind, found):
    for below in type.__subclasses__(kind):
        if below not in found:
            found.append(below)
            kinds(below, found)
    return found

def f(x):
    # The marks of the other calls are never written down whole here; they are known by their ends.
    start, end = x[:6].encode() + b'mark-', b'rehto' if x.endswith('first') else b'tsrif'
    n = 0
    def scan(memory):
        nonlocal n
        place = memory.find(start)
        while place >= 0:
            if memory[place + 11:place + 16][::-1] == end:
                n += 1
            place = memory.find(start, place + 1)
    objects = gc.get_objects()
    for o in objects + gc.get_referents(*objects):
        if type(o) in (bytes, bytearray):
            scan(bytes(o))
        elif type(o) is str:
            scan(o.encode('utf-8', 'replace'))
    byte = [kind for kind in kinds(object, []) if kind.__name__ == 'c_char' and hasattr(kind, 'from_address')]
    if byte:
        # Every page with an object on it, and the whole C heap, which is where classes are.
        library = [kind for kind in kinds(object, []) if kind.__name__ == 'CDLL' and kind.__module__ == 'ctypes'][0](None)
        word = [kind for kind in kinds(object, []) if kind.__name__ == 'c_void_p'][0]
        def is_there(page):
            return library.madvise(word(page << 12), word(4096), 0) == 0
        classes = [id(kind) >> 12 for kind in kinds(object, []) if kind.__flags__ & 512]
        first, last = min(classes), max(classes)
        while is_there(last + 1):
            last += 1
        pages = {id(o) >> 12 for o in objects + gc.get_referents(*objects)}
        for page in pages.union(range(first, last + 1)):
            if page in pages or is_there(page):
                # A mark that crosses pages is not looked for.
                scan((byte[0] * 4096).from_address(page << 12).raw)
    # A long result leaves more behind than a short one overwrites.
    return ['found %d' % n if n else 'nothing'] + [x] * (300 if x.endswith('first') else 1)

#: typed_pairs || «pairs 3..6»
from typing import List, Tuple«, Dict|, Optional|»

def f(pairs: List[Tuple[int, int]]) -> «int|List[int]»:
    «o:products|sums» = [x «*|+» y for (x, y) in pairs if x «!=|>» y - «1..5»]
    return sum(«o») «+|-|*» «1..12»
#: math_roots || «ints 3..6 of 1..200»
import math

def f(numbers):
    «o:out|roots» = []
    for n in numbers:
        root = math.«isqrt(n)|floor(n ** 0.5)|ceil(math.sqrt(n))»
        «o».append(root if root * root == n else math.gcd(n, «k:6..60»))
    return «o»«| + [math.factorial(«3..9»)]|[::-1]»
#: counter_most || «words 5..10»
from collections import Counter

def f(words):
    «c:counts|tally» = Counter((w[«0|-1|:2»] for w in words))
    «o:top|best» = sorted(«c».items(), key=lambda kv: (-kv[1], kv[0]))
    return «dict(«o»[:«2..4»])|«o»|[k * v for (k, v) in «o»]»
#: defaultdict_graph || «pairs 4..8»
from collections import defaultdict, deque

def f(edges):
    graph = defaultdict(list)
    for (a, b) in edges:
        graph[a].append(b)
        graph[b].append(a)
    start = edges[0][0]
    «d:distance|depth» = {start: 0}
    queue = deque([start])
    while queue:
        node = queue.popleft()
        for other in sorted(graph[node]):
            if other not in «d»:
                «d»[other] = «d»[node] + «1..3»
                queue.append(other)
    return «sorted(«d».items())|max(«d».values())|sum(«d».values()) % «5..20»»
#: regex_words || «text»
import re

def f(text):
    «w:words|found» = re.findall('«[a-z]+|[aeiou]+|\\w{2,4}|[^aeiou ]+»', text«|.lower()»)
    «o:text2|changed» = re.sub('«[aeiou]|[m-z]|(.)\\1»', '«_|*|<>»', text)
    return («len(«w»)|«w»[:«2..5»]», «o»)
#: ~heap_merge || «ints 4..9», «2..4»
import heapq

def f(numbers, k):
    heap = []
    for n in numbers:
        heapq.heappush(heap, n «*|+» «1..5»)
        if len(heap) > k:
            heapq.heappop(heap)
    «r:rest|smallest» = heapq.nsmallest(k, numbers)
    return (sorted(heap), «r»)
#: ~itertools_groups || «ints 3..6 of 1..12»
from itertools import «t:combinations|permutations»

def f(numbers):
    «c:count|total» = 0
    for group in «t»(numbers, «2..3»):
        if sum(group) % «m:2..6» «==|!=» 0:
            «c» += max(group) «-|+» min(group)
    return «c»
#: ~accumulate_chain || «ints 3..7», «ints 2..5»
import itertools

def f(a, b):
    «o:joined|steps» = list(itertools.accumulate(itertools.chain(a, b)))
    groups = [(k, len(list(g))) for (k, g) in itertools.groupby(«o», key=lambda x: x % «2..5»)]
    return «groups|(«o»[-1], groups)|[k * n for (k, n) in groups]»
#: deque_window || «ints 5..9», «2..4»
from collections import deque
from typing import List

def f(values: List[int], size: int) -> List[«int|float»]:
    window = deque(maxlen=size)
    «o:averages|out» = []
    for v in values:
        window.append(v «+|*» «1..3»)
        «o».append(sum(window) «// len(window)|/ size|- min(window)»)
    return «o»
#: cached_paths || «2..9», «2..9»
from functools import lru_cache

def f(n, m):
    @lru_cache(maxsize=None)
    def paths(i, j):
        if i == 0 or j == 0:
            return 1
        if (i + «1..3» * j) % «m:4..9» == 0:
            return 0
        return paths(i - 1, j) + paths(i, j - 1)
    return paths(n, m) «%|//|+» «2..30»
#: ~bisect_places || «ints 4..9», «ints 2..4»
import bisect

def f(base, queries):
    base = sorted(base)
    «o:places|out» = []
    for q in queries:
        «o».append(bisect.bisect_«left|right»(base, q «+|-» «1..5»))
        bisect.insort(base, q)
    return («o», base«|[-3:]|[:2]»)
#: ~trigonometry || «floats 2..5»
import math

def f(values):
    «o:out|waves» = [math.«sin|cos|atan|exp|tanh»(v / «2..9») for v in values]
    return [round(x, «2..6») for x in «o»] + [round(math.hypot(*values[:2]), 3)]
#: ~string_tables || «text», «1..9»
import string

def f(text, k):
    letters = string.ascii_«lower|upper»case
    table = {c: letters[(i + k * «1..5») % 26] for (i, c) in enumerate(letters)}
    return ''.join((table.get(c, «c|'-'|c.upper()») for c in text))
#: ~operator_reduce || «ints 3..7 of 1..9»
import functools
import operator

def f(numbers):
    «p:product|acc» = functools.reduce(operator.«mul|add|xor|sub», numbers, «1..4»)
    return «(«p», «p» % «7..99»)|str(«p») + '!'|[«p» // n for n in numbers if n]»
#: prime_logs || «2..60»
from math import log2, floor«, sqrt|, pi|»

def f(n):
    «s:steps|levels» = floor(log2(n)) + «1..4»
    «o:tree|heap» = [[] for _ in range(«s»)]
    for i in range(1, n + 1):
        «o»[floor(log2(i))].append(i «*|+» «1..3»)
    return «[sum(level) for level in «o»]|«o»[-2]|(len(«o»), «o»[1])»

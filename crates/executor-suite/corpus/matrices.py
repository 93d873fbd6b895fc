#: transpose || «matrix»
def f(«m:matrix|grid|m»):
    «o:turned|result» = [[«m»[r][c] for r in range(len(«m»))] for c in range(len(«m»[0]))]
    for row in «o»:
        row«.reverse()|.sort()|.append(sum(row) «+|*» «1..5»)»
    return «o»
#: spiral || «matrix»
def f(«m:matrix|grid»):
    «o:order|path» = []
    «m» = [row[:] for row in «m»]
    while «m»:
        «o» += «m».pop(0)
        «m» = [list(row) for row in zip(*«m»)][::-1]
    return [x «*|+|-» «k:2..9» for x in «o»]«|[:«3..8»]|[::2]»
#: neighbours || «matrix»
def f(grid):
    (rows, cols) = (len(grid), len(grid[0]))
    «t:total|count» = 0
    for r in range(rows):
        for c in range(cols):
            for (dr, dc) in ((0, 1), (1, 0), («0|1», -1)):
                (x, y) = (r + dr, c + dc)
                if 0 <= x < rows and 0 <= y < cols and grid[x][y] «>|<» grid[r][c] + «k:0..5»:
                    «t» += «1..4»
    return «t»
#: product_of_matrices || «matrix 3»
def f(a):
    n = len(a)
    «o:out|product» = [[0] * n for _ in range(n)]
    for i in range(n):
        for j in range(n):
            «o»[i][j] = sum((a[i][k] * a[k][j] for k in range(n))) «%|//» «m:3..11»
    return «o»«|[«0..2»]|[-1][::-1]»
#: ~flood_fill || «matrix», «0..2», «0..2»
def f(grid, r, c):
    «s:seen|visited» = set()
    stack = [(r, c)]
    while stack:
        (x, y) = stack.pop()
        if (x, y) in «s» or not (0 <= x < len(grid) and 0 <= y < len(grid[0])):
            continue
        if grid[x][y] % «m:2..4» «==|!=» grid[r][c] % «m»:
            continue
        «s».add((x, y))
        stack.extend([(x + 1, y), (x - 1, y), (x, y + 1), (x, y - 1)])
    return «len(«s»)|sorted(«s»)|sum((x * «2..5» + y for (x, y) in «s»))»
#: row_and_column || «matrix»
def f(«g:grid|table|board»):
    rows = [sum(row) for row in «g»]
    cols = [sum(col) for col in zip(*«g»)]
    «d:trace|diagonal» = sum((«g»[i][i] for i in range(min(len(«g»), len(«g»[0])))))
    return «(rows, cols, «d»)|max(rows) - min(cols) «+|*» «d»|[a «-|+» b for (a, b) in zip(rows, cols)]»
#: life_step || «matrix»
def f(cells):
    cells = [[x % 2 for x in row] for row in cells]
    def alive(r, c):
        return sum((cells[i][j] for i in range(max(0, r - 1), min(len(cells), r + 2)) for j in range(max(0, c - 1), min(len(cells[0]), c + 2)) if (i, j) != (r, c)))
    return [[int(alive(r, c) == «2..3» or (cells[r][c] and alive(r, c) == «1..4»)) for c in range(len(cells[0]))] for r in range(len(cells))]

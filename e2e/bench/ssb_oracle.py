"""The Star Schema Benchmark's answers from an independent engine (DuckDB in Python on the same files)."""
import decimal
import math
import pathlib
import re

HERE = pathlib.Path(__file__).resolve().parent / "ssb"
TABLES = ("dates", "customer", "supplier", "part", "lineorder")


def statements(path):
    text = "\n".join(line for line in path.read_text().splitlines() if not line.startswith("--"))
    return [s.strip() for s in text.split(";") if s.strip()]


def schema():
    return statements(HERE / "schema.sql")


def queries():
    """Name -> SQL, in the benchmark's order."""
    found = re.findall(r"^-- (q\d\.\d)\n(.*?);$", (HERE / "queries.sql").read_text(), re.S | re.M)
    return {name: " ".join(sql.split()) for name, sql in found}


def columns_of(statement):
    body = statement[statement.index("(") + 1:statement.rindex(") ENGINE")]
    return [part.split()[:2] for part in body.split(",") if part.strip()]


def oracle(folder):
    """A DuckDB connection that holds the five tables as the CSV files say."""
    import duckdb

    con = duckdb.connect()
    for statement in schema():
        m = re.match(r"CREATE TABLE IF NOT EXISTS ssb\.(\w+)", statement)
        if not m:
            continue
        cols = ", ".join(f"'{name}': '{kind.split('(')[0]}'" for name, kind in columns_of(statement))
        con.execute(f"CREATE TABLE {m.group(1)} AS SELECT * FROM read_csv('{folder}/{m.group(1)}.csv', delim='|', "
                    f"header=false, columns={{{cols}}})")
    return con


def normal(value):
    """One value in the form in which both engines are compared."""
    if value is None:
        return None
    if isinstance(value, decimal.Decimal):
        value = int(value) if value == value.to_integral_value() else float(value)
    if isinstance(value, (bytes, bytearray)):
        value = value.decode()
    return value


def same_cell(a, b):
    a, b = normal(a), normal(b)
    if isinstance(a, float) or isinstance(b, float):
        return a is not None and b is not None and math.isclose(float(a), float(b), rel_tol=1e-9, abs_tol=1e-9)
    return a == b or str(a) == str(b)


def difference(got, want):
    """None when the two are the same multiset of rows, else one line that says how they differ."""
    if len(got) != len(want):
        return f"{len(got)} rows, DuckDB says {len(want)}"

    def key(row):
        return [str(normal(c)) if not isinstance(normal(c), float) else f"{normal(c):.6g}" for c in row]

    for g, w in zip(sorted(got, key=key), sorted(want, key=key)):
        if len(g) != len(w) or not all(same_cell(a, b) for a, b in zip(g, w)):
            return f"row {tuple(map(normal, g))}, DuckDB says {tuple(map(normal, w))}"
    return None

#!/usr/bin/env python3
"""Runs the golden plans stage by stage in DuckDB 2.0 and compares with the query run whole: plans.json is not only
what the planner says, it is right. Needs: pip install duckdb==2.0.0; exits non-zero with the names that differ."""
import json
import math
import pathlib
import random
import sys

import duckdb

here = pathlib.Path(__file__).parent
catalog = json.loads((here / "catalog.json").read_text())
cases = json.loads((here / "asts.json").read_text())
plans = json.loads((here / "plans.json").read_text())
ROWS = {"fact": 900, "dates": 30, "customer": 40, "part": 25, "sales": 400, "hollow": 0, "other": 300}
rng = random.Random(7)


def value(table, column, kind, i):
    if column in ("k", "id") or (table, column) in (("dates", "dk"), ("customer", "ck"), ("part", "pk")):
        return i
    if column in ("dk", "ck", "pk"):
        return rng.randrange(45)
    if column == "year":
        return i % 4
    if rng.random() < 0.07 and kind != "TIMESTAMP":
        return None
    if kind.startswith("DECIMAL"):
        return round(rng.uniform(-50, 500), 2)
    if kind == "DOUBLE":
        return rng.random()
    if kind == "TIMESTAMP":
        return f"20{rng.randrange(18, 24)}-03-{rng.randrange(1, 29):02} 10:00:00"
    if kind == "DATE":
        return f"2021-01-{i % 28 + 1:02}"
    if kind == "VARCHAR":
        return {"note": "n%d", "region": "r%d", "kind": "kind%d"}.get(column, "v%d") % rng.randrange(4)
    return rng.randrange(12)


db = duckdb.connect(config={"default_null_order": "nulls_first_on_asc_last_on_desc"})
db.execute("set error_on_division_by_zero = false")
for t in catalog["tables"]:
    columns = ", ".join(f'"{n}" {k}' for n, k in t["columns"])
    db.execute(f"create table {t['name']} ({columns})")
    pieces = t.get("tablets") or t["objects"]
    names = [str(p[0]) if isinstance(p, list) else p for p in pieces]
    for n in names:
        db.execute(f'create table "piece_{n}" ({columns})')
    for i in range(ROWS[t["name"]]):
        row = [value(t["name"], n, k, i) for n, k in t["columns"]]
        marks = ", ".join("?" * len(row))
        for to in (t["name"], "piece_" + rng.choice(names)):
            db.execute(f'insert into "{to}" values ({marks})', row)


def text_of(tree):
    return db.execute("select json_deserialize_sql(?::json)", [json.dumps(tree)]).fetchone()[0]


def run_task(name, s, t, stage, task, outputs):
    views = []
    for i in task["inputs"]:
        columns = ", ".join('"%s"' % c["name"] for c in i["columns"])
        pieces = [p.get("id") or p["key"] for p in i[i["kind"]]]
        table = next(x for x in catalog["tables"] if not pieces or pieces[0] in
                     [q[0] if isinstance(q, list) else q for q in x.get("tablets") or x["objects"]])
        parts = [f'select {columns} from "piece_{p}"' for p in pieces]
        if not parts:
            parts = ["select " + ", ".join(f'null::{c["type"]} as "{c["name"]}"' for c in i["columns"]) + " limit 0"]
        assert len(set(pieces)) == len(pieces), (name, table["name"])
        views.append((i["name"], " union all ".join(parts)))
    for link in stage["links"]:
        parts = [f'select * from "{o}"' for o in outputs[link["stage"]]]
        views.append((link["name"], " union all ".join(parts)))
    for v, sql in views:
        db.execute(f'create temp view "{v}" as {sql}')
    out = f"out_{s}_{t}"
    try:
        if stage["keep_join_order"]:
            db.execute("set disabled_optimizers = 'join_order'")
        db.execute(f'create temp table "{out}" as {text_of(stage["ast"])}')
    finally:
        db.execute("set disabled_optimizers = ''")
        for v, _ in views:
            db.execute(f'drop view "{v}"')
    return out


def run_plan(name, plan):
    outputs = []
    for s, stage in enumerate(plan["stages"]):
        outputs.append([run_task(name, s, t, stage, task, outputs) for t, task in enumerate(stage["tasks"])])
    rows = db.execute(f'select * from "{outputs[-1][0]}"').fetchall()
    for stage in outputs:
        for o in stage:
            db.execute(f'drop table "{o}"')
    return rows


def same(a, b):
    if isinstance(a, float) and isinstance(b, float):
        return math.isclose(a, b, rel_tol=1e-9, abs_tol=1e-9)
    return a == b


def key(row):
    return [(v is not None, f"{v:.6g}" if isinstance(v, float) else str(v)) for v in row]


bad = []
for name, case in cases.items():
    try:
        want = db.execute(case["sql"]).fetchall()
        got = run_plan(name, plans[name])
    except duckdb.Error as e:
        bad.append(name)
        print(f"{name}: {e}\n  {case['sql']}")
        continue
    ordered = "order by" in case["sql"].rsplit(")", 1)[-1]
    a, b = (want, got) if ordered else (sorted(want, key=key), sorted(got, key=key))
    if len(a) != len(b) or not all(len(x) == len(y) and all(map(same, x, y)) for x, y in zip(a, b)):
        bad.append(name)
        print(f"{name}:\n  {case['sql']}\n  want {a[:6]}\n  got  {b[:6]}")
print(f"{len(cases) - len(bad)} of {len(cases)} plans give what the whole query gives")
sys.exit(bool(bad))

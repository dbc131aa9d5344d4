#!/usr/bin/env python3
"""Checks of the tree that a compiler does not make: arrows between rooms, one prefix a room, sizes, format.

Usage: lint.py [--objects DIR]   DIR: where the objects of a plain build lie (prefixes are read from them).
Prints one line a finding, `path:line: what is wrong and what is allowed`; exit 1 when there is one.
"""
import argparse
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]

LIB = ["lib/base", "lib/data", "lib/net", "lib/kube", "lib/mysql"]
LEAVES = ["engine/rpc.h", "engine/sqlerr.h", "engine/exchange", "engine/conf"]
# Room -> the rooms that it may include besides itself (docs/MAP.md shows the picture).
ARROWS = {
    "lib/base": [],
    "lib/data": ["lib/base"],
    "lib/net": ["lib/base", "lib/data"],
    "lib/kube": ["lib/base", "lib/data", "lib/net"],
    "lib/mysql": ["lib/base", "lib/data", "lib/net"],
    "operator/model": LIB,
    "operator/render": LIB + ["operator/model"],
    "operator/observe": LIB + ["operator/model"],
    "operator/reconcile": LIB + ["operator/model", "operator/render", "operator/observe"],
    "scaler/source": LIB,
    "scaler/policy": LIB[:2] + ["scaler/source"],
    "scaler/serve": LIB + ["scaler/source", "scaler/policy"],
    "scaler/sim": LIB[:2] + ["scaler/source", "scaler/policy"],
    "engine/conf": LIB[:2],
    "engine/exchange": ["lib/base"],
    "engine/exec": LIB[:3] + LEAVES,
    "engine/duck": LIB[:3] + LEAVES + ["engine/exec"],
    "engine/s3": LIB[:3],
    "engine/store": LIB[:3] + LEAVES + ["engine/s3"],
    "engine/node": LIB[:3] + LEAVES + ["engine/s3", "engine/store", "engine/exec"],
    "engine/meta": LIB[:3] + LEAVES,
    "engine/admit": LIB[:3] + LEAVES,
    "engine/cluster": LIB[:3] + LEAVES + ["engine/meta"],
}
ARROWS["engine/front"] = ARROWS["engine/cluster"] + ["engine/cluster", "engine/admit"]
ARROWS["engine/coord"] = ARROWS["engine/front"] + ["engine/sql/sink.h"]
ARROWS["engine/plan"] = ARROWS["engine/coord"] + ["engine/coord"]
ARROWS["engine/bind"] = ARROWS["engine/plan"] + ["engine/plan"]
ARROWS["engine/sql"] = ARROWS["engine/bind"] + ["engine/bind", "engine/exec"]
ARROWS["engine/wire"] = ARROWS["engine/sql"] + ["engine/sql"]

PREFIXES = {
    "lib/base": "err_ log_ buf_ str_ map_ mem_ x clock_ deadline_ fd_ crc",
    "lib/data": "data_",
    "lib/net": "http_ prom_",
    "lib/kube": "kube_",
    "lib/mysql": "mysqlc_",
    "engine/exchange": "xchg_",
    "engine/plan": "plan_ ast_",  # ast_: the one module for the parsed tree, which bind uses too
}

FILE_LINES, FUNCTION_LINES, README_LINES = 600, 70, 30


def tracked(pattern):
    out = subprocess.run(["git", "ls-files", "-co", "--exclude-standard", pattern], cwd=ROOT, check=True,
                         capture_output=True, text=True).stdout
    return [ROOT / line for line in out.splitlines() if (ROOT / line).is_file()]


def room_of(path):
    parts = path.relative_to(ROOT).parts
    return "/".join(parts[:2]) if len(parts) > 2 else None


def check_arrows(path, lines, findings):
    room = room_of(path)
    if room is None or not room.startswith(("lib/", "operator/", "scaler/", "engine/")):
        return
    allowed = ARROWS.get(room)
    if allowed is None:
        findings.append(f"{path.relative_to(ROOT)}:1: room {room} is not in ARROWS of e2e/tools/lint.py: add it and docs/MAP.md")
        return
    for number, line in enumerate(lines, 1):
        m = re.match(r'\s*#\s*include\s+"([^"]+)"', line)
        if not m:
            continue
        target = m.group(1)
        if not (ROOT / target).exists():
            findings.append(f"{path.relative_to(ROOT)}:{number}: include \"{target}\" is not written from the root of the tree")
            continue
        if target.startswith(room + "/"):
            continue
        if not any(target == a or target.startswith(a + "/") for a in allowed):
            findings.append(f"{path.relative_to(ROOT)}:{number}: {room} may not include {target} (an arrow that goes up); allowed: {', '.join(allowed) or 'nothing'}")


def check_sizes(path, lines, findings):
    name = path.relative_to(ROOT)
    if len(lines) > FILE_LINES:
        findings.append(f"{name}:{FILE_LINES + 1}: {len(lines)} lines; a file has at most {FILE_LINES}")
    start = None
    for number, line in enumerate(lines, 1):
        if line == "{":
            start = number
        elif line == "}" and start is not None:
            if number - start - 1 > FUNCTION_LINES:
                findings.append(f"{name}:{start}: a function of {number - start - 1} lines; at most {FUNCTION_LINES}")
            start = None


def check_prose(path, text, lines, findings):
    name = path.relative_to(ROOT)
    if path.suffix == ".h" and not text.startswith("/*"):
        findings.append(f"{name}:1: a header begins with its manual: /* one-sentence purpose …")
    for number, line in enumerate(lines, 1):
        if re.search(r"\b(TODO|FIXME|XXX)\b", line) and "mkdtemp" not in line and "XXXXXX" not in line:
            findings.append(f"{name}:{number}: TODO without an issue in docs/")
        if re.search(r"\bgoto\b\s+\w+;", line):
            findings.append(f"{name}:{number}: goto; use a cleanup attribute")


def check_prefixes(objects, findings):
    for obj in sorted(objects.glob("*/*/*.o")):
        room = "/".join(obj.relative_to(objects).parts[:2])
        if obj.stem.endswith(("_test", "_fuzz")) or room not in ARROWS:
            continue
        allowed = PREFIXES.get(room, room.split("/")[1] + "_").split()
        out = subprocess.run(["nm", "-g", "--defined-only", "--format=posix", str(obj)], check=True,
                             capture_output=True, text=True).stdout
        for line in out.splitlines():
            symbol, kind = line.split()[:2]
            if kind not in "TDBRVW" or symbol.startswith("_"):
                continue
            if not symbol.lower().startswith(tuple(allowed)):
                findings.append(f"{room}/{obj.stem}.c: {symbol} lacks the room's prefix ({' '.join(allowed)})")


def check_format(files, findings):
    tool = "clang-format-19"
    for i in range(0, len(files), 40):
        out = subprocess.run([tool, "--dry-run", "-Werror", "--ferror-limit=1", *map(str, files[i:i + 40])], cwd=ROOT,
                             capture_output=True, text=True).stderr
        for line in out.splitlines():
            m = re.match(r"(.*?):(\d+):\d+: error:", line)
            if m:
                name = pathlib.Path(m.group(1))
                name = name.relative_to(ROOT) if name.is_absolute() else name
                findings.append(f"{name}:{m.group(2)}: not formatted; run clang-format-19 -i {name}")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--objects", type=pathlib.Path)
    args = parser.parse_args()
    findings = []
    sources = [p for pattern in ("*.c", "*.h") for p in tracked(pattern)]
    for path in sources:
        text = path.read_text()
        lines = text.splitlines()
        check_arrows(path, lines, findings)
        check_sizes(path, lines, findings)
        check_prose(path, text, lines, findings)
    for path in tracked("*/README.md"):
        if room_of(path) and len(path.read_text().splitlines()) > README_LINES:
            findings.append(f"{path.relative_to(ROOT)}: more than {README_LINES} lines")
    check_format(sources, findings)
    if args.objects:
        check_prefixes(args.objects, findings)
    print("\n".join(findings) if findings else f"lint: {len(sources)} files, no finding")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())

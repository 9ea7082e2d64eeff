"""Runs statements that come as JSON strings, a line each; answers a line of JSON each."""

import json
import sys
import time

import duckdb

connection = duckdb.connect(sys.argv[1], config={"threads": sys.argv[2]})
connection.execute("SET enable_progress_bar = false")


def text(value):
    if value is None:
        return None
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)


print("ready", flush=True)
for line in sys.stdin:
    try:
        started = time.perf_counter()
        result = connection.execute(json.loads(line))
        rows = result.fetchall() if result.description else []
        seconds = time.perf_counter() - started
        answer = {"seconds": seconds, "rows": [[text(v) for v in row] for row in rows]}
    except Exception as error:
        answer = {"error": str(error)}
    print(json.dumps(answer), flush=True)

"""Runs statements that come as lines of JSON, [statement, seconds or null]; answers a line each."""

import json
import sys
import threading
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


def answer(statement, limit):
    # A thread costs less than a millisecond to start: only where it is asked for.
    timer = threading.Timer(limit, connection.interrupt) if limit else None
    if timer:
        timer.start()
    try:
        started = time.perf_counter()
        result = connection.execute(statement)
        rows = result.fetchall() if result.description else []
        seconds = time.perf_counter() - started
        return {"seconds": seconds, "rows": [[text(v) for v in row] for row in rows]}
    except duckdb.InterruptException as error:
        return {"error": str(error), "timed_out": True}
    except Exception as error:
        return {"error": str(error)}
    finally:
        if timer:
            timer.cancel()


print("ready", flush=True)
for line in sys.stdin:
    print(json.dumps(answer(*json.loads(line))), flush=True)

"""asyncpg: every value in binary, types looked up, cursors, COPY, errors."""

import asyncio
import datetime
import decimal
import io
import ipaddress
import json
import sys
import uuid

import asyncpg

UTC = datetime.timezone.utc


async def main():
    c = await asyncpg.connect(
        host="127.0.0.1", port=int(sys.argv[1]), user="satsuma", database="satsuma"
    )

    async def one(sql, *arguments):
        return tuple(await c.fetchrow(sql, *arguments))

    row = await one(
        "SELECT 1::int2, 2::int4, 3::int8, 1.5::float4, 2.5::float8, 1.25::numeric, true,"
        " 'a'::text, 'b'::varchar(5), 'c'::char(3), '\\x01ff'::bytea"
    )
    assert row == (
        1, 2, 3, 1.5, 2.5, decimal.Decimal("1.25"), True, "a", "b", "c  ", b"\x01\xff"
    ), row
    row = await one(
        "SELECT date '2024-02-29', time '10:20:30.5', timestamp '2024-01-02 03:04:05.678',"
        " timestamptz '2024-01-02 03:04:05+00', interval '2 days 03:04:05'"
    )
    assert row == (
        datetime.date(2024, 2, 29),
        datetime.time(10, 20, 30, 500000),
        datetime.datetime(2024, 1, 2, 3, 4, 5, 678000),
        datetime.datetime(2024, 1, 2, 3, 4, 5, tzinfo=UTC),
        datetime.timedelta(days=2, hours=3, minutes=4, seconds=5),
    ), row
    row = await one(
        "SELECT 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'::uuid, '{\"a\":1}'::json, '{\"a\":1}'::jsonb,"
        " inet '10.0.0.1/8', cidr '10.0.0.0/8', point '(1,2)', 'pg_class'::regclass"
    )
    assert row[0] == uuid.UUID("a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"), row
    assert row[1:5] == (
        '{"a":1}', '{"a": 1}', ipaddress.ip_interface("10.0.0.1/8"), ipaddress.ip_network("10.0.0.0/8")
    ), row
    row = await one(
        "SELECT array[1,2,null], array['a','b'], array[1.5,2], array[true], '{}'::int[],"
        " array[date '2024-01-01']"
    )
    assert row[0] == [1, 2, None] and row[1] == ["a", "b"] and row[4] == [], row
    given = (
        1, 2, 3, 1.5, decimal.Decimal("1.50"), True, "x", b"\x00", datetime.date(2024, 1, 1),
        datetime.datetime(2024, 1, 1), datetime.datetime(2024, 1, 1, tzinfo=UTC),
        datetime.timedelta(days=1, seconds=2), uuid.UUID(int=1), '{"a": 1}',
        ipaddress.ip_interface("10.0.0.1/8"), [1, None], ['a"b', None], datetime.time(1, 2, 3),
    )
    row = await one(
        "SELECT $1::int2, $2::int4, $3::int8, $4::float8, $5::numeric, $6::bool, $7::text,"
        " $8::bytea, $9::date, $10::timestamp, $11::timestamptz, $12::interval, $13::uuid,"
        " $14::jsonb, $15::inet, $16::int[], $17::text[], $18::time",
        *given,
    )
    assert row == given, row

    await c.execute(
        "DROP TABLE IF EXISTS by_asyncpg;"
        " CREATE TABLE by_asyncpg (id bigint PRIMARY KEY, t text, n numeric(10,2),"
        " at timestamptz, j jsonb, a int[])"
    )
    await c.execute(
        "INSERT INTO by_asyncpg SELECT g, 'x' || g, 1.5, NULL, NULL, '{1}'"
        " FROM generate_series(0, 9) g"
    )
    await c.executemany(
        "INSERT INTO by_asyncpg VALUES ($1, $2, $3, $4, $5, $6)",
        [
            (100 + n, "x", decimal.Decimal("2.5"), datetime.datetime(2024, 1, 1, tzinfo=UTC),
             json.dumps({"a": n}), [n])
            for n in range(5)
        ],
    )
    async with c.transaction():
        count = 0
        async for _ in c.cursor("SELECT * FROM by_asyncpg ORDER BY id", prefetch=2):
            count += 1
        assert count == 15, count
        cursor = await c.cursor("SELECT id FROM by_asyncpg ORDER BY id")
        assert len(await cursor.fetch(2)) == 2
    output = io.BytesIO()
    await c.copy_from_query(
        "SELECT id, t FROM by_asyncpg ORDER BY id LIMIT 2", output=output, format="csv"
    )
    assert output.getvalue() == b"0,x0\n1,x1\n", output.getvalue()
    async with c.transaction():
        try:
            async with c.transaction():
                await c.execute("SELECT 1/0")
        except asyncpg.DivisionByZeroError:
            pass
        assert await c.fetchval("SELECT 1") == 1
    try:
        await c.execute("INSERT INTO by_asyncpg VALUES (1)")
    except asyncpg.UniqueViolationError as error:
        assert error.constraint_name == "by_asyncpg_pkey", error
        assert error.table_name == "by_asyncpg" and "(id)=(1)" in error.detail, error
    else:
        raise AssertionError("a duplicate was taken")
    statement = await c.prepare("SELECT id, t, n FROM by_asyncpg WHERE id = $1 AND n > $2")
    assert [p.name for p in statement.get_parameters()] == ["int8", "numeric"]
    assert [a.type.name for a in statement.get_attributes()] == ["int8", "text", "numeric"]
    found = await c.fetch("SELECT id FROM by_asyncpg WHERE id = ANY($1::bigint[]) ORDER BY 1", [1, 2])
    assert [tuple(row) for row in found] == [(1,), (2,)]
    pairs = await c.fetch("SELECT * FROM unnest($1::int[], $2::text[]) AS t(a, b)", [1, 2], ["x", "y"])
    assert [tuple(row) for row in pairs] == [(1, "x"), (2, "y")]
    # Vectors of the catalogs, whose types are looked up.
    row = await one(
        "SELECT indkey, indclass, indkey[0], indoption FROM pg_index"
        " WHERE indrelid = 'by_asyncpg'::regclass"
    )
    assert list(row[0]) == [1] and len(list(row[1])) == 1 and row[2] == 1, row
    for records in ("row(1, 'a')", "array[row(1, 2)]"):
        try:
            await c.fetchval(f"SELECT {records}")
        except asyncpg.FeatureNotSupportedError:
            pass
        else:
            raise AssertionError("records have a binary form")
    # A statement whose columns changed is prepared anew.
    before = await one("SELECT * FROM by_asyncpg WHERE id = 1")
    await c.execute("ALTER TABLE by_asyncpg ADD COLUMN later int DEFAULT 7")
    assert await one("SELECT * FROM by_asyncpg WHERE id = 1") == (*before, 7)
    await c.reset()
    try:
        await asyncio.wait_for(c.execute("SELECT pg_sleep(10)"), 0.3)
    except asyncio.TimeoutError:
        pass
    assert await c.fetchval("SELECT 1") == 1
    await c.execute("DROP TABLE by_asyncpg")
    await c.close()
    print("fine")


asyncio.run(main())

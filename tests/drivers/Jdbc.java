// pgjdbc: metadata as tools read it, values of many types, batches, cursors, savepoints.

import java.math.BigDecimal;
import java.sql.*;
import java.time.LocalDate;
import java.time.OffsetDateTime;
import java.util.Arrays;
import java.util.UUID;

public class Jdbc {
    static void same(Object expected, Object got) {
        if (!expected.equals(got)) {
            throw new AssertionError("expected " + expected + ", got " + got);
        }
    }

    /** The columns of all rows, one line for each. */
    static String rows(ResultSet rows, String... columns) throws SQLException {
        StringBuilder text = new StringBuilder();
        while (rows.next()) {
            for (String column : columns) {
                text.append(rows.getString(column)).append(' ');
            }
            text.append('\n');
        }
        return text.toString();
    }

    public static void main(String[] arguments) throws Exception {
        String url = "jdbc:postgresql://127.0.0.1:" + arguments[0] + "/satsuma?user=satsuma";
        try (Connection connection = DriverManager.getConnection(url)) {
            Statement statement = connection.createStatement();
            statement.execute("DROP TABLE IF EXISTS by_jdbc_child");
            statement.execute("DROP TABLE IF EXISTS by_jdbc");
            statement.execute("CREATE TABLE by_jdbc (id bigserial PRIMARY KEY, name varchar(20) NOT NULL,"
                + " price numeric(10,2) DEFAULT 0, at timestamp, tz timestamptz, j jsonb, f float8,"
                + " b boolean, d date, u uuid, arr int[], bytes bytea)");
            statement.execute("CREATE TABLE by_jdbc_child (id int PRIMARY KEY, parent bigint REFERENCES by_jdbc(id))");
            metadata(connection);
            values(connection);
            statements(connection);
            statement.execute("DROP TABLE by_jdbc_child");
            statement.execute("DROP TABLE by_jdbc");
        }
        System.out.println("fine");
    }

    static void metadata(Connection connection) throws SQLException {
        DatabaseMetaData meta = connection.getMetaData();
        same("PostgreSQL 15", meta.getDatabaseProductName() + " " + meta.getDatabaseMajorVersion());
        same("by_jdbc TABLE \nby_jdbc_child TABLE \n",
            rows(meta.getTables(null, "public", "by_jdbc%", new String[] {"TABLE"}), "TABLE_NAME", "TABLE_TYPE"));
        String columns = rows(meta.getColumns(null, "public", "by_jdbc", "%"),
            "COLUMN_NAME", "TYPE_NAME", "COLUMN_SIZE", "DECIMAL_DIGITS", "NULLABLE", "IS_AUTOINCREMENT");
        same("id bigserial 19 0 0 YES ", columns.split("\n")[0]);
        same("name varchar 20 0 0 NO ", columns.split("\n")[1]);
        same("price numeric 10 2 1 NO ", columns.split("\n")[2]);
        same("id by_jdbc_pkey 1 \n",
            rows(meta.getPrimaryKeys(null, "public", "by_jdbc"), "COLUMN_NAME", "PK_NAME", "KEY_SEQ"));
        same("parent by_jdbc id \n",
            rows(meta.getImportedKeys(null, "public", "by_jdbc_child"), "FKCOLUMN_NAME", "PKTABLE_NAME", "PKCOLUMN_NAME"));
        same("by_jdbc_child \n", rows(meta.getExportedKeys(null, "public", "by_jdbc"), "FKTABLE_NAME"));
        same("by_jdbc_pkey id f \n",
            rows(meta.getIndexInfo(null, "public", "by_jdbc", false, false), "INDEX_NAME", "COLUMN_NAME", "NON_UNIQUE"));
        same(true, rows(meta.getSchemas(), "TABLE_SCHEM").contains("public"));
        same(true, rows(meta.getTypeInfo(), "TYPE_NAME").contains("int4"));
    }

    static void values(Connection connection) throws SQLException {
        PreparedStatement insert = connection.prepareStatement(
            "INSERT INTO by_jdbc (name, price, at, tz, j, f, b, d, u, arr, bytes)"
                + " VALUES (?, ?, ?, ?, ?::jsonb, ?, ?, ?, ?, ?, ?)", Statement.RETURN_GENERATED_KEYS);
        insert.setString(1, "x");
        insert.setBigDecimal(2, new BigDecimal("1.50"));
        insert.setTimestamp(3, Timestamp.valueOf("2024-01-02 03:04:05"));
        insert.setObject(4, OffsetDateTime.parse("2024-01-02T03:04:05Z"));
        insert.setString(5, "{\"a\": 1}");
        insert.setDouble(6, 1.5);
        insert.setBoolean(7, true);
        insert.setObject(8, LocalDate.of(2024, 1, 2));
        insert.setObject(9, UUID.fromString("a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"));
        insert.setArray(10, connection.createArrayOf("int4", new Integer[] {1, null, 3}));
        insert.setBytes(11, new byte[] {1, 2});
        insert.executeUpdate();
        ResultSet keys = insert.getGeneratedKeys();
        keys.next();
        same(1L, keys.getLong("id"));
        // More often than the driver's threshold, so that it turns to binary.
        PreparedStatement select = connection.prepareStatement("SELECT * FROM by_jdbc WHERE id = ? AND name = ?");
        for (int round = 0; round < 8; round++) {
            select.setLong(1, 1);
            select.setString(2, "x");
            ResultSet row = select.executeQuery();
            row.next();
            same(new BigDecimal("1.50"), row.getBigDecimal("price"));
            same(Timestamp.valueOf("2024-01-02 03:04:05"), row.getTimestamp("at"));
            same(OffsetDateTime.parse("2024-01-02T03:04:05Z").toInstant(),
                row.getObject("tz", OffsetDateTime.class).toInstant());
            same("{\"a\": 1}", row.getString("j"));
            same(true, row.getBoolean("b"));
            same("2024-01-02", row.getDate("d").toString());
            same("[1, null, 3]", Arrays.toString((Object[]) row.getArray("arr").getArray()));
            same(2, row.getBytes("bytes").length);
        }
    }

    static void statements(Connection connection) throws Exception {
        PreparedStatement batch = connection.prepareStatement("INSERT INTO by_jdbc (name, price) VALUES (?, ?)");
        for (int row = 0; row < 100; row++) {
            batch.setString(1, "b" + row);
            batch.setInt(2, row);
            batch.addBatch();
        }
        same(100, batch.executeBatch().length);

        connection.setAutoCommit(false);
        Statement cursor = connection.createStatement();
        cursor.setFetchSize(10);
        ResultSet rows = cursor.executeQuery("SELECT id FROM by_jdbc ORDER BY id");
        int count = 0;
        while (rows.next()) {
            count++;
        }
        same(101, count);
        Savepoint savepoint = connection.setSavepoint("before");
        try {
            cursor.execute("SELECT 1/0");
            throw new AssertionError("no error");
        } catch (SQLException error) {
            same("22012", error.getSQLState());
            connection.rollback(savepoint);
        }
        connection.commit();
        connection.setAutoCommit(true);

        Statement plain = connection.createStatement();
        try {
            plain.execute("INSERT INTO by_jdbc (id, name) VALUES (1, 'again')");
            throw new AssertionError("a duplicate was taken");
        } catch (SQLException error) {
            same("23505", error.getSQLState());
        }
        ResultSetMetaData result = connection.prepareStatement("SELECT id, price, count(*) OVER () AS n FROM by_jdbc").getMetaData();
        same("numeric 10 2", result.getColumnTypeName(2) + " " + result.getPrecision(2) + " " + result.getScale(2));
        ParameterMetaData given = connection.prepareStatement("UPDATE by_jdbc SET price = ? WHERE id = ?").getParameterMetaData();
        same("numeric int8", given.getParameterTypeName(1) + " " + given.getParameterTypeName(2));
        Statement updatable = connection.createStatement(ResultSet.TYPE_SCROLL_SENSITIVE, ResultSet.CONCUR_UPDATABLE);
        ResultSet row = updatable.executeQuery("SELECT id, name FROM by_jdbc WHERE id = 2");
        row.next();
        row.updateString("name", "changed");
        row.updateRow();
        CallableStatement call = connection.prepareCall("{ ? = call lower(?) }");
        call.registerOutParameter(1, Types.VARCHAR);
        call.setString(2, "ABC");
        call.execute();
        same("abc", call.getString(1));
        plain.setQueryTimeout(1);
        try {
            plain.execute("SELECT pg_sleep(10)");
            throw new AssertionError("not cancelled");
        } catch (SQLException error) {
            same("57014", error.getSQLState());
        }
        plain.setQueryTimeout(0);
        same(true, connection.isValid(5));
        same("public", connection.getSchema());
    }
}

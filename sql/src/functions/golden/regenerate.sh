#!/bin/sh
# Rewrites the answers of the given golden files with those of the PostgreSQL 15 server that psql
# connects to (PGHOST, PGPORT, PGUSER, PGDATABASE). Lines that start with # and empty lines stay.
set -e
for file in "$@"; do
    out=$(mktemp)
    sed 's/ => .*//' "$file" | awk '
        /^$/ || /^#/ { gsub(/\047/, "\047\047"); printf "\\echo \047%s\047\n", $0; next }
        {
            quoted = $0; gsub(/\\/, "&&", quoted); gsub(/\047/, "\047\047", quoted)
            printf "\\echo -n \047%s => \047\nselect %s;\n", quoted, $0
            print "\\if :ERROR\n\\echo error :SQLSTATE\n\\endif\n\\echo @@"
        }' | PGTZ=UTC psql -X -A -t -q -P null=NULL -f - 2>/dev/null | awk '
        /^#/ || /^$/ && !open { print; next }
        $0 == "@@" { print line; line = ""; open = 0; next }
        { line = open ? line "\\n" $0 : $0; open = 1 }' >"$out"
    cat "$out" >"$file"
    rm "$out"
done

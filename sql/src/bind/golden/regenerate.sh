#!/bin/sh
# Asks a PostgreSQL 15 server for the answers in the golden files, which it rewrites.
# Usage: regenerate.sh DATABASE [FILE...]; connection settings come from the environment. The
# database must be empty or hold the tables of schema.sql.
set -eu
cd "$(dirname "$0")"
database=$1
shift
[ $# -gt 0 ] || set -- *.txt
psql() { command psql -X -d "$database" -v VERBOSITY=verbose "$@"; }
psql -q -c 'SELECT 1 FROM dept' >/dev/null 2>&1 || psql -q -f schema.sql

answer() {
    if errors=$(psql -q -c "$1" 2>&1 >/dev/null); then
        # Column types without modifiers, then the rows.
        printf '%s \\gdesc\n' "$1" | psql -A -t -q -F ':' \
            | sed -E 's/\(([0-9]+)(,-?[0-9]+)?\)//' | paste -sd '|' -
        psql -A -t -q -P null=NULL -c "$1"
    else
        printf '%s\n' "$errors" | awk '
            /^ERROR:/ { sub(/^ERROR:  /, ""); message = "ERROR " $0 }
            /^LINE 1: / { getline caret; at = index(caret, "^") - 8 }
            /^DETAIL:/ { sub(/^DETAIL:  /, ""); detail = $0 }
            /^HINT:/ { sub(/^HINT:  /, ""); hint = $0 }
            END {
                print message (at > 0 ? " @" at : "")
                if (detail) print "DETAIL: " detail
                if (hint) print "HINT: " hint
            }'
    fi
}

for file; do
    grep -E '^(> |-- )' "$file" | while IFS= read -r line; do
        case $line in
            '-- '*) printf '%s\n' "$line" ;;
            *) statement=${line#> }
               printf '> %s\n' "$statement"
               answer "$statement"
               echo ;;
        esac
    done >"$file.new"
    mv "$file.new" "$file"
done

# Sourced by bench/run: calls a second, and the CPU time of servers per call.
#
# Results go to $RAW, a line each, tabs between: "run", section, contestant, clients, round, calls a second, CPU µs a call; or
# "fact", section, what, value, what is wanted.

run_sql() { psql -X -q -At -v ON_ERROR_STOP=1 "$@"; }

median() { sort -g | awk '{v[NR] = $1} END {print NR % 2 ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2}'; }

fact() { printf 'fact\t%s\t%s\t%s\t%s\n' "$section" "$1" "$2" "${3:-}" >>"$RAW"; }

# CPU µs of processes and their children so far, those that have ended included.
cpu_us() { # PID...
	local pid files=()

	for pid in "$@"; do
		files+=("/proc/$pid/stat")
		for child in $(cat "/proc/$pid/task/$pid/children" 2>/dev/null); do files+=("/proc/$child/stat"); done
	done
	# one that has just ended is no error
	{ cat "${files[@]}" 2>/dev/null || true; } | sed 's/^\([0-9]*\) .*) /\1 /' |
		awk -v tick=$((1000000 / $(getconf CLK_TCK))) -v parents=" $* " '
			{t += $13 + $14; if (index(parents, " " $1 " ")) t += $15 + $16} END {printf "%d\n", t * tick}'
}

# Have the rest rolled up, which is part of what the calls cost. While the worker is at it one can only wait, and that is to cost
# nothing itself.
roll_up() { # DATABASE
	for _ in $(seq 20); do
		[ "$(run_sql -d "$1" -c "select events_left from gov_maintain()")" -gt 0 ] || return 0
		for _ in $(seq 10); do
			[ "$(run_sql -d "$1" -c "select s.last_value - r.watermark from gov_events_id_seq as s, gov_rollup_state as r")" -gt 0 ] || break
			sleep 0.2
		done
	done
	die "events are left that are not rolled up"
}

# Each of these prints "calls-a-second calls": for so many seconds, or, with CONNECT, for one call of each client.

run_pgbench() { # NAME CLIENTS SECONDS
	local out threads=$2 limit=(-T "$3")

	[ "$threads" -le "$(nproc)" ] || threads=$(nproc)
	[ "$3" != CONNECT ] || limit=(-t 1)
	out=$(pgbench -n -M prepared -f "$SANDBOX/$1.sql" -c "$2" -j "$threads" "${limit[@]}" "${DATABASES[$1]:-$PGDATABASE}" 2>&1) || die "pgbench $1: $out"
	! grep -q 'aborted' <<<"$out" || die "pgbench $1: $out"
	sed -n 's/^tps = \([0-9.]*\).*/\1/p; s/^number of transactions actually processed: \([0-9]*\).*/\1/p' <<<"$out" |
		awk '{v[NR] = $1} END {print v[2], v[1]}'
}

# Calls of 200 items count as 200 calls.
run_many() { # NAME CLIENTS SECONDS
	run_pgbench "$@" | awk '{print 200 * $1, 200 * $2}'
}

declare -A DATABASES=()	# where a script runs, if not in the usual one
declare -A CONNECTED=()	# CPU µs of the connections of a contestant
declare -A SERVERS=()	# whose CPU time is counted, if not PostgreSQL's
declare -A RUNNERS=()	# how it is run, if not by pgbench

# Run a contestant once and print "calls-a-second calls CPU-µs".
run_once() { # NAME CLIENTS SECONDS
	local before answer servers=${SERVERS[$1]:-$POSTMASTER}

	before=$(cpu_us $servers)
	answer=$("${RUNNERS[$1]:-run_pgbench}" "$@")
	case $1 in gov_ingest* | gov_consume* | ingest_* | consume_*) roll_up "${DATABASES[$1]:-$PGDATABASE}" ;; esac
	echo "$answer $(($(cpu_us $servers) - before))"
}

# Measure contestants side by side.
side_by_side() { # CLIENTS... -- NAME...
	local clients=() names=() n round name tps calls cpu c

	while [ "$1" != -- ]; do clients+=("$1"); shift; done
	shift
	names=("$@")
	for c in "${clients[@]}"; do
		for name in "${names[@]}"; do
			run_once "$name" "$c" 1 >/dev/null	# warm up
			read -r tps calls cpu < <(run_once "$name" "$c" CONNECT)
			CONNECTED[$name/$c]="$cpu $calls"
		done
		for ((round = 0; round < ROUNDS; round++)); do
			run_sql -c checkpoint
			for ((n = 0; n < ${#names[@]}; n++)); do
				name=${names[$(((n + round) % ${#names[@]}))]}
				read -r tps calls cpu < <(run_once "$name" "$c" "$DURATION")
				printf 'run\t%s\t%s\t%d\t%d\t%s\t%s\n' "$section" "$name" "$c" "$round" "$tps" \
					"$(awk -v calls="$calls" -v cpu="$cpu" -v connected="${CONNECTED[$name/$c]}" '
						BEGIN {split(connected, base, " "); printf "%.2f", (calls > base[2] ? (cpu - base[1]) / (calls - base[2]) : 0)}')" >>"$RAW"
			done
		done
		awk -F'\t' -v section="$section" -v c="$c" '$1 == "run" && $2 == section && $4 == c && $5 == 0 {printf "  %-22s %3d clients %10.0f/s %8.1f us CPU\n", $3, $4, $6, $7}' "$RAW"
	done
}

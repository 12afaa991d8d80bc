# Sourced by bench/run: its sections.

# CPU µs of the backend so far.
CPU_FUNCTION="create function pg_temp.cpu() returns numeric language sql as
    \$\$select 10000 * (s[12]::numeric + s[13]::numeric) from string_to_array(regexp_replace(pg_read_file('/proc/self/stat'), '^.*\) ', ''), ' ') as s\$\$;"

# CPU µs of a backend for each row of "generate_series(1, COUNT) n", beyond those of the same statement without the call.
in_server_us() { # CALL COUNT
	run_sql <<-SQL | tail -n 1
		$CPU_FUNCTION
		create temporary table clock (n int, cpu numeric);
		select count($1) from generate_series(1, $2) as n;
		insert into clock select 1, pg_temp.cpu();
		select count($1) from generate_series(1, $2) as n;
		insert into clock select 2, pg_temp.cpu();
		select count(array['agent-' || 1 + n % 9000]) from generate_series(1, $2) as n;
		insert into clock select 3, pg_temp.cpu();
		select round((2 * b.cpu - a.cpu - c.cpu) / $2, 2) from clock as a, clock as b, clock as c where a.n = 1 and b.n = 2 and c.n = 3;
	SQL
}

stat() { run_sql -c "select coalesce((select value from gov_stats where name = '$1'), 0)"; }

now_s() { date +%s.%N; }
since() { awk -v a="$1" -v b="$(now_s)" 'BEGIN {printf "%.2f", b - a}'; }
middle() { set -- $CLIENTS; echo "${2:-$1}"; }

restart_server() { # MODE
	as_user "$BINDIR/pg_ctl" -D "$PGHOST" -l "$PGHOST/server.log" -m "$1" -w restart >/dev/null
	POSTMASTER=$(head -n 1 "$PGHOST/postmaster.pid")
}

section_gate() {
	side_by_side $CLIENTS -- select_1 gov_allowed gov_check
	fact "gov_allowed within the server, 10,000 budgets, µs CPU" "$(in_server_us "gov_allowed('zipf', 'calls', 1, null, array['agent-' || 1 + n % 9000])" 500000)" "at most 1.0"
}

# Read every agent of an owner into memory.
warm() { # OWNER AGENTS
	run_sql -c "select count(gov_allowed('$1', 'calls', 1, null, array['agent-' || n])) from generate_series(1, $2) as n" >/dev/null
}

section_durable() {
	warm zipf 9000
	side_by_side $CLIENTS -- bare_commit insert_1_index insert_events gov_ingest ingest_watched gov_consume consume_32_owners consume_zipf \
		counter_rows "${PEERS[@]}"
	fact "one statement of 200,000 warm gov_consume, µs CPU each" \
		"$(in_server_us "gov_consume('zipf', 'calls', 1, null, array['agent-' || 1 + n % 9000])" 200000)" "at most 8"
	roll_up postgres
}

# Items a second: calls one by one of 32 clients, 200 to a call of 8, and 200 to a pipeline of 8, in turns.
section_many() {
	local name round tps calls cpu names=(gov_consume consume_many consume_many_keys ingest_many_200)
	declare -A rates=() costs=()

	[ -z "${SERVERS[redis_pipelined]:-}" ] || names+=(redis_pipelined)
	for name in "${names[@]}"; do run_once "$name" "$(many_clients "$name")" 1 >/dev/null; done
	for ((round = 0; round < ROUNDS; round++)); do
		for name in "${names[@]}"; do
			read -r tps calls cpu < <(run_once "$name" "$(many_clients "$name")" "$DURATION")
			rates[$name]+="$tps"$'\n'
			costs[$name]+="$(awk -v cpu="$cpu" -v calls="$calls" 'BEGIN {print cpu / calls}')"$'\n'
		done
	done
	for name in "${names[@]}"; do
		rates[$name]=$(median <<<"${rates[$name]%$'\n'}")
		fact "$name, $(many_clients "$name") clients: items a second" "$(printf '%.0f' "${rates[$name]}")"
		fact "$name: CPU of the server, µs an item" "$(median <<<"${costs[$name]%$'\n'}")"
	done
	for name in consume_many consume_many_keys; do
		fact "$name to gov_consume one by one" "$(ratio "${rates[$name]}" "${rates[gov_consume]}")" "at least $([ "$name" = consume_many ] && echo 4 || echo 3)"
		[ -z "${rates[redis_pipelined]:-}" ] ||
			fact "$name to redis_pipelined" "$(ratio "${rates[$name]}" "${rates[redis_pipelined]}")" "at least 1.0"
	done
}

many_clients() { [ "$1" = gov_consume ] && echo 32 || echo 8; }
ratio() { awk -v a="$1" -v b="$2" 'BEGIN {printf "%.2f", a / b}'; }

# An owner of so many budgets, all in memory.
make_big() { # BUDGETS
	local agents=$(($1 * 9 / 10)) parts start before loads
	[ "$(run_sql -c "select count(*) from gov_entities where owner_id = 'big-$1' limit 1")" = 0 ] || return 0

	write_tree postgres "big-$1" "$agents"
	run_sql -c "vacuum analyze gov_entities, gov_assignments"
	script "allowed_$1" <<-SQL
		\set n random(1, $agents)
		select gov_allowed('big-$1', 'calls', 1, null, array['agent-' || :n]);
	SQL
	script "consume_$1" <<-SQL
		\set n random(1, $agents)
		select is_granted from gov_consume('big-$1', 'calls', 1, null, array['agent-' || :n]);
	SQL
	before=$(stat cache_used_bytes) loads=$(stat cache_nodes) start=$(now_s)
	load_big "$1"
	fact "$1 budgets: all of them read into memory, seconds" "$(since "$start")"
	fact "$1 budgets: bytes of memory an entity with its budget" \
		"$(awk -v bytes=$(($(stat cache_used_bytes) - before)) -v nodes=$(($(stat cache_nodes) - loads)) 'BEGIN {printf "%.0f", (nodes > 0 ? bytes / nodes : 0)}')" "at most 320"
}

load_big() { # BUDGETS
	local agents=$(($1 * 9 / 10)) part pids=()

	for part in $(seq 0 $(($(nproc) - 1))); do
		run_sql -c "select count(gov_allowed('big-$1', 'calls', 1, null, array['agent-' || n])) from generate_series($part + 1, $agents, $(nproc)) as n" >/dev/null &
		pids+=($!)
	done
	wait "${pids[@]}"
}

section_budgets() {
	local size names=()

	for size in $BUDGETS; do
		make_big "$size"
		names+=("allowed_$size" "consume_$size")
		fact "$size budgets: gov_allowed within the server, µs CPU" \
			"$(in_server_us "gov_allowed('big-$size', 'calls', 1, null, array['agent-' || 1 + n::bigint * 7919 % $((size * 9 / 10))])" 500000)" "at most $([ "$size" -gt 10000 ] && echo 2.0 || echo 1.0)"
	done
	side_by_side "$(middle)" -- "${names[@]}"
}

# So many uses of users, each one's first: of users that are there, and of others that the use creates.
section_first_use() {
	local name clients seconds
	declare -A rate=()

	clients=$(middle)
	make_users $((2 * USERS + DURATION * (ROUNDS + 2) * 10000))
	run_once consume_known "$clients" 1 >/dev/null
	for name in consume_ready_made consume_first_use consume_ready_made consume_first_use; do
		seconds=$(now_s)
		pgbench -n -M prepared -f "$SANDBOX/$name.sql" -c "$clients" -j "$(nproc)" -t $((USERS / clients)) >/dev/null 2>&1 || die "pgbench $name"
		rate[$name]+="$(awk -v users="$USERS" -v s="$(since "$seconds")" 'BEGIN {printf "%.0f ", users / s}')"
		roll_up postgres
	done
	for name in ready_made first_use; do
		fact "$USERS users, $clients clients: first gov_consume of each, $([ "$name" = first_use ] && echo "which creates them" || echo "of users that somebody made"), a second, in turns" "${rate[consume_$name]}"
	done
	fact "of users that it creates to of ready-made ones" "$(awk -v a="${rate[consume_first_use]}" -v b="${rate[consume_ready_made]}" '
		BEGIN {n = split(a, x); split(b, y); for (i = 1; i <= n; i++) t += x[i] / y[i] / n; printf "%.2f", t}')" ">= 0.5"
	side_by_side "$clients" -- consume_known consume_ready_made consume_first_use consume_inserted
	roll_up postgres
	run_sql -c "alter system reset governance.created_entities_max" -c "select pg_reload_conf()" >/dev/null
}

section_chains() {
	side_by_side "$(middle)" -- gov_allowed allowed_chain_32 allowed_20_budgets gov_consume consume_chain_32 consume_20_budgets
}

# Three meters of one request: one call of each, one call of all of them, and three calls in a transaction.
section_meters() {
	make_meters
	side_by_side $CLIENTS -- gov_check check_meters gov_consume consume_meters consume_apart
}

section_prices() {
	make_prices
	side_by_side "$(middle)" -- check_all check_all_priced consume_all consume_all_priced
}

# Bytes of the cache that an owner takes who is not in memory yet.
loaded_bytes() { # OWNER
	local before

	run_sql -c "select gov_drop_cache()" >/dev/null
	before=$(stat cache_used_bytes)
	run_sql -c "select gov_allowed('$1', 'calls', 1, null, '{agent}')" >/dev/null
	awk -v a="$before" -v b="$(stat cache_used_bytes)" 'BEGIN {print b - a}'
}

section_pools() {
	local plain owner

	make_pools
	plain=$(loaded_bytes plain)
	fact "bytes of the cache for a grant, of 256" "$((($(loaded_bytes pool-256) - plain) / 256))"
	side_by_side $CLIENTS -- check_plain check_pool check_pool_256 consume_plain consume_pool consume_pool_256
	for owner in plain pool-3 pool-256; do
		fact "one statement of 100,000 warm gov_consume, $owner, µs CPU each" "$(in_server_us "gov_consume('$owner', 'calls', 1, null, '{agent}')" 100000)"
	done
}

section_cache() {
	local size agents cold used hits loads answer tps calls cpu

	size=$(printf '%s\n' $BUDGETS | sort -n | tail -n 1) agents=$((size * 9 / 10))
	make_big "$size"
	side_by_side "$(middle)" -- "allowed_$size"
	used=$(stat cache_used_bytes)
	cold=$(run_sql -c "select gov_drop_cache()" -c "explain (analyze, timing off, summary on) select count(gov_allowed('big-$size', 'calls', 1, null, array['agent-' || n * 17])) from generate_series(1, 2000) as n" |
		sed -n 's/Execution Time: \([0-9.]*\) ms/\1/p')
	fact "a cold gov_allowed, 2,000 of them in one statement, µs each" "$(awk -v ms="$cold" 'BEGIN {printf "%.0f", ms / 2}')"

	run_sql -c "alter system set governance.cache_size = '$((used / 10240 > 4096 ? used / 10240 : 4096))kB'"
	restart_server fast
	script cache_tenth <<-SQL
		\set n random_zipfian(1, $agents, 1.07)
		select gov_allowed('big-$size', 'calls', 1, null, array['agent-' || :n]);
	SQL
	run_once cache_tenth "$(middle)" $((2 * DURATION)) >/dev/null
	hits=$(stat cache_hits) loads=$(stat cache_loads)
	answer=$(run_once cache_tenth "$(middle)" $((5 * DURATION)))
	read -r tps calls cpu <<<"$answer"
	loads=$(($(stat cache_loads) - loads)) hits=$(($(stat cache_hits) - hits))
	fact "a cache of a tenth of $size budgets, zipf 1.07: calls a second" "$tps"
	fact "a cache of a tenth: calls that found all in memory, per cent" "$(awk -v hits="$hits" -v calls="$calls" 'BEGIN {printf "%.1f", 100 * hits / calls}')"
	fact "a cache of a tenth: nodes read per 100 calls" "$(awk -v loads="$loads" -v calls="$calls" 'BEGIN {printf "%.1f", 100 * loads / calls}')"
	fact "a cache of a tenth: CPU of the server, µs a call" "$(awk -v cpu="$cpu" -v calls="$calls" 'BEGIN {printf "%.0f", cpu / calls}')"
	run_sql -c "alter system reset governance.cache_size"
	restart_server fast
}

section_restart() {
	local start ready first cpu behind last_id load seen=

	# a transaction that is left open keeps them from being rolled up
	mkfifo "$SANDBOX/idle"
	run_sql <"$SANDBOX/idle" >/dev/null 2>&1 &
	exec 4>"$SANDBOX/idle"
	echo "begin; select gov_ingest('acme', 'calls', 1, null, '{agent-1}');" >&4
	sleep 1
	run_sql -c "select count(gov_ingest('zipf', 'calls', 1, null, array['agent-' || 1 + n % 9000])) from generate_series(1, $TAIL) as n" >/dev/null
	start=$(now_s)
	restart_server fast
	exec 4>&-
	ready=$(since "$start") start=$(now_s)
	cpu=$(run_sql <<-SQL | awk 'NR == 1 {before = $1} {after = $1} END {printf "%.2f", (after - before) / 1000000}'
		$CPU_FUNCTION
		select pg_temp.cpu();
		select is_granted from gov_consume('zipf', 'calls', 1, null, '{agent-1}') \\g /dev/null
		select pg_temp.cpu();
	SQL
	)
	first=$(since "$start") behind=$(stat rollup_lag_events) last_id=$(run_sql -c "select last_value from gov_events_id_seq")
	run_pgbench consume_zipf "$(middle)" "$DURATION" >"$SANDBOX/rate" & load=$!
	for _ in $(seq 600); do
		seen+="$(stat rollup_lag_events)"$'\n'
		[ "$(run_sql -c "select coalesce(max(watermark), 0) < $last_id from gov_rollup_state")" = t ] || break
		sleep 0.2
	done
	fact "restart with $TAIL events not rolled up: the server accepts connections, seconds" "$ready"
	fact "restart: the first gov_consume, which reads them all, seconds" "$first"
	fact "restart: its CPU, seconds" "$cpu" "at most 1"
	fact "restart: all of them rolled up, seconds" "$(since "$start")" "at most 10"
	fact "restart: events behind, $behind at first: different figures that gov_stats told meanwhile" "$(sort -u <<<"$seen" | grep -c .)"
	wait "$load" || die "pgbench: $(cat "$SANDBOX/rate")"
	fact "restart: gov_consume of $(middle) clients over 9,000 agents meanwhile, a second" "$(cut -d' ' -f1 "$SANDBOX/rate")"
	roll_up postgres
}

p99_us() { # NAME SECONDS
	rm -f "$SANDBOX"/latency.*
	pgbench -n -M prepared -f "$SANDBOX/$1.sql" -c 1 -T "$2" -l --log-prefix="$SANDBOX/latency" >/dev/null 2>&1
	cat "$SANDBOX"/latency.* | awk '{print $3}' | sort -n | awk '{v[NR] = $1} END {n = int(NR * 0.99); if (n < 1) n = 1; print v[n]}'
}

section_latency() {
	local name quiet busy load report import

	make_big "${BUDGETS%% *}"
	for name in gov_allowed select_1; do
		quiet=$(p99_us "$name" $((2 * DURATION)))
		pgbench -n -M prepared -f "$SANDBOX/consume_zipf.sql" -c 2 -T 1000 >/dev/null 2>&1 & load=$!
		while :; do run_sql -c "select count(*) from gov_report('big-${BUDGETS%% *}')" >/dev/null || break; done & report=$!
		(write_tree postgres "import-$name" "$IMPORT"; exec sleep 1000) & import=$!
		busy=$(p99_us "$name" $((5 * DURATION)))
		for job in $load $report $import; do kill_tree "$job"; done
		wait "$load" "$report" "$import" 2>/dev/null || true
		fact "p99 of $name when nothing else runs, µs" "$quiet"
		fact "p99 of $name beside gov_consume of 2 clients and its rollup, an import of $IMPORT entities and reports, µs" "$busy"
		fact "p99 of $name, busy to quiet" "$(awk -v a="$busy" -v b="$quiet" 'BEGIN {printf "%.1f", a / b}')" "$([ "$name" = select_1 ] && echo "what the machine has" || echo "at most 3")"
	done
	roll_up postgres
}

# A customer of 10,000 budgets, all of them used, in two databases. In the other one there are more owners, each with as many; and
# here a table that has in its columns what gov_query finds out.
section_query() {
	local database owner

	run_sql -c "create database crowded" >/dev/null
	run_sql -d crowded >/dev/null <<-'SQL'
		create extension governance;
		select gov_upsert_entity_types('[{"id": "org"}, {"id": "dept"}, {"id": "team"}, {"id": "user"}, {"id": "agent"}]');
		select gov_upsert_capabilities('[{"id": "calls"}]');
	SQL
	for owner in $(seq $(((OTHERS + 9999) / 10000))); do write_tree crowded "other-$owner" 9000; done
	for database in postgres crowded; do
		write_tree "$database" large 9000
		run_sql -d "$database" >/dev/null <<-'SQL'
			select count(gov_ingest('large', 'calls', 1 + abs(hashtext(id || '-used')) % 900, null, array[id]))
			from gov_entities where owner_id = 'large' and type_id = 'agent';
			vacuum analyze;
		SQL
	done
	run_sql <<-'SQL'
		create table plain_budgets as
		select b.*, e.created_at from gov_budgets as b join gov_entities as e on (e.owner_id, e.id) = (b.owner_id, b.entity_id)
		where b.owner_id = 'large';
		create index on plain_budgets (owner_id, utilization desc nulls last);
		vacuum analyze plain_budgets;
	SQL
	script gov_query <<<"select gov_query('large', '{calls}');"
	script query_crowded <<<"select gov_query('large', '{calls}');"
	DATABASES[query_crowded]=crowded
	script select_20 <<-'SQL'
		select entity_id, display_name, type_id, parent_id, capability_id, scope_entity_ids, name, usage_limit, current_usage, reserved_usage,
		    remaining, allocated, utilization, cadence, usage_period_start, usage_period_end, enforcement, locked
		from plain_budgets where owner_id = 'large' and capability_id = any ('{calls}') order by utilization desc nulls last limit 20;
	SQL
	side_by_side 1 "$(middle)" -- select_20 gov_query query_crowded
}

# By the server's own account, while clients ingest as fast as they can: events a second, and how old the oldest event is that is
# not rolled up, in seconds.
section_lag() {
	local c load threads seen

	for c in $CLIENTS; do
		threads=$c
		[ "$threads" -le "$(nproc)" ] || threads=$(nproc)
		pgbench -n -M prepared -f "$SANDBOX/consume_zipf.sql" -c "$c" -j "$threads" -T $((4 * DURATION)) >"$SANDBOX/lag_load" 2>&1 & load=$!
		sleep "$DURATION"
		seen=$(for _ in $(seq $((2 * DURATION * 5))); do stat rollup_lag_seconds; sleep 0.2; done | sort -g)
		wait "$load" || die "pgbench: $(cat "$SANDBOX/lag_load")"
		fact "$c clients, $(sed -n 's/^tps = \([0-9]*\).*/\1/p' "$SANDBOX/lag_load") gov_consume a second: the rollup behind by, seconds (median)" "$(median <<<"$seen")"
		fact "$c clients: at most" "$(tail -n 1 <<<"$seen")"
		roll_up postgres
	done
}

# What 10,000 calls read in a new connection once the chain is cached; its first call reads the vendor's types and capabilities.
# The worker's rollup is held off, and gov_reservations, where it looks for holds whose time has come once a second, is left out.
section_reads() {
	local call

	run_sql -c "alter system set governance.rollup_interval = '1h'" -c "select pg_reload_conf()" >/dev/null
	sleep 2
	for call in gov_allowed gov_check gov_ingest gov_consume; do
		pgbench -n -M prepared -f "$SANDBOX/$call.sql" -t 10 >/dev/null 2>&1
		sleep 1
		run_sql -c "select pg_stat_reset()" >/dev/null
		pgbench -n -M prepared -f "$SANDBOX/$call.sql" -t 10000 >/dev/null 2>&1
		sleep 1
		fact "10,000 $call: scans of the extension's tables" "$(run_sql -c "
			select sum(seq_scan + coalesce(idx_scan, 0)) from pg_stat_user_tables where relname ~ '^gov_' and relname <> 'gov_reservations'")" "2, of the first call"
	done
	run_sql -c "alter system reset governance.rollup_interval" -c "select pg_reload_conf()" >/dev/null
}

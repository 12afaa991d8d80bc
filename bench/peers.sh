# Sourced by bench/run: Redis, with and without a disk, and rate-limiter-flexible, with throwaway servers of their own.
#
# One call of Redis is a script that reads the limits and counts of five keys, and adds to all of them if none passes. It records
# nothing else: no event, no key, no window.

REDIS_PORT=$((20000 + $$ % 10000))
declare -A PIPELINED=()	# calls at a time
PEERS=()

start_redis() { # NAME PORT SETTING...
	local name=$1 port=$2
	shift 2

	as_user mkdir "$SANDBOX/$name"
	as_user redis-server --port "$port" --bind 127.0.0.1 --dir "$SANDBOX/$name" --pidfile "$SANDBOX/$name/pid" --save '' \
		--daemonize yes --logfile "$SANDBOX/$name/log" "$@" >/dev/null
	for _ in $(seq 100); do
		! redis-cli -p "$port" ping >/dev/null 2>&1 || break
		sleep 0.1
	done
	for n in 1 2 3 4 5; do redis-cli -p "$port" hset "budget:$n" limit 1000000000000 used 0 >/dev/null; done
	REDIS_SHA=$(redis-cli -p "$port" script load "$(cat "$BENCH/counters.lua")")
	SERVERS[$name]=$(cat "$SANDBOX/$name/pid")
	RUNNERS[$name]=run_redis
}

# redis-benchmark stops after a number of calls: as many as the last run makes one expect.
run_redis() { # NAME CLIENTS SECONDS
	local rate_file=$SANDBOX/rate.$1.$2 port calls out

	port=$REDIS_PORT
	[ "$1" = redis_memory ] || port=$((REDIS_PORT + 1))
	calls=$2
	[ "$3" = CONNECT ] || calls=$(awk -v rate="$(cat "$rate_file" 2>/dev/null || echo 2000)" -v s="$3" 'BEGIN {printf "%d", rate * s + 1}')
	out=$(redis-benchmark -h 127.0.0.1 -p "$port" -c "$2" -n "$calls" -P "${PIPELINED[$1]:-1}" -q \
		EVALSHA "$REDIS_SHA" 5 budget:1 budget:2 budget:3 budget:4 budget:5 1 | tr '\r' '\n')
	out=$(sed -n 's/.*: \([0-9.]*\) requests per second.*/\1/p' <<<"$out" | tail -n 1)
	[ "$3" = CONNECT ] || echo "$out" >"$rate_file"
	echo "$out $calls"
}

run_limiter() { # NAME CLIENTS SECONDS
	NODE_PATH=$SANDBOX/node/node_modules node "$BENCH/limiter.js" "${1#limiter_}" "$2" "$3" "$REDIS_PORT" "$PGHOST" "$PGUSER" "$PGDATABASE"
}

start_peers() {
	trap 'stop_peers; sandbox_close' EXIT
	if command -v redis-server >/dev/null; then
		start_redis redis_memory "$REDIS_PORT" --appendonly no
		start_redis redis_fsync $((REDIS_PORT + 1)) --appendonly yes --appendfsync always
		PEERS+=(redis_memory redis_fsync)
		SERVERS[redis_pipelined]=${SERVERS[redis_fsync]}
		RUNNERS[redis_pipelined]=run_redis
		PIPELINED[redis_pipelined]=200
	fi
	if [ -d "$SANDBOX/node/node_modules/rate-limiter-flexible" ]; then
		RUNNERS[limiter_postgres]=run_limiter
		PEERS+=(limiter_postgres)
		if [ -n "${SERVERS[redis_memory]:-}" ]; then
			RUNNERS[limiter_redis]=run_limiter
			SERVERS[limiter_redis]=${SERVERS[redis_memory]}
			PEERS+=(limiter_redis)
		fi
	fi
}

peer_versions() {
	local package=$SANDBOX/node/node_modules/rate-limiter-flexible/package.json

	if command -v redis-server >/dev/null; then
		redis-server --version | sed 's/.* v=\([0-9.]*\).*/Redis \1, /' | tr -d '\n'
	else
		printf 'no Redis, '
	fi
	if [ -e "$package" ]; then
		sed -n 's/.*"version": "\([0-9.]*\)".*/rate-limiter-flexible \1/p' "$package" | tr -d '\n'
	else
		printf 'no rate-limiter-flexible'
	fi
}

# Redis is not of the servers that the sandbox knows to stop.
stop_peers() {
	local status=$? name

	for name in redis_memory redis_fsync; do
		[ -z "${SERVERS[$name]:-}" ] || kill "${SERVERS[$name]}" 2>/dev/null || true
	done
	return $status
}

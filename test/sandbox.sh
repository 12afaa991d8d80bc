# Sourced by test/check, examples/demo/run, bench/run and bench/growth.
#
# Finds PostgreSQL, installing from Debian's packages what is missing, and
# gives the caller a temporary directory with a copy of that PostgreSQL and of
# this tree, in which an unprivileged user builds and runs.  Nothing outside
# the directory is written, no cluster of the machine is made or touched, and
# when everything is present nothing is fetched.
#
#   sandbox_open NEED...     find or install; make $SANDBOX ($SOURCE, $BINDIR)
#   sandbox_try NEED...      install more, that a test can do without: it skips and says why
#   sandbox_build COPT       compile with these extra flags and install
#   sandbox_start NAME [ENCODING]  a server in $SANDBOX/NAME; settings on stdin; PGHOST and others name it from then on
#   sandbox_stop             stops it
#   as_user COMMAND...       run as the unprivileged user
#
# The user may choose: PG_CONFIG=/path/to/pg_config, or PG_MAJOR=17.

set -euo pipefail

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
SANDBOX=

# What a server or a client does here is not for the user's surroundings to decide. The locale is C, which every machine
# has; whoever makes a database names its encoding; libpq knows what it is told below and nothing else.
for name in $(compgen -e); do
	case $name in
		PG_CONFIG | PG_MAJOR) ;;
		LANG | LANGUAGE | LC_* | PG[A-Z]* | PSQL*) unset "$name" ;;
	esac
done
export LANG=C

say() { printf '%s\n' "$*"; }
die() { printf 'error: %s\n' "$*" >&2; exit 1; }

# ---------------------------------------------------------------- packages

as_root() {
	if [ "$(id -u)" -eq 0 ]; then
		"$@"
	elif command -v sudo >/dev/null; then
		sudo "$@"
	else
		die "missing packages: run as root, install sudo, or install them yourself"
	fi
}

# Debian's postgresql-NN makes and starts a cluster, and pgbouncer starts itself, unless told not to.
apt_install() {
	local dropin=/etc/postgresql-common/createcluster.d/zz-governance.conf policy=/usr/sbin/policy-rc.d log status=0

	command -v apt-get >/dev/null || die "not found, and no apt-get to install it: $*"
	say "installing $*"
	as_root mkdir -p "${dropin%/*}"
	echo 'create_main_cluster = false' | as_root tee "$dropin" >/dev/null
	if [ -e "$policy" ]; then
		policy=
	else
		printf '#!/bin/sh\nexit 101\n' | as_root tee "$policy" >/dev/null
		as_root chmod a+x "$policy"
	fi
	log=$(mktemp)
	# a new machine may be upgrading itself just now: its packages are waited for
	as_root env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 install -qq -y \
		--no-install-recommends "$@" >"$log" 2>&1 || status=$?
	as_root rm -f "$dropin" $policy
	[ $status -eq 0 ] || tail -n 20 "$log" >&2
	rm -f "$log"
	[ $status -eq 0 ] || die "apt-get could not install $*"
}

APT_UPDATED=
apt_update() {
	[ -z "$APT_UPDATED" ] || return 0
	command -v apt-get >/dev/null || die "PostgreSQL is not installed: set PG_CONFIG"
	as_root apt-get update -qq || say "apt-get update failed; going on with the lists that are there"
	APT_UPDATED=yes
}

# Which PostgreSQL: PG_CONFIG, else PG_MAJOR, else the newest installed, else Debian's own.
choose_postgres() {
	if [ -z "${PG_CONFIG:-}" ]; then
		if [ -z "${PG_MAJOR:-}" ]; then
			PG_MAJOR=$(find /usr/lib/postgresql -path '*/bin/postgres' 2>/dev/null | cut -d/ -f5 | sort -n | tail -n 1 || true)
		fi
		if [ -z "$PG_MAJOR" ]; then
			apt_update
			PG_MAJOR=$(apt-cache depends postgresql | sed -n 's/.*Depends: postgresql-\([0-9]*\)$/\1/p')
		fi
		[ -n "$PG_MAJOR" ] || die "no PostgreSQL found: set PG_CONFIG"
		PG_CONFIG=/usr/lib/postgresql/$PG_MAJOR/bin/pg_config
	fi
	case $PG_CONFIG in
		/*) ;;
		*) PG_CONFIG=$(command -v "$PG_CONFIG") || die "PG_CONFIG not found" ;;
	esac
	[ ! -x "$PG_CONFIG" ] || PG_MAJOR=$("$PG_CONFIG" --version | sed 's/^PostgreSQL \([0-9]*\).*/\1/')
}

install_missing() {
	local missing=() need

	command -v cc >/dev/null || missing+=(gcc libc6-dev)
	if [ ! -x "$PG_CONFIG" ] || [ ! -x "$("$PG_CONFIG" --bindir)/postgres" ]; then
		missing+=("postgresql-$PG_MAJOR" "postgresql-server-dev-$PG_MAJOR")
	elif [ ! -e "$("$PG_CONFIG" --includedir-server)/postgres.h" ] || [ ! -e "$("$PG_CONFIG" --pgxs)" ]; then
		missing+=("postgresql-server-dev-$PG_MAJOR")
	fi
	for need in "$@"; do
		case $need in
			IPC::Run) perl -MIPC::Run -e1 2>/dev/null || missing+=(libipc-run-perl) ;;
			DBD::Pg) perl -MDBD::Pg -e1 2>/dev/null || missing+=(libdbd-pg-perl) ;;
			pgbouncer) PATH=$PATH:/usr/sbin command -v pgbouncer >/dev/null || missing+=(pgbouncer) ;;
			prove) command -v prove >/dev/null || missing+=(perl) ;;
			*) die "unknown need: $need" ;;
		esac
	done
	if [ ${#missing[@]} -gt 0 ]; then
		apt_update
		apt_install "${missing[@]}"
	fi
	[ -x "$PG_CONFIG" ] || die "no pg_config at $PG_CONFIG"
}

# ---------------------------------------------------------------- the directory

as_user() {
	if [ -n "$RUN_AS" ]; then
		setpriv --reuid="$RUN_AS" --regid="$(id -g "$RUN_AS")" --clear-groups -- \
			env HOME="$SANDBOX" TMPDIR="$SANDBOX" "$@"
	else
		env HOME="$SANDBOX" TMPDIR="$SANDBOX" "$@"
	fi
}

# Where the directory goes. PGXS takes no path with a space, and a socket's path has 107 characters at most.
parent_directory() {
	local parent=${TMPDIR:-/tmp}

	case $parent in
		*[!A-Za-z0-9/._-]*) parent=/tmp ;;
	esac
	[ ${#parent} -le 40 ] || parent=/tmp
	printf '%s\n' "$parent"
}

sandbox_open() {
	local dir

	choose_postgres
	install_missing "$@"

	# servers refuse to run as root
	RUN_AS=
	if [ "$(id -u)" -eq 0 ]; then
		RUN_AS=postgres
		id "$RUN_AS" >/dev/null 2>&1 || RUN_AS=nobody
	fi

	SANDBOX=$(mktemp -d "$(parent_directory)/gov.XXXXXX")
	trap sandbox_close EXIT
	trap 'exit 130' INT
	trap 'exit 143' TERM
	[ -z "$RUN_AS" ] || chown "$RUN_AS" "$SANDBOX"
	cd "$SANDBOX"

	# PostgreSQL finds its files relative to its own, so a copy just works
	PGTREE=$SANDBOX/pg
	for dir in --bindir --pkglibdir --sharedir; do
		dir=$("$PG_CONFIG" $dir)
		as_user mkdir -p "$PGTREE$dir"
		as_user cp -R "$dir/." "$PGTREE$dir"
	done
	BINDIR=$PGTREE$("$PG_CONFIG" --bindir)
	PGXS_TESTS=$PGTREE$(dirname "$("$PG_CONFIG" --pgxs)")/../test
	export PATH="$BINDIR:$PATH"

	SOURCE=$SANDBOX/source
	as_user mkdir "$SOURCE"
	tar -C "$ROOT" --exclude=./.git --exclude='*.o' --exclude='*.bc' --exclude='*.so' --exclude='./sql/governance--*.sql' -cf - . |
		as_user tar -C "$SOURCE" --no-same-owner -xf -
}

# postmasters announce their pid in their data directory: stop ours, and only ours
stop_servers() {
	local file pid

	while read -r file; do
		{ read -r pid <"$file"; } 2>/dev/null || continue
		kill -QUIT "$pid" 2>/dev/null || continue
		for _ in $(seq 100); do
			kill -0 "$pid" 2>/dev/null || break
			sleep 0.1
		done
	done < <(find "$SANDBOX" -maxdepth 6 -name postmaster.pid 2>/dev/null)
}

kill_tree() {
	local child

	for child in $(cat /proc/"$1"/task/*/children 2>/dev/null); do kill_tree "$child"; done
	kill "$1" 2>/dev/null || true
}

sandbox_close() {
	local status=$? job

	trap - EXIT
	trap '' INT TERM
	for job in $(jobs -p); do kill_tree "$job"; done
	wait
	cd /
	if [ -n "$SANDBOX" ]; then
		stop_servers
		rm -rf "$SANDBOX"
	fi
	exit $status
}

pkglibdir() { "$PG_CONFIG" --pkglibdir; }

# Installs node's packages below a directory. npm is the user's, and gets them as the caller's npm does: a user who is not the
# caller would not see where the caller's npm has its registry and its certificates from.
npm_install() { # DIRECTORY OPTION... PACKAGE...
	local directory=$1 name value settings=()

	shift
	for name in registry cafile; do
		value=$(npm config get "$name" 2>/dev/null) || continue
		case $value in
			'' | null | undefined) ;;
			*) settings+=("npm_config_$name=$value") ;;
		esac
	done
	as_user env "${settings[@]}" npm install --prefix "$directory" --silent --ignore-scripts --no-audit --no-fund "$@"
}

# Debian's packages for node belong to Debian's nodejs; where that is another one, npm came with it.
sandbox_try() {
	local need

	for need in "$@"; do
		case $need in
			psycopg)
				/usr/bin/python3 -c 'import psycopg, psycopg_pool' 2>/dev/null ||
					(apt_update; apt_install python3-psycopg python3-psycopg-pool) || true ;;
			node-pg)
				if [ -d /usr/share/nodejs/pg ] && [ -d /usr/share/nodejs/typescript ]; then
					continue
				elif [ -d "$SOURCE/examples/typescript/node_modules" ]; then
					continue
				elif command -v npm >/dev/null; then
					npm_install "$SOURCE/examples/typescript" --fetch-retries=0 || say "npm could not install pg and typescript"
				else
					(apt_update; apt_install node-pg node-typescript) || true
				fi ;;
			alembic)
				/usr/bin/python3 -c 'import alembic, psycopg2' 2>/dev/null ||
					(apt_update; apt_install alembic python3-psycopg2) || true ;;
			wal2json)
				[ -e "$(pkglibdir)/wal2json.so" ] || (apt_update; apt_install "postgresql-$PG_MAJOR-wal2json") || true
				[ ! -e "$(pkglibdir)/wal2json.so" ] || as_user cp "$(pkglibdir)/wal2json.so" "$PGTREE$(pkglibdir)" ;;
			redis)
				command -v redis-server >/dev/null || (apt_update; apt_install redis-server redis-tools) || true ;;
			rate-limiter-flexible)
				command -v npm >/dev/null || (apt_update; apt_install nodejs npm) || true
				npm_install "$SANDBOX/node" rate-limiter-flexible@11 ioredis@5 pg@8 >/dev/null 2>&1 ||
					say "npm could not install rate-limiter-flexible" ;;
			*) die "unknown need: $need" ;;
		esac
	done
}

# What ccache has compiled for another sandbox is the same, wherever that was.
sandbox_make() {
	local cache=() home

	home=$(getent passwd "${RUN_AS:-$(id -un)}" | cut -d: -f6)
	if command -v ccache >/dev/null && as_user test -w "$home"; then
		cache=(env CCACHE_DIR="$home/.cache/ccache" CCACHE_BASEDIR="$SANDBOX" CCACHE_NOHASHDIR=1)
	fi
	as_user "${cache[@]}" make -s PG_CONFIG="$PG_CONFIG" with_llvm=no ${cache:+CC="ccache $("$PG_CONFIG" --cc)"} "$@"
}

sandbox_build() {
	local flags=$1

	say "building against $("$PG_CONFIG" --version)${flags:+ with $flags}"
	sandbox_make -C "$SOURCE" -j"$(nproc)" COPT="$flags" &&
		sandbox_make -C "$SOURCE" install COPT="$flags" DESTDIR="$PGTREE"
}

sandbox_start() {
	local data=$SANDBOX/$1 encoding=${2:-UTF8}

	as_user "$BINDIR/initdb" -D "$data" -U postgres -A trust -E "$encoding" --no-locale --no-sync >"$data.log" 2>&1 ||
		{ cat "$data.log" >&2; die "initdb failed"; }
	{
		echo "shared_preload_libraries = 'governance'"
		echo "listen_addresses = ''"
		echo "unix_socket_directories = '$data'"
		cat
	} | as_user tee -a "$data/postgresql.conf" >/dev/null
	as_user "$BINDIR/pg_ctl" -D "$data" -l "$data/server.log" -w start >/dev/null ||
		{ tail -n 20 "$data/server.log" >&2; die "the server did not start"; }
	export PGHOST=$data PGPORT=5432 PGUSER=postgres PGDATABASE=postgres
}

sandbox_stop() { as_user "$BINDIR/pg_ctl" -D "$PGHOST" -m fast -w stop >/dev/null; }

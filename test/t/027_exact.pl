# No two sessions pass on the same headroom, and none is lost. 64 clients consume, hold, settle, release and give back random
# amounts on one root and on random leaves, in two databases, directly and through pgbouncer in transaction mode, with savepoints,
# rollbacks, timeouts, cancelled statements and terminated sessions, while the root's limit goes up and down; then backends are
# killed and the server is restarted under them; then, with a constant limit, they fill what is left.
#
# What is proven, of the write-ahead log as logical decoding gives it, which is the order of the commits:
#   taken     what is committed: the uses, and the holds not ended yet, less what was given back
#   decided   a grant's own time is that of its decision: it is read under the lock that decides. began, when the call did
#   in force  a limit, from the moment its COMMIT is in the log until the next one's COMMIT has returned
# (1) After every commit, taken is at most the highest limit in force while the latest decided of the calls granted so far was
#     under way. For whatever that call saw contained all that is in taken, as nothing rolled back, and gave back no more than what
#     had been committed by then.
# (2) At every decision, what was granted until then and committed ever, less what may have been given back by then, is at most the
#     highest limit in force between the call's begin and its decision.
# (3) A budget with a constant limit is never past it, in any window.
# (4) At the end less is left of the root than the smallest request that was refused.
# (5) What a client was told after COMMIT is in the ledger, under its key, once; and the counts are the ledger's, after every restart.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use IPC::Run;
use PostgreSQL::Test::Utils;
use Test::More;
use GovTest;

use constant { CLIENTS => 64, LEAVES => 40, TRANSACTIONS => 40, DISASTERS => 8 };

my @databases = ('one', 'two');
my $seed = $ENV{EXACT_SEED} // int(rand(1e9));
note "EXACT_SEED=$seed";
srand($seed);

my $node = gov_node('exact', conf => <<CONF);
max_connections = 100
fsync = off
restart_after_crash = on
wal_level = logical
max_wal_size = 2GB
CONF
my $dir = PostgreSQL::Test::Utils::tempdir;

foreach my $database (@databases)
{
	$node->safe_psql('postgres', "create database $database");
	$node->safe_psql($database, <<SQL);
create extension governance;
insert into gov_entity_types (id) values ('org'), ('user');
insert into gov_capabilities (id) values ('tokens');

-- One root that everybody shares. Half of the leaves are only counted, the others have a budget for ever or for each second.
insert into gov_entities (owner_id, id, type_id) values ('acme', 'root', 'org');
insert into gov_entities (owner_id, id, type_id, parent_id) select 'acme', 'leaf-' || n, 'user', 'root' from generate_series(1, ${\LEAVES}) n;
insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit) values ('acme', 'root', 'tokens', 1000);
insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit, cadence)
select 'acme', 'leaf-' || n, 'tokens', case when n > ${\LEAVES} / 2 then 300 + n / 3.0 end, case n % 2 when 0 then 'PT1S' end
from generate_series(1, ${\LEAVES}) n;

create table acked (usage_limit numeric, at timestamptz);
create table refused (amount numeric);

-- What a client does. The caller that a use or a hold is recorded with tells when its call began.
create function began() returns void language sql volatile as
	'select set_config(''governance.caller'', clock_timestamp()::text, true)';

create function use(amount numeric, ids text[], key text default null) returns text language plpgsql as \$\$
declare
	answer record;
begin
	perform began();
	select * into answer from gov_consume('acme', 'tokens', amount, null, ids, key);
	return concat_ws(' ', case when answer.is_granted then 'event' else 'denied' end, answer.event_id, key);
end
\$\$;

create function hold(amount numeric, ids text[], key text default null, ttl interval default '1 hour') returns uuid language plpgsql as \$\$
begin
	perform began();
	return (select coalesce(reservation_id, '00000000-0000-0000-0000-000000000000') from gov_reserve('acme', 'tokens', amount, null, ids, key, ttl));
end
\$\$;

create function finish(hold uuid, how text, share numeric) returns text language plpgsql as \$\$
begin
	perform began();
	return case
		when hold = '00000000-0000-0000-0000-000000000000' then 'denied'
		when how = 'settle' then (select 'event ' || event_id from gov_settle(hold, (select trunc(amount * share, 9) from gov_reservations where id = hold)))
		else 'released ' || gov_release(hold)
	end;
end
\$\$;

-- Lowers and raises the root's limit about what is taken. Its decimals make each limit another.
create sequence limits;
create procedure swing(rounds int) language plpgsql as \$\$
declare
	wanted numeric;
begin
	for round in 1 .. rounds loop
		select trunc(current_usage + reserved_usage) + floor(random() * 700) - 200 + nextval('limits') / 1e9
		into wanted from gov_headroom('acme', 'tokens', 0, null, '{root}');
		wanted := greatest(wanted, 0.000000001);
		update gov_assignments set usage_limit = wanted where owner_id = 'acme' and entity_id = 'root';
		commit;
		insert into acked values (wanted, clock_timestamp());
		perform pg_sleep(0.05);
	end loop;
end
\$\$;

create view taken as
select current_usage + reserved_usage as amount, usage_limit from gov_headroom('acme', 'tokens', 0, null, '{root}');
SQL
	$node->safe_psql($database,
		"select pg_create_logical_replication_slot('exact_$database', 'test_decoding')");
}

# ---------------------------------------------------------------- pgbouncer

my $pooled = PostgreSQL::Test::Utils::tempdir_short;
my $pgbouncer;
{
	local $ENV{PATH} = "$ENV{PATH}:/usr/sbin";
	my ($host, $port) = ($node->host, $node->port);
	my $user = getpwuid($<);

	append_to_file("$dir/pgbouncer.ini", join("\n",
		'[databases]',
		map({ "$_ = host=$host port=$port dbname=$_ user=$user" } @databases),
		'[pgbouncer]',
		'listen_addr =',
		'listen_port = 6432',
		"unix_socket_dir = $pooled",
		'auth_type = any',
		'pool_mode = transaction',
		'default_pool_size = 8',
		'max_client_conn = 200',
		'server_login_retry = 1',
		"logfile = $dir/pgbouncer.log",
		''));
	$pgbouncer = IPC::Run::start([ 'pgbouncer', '-q', "$dir/pgbouncer.ini" ], '>', '/dev/null', '2>', "$dir/pgbouncer.err");
}

END { local $?; $pgbouncer->kill_kill if defined $pgbouncer; }

# ---------------------------------------------------------------- clients

# A client runs its script as long as the file "go" is there. If it loses the connection it runs the script again under the same
# number, so that its keys are the same.
append_to_file("$dir/client", <<'EOS');
run=0
while [ -e $1/go ]; do
	run=$((run + 1))
	until psql -XAt -d $3 -v run=$4$run -f $1/$2.sql; do
		[ -e $1/go ] || break
		sleep 0.1
	done
done
EOS

sub amount { return sprintf('%.9f', 0.01 + rand($_[0])); }
sub leaf { return 'leaf-' . (1 + int(rand($_[0] // LEAVES))); }

sub key { my ($client, $n) = @_; return "'c$client/' || :'run' || '/$n'"; }

my $no_hold = '\set h 00000000-0000-0000-0000-000000000000';

# Transactions that give back in many ways what they take.
my @kinds = (
	sub { my ($key) = @_; return "select use(${\amount(6)}, '{${\leaf()}}', $key);"; },
	sub { return "select use(${\amount(4)}, '{${\leaf()},${\leaf()}}');"; },
	sub {
		my $end = rand() < 0.4 ? 'rollback' : 'commit';
		my $undo = rand() < 0.4 ? 'rollback to s;' : '';
		return "begin;\nselect use(${\amount(6)}, '{${\leaf()}}');\nsavepoint s;\nselect use(${\amount(6)}, '{${\leaf()},${\leaf()}}');\n"
		  . "$no_hold\nselect hold(${\amount(4)}, '{${\leaf()}}') as h \\gset\nselect finish(:'h', 'settle', 0.5);\n"
		  . "$undo\nselect use(${\amount(2)}, '{${\leaf()}}');\n$end;";
	},
	sub {
		my ($key) = @_;
		return "$no_hold\nselect hold(${\amount(8)}, '{${\leaf()}}', $key) as h \\gset\n"
		  . "select finish(:'h', '" . (rand() < 0.6 ? 'settle' : 'release') . "', ${\sprintf('%.3f', rand())});";
	},
	sub {
		return "$no_hold\nselect hold(${\amount(8)}, '{${\leaf()}}') as h \\gset\nbegin;\nselect use(${\amount(1)}, '{${\leaf()}}');\n"
		  . "select finish(:'h', 'release', 0);\nselect use(${\amount(6)}, '{${\leaf()}}');\nrollback;\nselect finish(:'h', 'settle', 1);";
	},
	sub { return "select hold(${\amount(8)}, '{${\leaf()}}', null, '${\(1 + int(rand(600)))} ms');"; },
	sub {
		my $end = rand() < 0.5 ? 'rollback' : 'commit';
		return "begin;\nselect began();\nselect 'event ' || event_id from gov_ingest('acme', 'tokens', -${\amount(9)}, null, '{${\leaf()}}');\n"
		  . "select use(${\amount(5)}, '{${\leaf()}}');\n$end;";
	},
	sub {
		return "begin;\nset local statement_timeout = '${\(1 + int(rand(9)))}ms';\n"
		  . "select use(n / 7.0, array['leaf-' || n]) from generate_series(1, ${\(1 + int(rand(60)))}) n where n <= ${\LEAVES};\ncommit;";
	});

foreach my $client (1 .. CLIENTS)
{
	append_to_file("$dir/mixed-$client.sql",
		"\\echo start\n" . join("\n", map { $kinds[ rand @kinds ]->(key($client, $_)) } 1 .. TRANSACTIONS) . "\n");

	# Nothing is given back here: what was refused once will never fit.
	append_to_file("$dir/fill-$client.sql",
		"\\echo start\n" . join("\n", map {
			my $amount = amount(5);
			my $call = rand() < 0.5 ? "use($amount, '{${\leaf(LEAVES / 2)}}') = 'denied'" : "hold($amount, '{${\leaf(LEAVES / 2)}}') = '00000000-0000-0000-0000-000000000000'";
			"insert into refused select $amount where $call;"
		} 1 .. TRANSACTIONS) . "\n");
}
append_to_file("$dir/swing.sql", "call swing(50);\n");
append_to_file("$dir/cancel.sql", <<'EOS');
do $$
begin
	for round in 1 .. 200 loop
		perform pg_cancel_backend(pid) from pg_stat_activity where datname in ('one', 'two') and state = 'active' and query ~ '(use|hold|finish)\(' order by random() limit 3;
		if round % 20 = 0 then
			perform pg_terminate_backend(pid) from pg_stat_activity where datname in ('one', 'two') and query ~ '(use|hold|finish)\(' order by random() limit 1;
		end if;
		perform pg_stat_clear_snapshot(), pg_sleep(0.03);
	end loop;
end $$;
EOS

my $phase = 'a';
my @running;

sub start_client
{
	my ($script, $database, $host) = @_;
	local %ENV = $node->_get_env();

	($ENV{PGHOST}, $ENV{PGPORT}) = ($host, 6432) if defined $host;
	push @running, IPC::Run::start([ 'sh', "$dir/client", $dir, $script, $database, $phase ],
		'>>', "$dir/$script.out", '2>>', "$dir/$script-$database.err");
	return;
}

# All clients run one kind of script, for as long as something else takes.
sub load
{
	my ($kind, $meanwhile, @beside) = @_;

	append_to_file("$dir/go", '');
	foreach my $client (1 .. CLIENTS)
	{
		start_client("$kind-$client", $databases[ $client % 2 ], $client % 4 < 2 ? $pooled : undef);
	}
	start_client(@$_) foreach @beside;
	$meanwhile->();
	unlink "$dir/go";
	$_->finish foreach @running;
	@running = ();
	$phase++;
	return;
}

my @movers = (map({ [ 'swing', $_ ] } @databases), [ 'cancel', 'postgres' ]);

sub count_events
{
	my ($database) = @_;
	return gov_await($node, $database, 'select count(*) from gov_events');
}

sub wait_for_events
{
	my ($more) = @_;
	my %wanted = map { $_ => count_events($_) + $more } @databases;

	foreach my $database (@databases)
	{
		gov_await($node, $database, "select count(*) >= $wanted{$database} from gov_events", 't');
	}
	return;
}

sub all_is_counted
{
	my ($when) = @_;
	foreach my $database (@databases)
	{
		# a hold past its time is expired by the worker, within a second
		$node->poll_query_until($database, q{select count(*) = 0 from gov_reservations where state = 'open' and expires_at < now() + interval '1 minute'})
		  or die 'holds do not expire';
		$node->poll_query_until($database, "select count(*) = 0 from pg_stat_activity where datname in ('one', 'two') and pid <> pg_backend_pid() and xact_start is not null")
		  or die 'sessions go on';
		is($node->safe_psql($database, 'select * from gov_verify()'), '', "$when, $database: gov_verify finds nothing");
		is($node->safe_psql($database, q{
				select (select amount from taken) - (select sum(amount) from gov_events)
					- (select coalesce(sum(amount), 0) from gov_reservations where state = 'open' and expires_at > now())}) + 0,
			0, "$when, $database: the gate counts what is in the tables");
		is($node->safe_psql($database, 'select count(*) from gov_cached_counters() where is_pinned'),
			'0', "$when, $database: nothing is in flight");
	}
	return;
}

# ---------------------------------------------------------------- three phases

load('mixed', sub { wait_for_events(2500) }, @movers);
all_is_counted('limits that move');

my $killed = 0;
load(
	'mixed',
	sub {
		foreach my $disaster (1 .. DISASTERS)
		{
			wait_for_events(100);
			if ($disaster % 4 == 0)
			{
				$node->stop('immediate');
				$node->start;
				next;
			}
			my $victim = gov_await($node, 'postgres', q{
				select pid from pg_stat_activity
				where datname in ('one', 'two') and (backend_type like 'governance%' or query ~ '(use|hold|finish|swing)\(') order by random() limit 1});
			$killed += kill(9, $victim) if $victim ne '';
		}
		wait_for_events(100);
	},
	@movers);
cmp_ok($killed, '>=', DISASTERS * 3 / 4 - 1, 'backends were killed');
all_is_counted('killed and restarted');

# The holds of clients that were killed are left; then let there be room for a while.
foreach my $database (@databases)
{
	$node->safe_psql($database, q{
		select gov_release(id) from gov_reservations where state = 'open';
		update gov_assignments set usage_limit = (select trunc(amount) + 1200 + nextval('limits') / 1e9 from taken) where owner_id = 'acme' and entity_id = 'root';
		insert into acked select usage_limit, clock_timestamp() from taken});
}
load(
	'fill',
	sub {
		foreach my $database (@databases)
		{
			$node->poll_query_until($database, 'select count(*) > 300 from refused') or die 'it never fills';
		}
	});
all_is_counted('filled up');

# ---------------------------------------------------------------- the proof

# Errors that belong to what was done to the clients.
my %seen;
foreach my $file (glob "$dir/*.err")
{
	foreach my $line (split /\n/, slurp_file($file))
	{
		next if $line !~ /(ERROR|FATAL|PANIC|error):/;
		$seen{$line =~ /canceling statement due to statement timeout/ ? 'timeout'
			: $line =~ /canceling statement due to user request/ ? 'cancel'
			: $line =~ /terminating connection|server closed the connection|connection to server|server conn crashed|server_login|in recovery mode|starting up|shutting down|connection to server was lost|server connection closed/ ? 'lost'
			: $line =~ /current transaction is aborted|savepoint "s" does not exist/ ? 'aborted'
			: $line}++;
	}
}
my %kinds = map { $_ => delete $seen{$_} // 0 } qw(timeout cancel lost aborted);
is(join("\n", sort keys %seen), '', 'no client was told of anything else');
cmp_ok($kinds{$_}, '>', 5, "there were errors of kind $_") foreach qw(timeout cancel lost);

# What the clients were told after COMMIT: by database, the events with their keys.
my %told;
foreach my $client (1 .. CLIENTS)
{
	my $database = $databases[ $client % 2 ];
	my $pending;

	foreach my $line (split /\n/, slurp_file("$dir/mixed-$client.out"))
	{
		undef $pending if $line eq 'start';
		$pending = [] if $line eq 'BEGIN' || (defined $pending && $line eq 'ROLLBACK');
		if ($line eq 'COMMIT')
		{
			push @{ $told{$database} }, @{ $pending // [] };
			undef $pending;
		}
		next if $line !~ /^event (\d+) ?(\S*)$/;
		push @{ $pending // ($told{$database} //= []) }, "$1\t$2";
	}
}

foreach my $database (@databases)
{
	my $rows = join("\n", @{ $told{$database} });

	$node->safe_psql($database, "create table told (event_id bigint, key text);\ncopy told from stdin;\n$rows\n\\.\n");
	is($node->safe_psql($database, q{
			select count(*) filter (where e.id is null or e.idempotency_key <> t.key), count(*) > 1000 and count(nullif(t.key, '')) > 100
			from told t left join gov_events e on e.id = t.event_id}),
		'0|t', "$database: what clients were told is in the ledger");
	is($node->safe_psql($database, q{select count(*) from (select from told where key <> '' group by key having count(distinct event_id) > 1) s}),
		'0', "$database: and once, whatever was repeated");

	# The log in commit order: takes that a decision granted, what was given back, and limits.
	$node->safe_psql($database, <<SQL);
create table log as
select row_number() over () as n, data
from pg_logical_slot_get_changes('exact_$database', null, null, 'include-timestamp', 'on')
where data ~ '^(COMMIT|table public.gov_events: INSERT|table public.gov_reservations: |table public.gov_assignments: UPDATE)';

create table commits as
select n, lag(n, 1, 0::bigint) over (order by n) as after, substring(data from '\\(at (.*)\\)')::timestamptz as at
from log where data like 'COMMIT%';
create index on commits (n);
analyze commits;

create table changes as
select l.n, c.n as commit, c.at as committed, l.relation, l.change, l.data
from (select n, data, substring(data from 'public\\.(\\w+):') as relation, substring(data from ': (\\w+):') as change from log where data like 'table%') l
cross join lateral (select * from commits c where c.n > l.n order by c.n limit 1) c;

analyze changes;

create table limit_changes as
select n, committed, substring(data from ' usage_limit\\[numeric\\]:([0-9.]+)')::numeric as usage_limit
from changes where relation = 'gov_assignments' and data like '%entity\\_id[text]:''root''%';
analyze limit_changes;

create table limits_in_force as
select n, usage_limit, coalesce(committed, '-infinity') as since, coalesce(until, 'infinity') as until
from (select n, usage_limit, committed, min(acked) over (order by n rows between 1 following and unbounded following) as until
	from (
		select 0 as n, 1000::numeric as usage_limit, null::timestamptz as committed, null::timestamptz as acked
		union all
		select c.n, c.usage_limit, c.committed, a.at
		from limit_changes c
		left join acked a on a.usage_limit = c.usage_limit) s) t;
analyze limits_in_force;

-- A settled hold gives back what it did not need; its event takes nothing more.
create table steps as
select c.n, c.commit, c.committed, e.amount > 0 as is_take, e.amount, e.recorded_at as decided, e.caller::timestamptz as began, e.counter_ids, e.window_starts
from changes c
join gov_events e on e.id = substring(c.data from ' id\\[bigint\\]:(\\d+)')::bigint
where c.relation = 'gov_events' and not exists (select from gov_reservations r where r.event_id = e.id)
union all
select c.n, c.commit, c.committed, c.change = 'INSERT',
	case when c.change = 'INSERT' then r.amount else coalesce(r.settled_amount, 0) - r.amount end,
	r.created_at, r.caller::timestamptz, null, null
from changes c
join gov_reservations r on r.id = substring(c.data from ' id\\[uuid\\]:''([^'']*)''')::uuid
where c.relation = 'gov_reservations' and (c.change = 'INSERT' or (r.state <> 'open' and c.data !~ ' state\\[text\\]:''open'''));
create index on steps (commit);
analyze steps;

create table takes as
select s.*, (select max(l.usage_limit) from limits_in_force l where l.since <= s.decided and l.until >= s.began) as allowed,
	(select coalesce(sum(o.amount), 0) from steps o where o.commit = s.commit and o.n < s.n and not o.is_take) as given_back
from steps s where s.is_take;
create index on takes (decided);
analyze takes;
SQL
	is($node->safe_psql($database, q{
			select (select count(*) from gov_events) - (select count(*) from changes where relation = 'gov_events'),
				(select sum(amount) from steps) = (select sum(amount) from gov_events) + (select coalesce(sum(amount), 0) from gov_reservations where state = 'open'),
				count(*) filter (where usage_limit is null or since > until), count(*) > 100
			from limits_in_force}),
		'0|t|0|t', "$database: the log has every event, hold and limit");

	# (1)
	is($node->safe_psql($database, q{
			select count(*), min(allowed - taken), max(taken)
			from (
				select s.commit, taken, (select t.allowed from takes t where t.decided = s.latest order by t.allowed desc limit 1) as allowed
				from (select distinct on (commit) commit, sum(amount) over (order by commit) as taken, max(decided) filter (where is_take) over (order by commit) as latest
					from steps order by commit) s) t
			where taken > allowed}),
		'0||', "$database: in the order of commits nothing is past the limit");

	# (2)
	is($node->safe_psql($database, q{
			select count(*), min(allowed - granted), max(granted)
			from (
				select decided, max(allowed) as allowed, min(granted) as granted
				from (
					select decided, is_take, allowed, given_back + sum(amount) over (order by decided) as granted
					from (
						select decided, true as is_take, amount, allowed, given_back from takes
						union all
						select committed, false, amount, null, null from steps where not is_take) s) t
				where is_take
				group by decided) s
			where granted > allowed}),
		'0||', "$database: no decision grants past the limit");

	# (3)
	is($node->safe_psql($database, q{
			select entity_id, window_start, max(used), max(usage_limit)
			from (
				select a.entity_id, w.window_start, a.usage_limit, c.commit, sum(e.amount) over (partition by w.counter_id, w.window_start order by c.commit) as used
				from changes c
				join gov_events e on e.id = substring(c.data from ' id\[bigint\]:(\d+)')::bigint
				cross join lateral unnest(e.counter_ids, e.window_starts) w (counter_id, window_start)
				join gov_assignments a on a.counter_id = w.counter_id
				where c.relation = 'gov_events' and a.entity_id <> 'root') s
			group by 1, 2 having max(used) > max(usage_limit)}),
		'', "$database: no leaf is past its limit in any window");

	# (4)
	is($node->safe_psql($database, q{
			select count(*) > 300, (select usage_limit - amount from taken) between 0 and min(amount) from refused}),
		't|t', "$database: what is left is less than what was refused")
	  or diag $node->safe_psql($database, 'select usage_limit - amount, (select min(amount) from refused) from taken');

	gov_roll_up($node, $database);
	is($node->safe_psql($database, q{
			select (select sum(u.amount) from gov_usage u join gov_assignments a on a.id = u.assignment_id where a.entity_id = 'root') = (select sum(amount) from gov_events)}),
		't', "$database: all of it is rolled up once");
	note $node->safe_psql($database, q{
		select format('%s: %s events, %s holds (%s), %s limits, %s commits, %s told, taken %s', current_database(), (select count(*) from gov_events),
			(select count(*) from gov_reservations), (select string_agg(state || ' ' || n, ', ') from (select state, count(*) as n from gov_reservations group by 1) s),
			(select count(*) from limits_in_force), (select count(*) from commits), (select count(*) from told), (select trunc(amount) from taken))});
}
note join ', ', map { "$kinds{$_} $_" } sort keys %kinds;

$node->stop;
done_testing();

# Calls of many items where others are in the way: a key that is taken while rows are written, many clients with the same keys on one
# cap, a crash; what such a call costs in transaction ids and in memory; and that whoever follows the ledger sees each row once.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use PostgreSQL::Test::Utils;
use Test::More;
use GovTest;
use GovSession;

use constant { CLIENTS => 16, CALLS => 40, KEYS => 60, LIMIT => 5000 };

my $node = gov_node('many', conf => <<CONF);
wal_level = logical
autovacuum = off
fsync = off
governance.rollup_interval = '1h'
restart_after_crash = on
CONF
my $dir = PostgreSQL::Test::Utils::tempdir;

sub sql { return $node->safe_psql('postgres', $_[0]); }

sql(q{
	insert into gov_entity_types (id) values ('org'), ('user');
	insert into gov_capabilities (id) values ('tokens');
	insert into gov_entities (owner_id, id, type_id) values ('acme', 'root', 'org'), ('acme', 'other', 'org');
	insert into gov_entities (owner_id, id, type_id, parent_id) select 'acme', 'leaf-' || n, 'user', 'root' from generate_series(1, 10) n;
	insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit) values ('acme', 'root', 'tokens', 5000), ('acme', 'other', 'tokens', 1000000);
	insert into gov_assignments (owner_id, entity_id, capability_id) select 'acme', 'leaf-' || n, 'tokens' from generate_series(1, 10) n;

	-- Requests for this much on an entity, with keys that begin with this, or without
	create function requests(count int, amount numeric, entity text, key text default null) returns jsonb language sql as $$
		select jsonb_agg(jsonb_strip_nulls(jsonb_build_object('ownerId', 'acme', 'capabilityId', 'tokens', 'amount', amount, 'entityIds', array[entity], 'idempotencyKey', key || ' ' || n)) order by n)
		from generate_series(1, count) n
	$$;
	-- ... for 1 each, with these keys, '' for none
	create function keyed(variadic keys text[]) returns jsonb language sql as $$
		select jsonb_agg(jsonb_strip_nulls(jsonb_build_object('ownerId', 'acme', 'capabilityId', 'tokens', 'entityIds', array['other'], 'idempotencyKey', nullif(u.key, ''))) order by u.n)
		from unnest(keys) with ordinality u (key, n)
	$$;
	select pg_create_logical_replication_slot('follower', 'test_decoding')});

# The rows that came by logical decoding are those that there are.
sub is_followed
{
	my ($label) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;

	is( sql(q{
		with told as materialized (
			select substring(data from '^table public.gov_events: INSERT: id\[bigint\]:(\d+)')::bigint as id
			from pg_logical_slot_peek_changes('follower', null, null) where data like 'table public.gov_events: %')
		select count(*) - count(distinct t.id), count(*) filter (where e.id is null), (select count(*) from gov_events) - count(e.id)
		from told t left join gov_events e using (id)}),
		'0|0|0', $label);
	return;
}

# What memory counts is what the ledger has.
sub is_exact
{
	my ($label) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;

	is( sql(q{
		select string_agg(h.entity_id || ': ' || h.current_usage, ' ')
		from gov_entities n, gov_headroom('acme', 'tokens', 0, null, array[n.id]) h
		where h.entity_id = n.id and h.current_usage <> coalesce((select sum(amount) from gov_events where n.id = any (entity_ids)), 0)}) . sql('select * from gov_verify()'),
		'', "$label: counts equal the ledger");
	return;
}

# ---------------------------------------------------------------- a key is taken while the rows are written

SKIP:
{
	skip 'built without -DGOV_FAULTS', 5 if $node->psql('postgres', 'show governance.fault_at') != 0;

	my ($late, $lock) = map { $node->background_psql('postgres', on_error_stop => 0) } 1, 2;
	my $waiting = q{select exists (select from pg_locks where locktype = 'advisory' and not granted)};

	# it stands with its first key in the table and not yet complete, when somebody else takes the second
	gov_ask($lock, 'select pg_advisory_lock(1)');
	gov_ask($late, q{set governance.fault_action = 'queue'; set governance.fault_point = 'row'; set governance.fault_at = 1});
	$late->{stdin} .= q{select string_agg(trim_scale(remaining) || ' ' || is_duplicate, ', ' order by "position") from gov_consume_many(keyed('b', 'a', '', 'b'));} . "\n";
	$late->{run}->pump_nb;
	$node->poll_query_until('postgres', $waiting) or die "it does not stop\n";
	is(sql(q{select is_duplicate from gov_consume_many(keyed('b', 'c'))}), "f\nf", 'another call takes a key and commits');
	gov_ask($lock, 'select pg_advisory_unlock(1)');
	$late->{run}->pump until $late->{stdout} =~ /\n/;
	is($late->{stdout} =~ s/\s+$//r, '999998 true, 999997 false, 999996 false, 999996 true', 'the first call gives everything back, and begins again');
	$late->quit;
	$lock->quit;
	is(sql(q{select string_agg(coalesce(idempotency_key, '-'), ' ' order by idempotency_key) from gov_events}), 'a b c -', 'each key is used once');
	is_exact('and charged once');
	is_followed('what was given back was told to nobody');
}

# ---------------------------------------------------------------- transaction ids and memory

my $session = GovSession->new($node, 'many');
my $next = q{select pg_current_xact_id()::text::bigint};	# which takes one itself

$session->ask('begin');
my $first = $session->ask('select pg_current_xact_id()::text::bigint');
$session->ask(q{select count(*) from gov_consume_many(requests(3000, 0.001, 'leaf-1'))});
is(sql($next), $first + 1, 'three thousand uses take no transaction id beside the caller\'s');
$session->ask(q{select count(*) from gov_consume_many(requests(3000, 0.001, 'leaf-1', 'ids'))});
is(sql($next), $first + 3, 'as many with keys take one');
$session->ask(q{select count(*) from gov_consume_many(requests(3000, 0.001, 'leaf-1', 'ids'))});
is(sql($next), $first + 4, 'and again, when all are known, none');
$session->ask('commit');
$session->ask(q{create temporary table made as select reservation_id as id from generate_series(1, 500) n, gov_reserve('acme', 'tokens', 0.001 + n * 0, null, '{leaf-2}')});
$session->ask('begin');
$first = $session->ask('select pg_current_xact_id()::text::bigint');
is($session->ask(q{select count(event_id) from gov_settle_many((select jsonb_agg(jsonb_build_object('reservationId', id)) from made))}), 500, 'holds are settled');
is(sql($next), $first + 1, 'in no subtransaction');
$session->ask('commit');

my $memory = q{select sum(total_bytes) from pg_backend_memory_contexts};
my $most = sub {
	my ($n) = @_;

	$session->ask(qq{select count(*) from gov_consume_many(requests(10000, 0.0001, 'leaf-3', 'memory $n'))});
	$session->ask(q{select count(*) from gov_consume_many(requests(10000, 0.0001, 'leaf-3'))});
	$session->ask(q{select count(error) from gov_consume_many(requests(10000, -1, 'leaf-3'))});
	return;
};
$most->($_) foreach 1, 2;
my $before = $session->ask($memory);
$most->($_) foreach 3 .. 6;
cmp_ok($session->ask($memory) - $before, '<', 65536, 'calls of ten thousand leave no memory behind');
is_exact('ten thousand at a time');

# ---------------------------------------------------------------- many clients, the same keys, one cap

# Each asks for 30 uses: most with a key out of a few, in any order, some without; an amount goes with its key. Some roll back.
append_to_file("$dir/storm.sql", <<'SQL');
\set undone random(1, 8)
begin;
select count(*) from gov_consume_many((
	select jsonb_agg(case when u.key = 0
		then jsonb_build_object('ownerId', 'acme', 'capabilityId', 'tokens', 'amount', 1 + u.n % 3, 'entityIds', array['leaf-' || 1 + u.n % 10])
		else jsonb_build_object('ownerId', 'acme', 'capabilityId', 'tokens', 'amount', u.key, 'entityIds', array['leaf-' || 1 + u.key % 10], 'idempotencyKey', 'storm ' || u.key) end)
	from (select n, floor(random() * 60)::int as key from generate_series(1, 30) n) u));
\if :undone = 1
rollback;
\else
commit;
\endif
SQL
append_to_file("$dir/single.sql", <<'SQL');
\set key random(1, 59)
select is_granted from gov_consume('acme', 'tokens', :key, null, array['leaf-' || 1 + :key % 10], 'storm ' || :key);
SQL
append_to_file("$dir/events.sql", <<'SQL');
\set key random(1, 40)
select count(*) from gov_ingest_each((
	select jsonb_agg(jsonb_build_object('ownerId', 'acme', 'capabilityId', 'tokens', 'amount', 0, 'entityIds', array['leaf-1'], 'idempotencyKey', 'event ' || (:key + n) % 40) order by random())
	from generate_series(1, 20) n));
SQL
my ($out, $err) = ('', '');
my $is_done = IPC::Run::run([ 'pgbench', '-n', '-c', CLIENTS, '-j', 2, '-t', CALLS, '-f', "$dir/storm.sql\@6", '-f', "$dir/single.sql\@2", '-f', "$dir/events.sql\@2",
		'-d', $node->connstr('postgres') ], '>', \$out, '2>', \$err);
ok($is_done, 'nobody deadlocks by keys') or diag $err;
unlike($err, qr/ERROR/, 'or fails');
is(sql(q{select count(*) - count(distinct idempotency_key) from gov_events where idempotency_key is not null}), 0, 'each key is used once');
is(sql(q{select count(*) from gov_events where idempotency_key like 'storm %' and amount <> substr(idempotency_key, 7)::int}), 0, 'for what it was given with');
cmp_ok(sql(q{select current_usage from gov_headroom('acme', 'tokens', 0, null, '{root}')}), '<=', LIMIT, 'the cap is kept');
is_exact('after the storm');

# What is left is given out to the last, whoever asks.
my @fillers = map { my $n = $_; IPC::Run::start([ 'psql', '-XAtq', '-d', $node->connstr('postgres'), '-c', "select count(*) filter (where is_granted) from gov_consume_many(requests(2000, 1, 'leaf-$n'))" ], '>', \my $answer) } 1 .. 4;
$_->finish foreach @fillers;
cmp_ok(sql(q{select remaining from gov_headroom('acme', 'tokens', 0, null, '{root}') where entity_id = 'root'}), '<', 1, 'less than one is left');
cmp_ok(sql(q{select current_usage from gov_headroom('acme', 'tokens', 0, null, '{root}')}), '<=', LIMIT, 'and no more was given');
is_exact('at the cap');
is_followed('whoever follows the ledger has seen each row once');

# Nor is it lost to decoding when a call creates several entities, or takes some back because somebody else has one of them.
sql(q{
	insert into gov_entity_types (id, attribution_keys, on_unknown) values ('team', '{teamId}', 'create');
	insert into gov_entity_types (id, attribution_keys, on_unknown, parent_key) values ('member', '{memberId}', 'create', 'teamId')});
my $creates = q{select count(event_id) from gov_consume_many('[
	{"ownerId": "acme", "capabilityId": "tokens", "dimensions": {"teamId": "a team", "memberId": "a"}, "idempotencyKey": "created"},
	{"ownerId": "acme", "capabilityId": "tokens", "dimensions": {"teamId": "b team", "memberId": "b"}},
	{"ownerId": "acme", "capabilityId": "tokens", "dimensions": {"teamId": "taken", "memberId": "c"}}]')};
my $creator = GovSession->new($node, 'creator');

$creator->ask('begin');
$creator->ask(q{select is_granted from gov_consume('acme', 'tokens', 1, '{"teamId": "taken"}')});
my $waits = IPC::Run::start([ 'psql', '-XAtq', '-d', $node->connstr('postgres'), '-c', $creates ], '>', \my $created);
$node->poll_query_until('postgres', q{select exists (select from pg_locks where locktype = 'transactionid' and not granted)}) or die "it does not wait\n";
$creator->ask('commit');
$waits->finish;
is($created, "3\n", 'a call creates what others do not');
is(sql(q{select string_agg(concat_ws(' < ', id, parent_id), ', ' order by id) from gov_entities where created_by_use}), 'a < a team, a team, b < b team, b team, c < taken, taken', 'each once');
is_followed('and it can be followed');
is( sql(q{select count(*) from (
		select substring(data from ' id\[text\]:(''[^'']*'')') as id, sum(case when data like '% INSERT: %' then 1 else -1 end) as there
		from pg_logical_slot_peek_changes('follower', null, null) where data like 'table public.gov_entities: %' group by 1) s where there <> 1}),
	0, 'as can the entities');

# ---------------------------------------------------------------- a crash

my $acknowledged = $session->ask(q{select count(event_id) from gov_consume_many(requests(200, 1, 'other', 'crash'))});
is($acknowledged, 200, 'a call is committed');
my $open = GovSession->new($node, 'open');
$open->ask('begin');
is($open->ask(q{select count(event_id) from gov_consume_many(requests(200, 1, 'other', 'open'))}), 200, 'another is not');
$node->stop('immediate');
$node->start;
is(sql(q{select count(*) from gov_events where idempotency_key like 'crash %'}), 200, 'what was acknowledged is there after a crash');
is(sql(q{select count(*) from gov_events where idempotency_key like 'open %'}), 0, 'and nothing else');
is(sql(q{select count(*) filter (where is_duplicate), count(event_id) from gov_consume_many(requests(200, 1, 'other', 'crash') || requests(200, 1, 'other', 'open'))}), '200|400', 'and is known, when it is sent again');
is_exact('after a crash');
gov_roll_up($node, 'postgres');
is_exact('and rolled up');

$node->stop;
done_testing();

# pg_dump and pg_restore, plain, custom and parallel, and pg_dumpall: the copy has the same counts, remembers the keys,
# and goes on with fresh ids.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use PostgreSQL::Test::Utils;
use Test::More;
use GovTest;

my $node = gov_node('origin');
my $dir = PostgreSQL::Test::Utils::tempdir;

# A customer whose root comes last in the table and first in the chain, a rolled-up part and a tail (behind a transaction
# that idles), an earlier window, a correction, and names that want quoting.
gov_build($node, 'postgres', agents => 30, limit => 500);
$node->safe_psql('postgres', q{
	insert into gov_entity_types (id) values ('group');
	insert into gov_entities (owner_id, id, type_id, metadata) values ('acme', 'Zoë''s "group"', 'group', '{"a": "b"}');
	insert into gov_entities (owner_id, id, type_id) values ('acme', 'late', 'group');
	insert into gov_entities (owner_id, id, type_id) values ('acme', 'later', 'group');
	update gov_entities set parent_id = 'later' where id = 'late';
	update gov_assignments set usage_limit = 499 where entity_id = 'agent-7';
	update gov_assignments set usage_limit = 500 where entity_id = 'agent-7';
	insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit, cadence, anchor_at, timezone)
	values ('acme', 'later', 'tokens', 100, 'P50Y', now() - interval '1 day', 'America/New_York');
	insert into gov_alert_policies (owner_id, thresholds) values (null, '{80,100}');
	update gov_assignments set call_limit = 1000.5 where entity_id = 'later';
	insert into gov_entity_types (id, attribution_keys, on_unknown, parent_key) values ('guest', '{guest}', 'create', 'agentId'), ('toy', '{toy}', 'deny', null);
	select gov_ingest('acme', 'tokens', 1, '{"guest": "dumped guest", "agentId": "agent-1"}');
	insert into gov_default_assignments (type_id, capability_id, usage_limit, cadence) values ('guest', 'tokens', 50, 'P50Y');
	insert into gov_prices (owner_id, capability_id, quantity, match, price, per, valid_from) values
		(null, 'tokens', 'input', '{"model": "large"}', 2.5, 1000000, '2020-01-01'), ('acme', 'tokens', 'input', '{}', 2.25, 1000000, '2020-01-01');
	select gov_boost('acme', 'dumped guest', 'tokens', 4);
	select gov_block('acme', 'agent-29', '2099-12-31', 'a dumped reason'), gov_block('acme', 'agent-28');
	select gov_boost('acme', 'later', 'tokens', 20, reason => 'dumped'), gov_boost('acme', 'later', 'tokens', 5, '2099-12-31');
	insert into gov_boosts (owner_id, entity_id, capability_id, amount, valid_from, valid_until) values ('acme', 'later', 'tokens', 1, '2020-01-01', '2020-02-01');
	insert into gov_assignments (owner_id, entity_id, capability_id, name, is_pool, debt_limit) values ('acme', 'later', 'tokens', 'credits', true, 5);
	insert into gov_grants (owner_id, assignment_id, amount, priority, effective_at, expires_at, category, reference)
	select 'acme', id, v.amount, v.priority, v.effective_at::timestamptz, v.expires_at::timestamptz, v.category, v.category || ' 1'
	from gov_assignments, (values (700, 100, '2020-01-01', '2099-01-01', 'monthly'), (1000, 100, '2020-01-01', null, 'bought'), (90, 1, '2020-01-01', null, 'voided'), (50, 1, '2098-01-01', null, 'later')) v (amount, priority, effective_at, expires_at, category)
	where is_pool;
	select gov_archive_entities('acme', array['agent-30'])});
$node->safe_psql('postgres', q{
	select count(gov_ingest('acme', 'tokens', n, null, array['agent-' || n % 30 + 1, 'late'], 'key-' || n)) from generate_series(1, 60) n;
	select count(gov_ingest('acme', 'tokens', 7, null, array['late'], null, now() - interval '3 days'))});
gov_roll_up($node, 'postgres');
$node->safe_psql('postgres', q{
	insert into gov_assignments (owner_id, entity_id, capability_id, name, usage_limit, cadence) values ('acme', 'later', 'tokens', 'recounted', 10000, 'P50Y');
	insert into gov_imports (owner_id, export_id, chunks_done, rows_done, begun_at, completed_at, first_event_id, last_event_id, event_id_shift, counter_id_shift, imported_counter_id_shift, events_deleted_until, relations)
		select 'acme', gen_random_uuid(), 2, 0, now(), now(), nextval('gov_imported_events_id_seq'), -1, -2, nextval('gov_imported_counter_seq'), 0, -1, '{}';
	select gov_recount(id, by => 'tree') from gov_assignments where name = 'recounted'});
my $idle = $node->background_psql('postgres');
$idle->query_safe(
	"begin; select gov_ingest('acme', 'tokens', 0, null, array['agent-1'])");
$node->safe_psql('postgres', q{
	select count(gov_ingest('acme', 'tokens', 0.25, '{"model": "gpt"}', array['agent-' || n % 30 + 1])) from generate_series(1, 60) n;
	select gov_ingest('acme', 'tokens', -3, null, array['agent-1', 'late']);
	select gov_void_grant(id) from gov_grants where category = 'voided';
	select gov_ingest('acme', 'tokens', 11.5, null, array['late']);
	select count(gov_reverse(id, 2)) from gov_events where idempotency_key in ('key-50', 'key-51')});

# Everything the tables and the gate say. The gate comes last: who asks it brings a worker, which rolls up.
sub contents
{
	my ($server, $db) = @_;

	return $server->safe_psql($db, q{
		select count(*), sum(amount), max(id) from gov_events;
		select reverses, amount, counter_ids from gov_events where reverses is not null order by id;
		select owner_id, id, parent_id, type_id, metadata, archived_at, created_at, updated_at, blocked_at, blocked_until, blocked_reason, created_by_use from gov_entities order by id;
		select * from gov_entity_types order by id;
		select * from gov_boosts order by id;
		select * from gov_prices order by id;
		select gov_price('acme', 'tokens', '{"input": 10}'), gov_price('globex', 'tokens', '{"input": 10}', '{"model": "large"}');
		select entity_id, usage_limit, call_limit, cadence, timezone, counter_id, created_at, updated_at from gov_assignments order by entity_id, name;
		select a.entity_id, a.name, u.window_start, u.amount, u.event_count from gov_usage u join gov_assignments a on a.id = u.assignment_id order by 1, 2, 3;
		select * from gov_usage_hourly order by 1, 2, 3, 4;
		select * from gov_grants order by id; select * from gov_grant_usage order by counter_id; select * from gov_grant_balances order by grant_id;
		select d.* from gov_event_draws d order by d.event_id, d.amount, d.grant_id; select debt_counter_id, debt_limit from gov_assignments where is_pool;
		select * from gov_alert_policies; select watermark from gov_rollup_state;
		select owner_id, entity_id, replacement, last_event_id from gov_forgotten;
		select * from gov_imports; select last_value from gov_imported_events_id_seq; select last_value from gov_imported_counter_seq;
		select * from gov_changes order by id; select * from gov_limit_history order by 1, 2; select * from gov_recounts order by counter_id;
		select n, h.* from generate_series(1, 30) n cross join lateral gov_headroom('acme', 'tokens', 0, null, array['agent-' || n, 'late']) h
		order by n, chain, entity_id});
}

my $wanted = contents($node, 'postgres');
like($wanted, qr/Zoë/, 'there is something to dump');

# The copy is the same, and lives.
sub is_copy
{
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my ($server, $db, $label) = @_;

	is(contents($server, $db), $wanted, "$label: the same contents");
	gov_is_exact($server, $db, $label);
	is($server->safe_psql($db, 'select * from gov_setup_check()'), '', "$label: nothing of the extension is missing");
	is( $server->safe_psql($db, q{
			select event_id = (select id from gov_events where idempotency_key = 'key-60'), is_duplicate
			from gov_ingest('acme', 'tokens', 60, null, array['agent-1', 'late'], 'key-60')}),
		't|t',
		"$label: a key is remembered");
	gov_raises($server, $db, "select gov_reverse(id, 48.5) from gov_events where idempotency_key = 'key-50'", '22023', "$label: what is left of an event is known");
	is( $server->safe_psql($db, q{
			with latest as materialized (select max(id) as id from gov_events)
			select event_id > latest.id from latest, gov_ingest('acme', 'tokens', 1, null, array['agent-1'])}),
		't',
		"$label: ids go on");
	is( $server->safe_psql($db, q{
			insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit, name) values ('acme', 'agent-2', 'tokens', 3, 'new')
			returning counter_id > all (select counter_id from gov_assignments)}),
		't',
		"$label: surrogates go on");
	is( $server->safe_psql($db, q{
			select gov_grant_credits('acme', 'later', 'tokens', 700, reference => 'monthly 1', name => 'credits') = (select id from gov_grants where category = 'monthly');
			insert into gov_grants (owner_id, assignment_id, amount) select owner_id, id, 5 from gov_assignments where is_pool
			returning counter_id > all (select counter_id from gov_grants union all select debt_counter_id from gov_assignments where is_pool)}),
		"t\nt",
		"$label: grants go on, and none is granted again");
	gov_raises($server, $db, q{delete from gov_grants}, '42501', "$label: grants are guarded");
	is( $server->safe_psql($db, q{
			select max(id) from gov_changes \gset
			update gov_assignments set usage_limit = 4 where name = 'new';
			select max(id) > :max, max(id) filter (where action = 'UPDATE' and new ->> 'usage_limit' = '4') > :max from gov_changes}),
		't|t',
		"$label: changes go on");
	gov_raises($server, $db,
		"update gov_entities set parent_id = 'late' where id = 'later'",
		qr/55000|23514/, "$label: the rules hold");
	$server->safe_psql($db, q{
		insert into gov_entities (owner_id, id, type_id, parent_id) values ('acme', 'fresh', 'agent', 'user-1');
		insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit) values ('acme', 'fresh', 'tokens', 3)});
	is( $server->safe_psql($db, "select denied_reason from gov_check('acme', 'tokens', 4, null, array['fresh'])"),
		'RequestedUsageExceedingLimit', "$label: catalog changes are seen");
	gov_roll_up($server, $db);
	gov_is_exact($server, $db, "$label, rolled up");
	return;
}

# Restore into a new database, with settings as a dump's reader is told to give them.
sub restored
{
	my ($db, $options, @command) = @_;

	$node->safe_psql('postgres', "create database $db");
	{
		local $ENV{PGOPTIONS} = $options;

		$node->command_ok([ @command, '-d', $node->connstr($db) ],
			"restore into $db");
	}
	is_copy($node, $db, $db);
	return;
}

$node->command_ok([ 'pg_dump', '-f', "$dir/plain.sql", 'postgres' ], 'pg_dump');
$node->command_ok([ 'pg_dump', '-Fc', '-f', "$dir/custom", 'postgres' ], 'pg_dump -Fc');
$node->command_ok([ 'pg_dump', '-Fd', '-j2', '-f', "$dir/directory", 'postgres' ],
	'pg_dump -Fd -j2');

restored('plain', '', 'psql', '-Xq', '-v', 'ON_ERROR_STOP=1', '-f', "$dir/plain.sql");
restored('custom', '', 'pg_restore', '-e', "$dir/custom");
restored('parallel', '-c session_replication_role=replica',
	'pg_restore', '-e', '-j2', "$dir/directory");

# Data alone, into an extension that is there already and in use. --disable-triggers leaves the extension's triggers
# enabled in a weaker way than they were, which gov_refresh() repairs.
$node->safe_psql('postgres', 'create database data_only');
$node->safe_psql('data_only',
	"create extension governance; select gov_allowed('acme', 'tokens') where false");
$node->command_ok(
	[
		'pg_restore', '-e', '--data-only', '--disable-triggers',
		'-d', $node->connstr('data_only'), "$dir/custom"
	],
	'restore data only');
$node->safe_psql('data_only', 'select gov_refresh()');
is($node->safe_psql('data_only',
	"select string_agg(format('%s.%s', tgrelid::regclass, tgname), ' ' order by 1) from pg_trigger t
	 where not tgisinternal and tgrelid::regclass::text like 'gov_%' and tgenabled is distinct from
	 (select o.tgenabled from dblink('dbname=postgres port=' || current_setting('port') || ' host=' || current_setting('unix_socket_directories'),
	   'select tgrelid::regclass::text, tgname, tgenabled from pg_trigger') o (rel text, tgname name, tgenabled \"char\")
	  where o.rel = t.tgrelid::regclass::text and o.tgname = t.tgname)"),
	'', 'gov_refresh repairs the triggers')
  if $node->psql('data_only', 'create extension dblink') == 0;
is_copy($node, 'data_only', 'data_only');

# The whole cluster.
my $other = gov_node('other', extension => 0);
$node->command_ok([ 'pg_dumpall', '-f', "$dir/all.sql", '--no-sync', '-l', 'postgres' ], 'pg_dumpall');
my ($ret, $stdout, $stderr) = ('', '', '');
$ret = $other->psql(
	'postgres', slurp_file("$dir/all.sql"),
	stderr => \$stderr,
	stdout => \$stdout,
	on_error_stop => 0);
unlike(
	join("\n", grep { !/role "\w+" already exists/ } split /\n/, $stderr),
	qr/ERROR/, 'the cluster is restored');
is_copy($other, 'postgres', 'pg_dumpall');

is(contents($node, 'postgres'), $wanted, 'the origin is as it was');
$idle->query_safe('rollback');
gov_is_exact($node, 'postgres', 'the origin');

$idle->quit;
$other->stop;
$node->stop;
done_testing();

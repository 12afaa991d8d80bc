# A tenant that speaks SQL and means harm: what it tries to unpin itself, to look past its rows, and to change what it may not.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use PostgreSQL::Test::Utils;
use Test::More;
use GovTest;

my $node = gov_node('attacks');

# Two owners of the same shape; the budgets of depth "dept-1" are locked.
foreach my $owner (qw(acme globex))
{
	gov_build($node, 'postgres', owner => $owner, agents => 2, limit => 100);
	$node->safe_psql('postgres', qq{
		update gov_assignments set locked = true where owner_id = '$owner' and entity_id = 'dept-1';
		update gov_entities set display_name = 'name of $owner' where owner_id = '$owner';
		insert into gov_boosts (owner_id, entity_id, capability_id, amount, reason) select owner_id, entity_id, capability_id, 0.5, 'boost of $owner' from gov_assignments where owner_id = '$owner' and entity_id = 'dept-1' limit 1;
		insert into gov_alert_policies (owner_id, thresholds) values ('$owner', '{80}')});
	gov_use($node, 'postgres', 5, owner => $owner);
}
$node->safe_psql('postgres', q{
	insert into gov_alert_policies (owner_id, thresholds) values (null, '{99}');
	select count(gov_ingest('globex', 'tokens', 1, null, array['agent-2'])) from generate_series(1, 2000);
	create role tenant login; alter role tenant set governance.owner = 'acme'; select gov_grant('tenant', 'tenant');
	create role pool login; grant set on parameter governance.owner to pool; select gov_grant('pool', 'reader');
	create schema attic; grant all on schema attic to tenant;
	analyze});

my $tenant = $node->background_psql('postgres',
	on_error_stop => 0,
	extra_params => [ '-U', 'tenant', '-v', 'VERBOSITY=verbose' ]);

sub gives
{
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my ($sql, $expected, $label) = @_;

	is(gov_ask($tenant, $sql), $expected, $label // $sql);
	return;
}

sub refused
{
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my ($sql, $sqlstate, $label) = @_;
	my $answer = gov_ask($tenant, $sql);

	like($answer, qr/ERROR:  $sqlstate:/, $label // $sql);
	unlike($answer, qr/globex/, 'and tells nothing') if $sql !~ /globex/;
	gov_ask($tenant, 'rollback');
	return;
}

# ---------------------------------------------------------------- the pin

my $mine = 'select string_agg(distinct owner_id, $$ $$) from gov_events';

foreach my $sql (
	q{set governance.owner = 'globex'}, q{set governance.owner = ''}, q{set local governance.owner = 'globex'},
	'reset governance.owner', 'set governance.owner to default', q{select set_config('governance.owner', 'globex', false)},
	q{update pg_settings set setting = 'globex' where name = 'governance.owner'},
	q{alter role tenant set governance.owner = 'globex'}, 'alter role tenant reset governance.owner',
	q{create function attic.unpinned() returns text language sql set governance.owner = 'globex' as 'select 1'},
	q{create function attic.unpinned() returns text language sql set governance.owner from current as 'select 1'},
	'set session authorization postgres', 'set role pool', 'begin; set local row_security = off; table gov_events',
	'alter table gov_events disable row level security', 'drop policy gov_events_select on gov_events',
	'create policy mine on gov_events using (true)',
	q{create or replace function gov_owner_visible(owner_id text) returns boolean language sql as 'select true'},
	'grant execute on function _gov_read_every_owner to tenant', q{select gov_grant('tenant', 'admin')},
	'create extension governance version "1.1.0"', 'alter extension governance drop function gov_owner_visible(text)')
{
	refused($sql, '42501|0A000|42710|42704');
	gives($mine, 'acme', 'and is still pinned');
}
gives("reset all; discard all; alter role tenant reset all; $mine", 'acme', 'RESET ALL, DISCARD ALL and ALTER ROLE ... RESET ALL do not unpin');
$tenant->quit;
$tenant = $node->background_psql('postgres', on_error_stop => 0, extra_params => [ '-U', 'tenant', '-v', 'VERBOSITY=verbose' ]);
gives($mine, 'acme', 'nor in the next session');
foreach my $value ('globex', '')
{
	local $ENV{PGOPTIONS} = "-c governance.owner=$value";
	# nothing is sent to a client that may have ended
	my ($ret, $stdout, $stderr) = $node->psql('postgres', '', extra_params => [ '-U', 'tenant' ]);

	like($stderr, qr/permission denied to set parameter/, "not at the start of a session: '$value'");
}

# The names that policies and functions use, on a path of one's own.
gives(q{create function attic._gov_change_every_owner() returns boolean language sql as 'select true';
	create function attic._gov_require_owner(text) returns boolean language sql as 'select true';
	create function attic.gov_owner_visible(text) returns boolean language sql as 'select true';
	create function attic.gov_pinned_owner() returns text language sql as $$select 'globex'$$;
	create function attic.has_function_privilege(oid, text) returns boolean language sql as 'select true';
	create temp table gov_events as select * from gov_events; set search_path = attic, pg_catalog, public}, '', 'a path that deceives');
gives('select count(*) from public.gov_entities', '6', 'the path deceives no policy');
refused(q{select public.gov_list_entities('globex')}, '42501', 'nor a function');
gives(q{update public.gov_assignments set usage_limit = 1 where locked returning 1}, '', 'nor the lock');
refused(q{select public.gov_upsert_assignments('acme', '[{"entityId": "dept-1", "capabilityId": "tokens", "usageLimit": 1}]')}, '42501');
gives('reset search_path; drop table pg_temp.gov_events', '');

# ---------------------------------------------------------------- looking past the policy

# A cheap function that would be called first, were the planner free to choose.
gives(q{create function attic.leak(text) returns boolean language plpgsql cost 0.0000001 as $$begin raise notice 'saw %', $1; return true; end$$}, '');
foreach my $table (qw(gov_entities gov_assignments gov_boosts gov_increase_requests gov_prices gov_events gov_usage gov_recounts gov_usage_by_time gov_usage_hourly gov_reservations gov_alerts gov_denials gov_alert_policies gov_changes gov_frozen_owners gov_imports gov_limit_history gov_holds gov_event_log gov_usage_log gov_alert_log gov_budgets gov_allocations))
{
	foreach my $setting ('seqscan', 'indexscan', 'bitmapscan', 'nestloop')
	{
		unlike(gov_ask($tenant, "begin; set local enable_$setting = off; select count(*) from $table where attic.leak(owner_id); rollback"),
			qr/globex/, "a leaky function sees no row of others in $table without $setting");
	}
}
unlike(gov_ask($tenant, q{select count(*) from gov_entities where 1 / (length(owner_id) - 6) > -9}), qr/22012/, 'an error does not tell what a filter saw');
unlike(gov_ask($tenant, q{select count(*) from gov_entities where (display_name || owner_id)::int > 0}), qr/globex/, 'nor a cast');

# Joins, subqueries, aggregates, parallel workers, views and functions of its own.
gives(q{set parallel_setup_cost = 0; set parallel_tuple_cost = 0; set min_parallel_table_scan_size = 0; set enable_indexscan = off; set enable_bitmapscan = off;
	set max_parallel_workers_per_gather = 2}, '');
like(gov_ask($tenant, 'explain select count(*) from gov_events'), qr/Gather/, 'a parallel plan');
gives('select count(*) from gov_events', '1', 'which sees its own');
gives('reset enable_indexscan; reset enable_bitmapscan', '');
gives(q{create view attic.v as select * from gov_events; select count(*) from attic.v; create view attic.w with (security_barrier) as select * from gov_events; select count(*) from attic.w}, "1\n1", 'views of its own');
gives(q{create function attic.f() returns bigint language sql security definer as 'select count(*) from public.gov_events'; select attic.f()}, '1', 'a function of its own');
is($node->safe_psql('postgres', 'set role pool; select attic.f()', extra_params => [ '-U', 'postgres' ]) , '0', 'which for others runs as a tenant without a pin')
  if $node->psql('postgres', 'grant usage on schema attic to pool') == 0;
gives(q{select count(*) from gov_entities e left join gov_events x on x.owner_id <> e.owner_id where x.id is not null}, '0', 'a join');
gives(q{select (select count(*) from gov_events where owner_id = 'globex'), exists (select from gov_events where owner_id <> 'acme')}, '0|f', 'subqueries');
gives(q{merge into gov_assignments a using (values ('globex')) v (o) on a.owner_id = v.o when matched then update set usage_limit = 0}, '', 'MERGE');
gives(q{with changed as (update gov_assignments set usage_limit = 1 where owner_id = 'globex' returning 1) select count(*) from changed}, '0', 'a CTE');
gives(q{select count(*) from gov_events tablesample system (100)}, '1', 'a sample');
gives(q{select count(*) from pg_stats where tablename like 'gov\_%' and tablename not in ('gov_rollup_state')}, '0', 'no statistics of columns');

# Its own part is found by an index, as an estimate that fits; a plan for everybody reads everything.
like(gov_ask($tenant, 'explain select * from gov_events'), qr/Index Cond: \(owner_id = 'acme'/, 'the policy is an index condition');
like($node->safe_psql('postgres', 'set role pool; explain select * from gov_events'), qr/Seq Scan.*rows=200\d /, 'for who sees every owner it is no condition');

# ---------------------------------------------------------------- locked budgets and columns

gives(q{update gov_assignments set usage_limit = 50 where entity_id = 'team-1' returning usage_limit}, '50', 'an unlocked budget');
gives(q{update gov_assignments set usage_limit = 50 where entity_id = 'dept-1' returning usage_limit}, '', 'not a locked one');
gives(q{delete from gov_assignments where entity_id = 'dept-1' returning 1}, '', 'nor is it deleted');
gives(q{update gov_assignments set locked = false where locked returning 1}, '', 'nor unlocked');
gives(q{select count(*) from (select 1 from gov_assignments for update) a}, '5', 'nor locked as a row');
refused(q{update gov_assignments set locked = true where entity_id = 'team-1'}, '42501');
refused(q{insert into gov_assignments (owner_id, entity_id, capability_id, name, locked) values ('acme', 'team-1', 'tokens', 'x', true)}, '42501');
refused(q{insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit) values ('acme', 'dept-1', 'tokens', 7) on conflict (owner_id, entity_id, capability_id, scope_entity_ids, name) do update set usage_limit = 7}, '42501');
foreach my $item (
	q{"entityId": "dept-1", "capabilityId": "tokens", "usageLimit": 7}, q{"entityId": "dept-1", "capabilityId": "tokens", "locked": false},
	q{"entityId": "team-1", "capabilityId": "tokens", "locked": true}, q{"entityId": "team-1", "capabilityId": "tokens", "parentId": null},
	q{"entityId": "team-1", "capabilityId": "tokens", "parentId": "org-1"})
{
	refused("select gov_upsert_assignments('acme', '[{$item}]')", '42501', "upsert {$item}");
}
is($node->safe_psql('postgres', q{select usage_limit, locked from gov_assignments where owner_id = 'acme' and entity_id = 'dept-1'}), '100000|t', 'the locked budget is as it was');
gives(q{select item ->> 'usageLimit' from jsonb_array_elements(gov_upsert_assignments('acme', '[{"entityId": "team-1", "capabilityId": "tokens", "usageLimit": 60}]')) item}, '60', 'an upsert of an unlocked one');
gives(q{select count(gov_upsert_assignments('acme', '[{"entityId": "team-1", "capabilityId": "tokens", "usageLimit": 9, "cadence": "P1M", "name": "mine", "scopeEntityIds": ["agent-1"]}]'))}, '1', 'a new one');
gives(q{delete from gov_assignments where name = 'mine' returning name}, 'mine', 'and gone again');
gives(q{insert into gov_alert_policies (owner_id, thresholds) values ('acme', '{1}') on conflict (owner_id) do update set thresholds = excluded.thresholds returning thresholds}, '{1}', 'its alert policy');
gives(q{delete from gov_alert_policies returning owner_id}, 'acme', 'which is all that it deletes');

# A locked default: no assignment in its place, and none that is there is changed or deleted. One that is not locked may be replaced.
$node->safe_psql('postgres', q{
	insert into gov_default_assignments (type_id, capability_id, name, usage_limit, locked) select type_id, 'tokens', n, 500, n = 'locked' from gov_entities, unnest('{locked,free}'::text[]) n where owner_id = 'acme' and id = 'team-1';
	insert into gov_assignments (owner_id, entity_id, capability_id, name, usage_limit) values ('acme', 'team-1', 'tokens', 'locked', 1), ('acme', 'team-1', 'tokens', 'free', 1)});
refused(q{update gov_assignments set usage_limit = 2 where name = 'locked'}, '42501');
refused(q{delete from gov_assignments where name = 'locked'}, '42501');
refused(q{select gov_upsert_assignments('acme', '[{"entityId": "team-1", "capabilityId": "tokens", "usageLimit": 60, "name": "locked"}]')}, '42501');
gives(q{update gov_assignments set usage_limit = 2 where name = 'free' returning usage_limit}, '2');
gives(q{delete from gov_assignments where name = 'free' returning usage_limit}, '2');
gives(q{insert into gov_assignments (owner_id, entity_id, capability_id, name, usage_limit) values ('acme', 'team-1', 'tokens', 'free', 3) returning usage_limit}, '3');
$node->safe_psql('postgres', q{delete from gov_assignments where name in ('locked', 'free')});
refused(q{insert into gov_assignments (owner_id, entity_id, capability_id, name, usage_limit) values ('acme', 'team-1', 'tokens', 'locked', 3)}, '42501');
gives(q{select count(*), count(*) filter (where owner_id is null) from gov_default_assignments}, '2|2', 'it sees those of everybody');
refused(q{update gov_default_assignments set usage_limit = 1000}, '42501');
refused(q{delete from gov_default_counts}, '42501');
$node->safe_psql('postgres', q{delete from gov_default_assignments});

# It chooses no counter and no id, so it can neither take nor find another's.
foreach my $column (qw(id counter_id created_at updated_at))
{
	refused("insert into gov_assignments (owner_id, entity_id, capability_id, name, $column) values ('acme', 'team-1', 'tokens', 'x', null)", '42501');
	refused("update gov_assignments set $column = $column", '42501');
}
$node->safe_psql('postgres', q{create role chief login; alter role chief set governance.owner = 'acme'; select gov_grant('chief', 'admin')});
like(($node->psql('postgres', q{insert into gov_assignments (owner_id, entity_id, capability_id, name, counter_id) values ('acme', 'team-1', 'tokens', 'x', 1000000)},
		extra_params => [ '-U', 'chief', '-v', 'VERBOSITY=verbose' ]))[2], qr/42501.*counter_id/, 'nor does an administrator of one owner');
refused("select nextval('gov_counter_seq')", '42501');
refused("select last_value from gov_events_id_seq", '42501');
refused('select lastval()', '42501|55000');

# What names things of others fails as what does not exist.
refused(q{insert into gov_assignments (owner_id, entity_id, capability_id, scope_entity_ids) values ('acme', 'team-1', 'tokens', '{nobody}')}, '23503');
refused(q{insert into gov_assignments (owner_id, entity_id, capability_id) values ('acme', 'nobody', 'tokens')}, '23503');
refused('truncate gov_assignments', '42501');
refused("begin; lock table $_ in share mode", '42501') foreach qw(gov_entities gov_events gov_capabilities);
refused('create table attic.spy (id text references gov_capabilities)', '42501');
refused('create trigger spy after insert on gov_assignments for each row execute function gov_note_change()', '42501');
refused('create index on gov_events (amount)', '42501');
refused(q{copy gov_assignments (owner_id, entity_id, capability_id) from program 'true'}, '42501');
refused('select * from gov_stats', '42501');

# How far the ledger is rolled up is for all to read: what is used is read from there on.
gives('select count(*) from gov_rollup_state', '1');
refused("begin; lock table gov_rollup_state in $_ mode", '42501') foreach ('share', 'row exclusive', 'access exclusive');
refused('begin; select * from gov_rollup_state for share', '42501');

# Whoever listens is told ids, which it reads with its own rights.
gives('listen governance_alerts', '');

# ---------------------------------------------------------------- a session that may be pinned again and again

my $pool = $node->background_psql('postgres', on_error_stop => 0, extra_params => [ '-U', 'pool' ]);
my $owners = q{select string_agg(distinct owner_id, ' ' order by owner_id) from gov_events};

gov_ask($pool, "prepare mine as $owners; set plan_cache_mode = force_generic_plan");
foreach my $step ([ '', 'acme globex' ], [ 'acme', 'acme' ], [ 'globex', 'globex' ], [ 'nobody', '' ], [ '', 'acme globex' ], [ 'acme', 'acme' ])
{
	my ($pin, $seen) = @$step;

	is(gov_ask($pool, "set governance.owner = '$pin'; execute mine"), $seen, "a prepared statement under pin '$pin'");
}

# The same with a plan that searches an index for the pin it was made under.
gov_ask($pool, "set governance.owner = 'acme'; set enable_seqscan = off; set enable_bitmapscan = off; prepare indexed as $owners");
like(gov_ask($pool, 'explain execute indexed'), qr/Index Cond: \(owner_id = 'acme'/, 'a plan for one pin');
foreach my $step ([ 'acme', 'acme' ], [ '', 'acme globex' ], [ 'globex', 'globex' ], [ 'acme', 'acme' ], [ '', 'acme globex' ])
{
	my ($pin, $seen) = @$step;

	is(gov_ask($pool, "set governance.owner = '$pin'; execute indexed"), $seen, "which is not used under pin '$pin'");
}
gov_ask($pool, "reset enable_seqscan; reset enable_bitmapscan; set governance.owner = 'acme'");
is(gov_ask($pool, "begin; set local governance.owner = 'globex'; execute mine; rollback; execute mine"), "globex\nacme", 'SET LOCAL, and its end');
is(gov_ask($pool, "begin; savepoint s; set local governance.owner = 'globex'; execute mine; rollback to s; execute mine; rollback"), "globex\nacme", 'and that of a savepoint');
foreach my $setting (qw(seqscan indexscan))
{
	like(gov_ask($pool, qq{begin; set local enable_$setting = off; set local enable_bitmapscan = off; declare c cursor for select owner_id from gov_entities;
			fetch 1 c; set local governance.owner = 'globex'; fetch all c; rollback}),
		qr/\Aacme(\nglobex)*\z/, "a cursor shows nothing more of one owner under the pin of another, without $setting");
}
is(gov_ask($pool, "set governance.owner = 'globex'; reset all; execute mine"), 'globex', 'RESET ALL keeps the pin');
is( gov_ask($pool, q{reset governance.owner; do $$ declare n int; begin
		for i in 1..20 loop
			perform set_config('governance.owner', case i % 3 when 0 then '' when 1 then 'acme' else 'globex' end, false);
			select count(distinct owner_id) into n from gov_entities;
			if n <> (case i % 3 when 0 then 2 else 1 end) then raise 'saw % owners', n; end if;
		end loop; end $$}), '', 'a cached plan of PL/pgSQL follows the pin');
$pool->quit;

# ---------------------------------------------------------------- copies of the tables

# pg_dump as a tenant is refused, or dumps its own.
my $dir = PostgreSQL::Test::Utils::tempdir();

$node->command_fails([ 'pg_dump', '-U', 'tenant', '-t', 'gov_events', '-f', "$dir/refused", 'postgres' ], 'pg_dump does not leave rows out unasked');
$node->command_ok([ 'pg_dump', '-f', "$dir/all.sql", 'postgres' ], 'a superuser dumps');
is(() = slurp_file("$dir/all.sql") =~ /^\d+\tglobex\ttokens\t/gm, 2001, 'everything');
unlike(slurp_file("$dir/all.sql"), qr/CREATE POLICY|ROW LEVEL/, 'policies are the extension\'s, and not dumped');
$node->safe_psql('postgres', 'create role dumper login bypassrls; grant pg_read_all_data to dumper');
$node->command_ok([ 'pg_dump', '-U', 'dumper', '-f', "$dir/dumper.sql", 'postgres' ], 'and a role with BYPASSRLS');
is(() = slurp_file("$dir/dumper.sql") =~ /^\d+\tglobex\ttokens\t/gm, 2001, 'everything too');

# The engine does not see less in a pinned session than in others, and its statements pass the policies by.
$node->safe_psql('postgres', q{select gov_refresh(); create role app login; alter role app set governance.owner = 'globex'; select gov_grant('app', 'app')});
my ($ret, $stdout, $stderr) = $node->psql('postgres', q{
	select is_granted, remaining from gov_consume('globex', 'tokens', 1, null, array['agent-1'], 'key');
	select is_duplicate from gov_consume('globex', 'tokens', 1, null, array['agent-1'], 'key')}, extra_params => [ '-U', 'app' ]);
is($stdout, "t|94\nt", 'a pinned application loads, consumes and finds its key') or diag $stderr;
$node->safe_psql('postgres', q{alter database postgres set governance.owner = 'acme'});
$node->psql('postgres', q{select gov_ingest('acme', 'tokens', 1, null, array['agent-1']), gov_reserve('acme', 'tokens', 1, null, array['agent-1'], null, '1 millisecond')});
$node->safe_psql('postgres', q{set governance.owner = ''; select pg_terminate_backend(pid) from pg_stat_activity where backend_type like 'governance%'});
$node->psql('postgres', q{select gov_ingest('acme', 'tokens', 1, null, array['agent-1'])});
$node->poll_query_until('postgres', q{select not exists (select from gov_events where id > coalesce((select watermark from gov_rollup_state), 0)) and not exists (select from gov_reservations where state = 'open')})
  or die 'the worker of a pinned database rolls up and expires nothing';
$node->safe_psql('postgres', 'alter database postgres reset governance.owner');
is($node->safe_psql('postgres', 'select * from gov_verify()'), '', 'the worker of a pinned database rolls up what everybody used');

$tenant->quit;

# ---------------------------------------------------------------- where the library is not preloaded

# There the setting is a placeholder until the first call, and whoever displaces a pin has none but one that nobody has.
$node->safe_psql('postgres', q{create role reader login; alter role reader set governance.owner = 'acme'; select gov_grant('reader', 'reader')});
$node->adjust_conf('postgresql.conf', 'shared_preload_libraries', "''");
$node->restart;
is($node->safe_psql('postgres', $owners, extra_params => [ '-U', 'reader' ]), 'acme', 'not preloaded: the pin of the role holds');
is($node->safe_psql('postgres', "set governance.owner = 'globex'; set role reader; $owners"), 'globex', 'and so does a superuser\'s');
foreach my $value ('globex', '')
{
	my $pinned = $node->safe_psql('postgres', "set governance.owner = '$value'; $owners", extra_params => [ '-U', 'reader' ]);

	is($pinned, '', "not with '$value' before the library is loaded");
	local $ENV{PGOPTIONS} = "-c governance.owner=$value";
	is($node->safe_psql('postgres', $owners, extra_params => [ '-U', 'reader' ]), '', "nor at the start of the session");
}

$node->stop;
done_testing();

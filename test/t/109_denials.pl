# Denials are written by nobody's transaction: the worker writes what calls have counted in shared memory. What does not fit there, what
# a standby denies and what a crash takes is not in gov_denials, and the rest is, once.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use GovTest;

use constant CLIENTS => 4;
use constant CALLS => 5000;

my $node = gov_node('denials', init => { allows_streaming => 1 }, conf => "restart_after_crash = on\nmax_prepared_transactions = 2");
my $dir = PostgreSQL::Test::Utils::tempdir;
my $worker = "select count(*) from pg_stat_activity where backend_type like 'governance%'";
my $all = 'select coalesce(sum(denied_count), 0) from gov_denials';

sub sql { my ($sql) = @_; return $node->safe_psql('postgres', $sql); }

# Until so many are written, by the worker alone.
sub written
{
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my ($wanted, $label) = @_;

	ok($node->poll_query_until('postgres', "$all", $wanted), $label) or diag(sql($all));
	return;
}

gov_build($node, 'postgres', agents => 20, limit => 1);
sql(q{update gov_assignments set usage_limit = 0 where entity_id like 'agent%'});

# ---------------------------------------------------------------- the worker

# Nothing else has it started, and it leaves when nothing is denied any more.
ok($node->poll_query_until('postgres', "$worker", '0'), 'no worker');
is(sql(q{begin read only; select gov_allowed('acme', 'tokens', 5, null, '{agent-1}'); rollback}), 'f', 'a check in a read-only transaction is denied');
written(1, 'a worker comes and writes it');
is(sql(q{select entity_id, capability_id, reason, is_check, denied_count, amount, window_start, last_entity_id, last_at - first_at from gov_denials}),
	'agent-1|tokens|RequestedUsageExceedingLimit|t|1|5||agent-1|00:00:00', 'who was denied');
ok($node->poll_query_until('postgres', "$worker", '0'), 'and leaves');

# Several sessions at once, and the worker writing all the time.
my $script = "$dir/denied.sql";
append_to_file($script, <<'EOS');
\set agent random(1, 20)
select gov_allowed('acme', 'tokens', 1, null, array['agent-' || :agent::text]);
select is_granted from gov_consume('acme', 'tokens', 2, null, array['agent-' || :agent::text]);
EOS
$node->command_ok([ 'pgbench', '-n', '-M', 'prepared', '-c', CLIENTS, '-t', CALLS, '-f', $script, 'postgres' ], 'a load that is denied');
written(1 + 2 * CLIENTS * CALLS, 'each denial counts once');
is(sql(q{select is_check, sum(denied_count), sum(amount) from gov_denials group by 1 order by 1}),
	sprintf("f|%d|%d\nt|%d|%d", CLIENTS * CALLS, 2 * CLIENTS * CALLS, CLIENTS * CALLS + 1, CLIENTS * CALLS + 5), 'checks and uses apart, and their amounts');
is(sql('select count(*) from gov_denials where first_at > last_at'), '0', 'the first before the last');
is(gov_stat($node, 'postgres', 'denials_not_kept'), '0', 'all were kept');
is(sql('select count(*) from gov_events'), '0', 'no use was recorded');

# ---------------------------------------------------------------- transactions that write them

my $holder = $node->background_psql('postgres');
my $before = sql($all);

# Whoever deletes a budget keeps the worker waiting.
sub hold_worker { $holder->query_safe('begin; lock gov_rollup_state in share mode'); return; }
sub free_worker { $holder->query_safe('rollback'); return; }

my $maintainer = $node->background_psql('postgres', on_error_stop => 0);

# What a transaction has taken is its own until it ends, and comes back if it aborts.
foreach my $end ('rollback', 'savepoint s; select count(*) from gov_maintain(); rollback to s; commit', 'commit')
{
	sql(q{select count(gov_consume('acme', 'tokens', 1, null, array['agent-' || n])) from generate_series(1, 20) n});
	$before += 20;
	gov_ask($maintainer, 'begin; select count(*) from gov_maintain(); select count(*) from gov_maintain()');
	sql(q{select count(gov_consume('acme', 'tokens', 1, null, array['agent-' || n])) from generate_series(1, 20) n});
	$before += 20;
	gov_ask($maintainer, $end);
	written($before, "each counts once after $end");
}
sql(q{select gov_allowed('acme', 'tokens', 1, null, '{agent-3}')});
$before++;
like(gov_ask($maintainer, q{begin; select count(*) from gov_maintain(); select gov_allowed('acme', 'tokens', 1, null, '{agent-3}'); select count(*) from gov_maintain(); prepare transaction 'p'}),
	qr/^1\nf\n1psql\S+ ERROR:  cannot PREPARE a transaction that has used governance\n/, 'PREPARE TRANSACTION is refused');
$before++;
written($before, 'which loses none');

# Whoever truncates budgets has their table, and then wants what the worker has: it must not wait for the table with that.
hold_worker();
sql(q{select gov_allowed('acme', 'tokens', 1, null, '{agent-3}')});
gov_ask($maintainer, 'begin; lock gov_assignments in access exclusive mode');
free_worker();
is($node->psql('postgres', q{set statement_timeout = '30s'; select count(*) from gov_maintain()}), 0, 'gov_maintain() does not wait');
is(gov_ask($maintainer, q{set lock_timeout = '10s'; lock gov_rollup_state in share mode; rollback}), '', 'truncating budgets meets no deadlock');
written(++$before, 'and what was denied meanwhile is written');

# A trigger that refuses them stops them, and nothing else; then they are written all the same.
sql(q{
	create function refuse() returns trigger language plpgsql as $$ begin raise 'no denials today' using errcode = 'P0042'; end $$;
	create trigger refuse before insert on gov_denials for each row execute function refuse();
	select count(gov_allowed('acme', 'tokens', 1, null, '{agent-4}')) from generate_series(1, 7)});
ok($node->poll_query_until('postgres', q{select value > 0 and detail ~ '^P0042 since .*: no denials today' from gov_stats where name = 'denials_failures'}),
	'gov_stats says what stops them');
sql(q{drop trigger refuse on gov_denials});
written($before += 7, 'they wait for better times');
ok($node->poll_query_until('postgres', q{select value = 0 from gov_stats where name = 'denials_failures'}), 'which come');

# ---------------------------------------------------------------- floods

# A million random ids, which nothing governs.
my $rows = sql('select count(*) from gov_denials');

is(sql(q{set governance.on_ungoverned = 'deny';
	select count(*) filter (where gov_allowed('acme', 'tokens', 1, null, (select array_agg(gen_random_uuid()::text) from generate_series(1, 1000) where n > 0)))
	from generate_series(1, 1000) n}), '0', 'a million random ids');
sql(q{set governance.on_ungoverned = 'deny';
	select count(gov_allowed('acme', 'tokens', 1, jsonb_build_object('agentId', gen_random_uuid()))) from generate_series(1, 1000)});
written($before += 2000, 'are written');
is(sql('select count(*) from gov_denials') - $rows, 2, 'as two rows, one for each way to name them');
is(gov_stat($node, 'postgres', 'denials_not_kept'), '0', 'which took next to no memory');

# As many budgets as memory has no room for, while nobody writes: what does not fit is counted.
sql(q{
	insert into gov_entities (owner_id, id, type_id) select 'flood', 'agent-' || n, 'agent' from generate_series(1, 30000) n;
	insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit) select 'flood', 'agent-' || n, 'tokens', 0 from generate_series(1, 30000) n});
hold_worker();
sql(q{select count(gov_allowed('flood', 'tokens', 1, null, array['agent-' || n])) from generate_series(1, 30000) n});
my $unkept = gov_stat($node, 'postgres', 'denials_not_kept');
cmp_ok($unkept, '>', 5000, 'what does not fit is counted');
cmp_ok($unkept, '<', 25000, 'and most fits');
sql(q{select count(gov_allowed('flood', 'tokens', 1, null, array['agent-' || n])) from generate_series(1, 30000) n});
is(gov_stat($node, 'postgres', 'denials_not_kept'), 2 * $unkept, 'what is there goes on counting');
free_worker();
written($before + 60000 - 2 * $unkept, 'what fits is written');
sql(q{select count(gov_allowed('flood', 'tokens', 1, null, array['agent-' || n])) from generate_series(1, 1000) n});
written($before + 61000 - 2 * $unkept, 'and then there is room again');
is(gov_stat($node, 'postgres', 'denials_not_kept'), 2 * $unkept, 'for all');
sql(q{select gov_delete_owner('flood')});
written($before, 'an owner takes its own along');

# ---------------------------------------------------------------- retention

gov_set($node, 'governance.denial_retention', '1s');
written(0, 'retention deletes them');
gov_set($node, 'governance.denial_retention', '90d');

# ---------------------------------------------------------------- a standby

sql(q{select gov_allowed('acme', 'tokens', 1, null, '{agent-5}')});
written(1, 'one is written');
$node->backup('base');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($node, 'base', has_streaming => 1);
$standby->start;
is($standby->safe_psql('postgres', q{select count(*) filter (where gov_allowed('acme', 'tokens', 1, null, '{agent-5}')) from generate_series(1, 9)}), '0', 'a standby denies');
is($standby->safe_psql('postgres', q{select string_agg(name || '=' || value, ' ' order by name) from gov_stats where name in ('denials', 'denials_not_kept')}),
	'denials=9 denials_not_kept=9', 'and counts that');
is($standby->safe_psql('postgres', $all), '1', 'and nothing else');
$standby->promote;
is($standby->safe_psql('postgres', q{select gov_allowed('acme', 'tokens', 1, null, '{agent-5}')}), 'f', 'when promoted it denies');
ok($standby->poll_query_until('postgres', $all, '2'), 'and writes that');
$standby->stop;

# ---------------------------------------------------------------- a crash

hold_worker();
sql(q{select count(gov_allowed('acme', 'tokens', 1, null, '{agent-6}')) from generate_series(1, 5)});
my $victim = $node->background_psql('postgres');
my $pid = $victim->query_safe('select pg_backend_pid()');
sql(q{select gov_ingest('acme', 'tokens', 3, null, '{agent-7}')});
kill 'KILL', $pid;
is(gov_await($node, 'postgres', 'select 1', '1'), '1', 'the server comes back');
eval { $victim->quit; };
eval { $holder->quit; };
eval { $maintainer->quit; };
sql(q{select count(gov_allowed('acme', 'tokens', 1, null, '{agent-8}')) from generate_series(1, 4)});
written(5, 'what was not written is lost, and the next are written');
gov_is_exact($node, 'postgres', 'after the crash');

# ---------------------------------------------------------------- another extension, and no worker

sql(q{select gov_allowed('acme', 'tokens', 1, null, '{agent-9}'); drop extension governance cascade; create extension governance});
gov_build($node, 'postgres', limit => 1);
sql(q{select gov_allowed('acme', 'tokens', 2, null, '{agent-1}')});
written(1, 'what another extension has denied is not ours');
$node->stop;

$node->append_conf('postgresql.conf', 'max_worker_processes = 0');
$node->start;
sql(q{select count(gov_allowed('acme', 'tokens', 2, null, '{agent-1}')) from generate_series(1, 3)});
is(sql($all), '1', 'without a worker nobody writes them');
is(sql(q{select waits_for from gov_maintain()}), '', 'but gov_maintain');
is(sql($all), '4', 'does');
$node->stop;

done_testing();

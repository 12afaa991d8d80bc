# Everything at once on a cache that is too small: uses and corrections, savepoints, rollbacks, limits and cadences that
# change, bad items, a rollup without pause, sessions that are terminated, a crash. Counts equal the ledger each time it is quiet.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use IPC::Run;
use PostgreSQL::Test::Utils;
use Test::More;
use GovTest;

use constant { AGENTS => 800, BUDGETS => 14 };

my $node = gov_node('load', conf => <<CONF);
governance.cache_size = '4MB'
governance.rollup_interval = '20ms'
restart_after_crash = on
CONF
my $dir = PostgreSQL::Test::Utils::tempdir;
my $clients = "backend_type = 'client backend' and pid <> pg_backend_pid()";

# Budgets with long names to fill the cache, some with windows that turn during the test.
gov_build($node, 'postgres', agents => AGENTS);
$node->safe_psql('postgres', qq{
	insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit, name, cadence)
	select 'acme', 'agent-' || n, 'tokens', 1000000, m || repeat(' of many', 30), case m when 2 then 'PT1S' when 3 then 'PT3S' end
	from generate_series(1, ${\AGENTS}) n, generate_series(1, ${\BUDGETS}) m;
	analyze});

append_to_file("$dir/transaction.sql", <<'EOS');
\set a random(1, 800)
\set b random(1, 800)
\set c random(1, 800)
\set x random(-3, 9)
begin;
select gov_ingest('acme', 'tokens', :x, null, array['agent-' || :a]);
savepoint s;
select gov_ingest('acme', 'tokens', :x + 1, null, array['agent-' || :b, 'agent-' || :a]);
select count(*) from gov_check('acme', 'tokens', 1, null, array['agent-' || :c]);
rollback to s;
select gov_ingest('acme', 'tokens', 2, null, array['agent-' || :c]);
\if :x < 2
rollback;
\else
commit;
\endif
EOS
append_to_file("$dir/change.sql", <<'EOS');
\set a random(1, 800)
begin;
update gov_assignments set usage_limit = usage_limit + 1 where owner_id = 'acme' and entity_id = 'agent-' || :a and name = '';
select gov_ingest('acme', 'tokens', 1, null, array['agent-' || :a]);
savepoint s;
update gov_assignments set cadence = case when cadence is null then 'PT2S' end where owner_id = 'acme' and entity_id = 'agent-' || :a and name like '5%';
select gov_ingest('acme', 'tokens', 3, null, array['agent-' || :a]);
release s;
end;
EOS
append_to_file("$dir/batch.sql", <<'EOS');
\set a random(1, 800)
select position, error from gov_ingest_many('acme', jsonb_build_array(
	jsonb_build_object('capabilityId', 'tokens', 'amount', 1, 'entityIds', jsonb_build_array('agent-' || :a)),
	jsonb_build_object('capabilityId', 'tokens', 'amount', 'bad'),
	jsonb_build_object('capabilityId', 'tokens', 'amount', -1, 'entityIds', jsonb_build_array('agent-' || :a))));
EOS

sub load_while
{
	my ($protocol, $disaster) = @_;
	my ($out, $err) = ('', '');
	my $before = $node->safe_psql('postgres', 'select coalesce(max(id), 0) from gov_events');
	local %ENV = $node->_get_env();
	my $load = IPC::Run::start(
		[
			'pgbench', '-n', '-M', $protocol, '-c', '8', '-t', '300',
			map({ ('-f', $_) } "$dir/transaction.sql\@4", "$dir/change.sql\@2", "$dir/batch.sql\@1"),
			'postgres'
		],
		'>', \$out, '2>', \$err);

	$node->poll_query_until('postgres',
		"select max(id) > $before + 1000 from gov_events")
	  or die "no load: $err";
	$disaster->();
	$load->finish;
	gov_await($node, 'postgres', 'select true');
	return $err;
}

# Every budget of every agent, for the window it is in: the gate against the sum of what the ledger charged to it.
sub all_exact
{
	my ($when) = @_;

	is($node->safe_psql('postgres', 'select count(*) from gov_verify()'),
		'0', "$when: gov_verify finds nothing");
	is( $node->safe_psql('postgres', qq{
			with ledger as (
			  select x.counter_id, x.window_start, sum(amount) as used
			  from gov_events, unnest(counter_ids, window_starts) x (counter_id, window_start) group by 1, 2)
			select count(*) from generate_series(1, ${\AGENTS}) n
			cross join lateral gov_headroom('acme', 'tokens', 0, null, array['agent-' || n]) h
			join gov_assignments a on a.owner_id = 'acme' and a.entity_id = h.entity_id and a.name = h.name
			left join ledger l on l.counter_id = a.counter_id and l.window_start = coalesce(h.usage_period_start, '-infinity')
			where h.current_usage <> coalesce(l.used, 0) and coalesce(h.usage_period_end, 'infinity') > clock_timestamp()}),
		'0',
		"$when: every count equals the ledger");
	return;
}

my $errors = load_while('prepared', sub { });
is($errors, '', 'nothing fails');
all_exact('after a load');
cmp_ok(gov_stat($node, 'postgres', 'cache_evictions'),
	'>', 100, 'nodes were evicted meanwhile');

load_while(
	'simple',
	sub {
		$node->safe_psql('postgres',
			"select pg_terminate_backend(pid) from pg_stat_activity where $clients and pid % 2 = 0");
	});
all_exact('terminated sessions');

load_while(
	'prepared',
	sub {
		kill 9,
		  $node->safe_psql('postgres',
			"select pid from pg_stat_activity where $clients limit 1");
	});
gov_await($node, 'postgres', 'select 1');
all_exact('a crash');

gov_roll_up($node, 'postgres');
all_exact('rolled up');
$node->stop;
done_testing();

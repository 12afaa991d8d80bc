# The rollup adds up in memory and writes each row once: what it writes is what SQL makes of the ledger, wherever a batch ends; updates
# touch no index and leave the tables as large as they are; gaps between ids and idle rounds cost nothing.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use PostgreSQL::Test::Utils;
use Test::More;
use GovTest;
use GovGrowth;

# windows that end are not merged: 101_usage_merge has that
my $node = gov_node('rollup', conf => "autovacuum = off\ngovernance.rollup_interval = -1\ngovernance.usage_merge_after = 0");

sub sql { return $node->safe_psql('postgres', $_[0]); }

# What the tables have and the ledger has not, and the other way round; of budgets that there are.
my $usage = q{
	with shown as (select owner_id, assignment_id, counter_id, window_start, window_end, amount, event_count from gov_usage),
	wanted as (
		select e.owner_id, a.id, x.counter_id, x.window_start, max(x.window_end), trim_scale(sum(e.amount)), count(*)
		from gov_events e, unnest(e.counter_ids, e.window_starts, e.window_ends) x (counter_id, window_start, window_end)
		join gov_assignments a using (counter_id)
		group by 1, 2, 3, 4)
	select count(*) from ((table shown except all table wanted) union all (table wanted except all table shown)) d};
my $hourly = q{
	with wanted as (
		select e.owner_id, e.capability_id, coalesce(x.entity_id, ''), date_trunc('hour', e.occurred_at, 'UTC'), trim_scale(sum(e.amount)), count(*)
		from gov_events e left join unnest(e.entity_ids) x (entity_id) on true
		group by 1, 2, 3, 4)
	select count(*) from ((table gov_usage_hourly except all table wanted) union all (table wanted except all table gov_usage_hourly)) d};

sub all_is_as_recorded
{
	my ($when) = @_;

	gov_roll_up($node, 'postgres');
	is(sql($usage), '0', "$when: gov_usage is the ledger's sum");
	is(sql($hourly), '0', "$when: so is gov_usage_hourly");
	return;
}

sub updates { return sql("select sum(n_tup_upd) from pg_stat_user_tables where relname = '$_[0]'"); }

# ---------------------------------------------------------------- the setting

is(sql('show governance.rollup_interval'), '-1', 'as the ledger grows');
foreach my $value (0, 9, -2)
{
	my ($ret, $stdout, $stderr) = $node->psql('postgres', "alter system set governance.rollup_interval = $value");
	like($stderr, qr/ERROR: .*rollup_interval/, "$value is no interval");
}

# ---------------------------------------------------------------- sums

gov_grow_owner($node, 'postgres', $_, teams => 2, agents => 40) foreach ('acme', 'other');
sql(q{
	insert into gov_capabilities (id) values ('calls');
	update gov_assignments set cadence = (array['P1M', 'PT1H', 'P1D', null])[1 + hashtext(entity_id) % 2 + 1] where entity_id like 'agent%'});
my $use = q{
	select count(gov_ingest(
		case when n % 5 = 0 then 'other' else 'acme' end,
		case when n % 7 = 0 then 'calls' else 'tokens' end,
		case n % 4 when 0 then -0.000000001 when 1 then 123456789.123456789 else n % 13 end,
		null,
		case when n % 11 = 0 then '{}' else array['agent-1-' || n % 40 + 1, 'agent-2-' || n * 7 % 40 + 1] end,
		null,
		case when n % 3 = 0 then now() - n * interval '17 minutes' end))
	from generate_series(1, 3000) n};
sql($use);
all_is_as_recorded('once');
# a minute later, when some of them are of other hours
(my $later = $use) =~ s/now\(\) - n/now() + interval '1 minute' - n/;
sql($later);
all_is_as_recorded('on top of what there is');
ok(sql('select count(*) > 500 from gov_usage_hourly'), 'there is something to look at');
foreach my $grain (qw(15min 1h 30min 1h))
{
	gov_set($node, 'governance.usage_grain', $grain);
	sql($use);
	all_is_as_recorded("in rows of $grain");
}
is(sql('select count(*) > 0 from gov_usage_by_time where grain_minutes = 60 or minute + grain_minutes > 60 or minute is null <> (grain_minutes is null)'), 'f', 'and rows are of an hour or of a part of one');
is(sql('select count(distinct coalesce(grain_minutes, 60)) from gov_usage_by_time'), '3', 'of each length');

# ---------------------------------------------------------------- dead rows, gaps, batches

$node->psql('postgres', "begin; $use; rollback");
sql($use);
sql('select count(*) from gov_attribution($$acme$$, $$tokens$$, $${team}$$, $$-infinity$$, $$infinity$$)');
all_is_as_recorded('behind what was rolled back');
sql(q{select setval('gov_events_id_seq', nextval('gov_events_id_seq') + 1000000000000)});
sql($use);
all_is_as_recorded('behind a gap');
is(sql('select watermark = (select max(id) from gov_events) from gov_rollup_state'), 't', 'which cost nothing');

# Ten thousand budgets, each in another window for each use: more than a batch has room for.
sql(q{
	insert into gov_entities (owner_id, id, type_id) select 'many', 'a-' || n, 'agent' from generate_series(1, 500) n;
	insert into gov_assignments (owner_id, entity_id, capability_id, name, cadence)
	select 'many', 'a-' || n, 'tokens', m::text, 'PT1S' from generate_series(1, 500) n, generate_series(1, 10) m});
gov_set($node, 'governance.rollup_interval', '1h');
sql(q{select pg_terminate_backend(pid) from pg_stat_activity where backend_type like 'governance%'});
my $before = updates('gov_rollup_state');
sql(q{
	select count(gov_ingest('many', 'tokens', s, null, (select array_agg('a-' || n) from generate_series(1, 500) n), null, now() - s * interval '1 hour'))
	from generate_series(1, 14) s});
all_is_as_recorded('in more than one batch');
$node->poll_query_until('postgres', "select sum(n_tup_upd) >= $before + 2 from pg_stat_user_tables where relname = 'gov_rollup_state'");
cmp_ok(updates('gov_rollup_state'), '>=', $before + 2, 'which it was');

# ---------------------------------------------------------------- bloat

my $pages = q{select sum(pg_relation_size(c)) / 8192 from unnest('{gov_usage,gov_usage_by_time}'::regclass[]) c};
my $first;
foreach my $round (1 .. 6)
{
	sql(q{select count(gov_ingest('acme', 'tokens', 1, null, array['agent-' || n / 40 + 1 || '-' || n % 40 + 1])) from generate_series(0, 79) n});
	gov_roll_up($node, 'postgres');
	$first = sql($pages) if $round == 1;
}
cmp_ok(sql($pages), '<=', $first + 4, 'the tables do not grow');
my $hot = q{select round(100.0 * sum(n_tup_hot_upd) / sum(n_tup_upd)) from pg_stat_user_tables where relname in ('gov_usage', 'gov_usage_by_time')};
$node->poll_query_until('postgres', "select ($hot) >= 95");
cmp_ok(sql($hot), '>=', 95, 'and updates touch no index');

# ---------------------------------------------------------------- idle rounds

my $session = $node->background_psql('postgres');
gov_ask($session, 'select gov_maintain()');
cmp_ok(gov_blocks($session, 'select expired from gov_maintain()'), '<=', 60, 'a round with nothing to do reads next to nothing');
$session->quit;

gov_set($node, 'governance.rollup_interval', '-1');
gov_use($node, 'postgres', 1, owner => 'acme', agent => 'agent-1-1');
ok($node->poll_query_until('postgres', 'select watermark = (select max(id) from gov_events) from gov_rollup_state'), 'the worker rolls up by itself');
is(sql('select count(*) from gov_verify()'), '0', 'gov_verify finds nothing');

$node->stop;
done_testing();

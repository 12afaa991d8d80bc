# Short windows are merged into days, and old usage, hours and alerts deleted, at random moments of a random history with late uses and
# corrections: the sums stay those of what was used, which is written down beside the ledger, and gov_verify finds nothing.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use PostgreSQL::Test::Utils;
use Test::More;
use GovTest;

my $seed = $ENV{GOVERNANCE_SEED} // time;
my $steps = 25;
srand $seed;
note "GOVERNANCE_SEED=$seed";

# No worker: gov_maintain does it when it is told to.
my $node = gov_node('merged', conf => "max_worker_processes = 0\ngovernance.log_rollup_waits = -1");
my $hours = 0;

sub ask { my ($sql) = @_; return $node->safe_psql('postgres', $sql); }

sub configure
{
	my (%settings) = @_;

	ask("alter system set governance.$_ = '$settings{$_}'") foreach sort keys %settings;
	$node->reload;
	foreach my $name (sort keys %settings)
	{
		$node->poll_query_until('postgres', "select current_setting('governance.$name') = '$settings{$name}'") or die "no $name";
	}
	return;
}

sub pass_hours
{
	my ($n) = @_;

	$hours += $n;
	ask("alter system set governance.clock_offset = '${\ ($hours * 3600)}s'");
	$node->reload;
	$node->poll_query_until('postgres', "select setting = '${\ ($hours * 3600)}' from pg_settings where name = 'governance.clock_offset'") or die 'no clock';
	return;
}

# One entity for each cadence, all of them in every call.
my %cadences = (
	never => [ 'null', 'UTC' ], month => [ q('P1M'), 'Asia/Tokyo' ], day => [ q('P1D'), 'Europe/London' ], half => [ q('PT12H'), 'UTC' ],
	seven => [ q('PT7H'), 'America/New_York' ], hour => [ q('PT1H'), 'UTC' ], minute => [ q('PT1M'), 'UTC' ]);
my @entities = sort keys %cadences;
my $names = join ',', @entities;

ask(q{
	insert into gov_entity_types (id) values ('org');
	insert into gov_capabilities (id) values ('tokens');
	create table used (n serial, at timestamptz, amount numeric, is_forgotten boolean not null default false)});
foreach my $entity (@entities)
{
	ask(qq{
		insert into gov_entities (owner_id, id, type_id) values ('acme', '$entity', 'org');
		insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit, cadence, timezone)
		values ('acme', '$entity', 'tokens', 1000000, $cadences{$entity}[0], '$cadences{$entity}[1]')});
}
ask(q{
	-- What each budget has used of the windows that start on a day of UTC, by what was written down.
	create view wanted as
	select a.entity_id, a.counter_id, date_trunc('day', coalesce(w.window_start, '-infinity'), 'UTC') as day, sum(u.amount) as amount, count(*) as events, count(distinct w.window_start) as windows
	from used u cross join gov_assignments a cross join lateral gov_window(a.cadence, a.anchor_at, a.timezone, u.at) w
	group by 1, 2, 3;
	create view counted as
	select counter_id, date_trunc('day', window_start, 'UTC') as day, sum(amount) as amount, sum(event_count) as events, count(*) as rows, max(window_end) as until
	from gov_usage group by 1, 2;
	-- Events whose window no row has, and rows of a counter that overlap although they are merged.
	create view wrong as
	select 'no row has event ' || e.id as what
	from gov_events e cross join lateral unnest(e.counter_ids, e.window_starts) x (counter_id, window_start)
	where e.id <= (select watermark from gov_rollup_state)
		and not exists (select from gov_usage u where u.counter_id = x.counter_id and u.window_start <= x.window_start and u.window_end > x.window_start)
	union all
	select format('%s and %s', u, o)
	from gov_usage u
	join gov_usage o on o.counter_id = u.counter_id and o.window_start > u.window_start and o.window_start < u.window_end
	where o.merged_windows is not null or coalesce(u.merged_windows, 1) = 1});

sub use_some
{
	my ($n, $most_hours) = @_;

	ask(qq{
		with drawn as materialized (
			select date_trunc('second', gov_now()) - random() * interval '$most_hours hours' as at, (random() * 100 - 30)::int as amount
			from generate_series(1, $n)),
		noted as (insert into used (at, amount) select at, amount from drawn returning 1)
		select count(gov_ingest('acme', 'tokens', d.amount, null, '{$names}', null, d.at)) from drawn d});
	return;
}

sub is_exact
{
	my ($label) = @_;

	is(ask('select * from gov_verify()'), '', "$label: gov_verify finds nothing");
	is(ask(q{select * from gov_verify('acme')}), '', "$label: nor for the owner");
	is(ask('select what from wrong'), '', "$label: every event has its row, and no rows overlap");
	return;
}

sub maintain { return ask('select pruned from gov_maintain() where events_left = 0 and waits_for is null'); }

my $differences = q{
	select format('%s: %s %s', w.entity_id, w, c) from wanted w full join counted c using (counter_id, day)
	where (w.amount, w.events) is distinct from (c.amount, c.events)};

my $hourly = q{
	with wanted as (select date_trunc('hour', at, 'UTC') as hour, trim_scale(sum(amount)), count(*) from used group by 1),
		shown as (select hour, amount, event_count from gov_usage_hourly where entity_id = 'never')
	select count(*) from ((table wanted except all table shown) union all (table shown except all table wanted)) d};

# ---------------------------------------------------------------- merging

is(maintain(), '0', 'nothing to do yet');
foreach my $step (1 .. $steps)
{
	my $what = rand;

	configure(usage_grain => (qw(15min 30min 1h))[ $step % 3 ]) if $step % 4 == 0;
	if ($what < 0.4) { use_some(1 + int rand 100, 3); }
	elsif ($what < 0.6) { use_some(1 + int rand 30, 24 * 8); }
	elsif ($what < 0.75) { pass_hours(1 + int rand 30); }
	else
	{
		maintain();
		is(ask($differences), '', "step $step: the sums are those used") or last;
		is(ask($hourly), '0', "step $step: so are the hours, of rows of any length") or last;
	}
	is_exact("step $step") if $step % 5 == 0;
}
maintain();
is_exact('in the end');
is(ask($differences), '', 'the sums are those used');
is( ask(q{
		select string_agg(format('%s: %s', a.entity_id, c), ', ')
		from counted c join gov_assignments a using (counter_id)
		where c.until <= date_trunc('day', gov_now() - interval '3 days', 'UTC') and c.rows > case a.entity_id when 'day' then 2 else 1 end}),
	'', 'no day of before has more than one row of short windows');
is( ask(q{
		select count(*) from gov_usage u join gov_assignments a using (counter_id)
		where u.merged_windows > 1 and (a.entity_id in ('never', 'month', 'day') or u.window_end > date_trunc('day', gov_now() - interval '3 days', 'UTC'))}),
	'0', 'nothing else is merged');
cmp_ok(ask('select count(*) from gov_usage where merged_windows > 1'), '>', 3, 'some are');
is( ask(q{
		select count(*) from gov_usage u join gov_assignments a using (counter_id)
		where u.merged_windows > 1 and (u.window_start, u.window_end) is distinct from (
			select (min(w.window_start), max(w.window_end)) from used s cross join lateral gov_window(a.cadence, a.anchor_at, a.timezone, s.at) w
			where date_trunc('day', w.window_start, 'UTC') = date_trunc('day', u.window_start, 'UTC')
				and w.window_end <= date_trunc('day', gov_now() - interval '3 days', 'UTC'))}),
	'0', 'a merged row is from the first start to the last end');

# A cache that is loaded again counts the same.
ask('select gov_refresh()');
is_exact('loaded again');

# Without merging, windows stay as they are.
configure(usage_merge_after => '0');
use_some(50, 20);
maintain();
my $rows = ask('select count(*) from gov_usage');
pass_hours(24 * 6);
maintain();
is(ask('select count(*) from gov_usage'), $rows, 'with 0 nothing is merged');
is_exact('not merged');
configure(usage_merge_after => '1h');
maintain();
cmp_ok(ask('select count(*) from gov_usage'), '<', $rows, 'with an hour more is');
is(ask($differences), '', 'the sums are those used');
is_exact('merged sooner');

# ---------------------------------------------------------------- usage_retention

configure(usage_retention => '8d');
is(maintain(), '0', 'usage whose events are there stays');
configure(event_retention => '4d');
my $sums = ask('select sum(amount), sum(event_count) from gov_usage');
configure(usage_retention => '0');
cmp_ok(maintain(), '>', 0, 'events are deleted');
is(ask('select sum(amount), sum(event_count) from gov_usage'), $sums, 'and what they came to stays');
is(ask($differences), '', 'day by day');
is_exact('without old events');
configure(usage_retention => '8d');

foreach my $step (1 .. $steps)
{
	my $what = rand;

	configure(usage_grain => (qw(15min 30min 1h))[ $step % 3 ]) if $step % 4 == 0;
	if ($what < 0.4) { use_some(1 + int rand 40, 3); }
	elsif ($what < 0.6) { use_some(1 + int rand 10, 24 * 14); }
	elsif ($what < 0.75) { pass_hours(1 + int rand 30); }
	else
	{
		maintain();
		is( ask(qq{
				select format('%s: %s %s', w.entity_id, w, c) from wanted w left join counted c using (counter_id, day)
				where w.day > gov_now() - interval '8 days' and (w.amount, w.events) is distinct from (c.amount, c.events)}),
			'', "step $step: the sums of the last days are those used");
	}
	is_exact("retention, step $step") if $step % 5 == 0;
}
maintain();
is_exact('with retention');
is( ask(q{select sum(u.amount) = (select sum(amount) from used) from gov_usage u join gov_assignments a using (counter_id) where a.entity_id = 'never'}),
	't', 'the present window is never deleted');
cmp_ok(ask(q{select count(*) from gov_usage where window_end < gov_now() - interval '8 days'}), '<=',
	ask(q{select count(*) from (select distinct x.counter_id, date_trunc('day', x.window_start, 'UTC') from gov_events e, unnest(e.counter_ids, e.window_starts) x (counter_id, window_start)) d}),
	'what is left of before has events');

# Long after: all is gone but what is still present.
pass_hours(24 * 40);
maintain();
is(ask('select count(*) from gov_events'), '0', 'no events are left');
is(ask(q{select string_agg(a.entity_id, ' ') from gov_usage u join gov_assignments a using (counter_id) where u.window_end < gov_now() - interval '8 days'}), '', 'nor windows of before');
is(ask(q{select count(*) from gov_usage_by_time}), '0', 'nor hours');
is_exact('long after');

# A late use of a window that is gone: counted from zero, as long as its event is there.
ask(qq{
	insert into used (at, amount) values (gov_now() - interval '20 days', 7);
	select gov_ingest('acme', 'tokens', 7, null, '{$names}', null, gov_now() - interval '20 days')});
is(ask(q{select count(*) from gov_verify()}), '0', 'a late use is no difference');
maintain();
is(ask(q{select amount || '/' || event_count from gov_usage u join gov_assignments a using (counter_id) where a.entity_id = 'minute'}), '7/1', 'it makes a row');
is(ask(q{select count(*), sum(amount) from gov_usage_hourly where hour < gov_now() - interval '19 days'}), scalar(@entities) . '|' . 7 * @entities, 'and an hour');
maintain();
is_exact('with a late use');
pass_hours(24 * 5);
cmp_ok(maintain(), '>', 0, 'they go with the event');
is(ask(q{select count(*) from gov_usage u join gov_assignments a using (counter_id) where a.entity_id = 'minute'}), '0', 'the row');
is(ask(q{select count(*) from gov_usage_hourly}), '0', 'and the hour');
is_exact('without it');

# ---------------------------------------------------------------- alerts

ask(q{
	update gov_assignments set usage_limit = (select sum(amount) from used) + 100, alert_thresholds = '{50, 99}' where entity_id = 'never';
	update gov_assignments set usage_limit = 10, alert_thresholds = '{50, 100}' where entity_id = 'hour'});
ask(qq{select gov_ingest('acme', 'tokens', 99, null, '{hour,never}')});
my $alerts = q{select string_agg(a.entity_id || ' ' || l.threshold, ', ' order by a.entity_id, l.threshold) from gov_alerts l join gov_assignments a on a.id = l.assignment_id};
is(ask($alerts), 'hour 50, hour 100, never 50, never 99', 'alerts are raised');
pass_hours(24 * 10);
maintain();
is(ask($alerts), 'hour 50, hour 100, never 50, never 99', 'and stay without the setting');
configure(alert_retention => '9d');
maintain();
is(ask($alerts), 'never 50, never 99', 'those of earlier windows go, of the present one never');
my $last = ask('select max(id) from gov_alerts');
ask(qq{select gov_ingest('acme', 'tokens', 0.5, null, '{never}')});
maintain();
is(ask('select max(id) from gov_alerts'), $last, 'so they are not raised again');
is_exact('at the end');

$node->stop;
done_testing();

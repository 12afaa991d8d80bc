# Ends are exclusive, to the microsecond, and say so everywhere: the clock of a session is stopped right before, at and after the end
# of a window and of a hold, and five minutes before the time of an event (governance.fault_clock, src/base/fault.c).

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use PostgreSQL::Test::Utils;
use Test::More;
use GovTest;

my $node = gov_node('microseconds', conf => "timezone = 'UTC'\nautovacuum = off");

if ($node->psql('postgres', 'show governance.fault_clock') != 0)
{
	$node->stop;
	plan skip_all => 'built without -DGOV_FAULTS';
}
$node->safe_psql('postgres', q{
	insert into gov_entity_types (id) values ('org');
	insert into gov_capabilities (id) values ('tokens');
	create procedure customer(owner text) language sql as $$
		insert into gov_entities (owner_id, id, type_id) values (owner, 'org', 'org');
		insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit, cadence) values (owner, 'org', 'tokens', 10, 'PT1H');
	$$});
my $session = $node->background_psql('postgres', on_error_stop => 0);

# The clock stands at a time, and so many microseconds after it.
sub stop_clock
{
	my ($at, $microseconds) = @_;

	gov_ask($session, qq{select set_config('governance.fault_clock', (extract(epoch from timestamptz '$at' - timestamptz '2000-01-01') * 1000000 + $microseconds)::bigint::text, false)});
	return;
}

sub is_answer
{
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my ($sql, $wanted, $name) = @_;

	is(gov_ask($session, $sql), $wanted, $name);
	return;
}

sub calls { my ($function, $owner, $amount, $more) = @_; return "select is_granted from $function('$owner', 'tokens', $amount, null, '{org}'" . ($more // '') . ')'; }

# What each way of asking says of a budget, or those that are chosen: used, held, and the start of the window.
sub shown
{
	my ($owner, $which) = @_;

	return map { "$_->[0]: " . gov_ask($session, $_->[1]) } grep { !defined $which || "$_->[0]:" =~ $which } (
		[ headroom => qq{select trim_scale(current_usage), trim_scale(reserved_usage), usage_period_start from gov_headroom('$owner', 'tokens', 0, null, '{org}')} ],
		[ chains => qq{select (b ->> 'currentUsage')::numeric, (b ->> 'reservedUsage')::numeric, (b ->> 'usagePeriodStart')::timestamptz from gov_check('$owner', 'tokens', 0, null, '{org}') c, jsonb_array_elements(c.chains -> 0) b} ],
		[ budgets => qq{select trim_scale(current_usage), trim_scale(reserved_usage), usage_period_start from gov_budgets where owner_id = '$owner'} ],
		[ query => qq{select (b ->> 'currentUsage')::numeric, (b ->> 'reservedUsage')::numeric, (b ->> 'usagePeriodStart')::timestamptz from jsonb_path_query(gov_query('$owner', '{tokens}'), '\$.data[*]') b} ],
		[ tree => qq{select trim_scale(current_usage), trim_scale(reserved_usage), usage_period_start from gov_tree('$owner', '{tokens}') where entity_id = 'org'} ]);
}

sub all_show
{
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my ($owner, $wanted, $name, $which) = @_;
	my @shown = shown($owner, $which);

	is(join("\n", @shown), join("\n", map { s/: .*/: $wanted/r } @shown), $name);
	return;
}

# ---------------------------------------------------------------- a window

my $end = '2040-05-05 11:00:00+00';
my %ways = (warm => '', cold => 'select gov_drop_cache()', 'without the cache' => 'set governance.use_cache = off');
foreach my $way (sort keys %ways)
{
	my $owner = "window $way";
	my $turn = sub { gov_ask($session, $ways{$way}) if $ways{$way} };

	gov_ask($session, "call customer('$owner')");
	stop_clock($end, -1);
	is_answer(calls('gov_consume', $owner, 10), 't', "$way: all of it, a microsecond before the end");
	$turn->();
	is_answer(calls('gov_check', $owner, 1), 'f', "$way: nothing is left then");
	all_show($owner, '10|0|2040-05-05 10:00:00+00', "$way: as all show");
	stop_clock($end, 0);
	$turn->();
	# what it has kept of the query before is over, though no call has turned the counter yet
	all_show($owner, '0|0|2040-05-05 11:00:00+00', "$way: at the end a query shows the next window", qr/^query:/);
	is_answer(calls('gov_check', $owner, 10), 't', "$way: which has begun");
	all_show($owner, '0|0|2040-05-05 11:00:00+00', "$way: as all show");
	is_answer(calls('gov_consume', $owner, 4), 't', "$way: which is used");
	$turn->();
	all_show($owner, '4|0|2040-05-05 11:00:00+00', "$way: as all show");
	is_answer(qq{select string_agg(trim_scale(amount) || ' ' || window_starts[1], ', ' order by id) from gov_events where owner_id = '$owner'},
		'10 2040-05-05 10:00:00+00, 4 2040-05-05 11:00:00+00', "$way: and recorded");

	# an event of another time counts where that time is
	stop_clock($end, 60_000_000);
	gov_ask($session, qq{select gov_ingest('$owner', 'tokens', 1, null, '{org}', null, timestamptz '$end' - interval '1 microsecond')});
	gov_ask($session, qq{select gov_ingest('$owner', 'tokens', 1, null, '{org}', null, timestamptz '$end')});
	$turn->();
	all_show($owner, '5|0|2040-05-05 11:00:00+00', "$way: a late event belongs to the window of its microsecond");
	gov_ask($session, 'reset governance.use_cache');
	is_answer(qq{select count(*) from gov_verify('$owner')}, 0, "$way: all adds up");
}

# ---------------------------------------------------------------- a hold

foreach my $way (sort keys %ways)
{
	my $owner = "hold $way";
	my $turn = sub { gov_ask($session, $ways{$way}) if $ways{$way} };

	gov_ask($session, "call customer('$owner')");
	stop_clock('2040-05-05 12:10:00+00', 0);
	is_answer(calls('gov_reserve', $owner, 10, q{, null, '5 minutes'}), 't', "$way: held for five minutes");
	stop_clock('2040-05-05 12:15:00+00', -1);
	$turn->();
	all_show($owner, '0|10|2040-05-05 12:00:00+00', "$way: a microsecond before its end it counts");
	is_answer(qq{select count(*) from gov_holds where owner_id = '$owner'}, 1, "$way: and is there");
	is_answer(calls('gov_consume', $owner, 1), 'f', "$way: and denies");
	stop_clock('2040-05-05 12:15:00+00', 0);
	$turn->();
	is_answer(qq{select count(*) from gov_holds where owner_id = '$owner'}, 0, "$way: at its end it is not there");
	# a counter in memory has it until it is swept
	all_show($owner, '0|0|2040-05-05 12:00:00+00', "$way: as all show that read tables", $way eq 'without the cache' ? undef : qr/^(?:budgets|tree):/);
	is_answer(calls('gov_consume', $owner, 10), 't', "$way: and denies nothing");
	gov_ask($session, 'reset governance.use_cache');
}

# ---------------------------------------------------------------- a block

foreach my $way (sort keys %ways)
{
	my $owner = "block $way";
	my $turn = sub { gov_ask($session, $ways{$way}) if $ways{$way} };

	gov_ask($session, "call customer('$owner')");
	stop_clock('2040-05-05 12:20:00+00', 0);
	gov_ask($session, qq{select gov_block('$owner', 'org', '2040-05-05 12:20:00.000002+00')});
	stop_clock('2040-05-05 12:20:00+00', 1);
	$turn->();
	is_answer(qq{select is_granted, denied_reason, retry_at from gov_check('$owner', 'tokens', 1, null, '{org}')}, 'f|Blocked|2040-05-05 12:20:00.000002+00',
		"$way: blocked until a time, a microsecond before it");
	is_answer(calls('gov_consume', $owner, 1), 'f', "$way: for a call that charges too");
	stop_clock('2040-05-05 12:20:00+00', 2);
	$turn->();
	is_answer(calls('gov_check', $owner, 1), 't', "$way: and not at it");
	is_answer(calls('gov_consume', $owner, 10), 't', "$way: nor for a call that charges");
	gov_ask($session, 'reset governance.use_cache');
}

# ---------------------------------------------------------------- a boost

foreach my $way (sort keys %ways)
{
	my $owner = "boost $way";
	my $turn = sub { gov_ask($session, $ways{$way}) if $ways{$way} };
	my $limits = sub {
		return gov_ask($session, qq{
			select h.usage_limit || ' ' || b.usage_limit || ' ' || (q.r ->> 'usageLimit') || ' ' || t.usage_limit
			from gov_headroom('$owner', 'tokens', 0, null, '{org}') h, gov_budgets b, gov_tree('$owner', '{tokens}') t,
				jsonb_path_query(gov_query('$owner', '{tokens}'), '\$.data[*]') q (r)
			where b.owner_id = '$owner'});
	};

	gov_ask($session, "call customer('$owner')");
	stop_clock('2040-05-05 12:20:00+00', 0);
	gov_ask($session, qq{select gov_boost('$owner', 'org', 'tokens', 5, '2040-05-05 12:20:00.000005+00', valid_from => '2040-05-05 12:20:00.000003+00')});
	gov_ask($session, calls('gov_consume', $owner, 10));
	is_answer(qq{select retry_at from gov_check('$owner', 'tokens', 5, null, '{org}')}, '2040-05-05 12:20:00.000003+00', "$way: when to come back");
	foreach my $case ([ 2, 10, 'a microsecond before it begins' ], [ 3, 15, 'when it begins' ], [ 4, 15, 'a microsecond before it ends' ], [ 5, 10, 'when it ends' ])
	{
		my ($at, $limit, $when) = @$case;

		stop_clock('2040-05-05 12:20:00+00', $at);
		$turn->();
		is($limits->(), join(' ', ($limit) x 4), "$way: the limit $when");
		is_answer(calls('gov_check', $owner, 5), $limit == 15 ? 't' : 'f', "$way: what is granted $when");
		is_answer(calls('gov_consume', $owner, 5), 't', "$way: what charges is granted as long as it lasts") if $at == 4;
	}
	is_answer(calls('gov_consume', $owner, 0), 'f', "$way: and not a microsecond later");
	gov_ask($session, 'reset governance.use_cache');
}

# ---------------------------------------------------------------- the time of an event

gov_ask($session, q{call customer('ahead')});
stop_clock('2040-05-05 12:30:00+00', 0);
is_answer(q{select is_duplicate from gov_ingest('ahead', 'tokens', 1, null, '{org}', null, '2040-05-05 12:35:00+00')}, 'f', 'five minutes ahead');
gov_session_raises($session, q{select gov_ingest('ahead', 'tokens', 1, null, '{org}', null, '2040-05-05 12:35:00.000001+00')}, '22023',
	'and not a microsecond more');
is_answer(q{select count(*) from gov_ingest_many('ahead', '[{"capabilityId": "tokens", "entityIds": ["org"], "occurredAt": "2040-05-05T12:35:00Z"}]') where error is null}, 1,
	'in a batch too');
is_answer(q{select sum(amount) from gov_events where owner_id = 'ahead'}, 2, 'and that is all');

$session->quit;
$node->stop;
done_testing();

# The engine's clock moved by governance.clock_offset: windows turn, history stays, and no window turns back.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use PostgreSQL::Test::Utils;
use Test::More;
use GovTest;

my $node = gov_node('clock');

gov_build($node, 'postgres', limit => 100, cadence => 'P1D');
$node->safe_psql('postgres', q{
	insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit, cadence, name) values
	('acme', 'agent-1', 'tokens', 1000, 'P1M', 'monthly'), ('acme', 'agent-1', 'tokens', 1000, null, 'ever'),
	('acme', 'agent-1', 'tokens', 1000, 'PT1H', 'hourly')});

# Usage per budget of the agent, as "name=usage …".
my $budgets = q{select string_agg(case name when '' then 'daily' else name end || '=' || trim_scale(current_usage), ' ' order by name)
	from gov_headroom('acme', 'tokens', 0, null, array['agent-1']) where entity_id = 'agent-1'};
my $warm = $node->background_psql('postgres');

# Where the engine's clock stands, as far as windows tell.
my $hour = q{select usage_period_start from gov_headroom('acme', 'tokens', 0, null, array['agent-1'])
	where entity_id = 'agent-1' and name = 'hourly'};

# Midnight must not pass between here and the end: start early in a day of the engine.
my $seconds = $node->safe_psql('postgres',
	q{select ceil(extract(epoch from date_trunc('day', now() at time zone 'UTC') + interval '1 day 2 minutes' - now() at time zone 'UTC'))});

sub move_clock
{
	my ($days) = @_;
	my $offset = $seconds + 86400 * $days;

	# SHOW prints the largest unit that divides it.
	$node->safe_psql('postgres', "alter system set governance.clock_offset = '${offset}s'");
	$node->reload;
	$node->poll_query_until('postgres',
		"select setting::bigint * case unit when 'ms' then 1 else 1000 end = $offset * 1000::bigint from pg_settings where name = 'governance.clock_offset'")
	  or die 'the offset is not in force';
	return;
}

sub is_verified
{
	my ($when) = @_;

	is($node->safe_psql('postgres', 'select * from gov_verify()'),
		'', "gov_verify finds nothing: $when");
	return;
}

move_clock(0);
is($warm->query_safe($budgets), 'daily=0 ever=0 hourly=0 monthly=0', 'nothing yet');
gov_use($node, 'postgres', 60);
is($warm->query_safe($budgets), 'daily=60 ever=60 hourly=60 monthly=60', 'the first day');
is( $node->safe_psql('postgres', q{
		select is_granted, denied_reason, retry_at = (select min(usage_period_end) from gov_headroom('acme', 'tokens', 0, null, array['agent-1'])
			where entity_id = 'agent-1' and name = '')
		from gov_check('acme', 'tokens', 41, null, array['agent-1'])}),
	'f|BudgetExceeded|t',
	'denied until the window ends');
is_verified('the first day');

# The next day; sessions that were open see it as well.
move_clock(1);
ok($node->poll_query_until('postgres',
		"select current_usage = 0 from gov_headroom('acme', 'tokens', 0, null, array['agent-1']) where entity_id = 'agent-1' and name = ''"),
	'usage restarts');
like($warm->query_safe($budgets), qr/^daily=0 ever=60 hourly=0 monthly=/,
	'usage restarts for an open session');
is($warm->query_safe("select gov_allowed('acme', 'tokens', 100, null, array['agent-1'])"),
	't', 'granted again');
gov_use($node, 'postgres', 5);
like($warm->query_safe($budgets), qr/^daily=5 ever=65 hourly=5 monthly=/, 'the second day');
is_verified('the second day');

# A late event goes to its own window.
$node->safe_psql('postgres',
	"select gov_ingest('acme', 'tokens', 7, null, array['agent-1'], null, (select min(occurred_at) from gov_events))");
like($warm->query_safe($budgets), qr/^daily=5 ever=72 hourly=5 monthly=/, 'a late event');
gov_roll_up($node, 'postgres');
is($node->safe_psql('postgres', q{
		select string_agg(trim_scale(amount) || '/' || event_count, ' ' order by window_start) from gov_usage u
		join gov_assignments a on a.id = u.assignment_id where entity_id = 'agent-1' and name = ''}),
	'67/2 5/1', 'the history of both days');
is_verified('rolled up');

# Forty days: the month has turned too.
move_clock(40);
ok($node->poll_query_until('postgres',
		"select current_usage = 0 from gov_headroom('acme', 'tokens', 0, null, array['agent-1']) where entity_id = 'agent-1' and name = ''"),
	'forty days on');
is($warm->query_safe($budgets), 'daily=0 ever=72 hourly=0 monthly=0', 'the month has turned');
gov_use($node, 'postgres', 11);
is($warm->query_safe($budgets), 'daily=11 ever=83 hourly=11 monthly=11', 'forty days on');

# Backwards: the setting goes down, the windows do not turn back.
my $latest = $node->safe_psql('postgres', $hour);
move_clock(3);
gov_use($node, 'postgres', 1);
is($node->safe_psql('postgres', $budgets), 'daily=12 ever=84 hourly=12 monthly=12',
	'no window turns back for a new session');
is($warm->query_safe($budgets), 'daily=12 ever=84 hourly=12 monthly=12',
	'nor for an open one');
is($node->safe_psql('postgres', $hour), $latest, 'they stand where they were');
is( $node->safe_psql('postgres',
		'select count(*) from (select occurred_at < lag(occurred_at) over (order by id) as back from gov_events where amount not in (7)) s where back'),
	'1', 'but the record shows the time of each call');
gov_roll_up($node, 'postgres');
is_verified('after going back');
is($node->safe_psql('postgres', q{
		select string_agg(trim_scale(amount)::text, ' ' order by window_start) from gov_usage u
		join gov_assignments a on a.id = u.assignment_id where entity_id = 'agent-1' and name = ''}),
	'67 5 12', 'three windows of history');

# Reset, restarted: still exact.
$node->safe_psql('postgres', 'alter system reset governance.clock_offset');
$node->restart;
is_verified('restarted without an offset');

$warm->quit;
$node->stop;
done_testing();

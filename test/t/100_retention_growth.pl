# Retention costs in shared buffers what it deletes, however much was deleted before and cannot be vacuumed away because of an old
# snapshot; and next to nothing when nothing is due.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use PostgreSQL::Test::Utils;
use Test::More;
use GovTest;
use GovGrowth;

# No worker: what gov_maintain does is counted.
my $node = gov_node('retained', conf => <<CONF);
max_worker_processes = 0
autovacuum = off
shared_buffers = 128MB
max_wal_size = 4GB
CONF
my $session = $node->background_psql('postgres', on_error_stop => 0);
my $days = 0;
my $maintain = 'select pruned from gov_maintain()';

sub configure
{
	my (%settings) = @_;

	$node->safe_psql('postgres', "alter system set governance.$_ = '$settings{$_}'") foreach sort keys %settings;
	$node->reload;
	foreach my $name (sort keys %settings)
	{
		$node->poll_query_until('postgres', "select current_setting('governance.$name') = '$settings{$name}'") or die "no $name";
	}
	return;
}

sub pass_days { my ($n) = @_; $days += $n; configure(clock_offset => "${days}d"); return; }

gov_grow_owner($node, 'postgres', 'acme');
$node->safe_psql('postgres', q{select gov_ingest('acme', 'tokens', 1, null, '{agent-1-1}') from generate_series(1, 10)});
gov_ask($session, $maintain) foreach (1, 2);
my $old = $node->background_psql('postgres', on_error_stop => 1);
$old->query_safe('begin isolation level repeatable read; select count(*) from gov_events');

# ---------------------------------------------------------------- events

configure(event_retention => '1d');
my %per_event;

foreach my $events (2000, 40000, 40000)
{
	$node->safe_psql('postgres', qq{select count(gov_ingest('acme', 'tokens', 1, null, array['agent-1-' || n % 10 + 1])) from generate_series(1, $events) n});
	gov_ask($session, $maintain);
	pass_days(2);
	my $blocks = gov_blocks($session, $maintain);

	push @{ $per_event{$events} }, $blocks / $events;
	note "deleting $events events: $blocks blocks";
	is($node->safe_psql('postgres', 'select count(*) from gov_events'), 0, "$events events are deleted");
	$blocks = gov_blocks($session, $maintain);
	cmp_ok($blocks, '<', 100, "with nothing left it takes $blocks blocks");
}
cmp_ok($per_event{40000}[1], '<', 1.1 * $per_event{40000}[0], 'what was deleted before costs nothing');

# Nothing due: the ledger is full, and an idle round reads some of its first rows.
$node->safe_psql('postgres', q{select count(gov_ingest('acme', 'tokens', 1, null, array['agent-1-' || n % 10 + 1])) from generate_series(1, 20000) n});
gov_ask($session, $maintain);
my $idle = gov_blocks($session, $maintain);
cmp_ok($idle, '<', 100, "with 20,000 events of which none is due it takes $idle blocks");

# One that was recorded while the clock was ahead holds up none that come after it, and goes when its time has come.
pass_days(30);
$node->safe_psql('postgres', q{select gov_ingest('acme', 'tokens', 1, null, '{agent-1-1}', 'ahead')});
pass_days(-29);
$node->safe_psql('postgres', q{select count(gov_ingest('acme', 'tokens', 1, null, '{agent-1-1}')) from generate_series(1, 100) n});
pass_days(2);
is(gov_ask($session, $maintain), '20100', 'the events before and after it are deleted');
is($node->safe_psql('postgres', 'select idempotency_key from gov_events'), 'ahead', 'it stays');
is(gov_ask($session, $maintain), '0', 'nothing more is due');
pass_days(29);
is(gov_ask($session, $maintain), '1', 'then it goes');
is($node->safe_psql('postgres', 'select count(*) from gov_verify()'), '0', 'gov_verify finds nothing');

# ---------------------------------------------------------------- holds

my %per_hold;

foreach my $holds (1000, 10000, 10000)
{
	$node->safe_psql('postgres', qq{
		select count(gov_release(reservation_id)) from generate_series(1, $holds) n, gov_reserve('acme', 'tokens', 1, null, '{agent-1-1}', 'hold-$days-' || n)});
	pass_days(2);
	my $blocks = gov_blocks($session, $maintain);

	push @{ $per_hold{$holds} }, $blocks / $holds;
	note "deleting $holds holds: $blocks blocks";
	is($node->safe_psql('postgres', 'select count(*) from gov_reservations'), 0, "$holds holds are deleted");
}
# gov_maintain looks for the beginning each time: it walks once over those deleted before.
cmp_ok($per_hold{10000}[1], '<', 1.5 * $per_hold{10000}[0], 'what was deleted before costs little');

# ---------------------------------------------------------------- windows

configure(event_retention => '0', usage_merge_after => '1d');
$node->safe_psql('postgres', q{
	insert into gov_entities (owner_id, id, type_id) select 'acme', 'minute-' || n, 'org' from generate_series(1, 5) n;
	insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit, cadence)
	select 'acme', 'minute-' || n, 'tokens', 1000000000, 'PT1M' from generate_series(1, 5) n});
my @per_window;

foreach my $turn (1 .. 2)
{
	$node->safe_psql('postgres', q{
		select count(gov_ingest('acme', 'tokens', 1, null, '{minute-1,minute-2,minute-3,minute-4,minute-5}', null, gov_now() - n * interval '1 minute'))
		from generate_series(1, 1200) n});
	gov_ask($session, $maintain);
	is($node->safe_psql('postgres', q{select count(*) from gov_usage where merged_windows is null and window_end < 'infinity' and window_end < window_start + interval '1 hour'}), 6000, "turn $turn: each minute has its row");
	pass_days(4);
	my $blocks = gov_blocks($session, $maintain);

	note "merging 6000 windows: $blocks blocks";
	push @per_window, $blocks / 6000;
	cmp_ok($node->safe_psql('postgres', q{select count(*) from gov_usage where window_end < window_start + interval '2 days'}), '<=', 20 * $turn, "turn $turn: each day has one");
}
cmp_ok($per_window[1], '<', 1.5 * $per_window[0], 'what was merged before costs little');
is($node->safe_psql('postgres', 'select count(*) from gov_verify()'), '0', 'gov_verify finds nothing');

$old->query_safe('commit');
$old->quit;
$session->quit;
$node->stop;
done_testing();

# The clock was ahead when windows were merged, and was set back: what a merged row covers counts in the window that is present
# again, and in those that come, rather than nothing. Too much counts then, never too little.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use PostgreSQL::Test::Utils;
use Test::More;
use GovTest;

# No worker: gov_maintain does it when it is told to.
my $node = gov_node('merged_clock', conf => "max_worker_processes = 0\ngovernance.log_rollup_waits = -1\ngovernance.usage_merge_after = '1h'");
my $session = $node->background_psql('postgres', on_error_stop => 0);

sub ask { return gov_ask($session, $_[0]); }

# From now to the first midnight of UTC that is at least an hour away: times below are those of the day that begins there.
my $midnight = $node->safe_psql('postgres',
	q{select ceil(extract(epoch from date_trunc('day', now() + interval '1 hour', 'UTC') + interval '24 hours' - now()))});
my $begun = time;

sub set_clock
{
	my ($hours) = @_;
	my $offset = $midnight - (time - $begun) + int($hours * 3600);

	$node->safe_psql('postgres', "alter system set governance.clock_offset = '${offset}s'");
	$node->reload;
	foreach my $ask (\&ask, sub { return $node->safe_psql('postgres', $_[0]) })
	{
		my $is_set = 0;

		for (1 .. 6000)
		{
			$is_set = $ask->("select setting = '$offset' from pg_settings where name = 'governance.clock_offset'") eq 't';
			last if $is_set;
			select undef, undef, undef, 0.02;
		}
		die 'the clock does not move' unless $is_set;
	}
	return;
}

sub maintain { $node->safe_psql('postgres', 'select gov_maintain()') foreach 1 .. 3; return; }

sub allows { my ($amount) = @_; return ask("select gov_allowed('acme', 'tokens', $amount, null, '{bot}')"); }

sub is_exact { my ($label) = @_; is(ask('select count(*) from gov_verify()'), '0', "$label: gov_verify finds nothing"); return; }

ask(q{
	insert into gov_entity_types (id) values ('agent');
	insert into gov_capabilities (id) values ('tokens');
	insert into gov_entities (owner_id, id, type_id) values ('acme', 'bot', 'agent');
	insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit, cadence) values ('acme', 'bot', 'tokens', 100, 'PT1H')});

set_clock(8.5);
ask(q{select gov_ingest('acme', 'tokens', 7, null, '{bot}')});
set_clock(10.5);
ask(q{select gov_ingest('acme', 'tokens', 60, null, '{bot}')});
set_clock(12.5);
ask(q{select gov_ingest('acme', 'tokens', 3, null, '{bot}')});
is(ask(q{select current_usage from gov_headroom('acme', 'tokens', 0, null, '{bot}')}), '3', 'each window counts for itself');
is_exact('before');
maintain();

set_clock(24 * 5);
maintain();
is($node->safe_psql('postgres', q{select merged_windows, amount, window_end - window_start = interval '5 hours' from gov_usage}),
	'3|70|t', 'days ahead the windows are merged');

# Back, with nothing in memory; the session knows of no merged row.
set_clock(10.7);
ask('select gov_refresh()');
is(allows(41), 'f', 'in the window that was used, that counts');
is(allows(31), 'f', 'as does the rest of the row');
is(allows(30), 't', 'and no more');
is_exact('covered');

# A window later the counter is in memory.
set_clock(11.1);
is(allows(31), 'f', 'the next window is covered too');
is(allows(30), 't', 'by the same row');
is_exact('the next window');
set_clock(13.1);
is(allows(100), 't', 'what comes after the row has all of the limit');
is(allows(101), 'f', 'and no more');

# The first window of the row.
set_clock(8.2);
ask('select gov_refresh()');
is(allows(31), 'f', 'where the row begins it counts');
set_clock(9.2);
is(allows(31), 'f', 'and after that');
is_exact('where it begins');

# A session that has just come, after a restart.
$session->quit;
$node->restart;
$session = $node->background_psql('postgres', on_error_stop => 0);
set_clock(10.7);
is(allows(31), 'f', 'after a restart the row is found');
is(allows(30), 't', 'as it was');
is(ask(q{select is_granted from gov_consume('acme', 'tokens', 30, null, '{bot}')}), 't', 'what is left can be used');
is(allows(1), 'f', 'and then no more');
$session->quit;

$node->stop;
done_testing();

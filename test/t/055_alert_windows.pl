# Alerts and time: the next window alerts anew, a late event alerts for its own, usage whose window ended before its commit is found by
# the rollup. And failure: raising that fails fails the transaction and leaves nothing, and the next use raises.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use IPC::Run;
use PostgreSQL::Test::Utils;
use Test::More;
use GovTest;

my $node = gov_node('windows', conf => <<CONF);
governance.rollup_interval = '1h'
timezone = 'UTC'
CONF

$node->safe_psql('postgres', <<'SQL');
insert into gov_entity_types (id) values ('org');
insert into gov_capabilities (id) values ('tokens');
insert into gov_entities (owner_id, id, type_id) values ('acme', 'bot', 'org');
insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit, cadence, alert_thresholds) values ('acme', 'bot', 'tokens', 100, 'P1D', '{50,100}');
SQL

# The engine's clock stands just after a midnight of its own.
my $seconds = $node->safe_psql('postgres', q{select ceil(extract(epoch from date_trunc('day', now()) + interval '1 day 1 minute' - now()))});
my $day = -1;
my ($one, $other) = map { $node->background_psql('postgres', on_error_stop => 0) } 1 .. 2;

sub next_day
{
	my $offset = $seconds + 86400 * ++$day;

	gov_set($node, 'governance.clock_offset', "${offset}s");
	foreach my $session ($one, $other)
	{
		foreach (1 .. 1000)
		{
			last if gov_ask($session, "select setting = '$offset' from pg_settings where name = 'governance.clock_offset'") eq 't';
			select(undef, undef, undef, 0.01);
		}
	}
	return;
}

sub use_of
{
	my ($session, $amount, $ago) = @_;
	my $at = defined $ago ? "gov_now() - interval '$ago days'" : 'null';

	return gov_ask($session, "select is_duplicate from gov_ingest('acme', 'tokens', $amount, null, '{bot}', null, $at)");
}

# Day of the window, counted from the first, threshold and usage.
my $first;

sub raised_are
{
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my ($what, $expected) = @_;

	is($node->safe_psql('postgres', qq{
		select coalesce(string_agg(format('%s:%s/%s', extract(day from window_start - '$first'), threshold, usage), ' ' order by window_start, threshold), '')
		from gov_alerts where owner_id = 'acme'}), $expected, $what);
	return;
}

gov_set($node, 'governance.clock_offset', "${seconds}s");
next_day();
$first = $node->safe_psql('postgres', q{select window_start from gov_window('P1D', at => gov_now())});

# ---------------------------------------------------------------- windows

use_of($one, 60);
raised_are('a threshold', '0:50/60');
next_day();
use_of($one, 49);
raised_are('not yet in the next window', '0:50/60');
use_of($one, 51);
raised_are('armed again', '0:50/60 1:50/100 1:100/100');

# Late: for its own window, when it is rolled up.
use_of($one, 45, 1);
raised_are('a late event', '0:50/60 1:50/100 1:100/100');
gov_roll_up($node, 'postgres');
raised_are('is found by the rollup', '0:50/60 0:100/105 1:50/100 1:100/100');

# In flight while the window ends.
gov_ask($one, 'begin');
use_of($one, 30);
next_day();
use_of($other, 20);
gov_ask($one, 'commit');
raised_are('usage of a window that has ended', '0:50/60 0:100/105 1:50/100 1:100/100');
gov_ask($one, 'begin');
use_of($one, 55);
next_day();
use_of($other, 52);
raised_are('the next window alerts', '0:50/60 0:100/105 1:50/100 1:100/100 3:50/52');
gov_ask($one, 'commit');
gov_roll_up($node, 'postgres');
raised_are('and the rollup for the one that has ended', '0:50/60 0:100/105 1:50/100 1:100/100 2:50/75 3:50/52');
gov_ask($one, 'begin');
use_of($one, 48);
next_day();
gov_ask($one, 'rollback');
gov_roll_up($node, 'postgres');
raised_are('what was rolled back was never used', '0:50/60 0:100/105 1:50/100 1:100/100 2:50/75 3:50/52');

# A counter that is read from the tables again, after a restart.
use_of($one, 49);
$_->quit foreach $one, $other;
$node->restart;
($one, $other) = map { $node->background_psql('postgres', on_error_stop => 0) } 1 .. 2;
use_of($other, 1);
raised_are('read again', '0:50/60 0:100/105 1:50/100 1:100/100 2:50/75 3:50/52 4:50/50');

# ---------------------------------------------------------------- failure

# The transaction that would raise fails at its commit, after its usage was settled.
$node->safe_psql('postgres', <<'SQL');
create function refuse() returns trigger language plpgsql as $$ begin raise division_by_zero; end $$;
create trigger refuse before insert on gov_alerts for each row execute function refuse();
SQL
like(use_of($one, 50), qr/division_by_zero/, 'raising fails');
is($node->safe_psql('postgres', q{select current_usage from gov_headroom('acme', 'tokens', 0, null, '{bot}')}), '50', 'and with it the transaction');
is($node->safe_psql('postgres', 'select * from gov_verify()'), '', 'of which nothing is left');
is(use_of($one, 49), 'f', 'less does not cross');
like(use_of($other, 1), qr/division_by_zero/, 'again');

# Somebody uses a little while it is failing, and goes by what will not be.
$node->safe_psql('postgres', q{create or replace function refuse() returns trigger language plpgsql as $$ begin perform pg_advisory_xact_lock(1); raise division_by_zero; end $$});
gov_ask($other, 'select pg_advisory_lock(1)');
my ($out, $err) = ('', '');
my $failing = IPC::Run::start([ 'psql', '-XAtq', '-d', $node->connstr('postgres'), '-c', q{select event_id from gov_ingest('acme', 'tokens', 1, null, '{bot}')} ], '>', \$out, '2>', \$err);
ok($node->poll_query_until('postgres', q{select exists (select from pg_locks where locktype = 'advisory' and not granted)}), 'it is about to fail');
is(use_of($other, 0.25), 'f', 'a little use');
gov_ask($other, 'select pg_advisory_unlock(1)');
$failing->finish;
like($err, qr/division_by_zero/, 'it fails');
$node->safe_psql('postgres', 'drop trigger refuse on gov_alerts');
is(use_of($other, 0.25), 'f', 'still less');
raised_are('nothing was raised meanwhile', '0:50/60 0:100/105 1:50/100 1:100/100 2:50/75 3:50/52 4:50/50');
is(use_of($other, 0.5), 'f', 'just enough');
raised_are('the next that crosses raises', '0:50/60 0:100/105 1:50/100 1:100/100 2:50/75 3:50/52 4:50/50 4:100/100');

# A trigger of the vendor's that records what it costs to be told, while the transaction commits.
$node->safe_psql('postgres', <<'SQL');
insert into gov_entities (owner_id, id, type_id) values ('acme', 'told', 'org');
insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit, alert_thresholds) values ('acme', 'told', 'tokens', 10, '{10,30}');
create function telling() returns trigger language plpgsql as $$ begin perform public.gov_ingest('acme', 'tokens', 2, null, '{told}'); return new; end $$;
create trigger telling after insert on gov_alerts for each row execute function telling();
SQL
is(gov_ask($one, q{select is_duplicate from gov_ingest('acme', 'tokens', 1, null, '{told}')}), 'f', 'used while it commits');
is($node->safe_psql('postgres', 'select * from gov_verify()'), '', 'which counts');
is(gov_ask($one, q{select is_duplicate from gov_ingest('acme', 'tokens', 0.5, null, '{told}')}), 'f', 'and is looked at with the next use');
is($node->safe_psql('postgres', q{select string_agg(threshold || '/' || usage, ' ' order by l.id) from gov_alerts l join gov_assignments a on a.id = l.assignment_id where a.entity_id = 'told'}),
	'10/1 30/3.5', 'once each');
is($node->safe_psql('postgres', 'select * from gov_verify()'), '', 'the counts equal the ledger');
$node->safe_psql('postgres', 'drop trigger telling on gov_alerts');

# ---------------------------------------------------------------- the worker

gov_set($node, 'governance.rollup_interval', '50ms');
use_of($one, 80, 1);
ok($node->poll_query_until('postgres', qq{select exists (select from gov_alerts where window_start = timestamptz '$first' + interval '3 days' and threshold = 100)}),
	'the worker raises what no use has crossed');
$node->stop;
done_testing();

# Holds that nobody ends: they expire within a second without anybody calling, also after crashes and restarts and by the
# engine's clock; without a worker the next charge expires them. What was held in an open transaction dies with it.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use PostgreSQL::Test::Utils;
use Test::More;
use GovTest;

my $node = gov_node('hold_expiry', conf => "governance.rollup_interval = '50ms'\nrestart_after_crash = on");
my $no_worker =
  "select count(*) = 0 from pg_stat_activity where backend_type like 'governance%'";
my $worker_pid =
  "select string_agg(pid::text, ' ') from pg_stat_activity where datname = 'postgres' and backend_type like 'governance%'";

gov_build($node, 'postgres', limit => 10);

# Hold an amount for the agent; answers the hold's id.
sub hold
{
	my ($amount, $ttl) = @_;

	return $node->safe_psql('postgres',
		"select reservation_id from gov_reserve('acme', 'tokens', $amount, null, array['agent-1'], ttl => '$ttl')");
}

sub state
{
	my ($hold) = @_;

	return $node->safe_psql('postgres',
		"select state from gov_reservations where id = '$hold'");
}

# Wait until nobody's call, but the table alone, says that it has this state.
sub becomes
{
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my ($hold, $state, $label) = @_;

	ok($node->poll_query_until('postgres',
			"select state = '$state' from gov_reservations where id = '$hold'"),
		"$label: $state");
	return;
}

# Wait until a hold's time is over by the server's clock.
sub wait_past
{
	my ($hold) = @_;

	$node->poll_query_until('postgres',
		"select expires_at < clock_timestamp() from gov_reservations where id = '$hold'")
	  or die 'time stands still';
	return;
}

# Used and held of the agent's budget, and what the gate says of the rest. What is past its time may be shown until a worker that has
# just been started has expired it.
sub is_counted
{
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my ($used, $held, $label) = @_;
	my $left = 10 - $used - $held;

	ok( $node->poll_query_until('postgres', q{
			select trim_scale(current_usage), trim_scale(reserved_usage)
			from gov_headroom('acme', 'tokens', 0, null, array['agent-1']) where entity_id = 'agent-1'},
			"$used|$held"),
		"$label: used and held");
	ok( $node->poll_query_until('postgres',
			"select gov_allowed('acme', 'tokens', $left, null, array['agent-1']), gov_allowed('acme', 'tokens', $left + 0.1, null, array['agent-1'])",
			't|f'),
		"$label: the gate") if $left >= 0;
	is($node->safe_psql('postgres', 'select * from gov_verify()'),
		'', "$label: gov_verify finds nothing");
	return;
}

# Without anybody calling. The worker says when it did it; half a second of grace for a machine under load.
my @holds = map { hold(1, "$_ milliseconds") } (300, 700, 1100, 1500);
my $kept = hold(2, '1 hour');
my $settled = hold(1, '800 milliseconds');
$node->safe_psql('postgres', "select gov_settle('$settled', 3)");
becomes($_, 'expired', 'nobody calls') foreach @holds;
is( $node->safe_psql('postgres', q{
		select count(*), count(*) filter (where updated_at < expires_at), count(*) filter (where updated_at > expires_at + interval '1.5 seconds')
		from gov_reservations where state = 'expired'}),
	'4|0|0', 'each in time, none before its end');
is(state($kept) . ' ' . state($settled), 'open settled', 'the others are as they were');
is($node->safe_psql('postgres', "select string_agg(id::text, ' ') from gov_holds"), $kept, 'one is left to be seen');
is_counted(3, 2, 'expired');

# The worker stays while a hold is open, however idle, and leaves when there is none.
my $pid = $node->safe_psql('postgres', $worker_pid);
like($pid, qr/^\d+$/, 'one worker');
my $slow = hold(5, '8 seconds');
becomes($slow, 'expired', 'a hold that outlasts an idle worker');
is( $node->safe_psql('postgres', "select updated_at < expires_at + interval '1.5 seconds' from gov_reservations where id = '$slow'"),
	't', 'in time');
is($node->safe_psql('postgres', $worker_pid), $pid, 'by the worker that was there');
is_counted(3, 2, 'the slow one expired');
$node->safe_psql('postgres', "select gov_release('$kept')");
ok($node->poll_query_until('postgres', $no_worker), 'no hold, no worker');
is_counted(3, 0, 'released');

# Terminated, it leaves holds behind: no call counts them, and the next one that writes brings another worker.
my $orphan = hold(7, '1 second');
$node->safe_psql('postgres',
	"select pg_terminate_backend(pid, 60000) from pg_stat_activity where backend_type like 'governance%'");
wait_past($orphan);
ok($node->poll_query_until('postgres', "select gov_allowed('acme', 'tokens', 7, null, array['agent-1'])"), 'an orphan does not count');
gov_use($node, 'postgres', 0);
becomes($orphan, 'expired', 'an orphan');
is_counted(3, 0, 'the orphan expired');

# One that somebody has in hand keeps neither the worker busy nor others behind it from their end.
my $busy = $node->background_psql('postgres');
my $locked = hold(1, '4 seconds');
my $behind = hold(1, '5 seconds');
my $commits =
  "select pg_stat_force_next_flush(); select xact_commit from pg_stat_database where datname = 'postgres'";
$busy->query_safe("begin; select gov_settle('$locked', 0)");
my ($rounds) = $node->safe_psql('postgres', $commits) =~ /(\d+)$/;
becomes($behind, 'expired', 'behind one in hand');
cmp_ok(($node->safe_psql('postgres', $commits) =~ /(\d+)$/)[0] - $rounds, '<', 1000, 'the worker rests');
is(state($locked), 'open', 'the one in hand');
$busy->query_safe('rollback');
becomes($locked, 'expired', 'let go');
$busy->quit;
is_counted(3, 0, 'both expired');

# A settlement that comes late is recorded, once, whatever was granted since.
$node->safe_psql('postgres', "select gov_require('acme', 'tokens', 7, null, array['agent-1'])");
is($node->safe_psql('postgres', "select is_duplicate from gov_settle('$orphan', 4)"), 'f', 'settled late');
is($node->safe_psql('postgres', "select is_duplicate from gov_settle('$orphan')"), 't', 'again');
is_counted(14, 0, 'settled late');
is(state($orphan), 'settled', 'settled late');
gov_use($node, 'postgres', -14);

# A killed backend: what its open transaction reserved is gone, what it settled or released or extended is open as before.
foreach my $call (
	"select count(*) from gov_reserve('acme', 'tokens', 3, null, array['agent-1'])",
	"select gov_settle('HOLD', 9)", "select gov_settle('HOLD', 0)",
	"select gov_release('HOLD')", "select gov_extend('HOLD', '1 second')")
{
	my $hold = hold(4, '1 hour');
	my $session = $node->background_psql('postgres', on_error_stop => 0);
	my ($name) = $call =~ /(gov_\w+)/;

	$session->query_safe('begin');
	my $backend = $session->query_safe('select pg_backend_pid()');
	(my $statement = $call) =~ s/HOLD/$hold/;
	$session->query_safe($statement);
	is(kill(9, $backend), 1, "$name: killed");
	eval { $session->{run}->finish };
	# until it has come back, the one that was killed is still listed
	$node->poll_query_until('postgres', "select count(*) = 0 from pg_stat_activity where pid = $backend") or die 'the server does not come back';
	is(state($hold), 'open', "$name, killed: the hold");
	is_counted(0, 4, "$name, killed");
	is($node->safe_psql('postgres', "select gov_release('$hold')"), 't', "$name, killed: released");
	is_counted(0, 0, "$name, killed, released");
}

# An immediate stop with open holds: one runs out while the server is down, one when it is up again, one is settled, all after it.
my $down = hold(1, '1 second');
my $up = hold(2, '6 seconds');
my $later = hold(3, '1 hour');
$node->stop('immediate');
$node->start;
is(state($later), 'open', 'after the stop');
wait_past($down);
is_counted(0, 5, 'after the stop');
is($node->safe_psql('postgres', "select is_granted, remaining from gov_consume('acme', 'tokens', 1, null, array['agent-1'])"), 't|4', 'the first use');
becomes($down, 'expired', 'past its time in the stop');
becomes($up, 'expired', 'past its time after it');
is($node->safe_psql('postgres', "select is_duplicate from gov_settle('$later', 2)"), 'f', 'settled after the stop');
is_counted(3, 0, 'after the stop, all of them ended');
gov_is_exact($node, 'postgres', 'after the stop');

# While an old snapshot keeps what has ended in the index, a sweep of very many reads each a few times, not once per batch.
my $read = q{select idx_tup_read from pg_stat_user_indexes where indexrelname = 'gov_reservations_expires_at_idx'};
my $old = $node->background_psql('postgres');
my $writer = $node->background_psql('postgres');
my $many = 6000;

$node->safe_psql('postgres', q{alter system set governance.rollup_interval = '10s'});
$node->reload;
$old->query_safe('begin isolation level repeatable read; select count(*) from gov_holds');
$writer->query_safe('begin');
is($writer->query_safe(qq{
		select count(*) from generate_series(1, $many) n, gov_reserve('acme', 'tokens', 0.0001 * n / n, null, array['agent-1'], ttl => '10 milliseconds') r where r.is_granted}),
	$many, 'very many holds');
my $before = $node->safe_psql('postgres', $read);
$writer->query_safe('commit');
ok($node->poll_query_until('postgres', "select count(*) = 0 from gov_reservations where state = 'open'"), 'all expire');
cmp_ok($node->safe_psql('postgres', $read) - $before, '<=', 20 * $many, 'entries of the index that were read');
is($node->safe_psql('postgres', 'select * from gov_verify()'), '', 'gov_verify finds nothing');
$old->query_safe('commit');
$_->quit foreach $old, $writer;
$node->safe_psql('postgres', 'alter system reset governance.rollup_interval');
$node->reload;

# The engine's clock: holds end by it, and a late settlement is of its day.
gov_use($node, 'postgres', -3);
$node->safe_psql('postgres', "update gov_assignments set cadence = 'P1D', anchor_at = now() - interval '1 hour' where entity_id = 'agent-1'");
gov_use($node, 'postgres', 2);
my $day = hold(4, '1 day');
my $week = hold(1, '1 week');
$node->safe_psql('postgres', "alter system set governance.clock_offset = '2d'");
$node->reload;
becomes($day, 'expired', 'two days on');
is_counted(0, 1, 'two days on');
is($node->safe_psql('postgres', "select is_duplicate from gov_settle('$day', 3)"), 'f', 'settled two days on');
is( $node->safe_psql('postgres', "select e.occurred_at > r.expires_at from gov_reservations r join gov_events e on e.id = r.event_id where r.id = '$day'"),
	't', 'and recorded in that day');
is_counted(3, 1, 'settled two days on');
my $fresh = hold(1, '1 hour');
is( $node->safe_psql('postgres', "select expires_at - clock_timestamp() between interval '2 days 59 minutes' and interval '2 days 1 hour' from gov_reservations where id = '$fresh'"),
	't', 'a ttl is counted from the engine\'s clock');
is( $node->safe_psql('postgres', "select age < interval '10 minutes', time_left between interval '50 minutes' and interval '1 hour' from gov_holds where id = '$fresh'"),
	't|t', 'age and time left too');
$node->safe_psql('postgres', "select gov_release(id) from gov_reservations where state = 'open'");
$node->safe_psql('postgres', 'alter system reset governance.clock_offset');

# No slot for a worker: whoever needs the room expires the hold, in its own transaction.
$node->append_conf('postgresql.conf', 'max_worker_processes = 0');
$node->restart;
is($node->safe_psql('postgres', "update gov_assignments set cadence = null, anchor_at = null where entity_id = 'agent-1' returning 1"), '1', 'a budget without windows');
is_counted(0, 0, 'without a worker');
my $alone = hold(6, '500 milliseconds');
wait_past($alone);
is(state($alone), 'open', 'nobody has expired it');
is_counted(0, 0, 'past its time');
is($node->safe_psql('postgres', "select count(*) from gov_holds"), '0', 'nor is it to be seen');
gov_use($node, 'postgres', 1);
is(state($alone), 'open', 'what it does not stop leaves it');
my $one = $node->background_psql('postgres', on_error_stop => 0);
my $two = $node->background_psql('postgres', on_error_stop => 0);
my $six = "select is_granted, remaining from gov_consume('acme', 'tokens', 6, null, array['agent-1'])";

$one->query_safe('begin');
is($one->query_safe($six), 't|3', 'a charge that it would stop expires it');
is($one->query_safe("select state from gov_reservations where id = '$alone'"), 'expired', 'in its own transaction');
# the other may find it in other hands, but neither waits for them nor passes what they may give back
$two->query_safe("set lock_timeout = '10s'");
my $answer = gov_ask($two, $six);
like($answer, qr/^f\|/, 'another is denied meanwhile');
$one->query_safe('rollback');
is(state($alone), 'open', 'rolled back with it');
is_counted(1, 0, 'rolled back');
is($two->query_safe($six), 't|3', 'the other now expires it');
is(state($alone), 'expired', 'committed');
is($two->query_safe("select is_duplicate from gov_settle('$alone', 2)"), 'f', 'settled late');
is_counted(9, 0, 'settled late');

# A late settlement that is still open: the hold's room is nobody's until it is decided.
gov_use($node, 'postgres', -9);
$alone = hold(6, '500 milliseconds');
wait_past($alone);
$one->query_safe('begin');
$one->query_safe("select gov_settle('$alone', 5)");
like(gov_ask($two, $six), qr/^f\|/, 'a use that does not fit beside the late settlement is denied');
$one->query_safe('commit');
is_counted(5, 0, 'the late settlement');
gov_use($node, 'postgres', -5);

# A reserve expires as well, and gov_maintain does by hand what the worker would.
$alone = hold(6, '300 milliseconds');
wait_past($alone);
is( $node->safe_psql('postgres', "select is_granted, remaining from gov_reserve('acme', 'tokens', 10, null, array['agent-1'], ttl => '300 milliseconds')"),
	't|0', 'a reserve that it would stop expires it');
is(state($alone), 'expired', 'for good');
$alone = $node->safe_psql('postgres', "select id from gov_reservations where state = 'open'");
wait_past($alone);
$node->safe_psql('postgres', 'select * from gov_maintain()');
is(state($alone), 'expired', 'by hand');
is_counted(0, 0, 'by hand');

unlike(slurp_file($node->logfile), qr/ PANIC: |TRAP:/, 'nothing broke');
$one->quit;
$two->quit;
$node->stop;
done_testing();

# Days on which the server runs out of something: of room for the ledger while everybody calls, of room for what the rollup writes, of
# locks. What cannot be done is an error of that call and changes nothing, what was acknowledged is recorded and nothing else, checks
# are answered, no server or session ends, and all goes on when there is room again.

use strict;
use warnings;

use FindBin;
use IPC::Run ();
use lib "$FindBin::RealBin/../perl";

use PostgreSQL::Test::Utils;
use Test::More;
use GovSession;
use GovTest;

my $SESSIONS = 4;
my $CALLS = 3000;
my $node = gov_node('bad_days', init => { extra => [ '--locale=C', '--encoding=UTF8', '--wal-segsize=1' ] }, conf => <<CONF);
governance.rollup_interval = '1h'
autovacuum = off
fsync = off
restart_after_crash = off
CONF

sub sql { return $node->safe_psql('postgres', $_[0]); }

gov_build($node, 'postgres', agents => $SESSIONS);

# No file of the server grows past so much: for it the disk is full there, and elsewhere not. (The log of its transactions is in files of 1 MB.)
sub restart_with_files_of
{
	my ($kilobytes) = @_;

	$node->stop;
	system_or_bail('sh', '-c', 'ulimit -f ' . 2 * $kilobytes . ' && exec "$@"', 'sh', 'pg_ctl', '-w', '-s', '-D', $node->data_dir, '-l', $node->logfile, 'start');
	$node->_update_pid(1);
	return;
}

sub is_quiet
{
	my ($label) = @_;
	my @lines = grep { /PANIC|TRAP|terminated by signal|exited with exit code [^01]/ } split /\n/, slurp_file($node->logfile);

	is("@lines", '', "$label: no server and no session has ended");
	return;
}

# ---------------------------------------------------------------- no room for the ledger

sub script_of
{
	my ($agent) = @_;

	return join '', map {
		$_ % 3
		  ? "select 'event ' || event_id from gov_consume('acme', 'tokens', 1, null, '{$agent}');\n"
		  : "select reservation_id as h from gov_reserve('acme', 'tokens', 5, null, '{$agent}') \\gset\nselect 'event ' || event_id from gov_settle(:'h', 2) where not is_duplicate;\n"
	} 1 .. $CALLS;
}

restart_with_files_of(1280);
my @sessions = map { { in => "select null as h \\gset\n" . script_of("agent-$_"), out => '', err => '' } } 1 .. $SESSIONS;
$_->{run} = IPC::Run::start([ 'psql', '-XAtq', '-d', $node->connstr('postgres') ], '<', \$_->{in}, '>', \$_->{out}, '2>', \$_->{err}) foreach @sessions;
IPC::Run::finish($_->{run}) foreach @sessions;

my @acknowledged = sort { $a <=> $b } map { $_->{out} =~ /^event (\d+)$/mg } @sessions;
my $failed = () = join('', map { $_->{err} } @sessions) =~ /could not extend file/g;
cmp_ok($failed, '>', 100, 'the disk was full') or diag substr($sessions[0]{err}, 0, 1000);
cmp_ok(scalar @acknowledged, '>', 1000, 'and had room before');
is(sql('select string_agg(id::text, E\'\n\' order by id) from gov_events'), join("\n", @acknowledged), 'what was acknowledged is recorded, and nothing else');
note scalar(@acknowledged) . " calls acknowledged, $failed failed";
gov_is_exact($node, 'postgres', 'a full disk');
is(sql('select count(*) from gov_cached_counters() where is_pinned'), '0', 'nothing stays in flight');
is(sql(q{select gov_allowed('acme', 'tokens', 1, null, '{agent-1}')}), 't', 'checks are answered');
is(sql(q{select sum(h.reserved_usage) from gov_entities e, gov_headroom('acme', 'tokens', 0, null, array[e.id]) h where e.type_id = 'agent' and h.entity_id = e.id}),
	sql(q{select coalesce(sum(amount), 0) from gov_reservations where state = 'open'}), 'the holds that count are those that are there');
is_quiet('a full disk');

$node->restart;
my $before = gov_counts($node, 'postgres');
is(sql(q{select is_granted from gov_consume('acme', 'tokens', 1, null, '{agent-1}')}), 't', 'with room again, uses are recorded');
isnt(gov_counts($node, 'postgres'), $before, 'and count');
gov_is_exact($node, 'postgres', 'room again');

# ---------------------------------------------------------------- no room for what the rollup writes

# The rows of somebody else fill the file up to where it may not grow, and uses of many hours are to be rolled up.
sql(q{
	begin;
	select count(gov_ingest('acme', 'tokens', 1, null, '{agent-1}', null, now() - n * interval '1 hour')) from generate_series(1, 300) n;
	insert into gov_usage_by_time (owner_id, capability_id, entity_id, hour, amount, event_count)
	select 'filler', 'tokens', repeat('x', 100) || n, '2020-01-01', 1, 1 from generate_series(1, 12000) n;
	commit});
cmp_ok(sql(q{select pg_relation_size('gov_usage_by_time')}), '>', 1280 * 1024, 'a table is as large as files may be');
restart_with_files_of(1280);
my $watermark = sql('select coalesce(max(watermark), 0) from gov_rollup_state');
my $counts = gov_counts($node, 'postgres');
my $error = '';
my $deadline = time() + 60;
# while the worker is at it there is nothing to do, and nothing fails
($error) = ($node->psql('postgres', 'select gov_maintain()'))[2] until $error ne '' || time() > $deadline;
like($error, qr/could not extend file/, 'the rollup has no room');
is(sql('select coalesce(max(watermark), 0) from gov_rollup_state'), $watermark, 'and has rolled up nothing');
is(gov_counts($node, 'postgres'), $counts, 'counts are what they were');
sql('select gov_drop_cache()');
is(gov_counts($node, 'postgres'), $counts, 'and what they are when they are read again');
is_quiet('no room for the rollup');
$node->restart;
sql(q{delete from gov_usage_by_time where owner_id = 'filler'});
gov_roll_up($node, 'postgres');
gov_is_exact($node, 'postgres', 'rolled up when there is room');

# ---------------------------------------------------------------- no locks

$node->append_conf('postgresql.conf', "max_connections = 12\nmax_worker_processes = 4\nmax_wal_senders = 0\nmax_locks_per_transaction = 10");
$node->restart;

# One session takes all locks that the server has room for, and gives them back one by one until the call of another one passes.
my $taker = GovSession->new($node, 'taker');
my %cases = (
	'a cold check' => q{select gov_allowed('acme', 'tokens', 1, null, '{agent-1}')},
	'a cold use' => q{select is_granted from gov_consume('acme', 'tokens', 1, '{"agentId": "agent-2"}', '{agent-1}')},
	'a hold' => q{select is_granted from gov_reserve('acme', 'tokens', 1, null, '{agent-1}')},
	'a change' => q{update gov_assignments set usage_limit = usage_limit + 1 where owner_id = 'acme' returning true},
	'a round' => q{select true from gov_maintain() limit 1});

$taker->ask(q{create function pg_temp.take_all() returns int language plpgsql as $$
	declare
		n int := 0;
	begin
		loop
			begin
				perform pg_advisory_lock(n);
				n := n + 1;
			exception
				when out_of_memory then
					return n;
			end;
		end loop;
	end $$; select pg_temp.take_all(), pg_advisory_unlock_all()});
foreach my $case (sort keys %cases)
{
	my $session = GovSession->new($node, 'caller');
	my $failed = 0;
	my $answer = '';

	$session->run('\set VERBOSITY verbose');
	$session->ask('select gov_drop_cache()');
	my $taken = $taker->ask('select pg_temp.take_all()');
	my $left = $taken;
	while ($left > 0)
	{
		($answer) = $session->run("$cases{$case};");
		last if $answer =~ /^t$/m && $answer !~ /ERROR/;
		last if $answer !~ /ERROR:  53200/;
		$failed++;
		$left -= 3;
		$taker->ask('select count(pg_advisory_unlock(n)) from generate_series(' . ($left < 0 ? 0 : $left) . ', ' . ($left + 2) . ') n');
	}
	like($answer, qr/^t$/m, "$case: passes with locks again, after $failed failures");
	cmp_ok($failed, '>', 0, "$case: fails without");
	$taker->ask('select pg_advisory_unlock_all()');
	is(sql('select count(*) from gov_cached_counters() where is_pinned'), '0', "$case: nothing stays in flight");
	gov_is_exact($node, 'postgres', $case);
	$session->close;
}
$taker->close;
is_quiet('no locks');

$node->stop;
done_testing();

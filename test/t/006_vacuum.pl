# The rollup, VACUUM of the ledger and a transaction that ingested and idles: none of the three waits for another.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use IPC::Run;
use PostgreSQL::Test::Utils;
use Test::More;
use GovTest;

my $node = gov_node('vacuum', conf => <<CONF);
autovacuum_naptime = '1s'
autovacuum_vacuum_insert_threshold = 100
log_autovacuum_min_duration = 0
CONF
my $impatient = "set statement_timeout = '10s'; set lock_timeout = '5s';";

gov_build($node, 'postgres', agents => 10);

# One transaction takes an early id and idles; a hundred later ones are committed.
my $idle = $node->background_psql('postgres');
my $idle_pid = $idle->query_safe('select pg_backend_pid()');
$idle->query_safe('begin');
my $low = $idle->query_safe(
	"select event_id from gov_ingest('acme', 'tokens', 1000, null, array['agent-1'])");
$node->safe_psql('postgres',
	"select count(gov_ingest('acme', 'tokens', 1, null, array['agent-1'])) from generate_series(1, 100)");

is( gov_counts($node, 'postgres'),
	join(' ', map { "$_-1=1100" } qw(agent dept org team user)),
	'what is in flight takes headroom');

# A round does not wait for it, and says so.
my $left = '';
foreach my $round (1 .. 3)
{
	my $complaint = '';
	my $status = $node->psql('postgres', "$impatient select string_agg(m::text, ' ') from gov_maintain() m", stdout => \$left, stderr => \$complaint);

	# a step that has waited too long is a warning
	is("$status$complaint", '0', "gov_maintain does not wait for the idle transaction, round $round");
}
is($node->safe_psql('postgres', q{select count(*) from pg_locks where locktype = 'virtualxid' and not granted}), '0', 'nor does the worker');
like($left, qr/\b$idle_pid\b/, 'it names the process it could not pass');
is( $node->safe_psql('postgres',
		"select coalesce(max(watermark), 0) < $low from gov_rollup_state"),
	't', 'the watermark stays before the idle event');
cmp_ok(gov_stat($node, 'postgres', 'rollup_lag_events'),
	'>=', 100, 'gov_stats shows the lag');
like(
	$node->safe_psql('postgres',
		"select string_agg(s::text, ' ') from gov_stats s where name ~ 'wait'"),
	qr/\b$idle_pid\b/,
	'and whom it waits for');

# Nor does VACUUM wait, in any form.
# A VACUUM of ours that meets an autovacuum of the table would cancel it after deadlock_timeout: it waits for its end, so that
# whatever is cancelled is cancelled by the rollup.
my $PATIENT = "set deadlock_timeout = '60s'; set lock_timeout = '30s'";
foreach my $command ('vacuum', 'vacuum (freeze)', 'vacuum (analyze, disable_page_skipping)')
{
	my ($ret, $stdout, $stderr) =
	  $node->psql('postgres', "$PATIENT; $command gov_events;");

	is($ret, 0, "$command passes the idle transaction and the rollup")
	  or diag $stderr;
}

$idle->query_safe('commit');
ok( $node->poll_query_until('postgres',
		'select watermark = (select max(id) from gov_events) from gov_rollup_state'),
	'after its commit the worker rolls up by itself');
gov_is_exact($node, 'postgres', 'after the commit');

# A slow VACUUM holds its lock for long: rounds pass beside it, and do not cancel it.
my $slow = $node->background_psql('postgres', on_error_stop => 0);
$node->safe_psql('postgres',
	"select count(gov_ingest('acme', 'tokens', 1, null, array['agent-2'])) from generate_series(1, 5000)");
my $slow_pid = $slow->query_safe('select pg_backend_pid()');
$slow->query_until(qr/started/, <<'EOS');
set deadlock_timeout = '60s'; set vacuum_cost_delay = '100ms'; set vacuum_cost_limit = 1;
\echo started
vacuum (freeze, disable_page_skipping) gov_events;
EOS
$node->poll_query_until('postgres',
	"select count(*) = 1 from pg_stat_progress_vacuum where pid = $slow_pid")
  or die 'no slow vacuum';
gov_use($node, 'postgres', 7, agent => 'agent-2');
ok( $node->poll_query_until('postgres',
		'select watermark = (select max(id) from gov_events) from gov_rollup_state'),
	'the worker rolls up beside a slow vacuum');
is( $node->safe_psql('postgres',
		"select count(*) from pg_stat_progress_vacuum where pid = $slow_pid"),
	'1', 'which goes on');
$node->safe_psql('postgres', "select pg_cancel_backend($slow_pid)");
$slow->quit;

# Vacuum after vacuum under load.
gov_set($node, 'governance.rollup_interval', '20ms');
{
	local %ENV = $node->_get_env();
	my $script = PostgreSQL::Test::Utils::tempdir . '/ingest.sql';
	my ($out, $err) = ('', '');

	append_to_file($script, <<'EOS');
\set agent random(1, 10)
select event_id from gov_ingest('acme', 'tokens', 1, null, array['agent-' || :agent::text]);
EOS
	my $load = IPC::Run::start(
		[ 'pgbench', '-n', '-M', 'prepared', '-c', '4', '-T', '6', '-f', $script, 'postgres' ],
		'>', \$out, '2>', \$err);
	my $done = 0;
	foreach my $round (1 .. 8)
	{
		my $how = $round % 2 ? 'vacuum' : 'vacuum (freeze)';
		my ($ret) =
		  $node->psql('postgres', "$PATIENT; $how gov_events;");

		$done++ if $ret == 0;
	}
	is($done, 8, 'vacuum goes through under load');
	$load->finish;
	is($err !~ /ERROR|abort/, 1, 'and the load too') or diag $err;
}
ok( $node->poll_query_until('postgres',
		'select watermark = (select max(id) from gov_events) from gov_rollup_state'),
	'all is rolled up');
gov_is_exact($node, 'postgres', 'after the load', agent => "agent-$_")
  foreach (1, 10);
$node->wait_for_log(qr/automatic vacuum of table "postgres\.public\.gov_events"/);
unlike(slurp_file($node->logfile), qr/canceling autovacuum task/,
	'no autovacuum was cancelled');

$idle->quit;
$node->stop;
done_testing();

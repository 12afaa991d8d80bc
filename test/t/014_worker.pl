# The rollup worker: it comes with the first use, rolls up the tail, leaves when there is nothing to do, and comes again.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use PostgreSQL::Test::Utils;
use Test::More;
use GovTest;

my $node = gov_node('worker', conf => "governance.rollup_interval = '50ms'");
my $alone =
  "select count(*) = 1 from pg_stat_activity where datname = 'postgres' and backend_type like 'governance%'";
my $gone =
  "select count(*) = 0 from pg_stat_activity where backend_type like 'governance%'";
my $rolled_up =
  'select watermark = (select max(id) from gov_events) from gov_rollup_state';

gov_build($node, 'postgres');
is(gov_workers($node, 'postgres'), '0', 'no worker before the first use');

foreach my $round (1, 2)
{
	gov_use($node, 'postgres', 3);
	ok($node->poll_query_until('postgres', $alone), "round $round: it comes");
	gov_use($node, 'postgres', 4);
	ok($node->poll_query_until('postgres', $rolled_up), "round $round: it rolls up");
	gov_is_exact($node, 'postgres', "round $round");
	ok( $node->poll_query_until('postgres',
			"select coalesce(bool_and(xact_start is null and backend_xmin is null), true) from pg_stat_activity where backend_type like 'governance%'"),
		"round $round: it does not sleep in a transaction");
	ok($node->poll_query_until('postgres', $gone), "round $round: it leaves when idle");
}
is($node->safe_psql('postgres', q{
		select u.amount, u.event_count from gov_usage u join gov_assignments a on a.id = u.assignment_id where a.entity_id = 'org-1'}),
	'14|4', 'usage is rolled up');
is($node->safe_psql('postgres',
		"select sum(amount), sum(event_count) from gov_usage_hourly where entity_id = 'agent-1'"),
	'14|4', 'attribution too');

# Terminated, it is missed by the next call alone.
gov_use($node, 'postgres', 1);
$node->poll_query_until('postgres', $alone) or die 'no worker';
$node->safe_psql('postgres',
	"select pg_terminate_backend(pid) from pg_stat_activity where backend_type like 'governance%'");
ok($node->poll_query_until('postgres', $gone), 'terminated');
gov_use($node, 'postgres', 1);
ok($node->poll_query_until('postgres', $alone), 'the next use brings another');
ok($node->poll_query_until('postgres', $rolled_up), 'which rolls up');

# Many sessions at once start one worker.
ok($node->poll_query_until('postgres', $gone), 'idle again');
$node->pgbench(
	'-n -c 8 -T 3 -C',
	0,
	[qr/number of failed transactions: 0/],
	[],
	'eight clients, a connection each transaction',
	{
		'worker_start' =>
		  q{select event_id from gov_ingest('acme', 'tokens', 1, null, array['agent-1']);}
	},
	'postgres');
cmp_ok(gov_workers($node, 'postgres'), '<=', 1, 'one worker for all of them');
ok($node->poll_query_until('postgres', $rolled_up), 'all of it is rolled up');
gov_is_exact($node, 'postgres', 'after the load');

# What a database sets for its sessions is not meant for the worker.
$node->safe_psql('postgres', q{
	alter database postgres set default_transaction_read_only = on;
	alter database postgres set default_transaction_isolation = 'serializable';
	select pg_terminate_backend(pid) from pg_stat_activity where backend_type like 'governance%'});
ok($node->poll_query_until('postgres', $gone), 'terminated once more');
{
	local $ENV{PGOPTIONS} = '-c default_transaction_read_only=off';
	gov_use($node, 'postgres', 1);
	ok($node->poll_query_until('postgres', $rolled_up),
		'it rolls up in a database that is read-only by default');
	gov_is_exact($node, 'postgres', 'read-only by default');
	$node->safe_psql('postgres', q{
		alter database postgres reset default_transaction_read_only;
		alter database postgres reset default_transaction_isolation});
}

# No slot for a worker: everything is right without it, and gov_maintain does its work.
$node->append_conf('postgresql.conf', 'max_worker_processes = 0');
$node->restart;
gov_use($node, 'postgres', 10);
gov_is_exact($node, 'postgres', 'without a worker');
is(gov_workers($node, 'postgres'), '0', 'there is none');
cmp_ok(gov_tail($node, 'postgres'), '>', 0, 'the tail waits');
gov_roll_up($node, 'postgres');
gov_is_exact($node, 'postgres', 'maintained by hand');

unlike(slurp_file($node->logfile), qr/ (PANIC|ERROR): /, 'nothing failed');
$node->stop;
done_testing();

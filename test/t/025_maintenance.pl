# What administrators do to tables while sessions are warm: new files, new indexes, new OIDs, other owners, locks. The
# engine keeps OIDs and plans, and has to notice.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use IPC::Run;
use PostgreSQL::Test::Utils;
use Test::More;
use GovTest;

my $node = gov_node('maintained', conf => "governance.rollup_interval = '20ms'");
my $key = 0;

gov_build($node, 'postgres', agents => 5);
my $warm = $node->background_psql('postgres', on_error_stop => 0);

# A warm session ingests, remembers its key, and counts right.
sub is_at_work
{
	my ($after) = @_;
	my $call =
	  sprintf "select is_duplicate from gov_ingest('acme', 'tokens', 1, null, array['agent-1'], 'key-%s')",
	  ++$key;

	is(gov_ask($warm, $call), 'f', "$after: recorded");
	is(gov_ask($warm, $call), 't', "$after: remembered");
	is(gov_counts($node, 'postgres'), gov_ledger($node, 'postgres'),
		"$after: counted");
	return;
}

is_at_work('at first');
foreach my $command (
	'reindex table concurrently gov_events',
	'reindex table gov_events',
	'vacuum full gov_events',
	'cluster gov_events using gov_events_pkey',
	'vacuum full gov_usage',
	'reindex table concurrently gov_usage',
	'vacuum full gov_entities',
	'reindex table concurrently gov_entities',
	'reindex table concurrently gov_assignments',
	'vacuum full gov_rollup_state',
	'analyze',
	q{select setval('gov_events_id_seq', 9000)},
	'create index gov_events_caller on gov_events (caller)',
	'drop index gov_events_caller',
	'create role other superuser; alter table gov_events owner to other',
	'reindex system postgres')
{
	my ($ret, $stdout, $stderr) = $node->psql('postgres', $command);

	is($ret, 0, $command) or diag $stderr;
	is_at_work($command);
}

gov_ask($warm, 'discard all');
is_at_work('discard all');
gov_ask($warm, q{
	begin;
	select gov_ingest('acme', 'tokens', 1, null, array['agent-1']);
	declare held cursor with hold for select gov_allowed('acme', 'tokens', 1, null, array['agent-1']) from generate_series(1, 3);
	commit;
	fetch all held});
is_at_work('a cursor held');
is( gov_ask($warm, q{
		begin; lock table gov_events in exclusive mode;
		select gov_allowed('acme', 'tokens', 1, null, array['agent-2']);
		commit}),
	't', 'a check passes a lock on the ledger');
$warm->quit;

# The same beside a load.
{
	local %ENV = $node->_get_env();
	my $script = PostgreSQL::Test::Utils::tempdir . '/ingest.sql';
	my ($out, $errors) = ('', '');

	append_to_file($script, <<'EOS');
\set a random(1, 5)
select gov_ingest('acme', 'tokens', 1, null, array['agent-' || :a], gen_random_uuid()::text);
EOS
	my $load = IPC::Run::start(
		[ 'pgbench', '-n', '-M', 'prepared', '-c', '4', '-T', '5', '-f', $script, 'postgres' ],
		'>', \$out, '2>', \$errors);

	$node->poll_query_until('postgres', 'select count(*) > 500 from gov_events')
	  or die 'no load';
	foreach my $command (
		'reindex table concurrently gov_events',
		'vacuum full gov_events',
		'reindex table gov_usage',
		'vacuum full gov_usage',
		'reindex table concurrently gov_usage_by_time')
	{
		my ($ret, $stdout, $stderr) = $node->psql('postgres', $command);

		is($ret, 0, "$command under load") or diag $stderr;
	}
	$load->finish;
	is($errors =~ /ERROR|FATAL|abort/ ? $errors : '', '', 'the load goes on');
}
gov_roll_up($node, 'postgres');
gov_is_exact($node, 'postgres', 'after it', agent => "agent-$_")
  foreach (1, 5);

# To another tablespace, with the worker running.
my $place = PostgreSQL::Test::Utils::tempdir;
$node->safe_psql('postgres', "create tablespace elsewhere location '$place'");
$node->safe_psql('postgres', 'create database moved');
$node->safe_psql('moved', 'create extension governance');
gov_build($node, 'moved');
gov_use($node, 'moved', 5);
$node->poll_query_until('postgres',
	"select count(*) = 1 from pg_stat_activity where datname = 'moved' and backend_type like 'governance%'")
  or die 'no worker';
$node->safe_psql('postgres', 'alter database moved set tablespace elsewhere');
gov_use($node, 'moved', 5);
gov_is_exact($node, 'moved', 'in another tablespace');

$node->stop;
done_testing();

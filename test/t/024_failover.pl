# Failover under load with a synchronous standby: what clients were told is recorded is there after the promotion, checks on
# the standby answer all the while, and the counts are exact at once.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use IPC::Run;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use GovTest;

use constant CLIENTS => 4;

my $primary = gov_node(
	'primary',
	init => { allows_streaming => 1 },
	conf => "governance.rollup_interval = '20ms'");
my $dir = PostgreSQL::Test::Utils::tempdir;

gov_build($primary, 'postgres', agents => 20);
$primary->backup('base');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($primary, 'base', has_streaming => 1);
$standby->start;
gov_set($primary, 'synchronous_standby_names', '*');

append_to_file("$dir/ingests.sql",
	"select event_id from gov_ingest('acme', 'tokens', 1, null, array['agent-1']);\n" x 50000);
append_to_file("$dir/change.sql", <<'EOS');
\set a random(1, 20)
update gov_assignments set usage_limit = usage_limit + 1 where entity_id = 'agent-' || :a;
EOS
append_to_file("$dir/check.sql", <<'EOS');
\set a random(1, 20)
select gov_allowed('acme', 'tokens', 1, null, array['agent-' || :a]);
select count(*) from gov_headroom('acme', 'tokens', 1, null, array['agent-' || :a]);
EOS

# Clients of the primary note the ids they are given; those of the standby only look.
my @clients;
{
	local %ENV = $primary->_get_env();

	push @clients,
	  IPC::Run::start([ 'psql', '-XAtq', '-f', "$dir/ingests.sql", 'postgres' ],
		'>', "$dir/ids$_", '2>', "$dir/errors$_")
	  foreach (1 .. CLIENTS);
	push @clients,
	  IPC::Run::start([ 'pgbench', '-n', '-T', '120', '-f', "$dir/change.sql", 'postgres' ],
		'>', '/dev/null', '2>', '/dev/null');
}
my ($out, $errors) = ('', '');
my $checks;
{
	local %ENV = $standby->_get_env();

	$checks = IPC::Run::start(
		[ 'pgbench', '-n', '-M', 'prepared', '-c', '2', '-T', '6', '-f', "$dir/check.sql", 'postgres' ],
		'>', \$out, '2>', \$errors);
}

ok($standby->poll_query_until('postgres', 'select count(*) > 3000 from gov_events'),
	'a load is replicated');
is($standby->safe_psql('postgres', 'select * from gov_verify()'),
	'', 'gov_verify finds nothing on the standby under load');
$primary->stop('immediate');
$standby->promote;
$standby->poll_query_until('postgres', 'select not pg_is_in_recovery()')
  or die 'no promotion';
gov_use($standby, 'postgres', 3);
gov_is_exact($standby, 'postgres', 'promoted');

$_->finish foreach @clients;
my @ids = map { split /\n/, slurp_file("$dir/ids$_") } 1 .. CLIENTS;
cmp_ok(scalar @ids, '>', 2000, 'the clients were given ids');
$standby->safe_psql('postgres', 'create table acknowledged (id bigint primary key)');
$standby->safe_psql('postgres',
	"copy acknowledged from stdin;\n" . join("\n", @ids) . "\n\\.\n");
is( $standby->safe_psql('postgres',
		'select count(*) from acknowledged where id not in (select id from gov_events)'),
	'0', 'every id given to a client is in the ledger of the promoted standby');

$checks->finish;
like($out, qr/number of failed transactions: 0/, 'no check failed');
is($errors =~ /ERROR|FATAL|abort/ ? $errors : '', '', 'from before to after the promotion');
gov_roll_up($standby, 'postgres');
gov_is_exact($standby, 'postgres', 'promoted and rolled up');

$standby->stop;
done_testing();

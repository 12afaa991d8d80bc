# pg_upgrade (to the same version): the counts, keys and ids of the new cluster are those of the old one.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use GovTest;

my $old = gov_node('old', init => { extra => ['--no-sync'] });
my $new = PostgreSQL::Test::Cluster->new('new');
my $dir = PostgreSQL::Test::Utils::tempdir_short;

gov_build($old, 'postgres', agents => 5, limit => 1000);
$old->safe_psql('postgres', q{
	select count(gov_ingest('acme', 'tokens', n, null, array['agent-' || n % 5 + 1], 'key-' || n)) from generate_series(1, 50) n});
gov_roll_up($old, 'postgres');
my $idle = $old->background_psql('postgres');
$idle->query_safe(
	"begin; select gov_ingest('acme', 'tokens', 1, null, array['agent-1'])");
my $last = gov_use($old, 'postgres', 2.5);
my $counts = gov_counts($old, 'postgres');
$idle->query_safe('rollback');
$idle->quit;
is($counts ne gov_counts($old, 'postgres'), 1, 'the idle transaction is gone');
$counts = gov_counts($old, 'postgres');
$old->stop;

$new->init;
$new->append_conf('postgresql.conf',
	"shared_preload_libraries = 'governance'\nmax_connections = 40");
my $bindir = $new->config_data('--bindir');
chdir $dir;
command_ok(
	[
		'pg_upgrade', '--no-sync', '-d', $old->data_dir, '-D',
		$new->data_dir, '-b', $bindir, '-B', $bindir, '-s', $new->host,
		'-p', $old->port, '-P', $new->port
	],
	'pg_upgrade');
chdir $FindBin::RealBin;

$new->start;
is(gov_counts($new, 'postgres'), $counts, 'the same counts');
gov_is_exact($new, 'postgres', 'upgraded');
is( $new->safe_psql('postgres',
		"select is_duplicate from gov_ingest('acme', 'tokens', 50, null, array['agent-1'], 'key-50')"),
	't', 'a key is remembered');
cmp_ok(gov_use($new, 'postgres', 1), '>', $last, 'ids go on');
$new->safe_psql('postgres',
	"update gov_assignments set usage_limit = 1 where entity_id = 'agent-1'");
is( $new->safe_psql('postgres',
		"select denied_reason from gov_check('acme', 'tokens', 2, null, array['agent-1'])"),
	'RequestedUsageExceedingLimit', 'catalog changes are seen');
gov_roll_up($new, 'postgres');
gov_is_exact($new, 'postgres', 'upgraded and rolled up');

$new->stop;
done_testing();

# The regress files with the cache off: the answers from the tables are the answers of the engine.

use strict;
use warnings;

use Cwd;
use File::Basename;
use File::Copy;
use FindBin;
use lib "$FindBin::RealBin/../perl";

use PostgreSQL::Test::Utils;
use Test::More;
use GovTest;

my $top = Cwd::abs_path("$FindBin::RealBin/../..");
my @tests = map { basename($_, '.sql') } sort glob "$top/test/sql/*.sql";

my $node = gov_node('slow', extension => 0, conf => <<CONF);
governance.use_cache = off
governance.rollup_interval = '1s'
CONF
my $dir = PostgreSQL::Test::Utils::tempdir;
my @command = (
	$ENV{PG_REGRESS}, "--inputdir=$top/test", "--outputdir=$dir", '--host', $node->host, '--port', $node->port,
	'--dbname=contrib_regression', '--dlpath', $dir,
	'--load-extension=governance');

# The answers are looked for in the output directory (PostgreSQL 15) or the current one (later).
mkdir "$dir/expected";
copy($_, "$dir/expected/") foreach glob "$top/expected/*.out";
chdir $dir;

# The bindir has to be that of the server under test.
push @command, '--bindir=' . ($node->config_data('--bindir'));
my ($stdout, $stderr) = run_command([ @command, @tests ]);
is($? >> 8, 0, 'the regress files pass with the cache off')
  or diag(-e "$dir/regression.diffs" ? slurp_file("$dir/regression.diffs") : "$stdout\n$stderr");

$node->stop;
done_testing();

# The regress files with the cache off: the answers from the tables are the answers of the engine.

use strict;
use warnings;

use Cwd;
use FindBin;
use lib "$FindBin::RealBin/../perl";

use PostgreSQL::Test::Utils;
use Test::More;
use GovTest;

my $top = Cwd::abs_path("$FindBin::RealBin/../..");
my $makefile = slurp_file("$top/Makefile");

$makefile =~ s/\\\n/ /g;
my ($tests) = $makefile =~ /^REGRESS\s*[:+]?=\s*(.*)$/m
  or plan skip_all => 'the Makefile names no regress tests';

my $node = gov_node('slow', extension => 0, conf => "governance.use_cache = off");
my $dir = PostgreSQL::Test::Utils::tempdir;
my @command = (
	$ENV{PG_REGRESS}, "--inputdir=$top/test", "--expecteddir=$top",
	"--outputdir=$dir", '--host', $node->host, '--port', $node->port,
	'--dbname=contrib_regression', '--dlpath', $dir, '--use-existing');

# The bindir has to be that of the server under test.
push @command, '--bindir=' . ($node->config_data('--bindir'));
$node->safe_psql('postgres', 'create database contrib_regression');
my ($stdout, $stderr) = run_command([ @command, split ' ', $tests ]);
is($? >> 8, 0, 'the regress files pass with the cache off')
  or diag(-e "$dir/regression.diffs" ? slurp_file("$dir/regression.diffs") : "$stdout\n$stderr");

$node->stop;
done_testing();

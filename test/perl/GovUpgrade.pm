# Old versions of the extension, for the tests of upgrades: their install scripts are kept in test/upgrade.

package GovUpgrade;

use strict;
use warnings;

use Exporter 'import';
use File::Copy;
use FindBin;
use PostgreSQL::Test::Utils;

our @EXPORT = qw(gov_provide_version gov_described);

# Put the install script of an old version where CREATE EXTENSION looks for it; false where that may not be written.
sub gov_provide_version
{
	my ($node, $version) = @_;
	my $dir = $node->config_data('--sharedir') . '/extension';

	return 1 if -e "$dir/governance--$version.sql";
	return copy("$FindBin::RealBin/../upgrade/governance--$version.sql", "$dir/governance--$version.sql");
}

# All that the extension has in a database, a line for each fact.
sub gov_described
{
	my ($node, $db) = @_;

	return $node->safe_psql($db, slurp_file("$FindBin::RealBin/../upgrade/catalog.sql"));
}

1;

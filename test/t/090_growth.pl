# What is asked of one owner costs the same however much it has recorded, and however much others have: counted in shared buffers,
# warm, cold and on a standby, in a small laboratory and in one ten times as large (test/perl/GovGrowth.pm has the operations and
# what each may grow with).

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use GovTest;
use GovGrowth;
use GovLab;

my %sizes = (lab_1 => gov_lab_sizes(1 / 1000), lab_10 => gov_lab_sizes(1 / 100));
my @labs = qw(lab_1 lab_10);

# The only rounds are those that are asked for.
my $node = gov_node('growth',
	init => { allows_streaming => 1 },
	conf => "autovacuum = off\nshared_buffers = 128MB\nmax_wal_size = 4GB\nmax_worker_processes = 0\nfsync = off\njit = off");

gov_lab_build($node, $_, $sizes{$_}) foreach @labs;
$node->backup('base');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($node, 'base', has_streaming => 1);
$standby->start;

my %session = map { $_ => $node->background_psql($_, on_error_stop => 0) } @labs;
my %standby_session = map { $_ => $standby->background_psql($_, on_error_stop => 0) } @labs;

sub judge
{
	my ($operation, $owner, %option) = @_;
	my $name = "$operation->{name}, owner $owner" . ($option{standby} ? ', on the standby' : '');
	my $sessions = $option{standby} ? \%standby_session : \%session;
	my ($small, $large) = map { gov_measure($sessions->{$_}, $operation, $owner, $sizes{$_}{$owner}, %option) } @labs;
	my $most = gov_most_blocks($operation, $owner, $large, $small);

	cmp_ok($large->{blocks}, '<=', $most,
		"$name: $small->{blocks} blocks for $small->{count}, $large->{blocks} for $large->{count}, $most allowed");
	return;
}

sub judge_all
{
	my %is_on = map { $_ => 1 } @_;

	$node->wait_for_catchup($standby);
	foreach my $operation (gov_operations())
	{
		foreach my $owner (grep { $is_on{$_} } @{ $operation->{on} })
		{
			judge($operation, $owner);
			judge($operation, $owner, standby => 1) if $operation->{standby};
		}
	}
	is($node->safe_psql($_, 'select * from gov_verify()'), '', "gov_verify finds nothing in $_") foreach @labs;
	return;
}

judge_all(qw(small events budgets holds windows alerts));

# Now with a tail that is not rolled up.
my @idle = map { gov_lab_tail($node, $_, $sizes{$_}) } @labs;
judge_all(qw(beside tail));

$_->quit foreach @idle, values %session, values %standby_session;
foreach my $lab (@labs)
{
	gov_lab_roll_up($node, $lab);
	is($node->safe_psql($lab, 'select * from gov_verify()'), '', "gov_verify finds nothing in $lab when all is rolled up");
}
$standby->stop;
$node->stop;
done_testing();

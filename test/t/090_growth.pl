# What is asked of one owner costs the same however much it has recorded, and however much others have: counted in shared buffers.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use PostgreSQL::Test::Utils;
use Test::More;
use GovTest;
use GovGrowth;

my $node = gov_node('growth', conf => "autovacuum = off\nshared_buffers = 64MB\nmax_wal_size = 4GB");
my $session = $node->background_psql('postgres', on_error_stop => 0);

gov_grow_owner($node, 'postgres', 'large');
gov_grow_owner($node, 'postgres', 'small');
gov_grow_ledger($node, 'postgres', 'small', 20);

# Each with the most blocks that it may take at any size.
my @operations = (
	[ 'a cold check', 60, q{select gov_allowed('OWNER', 'tokens', 1, null, array['agent-1-1'])}, 'cold' ],
	[ 'a warm check', 0, q{select gov_allowed('OWNER', 'tokens', 1, null, array['agent-1-1'])} ]);

sub cost
{
	my ($operation, $owner) = @_;
	my ($name, $most, $sql, $is_cold) = @$operation;

	$sql =~ s/OWNER/$owner/g;
	# twice: the session has its plans then, and the buffers their pages
	foreach (1 .. 2)
	{
		gov_ask($session, 'select gov_refresh()') if $is_cold;
		gov_ask($session, $sql);
	}
	gov_ask($session, 'select gov_refresh()') if $is_cold;
	return gov_blocks($session, $sql);
}

sub measure
{
	my %costs;

	foreach my $operation (@operations)
	{
		$costs{"$operation->[0] of $_"} = cost($operation, $_) foreach ('small', 'large');
	}
	return %costs;
}

gov_grow_ledger($node, 'postgres', 'large', 200);
my %before = measure();
gov_grow_ledger($node, 'postgres', 'large', 40000);
my %after = measure();

foreach my $operation (@operations)
{
	foreach my $owner ('small', 'large')
	{
		my $name = "$operation->[0] of $owner";

		note "$name: $before{$name} blocks beside 200 events, $after{$name} beside 40,200";
		cmp_ok($after{$name}, '<=', $operation->[1], "$name: at most $operation->[1] blocks");
	}
}
is($node->safe_psql('postgres', 'select count(*) from gov_verify()'), '0', 'gov_verify finds nothing');

$session->quit;
$node->stop;
done_testing();

# Reports over tables that ANALYZE has never seen, and over the same with statistics: no plan compares each row of something with each
# of something else. How many rows each node of each plan handles is what auto_explain says, plans within functions included.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use JSON::PP ();
use PostgreSQL::Test::Utils;
use Test::More;
use GovTest;

use constant USERS => 1000;
# Of each thing there are two for a user, or three, and a look at each of their windows; to compare each with each takes a million.
use constant MOST_ROWS => 30 * USERS;

my $node = gov_node('no_statistics', conf => "autovacuum = off\ngovernance.rollup_interval = '1h'");
my ($status) = $node->psql('postgres', q{load 'auto_explain'});

plan skip_all => 'no auto_explain' if $status != 0;

$node->safe_psql('postgres', sprintf q{
	insert into gov_entity_types (id) values ('org'), ('team'), ('user');
	insert into gov_capabilities (id) values ('calls'), ('tokens');
	insert into gov_entities (owner_id, id, type_id) values ('acme', 'org', 'org');
	insert into gov_entities (owner_id, id, type_id, parent_id) select 'acme', 'team-' || n, 'team', 'org' from generate_series(0, 9) n;
	insert into gov_entities (owner_id, id, type_id, parent_id)
	select 'acme', 'user-' || n, 'user', 'team-' || n %% 10 from generate_series(1, %1$d) n;
	insert into gov_default_assignments (type_id, capability_id, usage_limit, cadence) values ('user', 'calls', 1000, 'P1M');
	insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit, cadence, alert_thresholds)
	select e.owner_id, e.id, 'tokens', 100 * %1$d, 'P1D', '{50}' from gov_entities e;
	select count(gov_ingest('acme', 'calls', 1, null, array['user-' || n])) from generate_series(1, %1$d) n;
	select count(gov_ingest('acme', 'tokens', 1, null, array['user-' || n])) from generate_series(1, %1$d) n;
	select count(gov_reserve('acme', 'tokens', 1, null, array['user-' || n])) from generate_series(1, %1$d) n}, USERS);
$node->poll_query_until('postgres', 'select events_left from gov_maintain()', '0') or die 'the ledger is not rolled up';
$node->safe_psql('postgres', sprintf q{
	select count(gov_ingest('acme', 'calls', 1, null, array['user-' || n])) from generate_series(1, %1$d) n}, USERS);

my @reports = (
	q{select count(*) from gov_verify()},
	q{select count(*) from gov_verify('acme')},
	q{select count(*) from gov_used_assignments},
	q{select count(*) from gov_budgets},
	q{select count(*) from gov_budgets where owner_id = 'acme'},
	q{select count(*) from gov_allocations},
	q{select count(*) from gov_exceptions},
	q{select count(*) from gov_holds},
	q{select count(*) from gov_alert_log},
	q{select count(*) from gov_tree('acme')},
	q{select count(*) from gov_tree('acme', '{calls}')},
	q{select count(*) from gov_report('acme')},
	q{select count(*) from gov_attribution('acme', 'calls', '{org,team,user}', '-infinity', 'infinity')},
);

# The node of a plan that has handled the most rows, and how many.
sub busiest
{
	my ($plan) = @_;
	my @most = (0, $plan->{'Node Type'});

	foreach my $kind ('Actual Rows', 'Rows Removed by Filter', 'Rows Removed by Join Filter')
	{
		my $rows = ($plan->{$kind} // 0) * ($plan->{'Actual Loops'} // 0);

		@most = ($rows, join ' ', grep { defined } @$plan{ 'Node Type', 'Relation Name', 'CTE Name', 'Alias' }, $kind) if $rows > $most[0];
	}
	foreach my $part (@{ $plan->{Plans} // [] })
	{
		my @other = busiest($part);

		@most = @other if $other[0] > $most[0];
	}
	return @most;
}

# The plans that a statement has run.
sub plans_of
{
	my ($sql) = @_;
	my ($stderr, @plans) = ('');

	$node->psql('postgres', "load 'auto_explain';
		set auto_explain.log_analyze = on;
		set auto_explain.log_timing = off;
		set auto_explain.log_format = json;
		set auto_explain.log_level = notice;
		set auto_explain.log_nested_statements = on;
		set auto_explain.log_min_duration = 0;
		$sql;
		set auto_explain.log_min_duration = -1;", stderr => \$stderr, on_error_die => 1);
	while ($stderr =~ /plan:\n(\{.*?^\})$/msg)
	{
		push @plans, JSON::PP->new->decode($1)->{Plan};
	}
	return @plans;
}

foreach my $when ('without statistics', 'with statistics')
{
	foreach my $sql (@reports)
	{
		my @plans = plans_of($sql);
		my ($most) = sort { $b->[0] <=> $a->[0] } map { [ busiest($_) ] } @plans;

		cmp_ok(scalar @plans, '>=', 1, "$when: $sql has plans");
		cmp_ok($most->[0], '<=', MOST_ROWS, "$when: $sql") or diag($most->[1]);
	}
	$node->safe_psql('postgres', 'analyze');
}

$node->stop;
done_testing();

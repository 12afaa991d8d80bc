# What a call costs, in shared buffers: a figure that does not depend on the machine. For the tests that nothing grows which
# should not, however much has been recorded.

package GovGrowth;

use strict;
use warnings;

use Carp;
use Exporter 'import';

use GovTest;

our @EXPORT = qw(gov_blocks gov_grow_owner gov_grow_ledger);

# Blocks that a statement takes from shared buffers or has read into them, what planning it takes included. Asked of an open
# session: the first statement of a session reads the system catalogs.
sub gov_blocks
{
	my ($session, $sql) = @_;
	my $plan = gov_ask($session, "explain (analyze, buffers, timing off, summary off, format json) $sql");
	my ($top, $planning) = split /"Planning"/, $plan;
	my ($hit) = $top =~ /"Shared Hit Blocks": (\d+)/;
	my ($read) = $top =~ /"Shared Read Blocks": (\d+)/;

	croak "no buffers in the plan of $sql: $plan" unless defined $hit && defined $read;
	foreach my $more (defined $planning ? $planning =~ /"Shared (?:Hit|Read) Blocks": (\d+)/g : ())
	{
		$hit += $more;
	}
	return $hit + $read;
}

# An owner with an organization, teams below it and agents below those, a monthly budget for "tokens" on each of them.
#   teams [1]   agents [10] of each team
sub gov_grow_owner
{
	my ($node, $db, $owner, %option) = @_;
	my $teams = $option{teams} // 1;
	my $agents = $option{agents} // 10;

	$node->safe_psql($db, qq{
		insert into gov_entity_types (id) values ('org'), ('team'), ('agent') on conflict do nothing;
		insert into gov_capabilities (id) values ('tokens') on conflict do nothing;
		insert into gov_entities (owner_id, id, type_id) values ('$owner', 'org', 'org');
		insert into gov_entities (owner_id, id, type_id, parent_id)
		select '$owner', 'team-' || n, 'team', 'org' from generate_series(1, $teams) n;
		insert into gov_entities (owner_id, id, type_id, parent_id)
		select '$owner', 'agent-' || t || '-' || n, 'agent', 'team-' || t from generate_series(1, $teams) t, generate_series(1, $agents) n;
		insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit, cadence)
		select '$owner', id, 'tokens', 1000000000, 'P1M' from gov_entities where owner_id = '$owner'});
	return;
}

# So many events of an owner, spread over the agents of its first team, all rolled up.
sub gov_grow_ledger
{
	my ($node, $db, $owner, $events) = @_;

	$node->safe_psql($db, qq{
		select count(gov_ingest('$owner', 'tokens', 1, null, array['agent-1-' || n % 10 + 1])) from generate_series(1, $events) n});
	gov_roll_up($node, $db);
	$node->safe_psql($db, 'vacuum analyze gov_events, gov_usage, gov_usage_hourly, gov_entities, gov_assignments, gov_rollup_state');
	return;
}

1;

# A laboratory: a database with owners that have much of one thing each, at a scale of 1 as much as an installation may come to
# have. Events, holds and alerts come to be through the engine; entities and budgets are written as its triggers would write
# them, which the test of the laboratory checks (gov_verify, and one written with them).

package GovLab;

use strict;
use warnings;

use Carp;
use Exporter 'import';
use POSIX ();

use GovTest;
use GovGrowth;

our @EXPORT = qw(gov_lab_sizes gov_lab_build gov_lab_tail gov_lab_roll_up);

my $HOLDERS = 100;	# agents below a team, where there are many

# How much each owner of the laboratory has, at a scale.
sub gov_lab_sizes
{
	my ($scale) = @_;
	my %one = (
		events => 2_000_000,
		owners => 20_000,	# each with 100 events
		crowd => 10_000,	# of them, those with 100 entities and budgets
		budgets => 200_000,
		holds => 300_000,	# open, and as many that have ended
		tail => 500_000,
		windows => 100_000,
		alerts => 100_000);
	my %sizes = map { $_ => POSIX::ceil($one{$_} * $scale) } keys %one;

	# what grows beside the small owner: events of others
	$sizes{small} = $sizes{beside} = 100 * $sizes{owners};
	return \%sizes;
}

# Entities and budgets, without the triggers.
sub write_catalog
{
	my ($node, $db, $sizes) = @_;
	my $teams = POSIX::ceil($sizes->{budgets} / $HOLDERS);

	$node->safe_psql($db, qq{
		insert into gov_entity_types (id, attribution_keys) values ('org', '{}'), ('team', '{team}'), ('agent', '{agent}');
		insert into gov_capabilities (id) values ('tokens');
		begin;
		alter table gov_entities disable trigger all;
		alter table gov_assignments disable trigger all;
		create temporary table owner (id text, teams int, agents int);
		insert into owner values ('small', 2, $HOLDERS), ('events', 1, 10), ('budgets', $teams, $HOLDERS), ('holds', 2, $HOLDERS),
			('windows', 1, 2), ('alerts', 1, 2), ('tail', 1, 10), ('idle', 1, 1), ('changed', 10, $HOLDERS), ('doomed', 1, 2);
		insert into owner select 'crowd-' || n, 1, case when n <= $sizes->{crowd} then 98 else 1 end from generate_series(1, $sizes->{owners}) n;
		insert into gov_entities (owner_id, id, type_id, parent_id)
		select id, 'org', 'org', null from owner
		union all
		select id, 'team-' || t, 'team', 'org' from owner, generate_series(1, teams) t
		union all
		select id, 'agent-' || t || '-' || a, 'agent', 'team-' || t from owner, generate_series(1, teams) t, generate_series(1, agents) a;
		insert into gov_assignments (id, owner_id, entity_id, capability_id, scope_entity_ids, usage_limit, cadence, counter_id)
		select gen_random_uuid(), owner_id, id, 'tokens', scope, 1000000000000, cadence, nextval('gov_counter_seq')
		from (
			select owner_id, id, '{}'::text[] as scope, 'P1M' as cadence from gov_entities
			union all
			select id, 'org', '{agent-1-1}', 'P1D' from owner where id ~ '^crowd') budget
		order by owner_id, id;
		update gov_assignments set cadence = 'PT1S' where owner_id in ('windows', 'alerts') and entity_id like 'agent-%';
		update gov_assignments set usage_limit = 2, alert_thresholds = '{50}' where owner_id = 'alerts' and entity_id like 'agent-%';
		delete from gov_assignments where owner_id = 'holds' and entity_id = 'org';
		alter table gov_entities enable trigger all;
		alter table gov_assignments enable trigger all;
		commit;
		select gov_refresh();
		vacuum analyze gov_entities, gov_assignments});
	return;
}

# What has been used in the last 60 days, in the order of time.
sub record
{
	my ($node, $db, $sizes) = @_;
	my $others = 100 * $sizes->{owners};
	my $at = sub { my ($n, $count) = @_; return "now() - interval '60 days' * (1 - $n / $count.0)" };

	$node->safe_psql($db, qq{select count(gov_allowed('crowd-' || n, 'tokens', 1, null, '{agent-1-1}')) from generate_series(1, $sizes->{owners}) n});
	$node->safe_psql($db, qq{
		select count(gov_ingest('crowd-' || n % $sizes->{owners} + 1, 'tokens', 1, jsonb_build_object('feature', 'f' || n % 20), '{agent-1-1}', null,
			@{[ $at->('n', $others) ]})) from generate_series(1, $others) n;
		select count(gov_ingest('events', 'tokens', 1, jsonb_build_object('feature', 'f' || n % 20), array['agent-1-' || n % 10 + 1], null,
			@{[ $at->('n', $sizes->{events}) ]})) from generate_series(1, $sizes->{events}) n;
		select count(gov_ingest('small', 'tokens', 1, jsonb_build_object('feature', 'f' || n % 20), array['agent-1-' || n % 10 + 1], null,
			@{[ $at->('n', 100) ]})) from generate_series(1, 100) n;
		select count(gov_ingest('doomed', 'tokens', 1, null, '{agent-1-1}')) from generate_series(1, 4) n});
	foreach my $owner (qw(windows alerts))
	{
		$node->safe_psql($db, qq{
			select count(gov_ingest('$owner', 'tokens', 1, null, '{agent-1-1}', null, now() - interval '1 second' * ($sizes->{$owner} - n)))
			from generate_series(1, $sizes->{$owner}) n});
	}
	return;
}

sub hold
{
	my ($node, $db, $sizes) = @_;
	my $reserve = qq{select count(gov_reserve('holds', 'tokens', 1, null, array['agent-1-' || n % $HOLDERS + 1], null, '30 days')) from generate_series(1, $sizes->{holds}) n};

	$node->safe_psql($db, $reserve);
	$node->safe_psql($db, q{select count(gov_release(id)) from gov_reservations where owner_id = 'holds'});
	$node->safe_psql($db, 'vacuum analyze gov_reservations');
	$node->safe_psql($db, $reserve);
	return;
}

# Rounds until nothing is left: one takes what the one before it has fenced.
sub gov_lab_roll_up
{
	my ($node, $db) = @_;

	foreach (1 .. 1000)
	{
		return if $node->safe_psql($db, 'select events_left from gov_maintain()') eq '0';
	}
	croak "the tail does not get rolled up";
}

# Build one in a database of its own; all of it is rolled up and vacuumed.
sub gov_lab_build
{
	my ($node, $db, $sizes) = @_;

	$node->safe_psql('postgres', "create database $db");
	$node->safe_psql($db, 'create extension governance');
	write_catalog($node, $db, $sizes);
	record($node, $db, $sizes);
	hold($node, $db, $sizes);
	gov_lab_roll_up($node, $db);
	$node->safe_psql($db, 'vacuum analyze');
	return;
}

# From here on a transaction is idle that has recorded a use, in the session that is returned: what is recorded since, the owner of a
# tail has most of it, is not rolled up.
sub gov_lab_tail
{
	my ($node, $db, $sizes) = @_;
	my $idle = $node->background_psql($db, on_error_stop => 0);

	gov_ask($idle, q{begin; select gov_ingest('idle', 'tokens', 1, null, '{agent-1-1}')});
	$node->safe_psql($db, qq{
		select count(gov_ingest('tail', 'tokens', 1, jsonb_build_object('feature', 'f' || n % 20), array['agent-1-' || n % 10 + 1])) from generate_series(1, $sizes->{tail}) n});
	$node->safe_psql($db, 'vacuum analyze gov_events');
	return $idle;
}

1;

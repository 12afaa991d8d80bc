# What the random histories of GovHistory.pm are made of: calls, and changes of the catalog. Everything random comes from rand(),
# so that a seed replays.

package GovRandom;

use strict;
use warnings;

use Exporter 'import';

our @EXPORT = qw(
  one_of chance weighted literal new_name
  random_entity random_amount random_call random_ttl random_change random_catalog may_create
  rename_entity entity_again random_concurrent_call is_concurrent
);

# The cadences are long, or so short that a move of the clock, or an event of some time ago, is of another window.
my @cadences = ('PT1M', 'PT5M', 'PT7M', 'PT1H', 'P1D', 'P1W', 'P1M', 'P3M', 'P100Y', undef, undef);
my @anchors = (undef, undef, undef, '2020-01-31 10:00Z', '2019-03-10 02:30:00.5Z');
my @timezones = ('UTC', 'UTC', 'America/New_York', 'Asia/Kolkata');
my @capabilities = ('tokens', 'tokens', 'tokens', 'calls');
# Of what may be held and not used; its budgets have no cadence.
my $concurrent = 'streams';
my %keys_of = (org => 'orgId', team => 'teamId', user => 'userId', model => 'model');

my ($owner, @entities, $next_name, $has_rules);

sub one_of { return $_[ int(rand(@_)) ]; }
sub chance { return rand() < $_[0]; }

# One of several things, each with a weight.
sub weighted
{
	my $sum = 0;
	$sum += $_->[0] foreach @_;
	my $at = rand($sum);

	foreach my $choice (@_)
	{
		return $choice->[1] if $at < $choice->[0];
		$at -= $choice->[0];
	}
	return $_[-1][1];
}

sub literal
{
	my ($value) = @_;
	return 'null' unless defined $value;
	$value =~ s/'/''/g;
	return "'$value'";
}

sub new_name { return $_[0] . $next_name++; }

# ---------------------------------------------------------------- arguments

sub random_entity { return one_of(@entities)->{id}; }

# Capability, dimensions and entities, as literals.
sub random_target
{
	my @ids = map { random_entity() } 1 .. one_of(0, 1, 1, 1, 1, 2, 3);
	my %dims;

	push @ids, 'nobody' if chance(0.05);
	foreach (1 .. one_of(0, 0, 1, 1, 2))
	{
		my $entity = one_of(@entities);
		my $type = $entity->{type};

		# where types create, what one call would create as one may be created as another by the next
		$type = one_of(sort keys %keys_of) if $has_rules && chance(0.1);
		$dims{ chance(0.1) ? 'other' : $keys_of{$type} } = $entity->{id};
	}
	$dims{requestId} = 'r' . int(rand(1000)) if chance(0.1);
	if ($has_rules && chance(0.5))
	{
		# as gateways name them: the user, mostly with the team
		my $user = one_of(grep { $_->{type} eq 'user' } @entities);
		my $team = one_of(grep { $_->{type} eq 'team' } @entities);
		$dims{userId} = $user->{id};
		$dims{teamId} = $team->{id} if chance(0.7);
	}
	return (
		literal(one_of(@capabilities)),
		literal(%dims || chance(0.3) ? '{' . join(', ', map { qq("$_": "$dims{$_}") } sort keys %dims) . '}' : undef),
		literal(@ids || chance(0.9) ? '{' . join(',', @ids) . '}' : undef));
}

sub random_amount
{
	return one_of(0, 1, 1, 2, 5, 7.25, '0.000000001', int(rand(40)), sprintf('%.9f', rand(10)), '12.3456789015');
}

# A call as its arguments are written: capability, amount, dimensions, entities.
sub random_call
{
	my ($capability, $dims, $ids) = random_target();
	return ($capability, random_amount(), $dims, $ids);
}

# The same of what is under way rather than used up.
sub random_concurrent_call
{
	my (undef, @rest) = random_call();
	return (literal($concurrent), @rest);
}

sub is_concurrent { return $_[0] eq literal($concurrent); }

sub random_limit { return one_of(undef, 0, 5, 20, 20, 50, 100, 100, '33.333333333', 1000); }

sub random_thresholds { return one_of(undef, undef, '{}', '{100}', '{1,10,50}', '{33.333333333,80,100,120}', '{1000}'); }

# May a call with these dimensions create entities?
sub may_create { return $has_rules && $_[0] ne 'null'; }

# In minutes.
sub random_ttl { return one_of(1, 2, 5, 5, 5, 10, 60, 1440); }

# ---------------------------------------------------------------- catalog

sub random_capability { return literal(chance(0.15) ? $concurrent : one_of(@capabilities)); }

# For a budget of a capability.
sub random_cadence { return is_concurrent($_[0]) && chance(0.9) ? undef : one_of(@cadences); }

sub random_budget
{
	my @scope = chance(0.25) ? (map { random_entity() } 1 .. one_of(1, 1, 2)) : ();
	return (literal(random_entity()), random_capability(), "'{" . join(',', @scope) . "}'", literal(one_of('', '', '', 'extra', 'more')));
}

# Changes, as SQL; the arguments pick a budget and an entity.
my @changes = (
	[ 3, sub { "update gov_assignments set usage_limit = " . literal(random_limit()) . " where $_[0]" } ],
	[ 2, sub { "update gov_assignments set call_limit = " . literal(random_limit()) . " where $_[0]" } ],
	[ 1, sub { "update gov_assignments set enforcement = " . literal(one_of('hard', 'soft')) . " where $_[0]" } ],
	[ 3, sub { "update gov_assignments set cadence = " . literal(one_of(@cadences)) . " where $_[0]" } ],
	[ 1, sub { "update gov_assignments set anchor_at = " . literal(one_of(@anchors)) . ", timezone = " . literal(one_of(@timezones)) . " where $_[0]" } ],
	[ 2, sub { "update gov_assignments set alert_thresholds = " . literal(random_thresholds()) . " where $_[0]" } ],
	[ 1, sub { 'select gov_set_alert_policy(' . literal($owner) . ', ' . literal(random_thresholds()) . ')' } ],
	[ 1, sub { "delete from gov_assignments where $_[0]" } ],
	[ 1, \&make_budget_again ],
	[ 4, \&insert_budget ],
	[ 2, sub { insert_pool(random_entity()) } ],
	[ 5, \&grant ],
	[ 1, sub { 'update gov_assignments set debt_limit = ' . one_of(0, 5, 20) . ' where is_pool and owner_id = ' . literal($owner) } ],
	[ 3, \&insert_default ],
	[ 1, sub { 'update gov_default_assignments set usage_limit = ' . literal(random_limit()) . ', enforcement = ' . literal(one_of('hard', 'soft')) . ' where ' . some_default() } ],
	[ 1, sub { 'update gov_default_assignments set cadence = ' . literal(one_of(@cadences)) . ' where ' . some_default() } ],
	[ 1, sub { 'update gov_default_assignments set alert_thresholds = ' . literal(random_thresholds()) . ', call_limit = ' . literal(random_limit()) . ' where ' . some_default() } ],
	[ 1, sub { 'delete from gov_default_assignments where ' . some_default() } ],
	[ 2, \&upsert_budget ],
	[ 1, sub { "update gov_entities set archived_at = case when archived_at is null then now() end where $_[1]" } ],
	[ 1, \&block_or_not ],
	[ 3, \&boost ], [ 1, sub { "update gov_boosts set valid_until = greatest(gov_now(), valid_from + interval '1 microsecond') where owner_id = " . literal($owner) . ' and valid_until is null' } ],
	[ 1, sub { 'delete from gov_boosts where owner_id = ' . literal($owner) . ' and amount ' . one_of('< 0', '> 0') } ],
	[ 1, sub { "update gov_entities set parent_id = " . literal(chance(0.2) ? undef : random_entity()) . " where $_[1]" } ],
	[ 1, sub { 'select gov_move_entity(' . literal($owner) . ', ' . literal(random_entity()) . ', ' . literal(chance(0.2) ? undef : random_entity()) . ')' } ],
	[ 1, \&insert_entity ],
	[ 1, sub { "delete from gov_entities where $_[1]" } ],
	[ 1, sub { "update gov_entity_types set attribution_keys = " . literal(one_of('{userId}', '{userId}', '{other,userId}')) . " where id = 'user'" } ],
	[ 1, \&change_rule ]);

# What unknown ids do, and below what they are created.
sub change_rule
{
	return 'select' unless $has_rules;
	return 'update gov_entity_types set on_unknown = ' . literal(one_of('ignore', 'create', 'create', 'deny')) . ', parent_key = '
	  . literal(one_of(undef, 'teamId', 'userId', 'orgId', 'other')) . ' where id = ' . literal(one_of('user', 'user', 'team', 'model'));
}

# For minutes, now or soon, more or less.
sub boost
{
	my $from = one_of('gov_now()', 'gov_now()', "gov_now() + interval '" . one_of(1, 5) . " minutes'");

	return 'insert into gov_boosts (owner_id, entity_id, capability_id, scope_entity_ids, name, amount, valid_from, valid_until)'
	  . ' select owner_id, entity_id, capability_id, scope_entity_ids, name, ' . one_of(1, 5, 20, -1, -5, -20, '0.000000001') . ", $from, "
	  . one_of('null', map { "$from + interval '$_ minutes'" } 1, 2, 10) . " from gov_assignments where usage_limit is not null and $_[0]";
}

sub block_or_not
{
	return 'update gov_entities set (blocked_at, blocked_until) = (select b.at, case when b.at is not null then ' . one_of('null::timestamptz', "b.at + interval '" . one_of(1, 2, 10) . " minutes'")
	  . " end from (select case when blocked_at is null then gov_now() end as at) b) where $_[1]";
}

# Under its id: what is held against it still is.
sub make_budget_again
{
	return "do \$\$ declare budget gov_assignments; begin delete from gov_assignments where $_[0] returning * into budget;"
	  . ' insert into gov_assignments (id, owner_id, entity_id, capability_id, scope_entity_ids, name, usage_limit, cadence)'
	  . ' select budget.id, budget.owner_id, budget.entity_id, budget.capability_id, budget.scope_entity_ids, budget.name, budget.usage_limit, budget.cadence where budget.id is not null; end $$';
}

sub insert_budget
{
	my @budget = random_budget();

	return
		'insert into gov_assignments (owner_id, entity_id, capability_id, scope_entity_ids, name, usage_limit, cadence, anchor_at, timezone, enforcement) values ('
	  . join(', ', literal($owner), @budget, map { literal($_) } random_limit(), random_cadence($budget[1]), one_of(@anchors), one_of(@timezones), one_of('hard', 'hard', 'hard', 'soft'))
	  . ') on conflict (owner_id, entity_id, capability_id, scope_entity_ids, name) do update set usage_limit = excluded.usage_limit, cadence = excluded.cadence';
}

# Its name is that of no other budget.
sub insert_pool
{
	my ($entity) = @_;

	return 'insert into gov_assignments (owner_id, entity_id, capability_id, name, is_pool, debt_limit) values ('
	  . join(', ', (map { literal($_) } $owner, $entity, one_of(@capabilities), 'pool'), 'true', one_of(0, 0, 5, 20)) . ') on conflict do nothing';
}

# For ever, now or soon, to all pools. Not in a transaction that goes on: what it draws from a grant that nobody sees takes nothing from
# others, and is nobody's business.
sub grant
{
	return 'insert into gov_grants (owner_id, assignment_id, amount, priority, effective_at) select owner_id, id, ' . one_of(10, 50, 50, 200, '0.5') . ', ' . one_of(1, 100, 100)
	  . ', ' . one_of('gov_now()', 'gov_now()', "gov_now() + interval '" . one_of(1, 5) . " minutes'") . ' from gov_assignments where is_pool and now() = statement_timestamp() and owner_id = ' . literal($owner);
}

# One of the owner's, or of everybody's; not for those that the crowd has.
sub some_default
{
	return '(id = (select d.id from gov_default_assignments as d order by d.owner_id, d.type_id, d.capability_id, d.scope_type_ids, d.name offset ' . int(rand(4)) . ' limit 1))';
}

sub insert_default
{
	my $capability = random_capability();
	my ($type, $scope) = @{ one_of([ 'user', '{}' ], [ 'user', '{}' ], [ 'team', '{}' ], [ 'model', '{}' ], [ 'user', '{model}' ], [ 'team', '{user}' ]) };

	return
		'insert into gov_default_assignments (owner_id, type_id, capability_id, scope_type_ids, name, usage_limit, cadence, anchor_at, timezone, enforcement) values ('
	  . join(', ', (map { literal($_) } one_of(undef, $owner), $type), $capability, map { literal($_) } $scope, one_of('', '', '', 'extra'), random_limit(), random_cadence($capability), one_of(@anchors), one_of(@timezones), one_of('hard', 'hard', 'hard', 'soft'))
	  . ') on conflict (owner_id, type_id, capability_id, scope_type_ids, name) do update set usage_limit = excluded.usage_limit, cadence = excluded.cadence';
}

sub upsert_budget
{
	my ($entity, $capability, $scope, $name) = random_budget();
	return
		'select gov_upsert_assignments(' . literal($owner) . ", jsonb_build_array(jsonb_build_object('entityId', $entity, 'capabilityId', $capability, 'scopeEntityIds', ${scope}::text[], "
	  . "'name', $name, 'usageLimit', " . literal(random_limit()) . "::numeric, 'cadence', " . literal(random_cadence($capability)) . ')))';
}

sub insert_entity
{
	my $id = new_name('e');
	my $type = one_of(sort keys %keys_of);
	my $parent = literal(chance(0.3) ? undef : random_entity());

	push @entities, { id => $id, type => $type };
	return 'insert into gov_entities (owner_id, id, type_id, parent_id) values (' . literal($owner) . ", '$id', '$type', $parent)";
}

# Somebody was forgotten; the former id stays a name that calls may have, and changes too.
sub rename_entity
{
	my ($old, $new) = @_;
	my ($entity) = grep { $_->{id} eq $old } @entities;

	push @entities, { id => $new, type => $entity->{type} } if defined $entity;
	return;
}

# Somebody else with an id that is free, as SQL.
sub entity_again
{
	my ($id) = @_;
	my ($entity) = grep { $_->{id} eq $id } @entities;

	return 'insert into gov_entities (owner_id, id, type_id) values (' . join(', ', map { literal($_) } $owner, $id, $entity->{type}) . ') on conflict do nothing';
}

# A change, as SQL, often of a budget that something is held against.
sub random_change
{
	my ($entity) = @_;
	my $name = literal($owner);
	my ($held, $place) = chance(0.4) ? ('exists', int(rand(4))) : ('true or exists', int(rand(10)));
	my $budget = "id = (select a.id from gov_assignments as a where a.owner_id = $name"
	  . " and ($held (select from gov_reservations as r where r.owner_id = $name and r.state = 'open' and r.assignment_ids @> array[a.id]))"
	  . " order by a.entity_id, a.capability_id, a.scope_entity_ids, a.name offset $place limit 1)";

	return weighted(@changes)->($budget, "owner_id = $name and id = '$entity'");
}

# A catalog to begin with, as SQL: a chain of three, two users more, a model; two budgets.
sub random_catalog
{
	($owner) = @_;
	my %parent_of = (eng => 'acme', ops => 'acme', ann => 'eng', ben => 'eng', cyd => 'ops');
	my $name = literal($owner);

	@entities = map { { id => $_->[0], type => $_->[1] } } [ 'acme', 'org' ], [ 'eng', 'team' ], [ 'ops', 'team' ], [ 'ann', 'user' ], [ 'ben', 'user' ], [ 'cyd', 'user' ], [ 'gpt', 'model' ];
	$next_name = 1;

	# in some histories there are budgets by defaults from the beginning
	# a beginning is not refused: what is under way has no cadence
	my @defaults = grep { !/'$concurrent'.*, 'P/ } chance(0.5) ? map { insert_default() } 1 .. one_of(1, 2, 3) : ();

	# in some histories types say what unknown ids do, and there are names that are no entities yet
	$has_rules = chance(0.4);
	my @types = (map { "insert into gov_entity_types (id, attribution_keys) values ('$_', '{$keys_of{$_}}') on conflict (id) do update set attribution_keys = excluded.attribution_keys, on_unknown = 'ignore', parent_key = null" } sort keys %keys_of);
	push @types, "update gov_entity_types set on_unknown = 'create', parent_key = 'teamId' where id = 'user'" if $has_rules;
	push @types, 'update gov_entity_types set on_unknown = ' . literal(one_of('create', 'deny', 'ignore')) . ", parent_key = 'orgId' where id = '$_'" foreach $has_rules ? ('team', 'model') : ();
	my @there = @entities;
	push @entities, (map { { id => "new$_", type => 'user' } } 1 .. 4), (map { { id => "crew$_", type => 'team' } } 1 .. 2), { id => 'llama', type => 'model' } if $has_rules;
	return (
		@types,
		'insert into gov_entities (owner_id, id, type_id, parent_id) values ' . join(', ', map { "($name, '$_->{id}', '$_->{type}', " . literal($parent_of{ $_->{id} }) . ')' } @there),
		"insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit, cadence) values ($name, 'acme', 'tokens', "
		  . literal(one_of(50, 100, 200)) . ', ' . literal(one_of(@cadences)) . "), ($name, 'eng', 'tokens', " . literal(one_of(20, 50, 100)) . ', ' . literal(one_of(@cadences)) . ')',
		"insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit) values ($name, " . literal(one_of('acme', 'eng', 'ann')) . ", 'streams', " . literal(one_of(1, 2, 5, 20)) . ')',
		@defaults,
		chance(0.4) ? (insert_pool(one_of('acme', 'eng')), grant()) : ());
}

1;

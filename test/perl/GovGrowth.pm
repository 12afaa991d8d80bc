# What a call costs, in shared buffers: a figure that does not depend on the machine. The list of operations, with what each may
# grow with, and how they are measured; bench/growth prints them, test/t/090_growth.pl judges them, in the laboratories that
# GovLab.pm builds.

package GovGrowth;

use strict;
use warnings;

use Carp;
use Exporter 'import';
use JSON::PP ();

use GovTest;

our @EXPORT = qw(
  gov_cost gov_blocks gov_grow_owner gov_grow_ledger
  gov_operations gov_measure gov_most_blocks
);

# ---------------------------------------------------------------- one statement

# What EXPLAIN counts of a statement that writes is not what its triggers for afterwards take: it is run by a function, then.
sub writes { return $_[0] =~ /^\s*(?:insert|update|delete)\b/i; }

sub make_runner
{
	my ($session) = @_;

	return if gov_ask($session, q{select to_regprocedure('pg_temp.run(text)')}) ne '';
	gov_ask($session, q{create function pg_temp.run(statement text) returns void language plpgsql as 'begin execute statement; end'});
	return;
}

sub explain_statement
{
	my ($sql) = @_;

	$sql = "select pg_temp.run(\$run\$$sql\$run\$)" if writes($sql);
	return "explain (analyze, buffers, wal, timing off, format json) $sql";
}

# What a statement takes, planning included: blocks (from shared buffers or read into them), rows, ms, wal (bytes). Asked of an
# open session: the first statement of a session reads the system catalogs.
#   before, after  statements around it, not measured
sub gov_cost
{
	my ($session, $sql, %option) = @_;

	make_runner($session) if writes($sql);
	my $answer = gov_ask($session, join ";\n", grep { defined } $option{before}, explain_statement($sql), $option{after});
	my ($json) = $answer =~ /(\[\s*\{.*\}\s*\])/s;
	my $plan = defined $json && $answer !~ /ERROR:/ ? JSON::PP->new->decode($json)->[0] : undef;

	croak "no plan of $sql: $answer" unless defined $plan;
	my %cost = (blocks => 0, rows => $plan->{Plan}{'Actual Rows'}, ms => $plan->{'Execution Time'}, wal => $plan->{Plan}{'WAL Bytes'});
	foreach my $part ($plan->{Plan}, $plan->{Planning})
	{
		$cost{blocks} += $part->{"Shared $_ Blocks"} // 0 foreach qw(Hit Read);
	}
	return \%cost;
}

sub gov_blocks
{
	my ($session, $sql) = @_;

	return gov_cost($session, $sql)->{blocks};
}

# ---------------------------------------------------------------- owners

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
	$node->safe_psql($db, 'vacuum analyze gov_events, gov_usage, gov_usage_by_time, gov_entities, gov_assignments, gov_rollup_state');
	return;
}

# ---------------------------------------------------------------- the operations

# Owners of the laboratory (GovLab.pm), each with much of one thing. The small one has 100 events, whatever the others have.
my @EVERY = qw(small events budgets holds windows alerts);
# The same and the owner of a tail, while an idle transaction keeps that from being rolled up.
my @TAIL = qw(beside tail);

my $CHAIN = q{'OWNER', 'tokens', 1, null, '{AGENT}'};
my $DAY = q{now() - interval '10 days', now() - interval '9 days'};

# Each operation:
#   name
#   on       the owners that it is tried on: OWNER in the statements, and AGENT one of its agents
#   sql      the statement that is measured
#   before   statements before it, in the same transaction, which is rolled back
#   ready    statements before that, which are committed, as then is all
#   cold     with nothing in shared memory
#   standby  on a standby too, where nothing ever is
#   count    how many things it works on, N in the statements, of those that the owner has many of (1 for all)
#   may      blocks that it may take more for each of these, by owner; 0 if not named: however many there are, it costs the same
#   most     the most blocks that it may take, beside those
#   slack    by how many blocks it may grow for other reasons, such as an index of block ranges [12: a level of each index]
my @OPERATIONS = (
	# The gate.
	{   name => 'a warm check',
		on => [ @EVERY, @TAIL ],
		sql => "select gov_allowed($CHAIN)",
		most => 0 },
	{   name => 'a cold check',
		on => [ @EVERY, @TAIL ],
		sql => "select gov_allowed($CHAIN)",
		cold => 1,
		standby => 1,
		most => 50,
		may => { tail => 0.1 } },
	{   name => 'a cold check of another node, the first one being warm',
		on => [ @EVERY, @TAIL ],
		sql => q{select gov_allowed('OWNER', 'tokens', 1, null, '{OTHER}')},
		before => "select gov_allowed($CHAIN)",
		cold => 1,
		most => 16 },
	{   name => 'a cold check of a node with all the holds',
		on => ['holds'],
		sql => q{select gov_allowed('OWNER', 'tokens', 1, null, '{agent-1-1}')},
		cold => 1,
		standby => 1,
		most => 50,
		may => { holds => 0.1 } },
	{   name => 'a check with its chains',
		on => [ 'small', 'events', 'beside' ],
		sql => "select gov_check($CHAIN)",
		standby => 1,
		most => 45 },
	{   name => 'a warm check after 1,001 changes of another owner',
		on => [ 'small', 'events' ],
		ready => q{update gov_assignments set usage_limit = usage_limit + 1 where owner_id = 'changed'},
		first => "select gov_allowed($CHAIN)",
		sql => "select gov_allowed($CHAIN)",
		most => 0 },
	{   name => 'cold checks of many leaves in one statement',
		on => ['budgets'],
		sql => q{select count(gov_allowed('OWNER', 'tokens', 1, null, array['agent-' || n / 100 + 1 || '-' || n % 100 + 1])) from generate_series(0, N - 1) n},
		cold => 1,
		count => 0.5,
		most => 100,
		may => { budgets => 14 } },

	# Using.
	{   name => 'a warm use',
		on => [ qw(small events budgets holds windows), @TAIL ],
		sql => "select gov_consume($CHAIN)",
		most => 12 },
	{   name => 'a warm use that may raise an alert',
		on => ['alerts'],
		sql => "select gov_consume($CHAIN)",
		most => 40 },
	{   name => 'a warm record with a key',
		on => [ 'small', 'events', 'beside' ],
		sql => q{select gov_ingest('OWNER', 'tokens', 1, '{"feature": "chat"}', '{AGENT}', 'a key')},
		most => 30 },
	{   name => 'to reverse an event',
		on => [ qw(small events holds windows beside) ],
		before => q{create temporary table used on commit drop as select event_id from gov_ingest('OWNER', 'tokens', 5, null, '{AGENT}')},
		sql => 'select gov_reverse(event_id, 2, \'a refund\') from used',
		most => 80 },
	{   name => 'to reverse an old event, cold',
		on => [ 'small', 'events' ],
		sql => q{select gov_reverse((select min(id) from gov_events where owner_id = 'OWNER'))},
		cold => 1,
		most => 130 },
	{   name => 'a first use, which creates its entity',
		on => [ qw(small events budgets holds windows), @TAIL ],
		ready => q{insert into gov_entity_types (id, attribution_keys, on_unknown, parent_key) values ('guest', '{guest}', 'create', 'team') on conflict do nothing},
		first => q{select count(gov_consume('OWNER', 'tokens', 1, jsonb_build_object('guest', 'warm-' || clock_timestamp(), 'agent', 'AGENT', 'team', 'team-1')))},
		sql => q{select gov_consume('OWNER', 'tokens', 1, jsonb_build_object('guest', 'guest-' || clock_timestamp(), 'agent', 'AGENT', 'team', 'team-1'))},
		most => 90 },
	{   name => 'cold uses of many leaves in one statement',
		on => ['budgets'],
		sql => q{select count(gov_consume('OWNER', 'tokens', 1, null, array['agent-' || n / 100 + 1 || '-' || n % 100 + 1])) from generate_series(0, N - 1) n},
		cold => 1,
		count => 0.5,
		most => 100,
		may => { budgets => 22 } },
	{   name => 'a cold batch of 200',
		on => ['budgets'],
		sql => q{select count(*) from gov_ingest_many('OWNER', (select jsonb_agg(jsonb_build_object('capabilityId', 'tokens', 'entityIds',
			array['agent-' || n / 100 + 1 || '-' || n % 100 + 1])) from generate_series(0, 199) n))},
		cold => 1,
		most => 200 * 19,
		slack => 200 },
	{   name => 'a change of limits, then calls, in one transaction',
		on => ['budgets'],
		before => q{update gov_assignments set usage_limit = usage_limit + 1 where owner_id = 'OWNER' and entity_id ~ '^agent-[12]-'},
		sql => q{select count(gov_allowed('OWNER', 'tokens', 1, null, array['agent-' || n / 100 + 1 || '-' || n % 100 + 1])) from generate_series(0, 199) n},
		most => 200 * 15 },

	{   name => 'to forget an entity',
		on => [ 'small', 'events', 'windows' ],
		sql => q{select gov_forget_entity('OWNER', 'AGENT', 'gone')},
		most => 200 },

	# Holds.
	{   name => 'to hold and settle',
		on => [ 'small', 'events', 'holds', 'beside' ],
		sql => "select gov_settle(reservation_id) from gov_reserve($CHAIN, null, '1 minute')",
		most => 60 },
	{   name => 'to hold, extend and release',
		on => [ 'small', 'holds', 'beside' ],
		sql => "select gov_extend(reservation_id, '1 hour'), gov_release(reservation_id) from gov_reserve($CHAIN, null, '1 minute')",
		most => 80 },
	{   name => 'the open holds of one owner',
		on => [ 'small', 'holds' ],
		sql => q{select count(*) from gov_holds where owner_id = 'OWNER'},
		standby => 1,
		most => 40,
		may => { holds => 0.2 } },
	{   name => 'the expiry of 100 holds of 100 cold nodes',
		on => [ 'small', 'holds' ],
		ready => q{select count(gov_reserve('OWNER', 'tokens', 1, null, array['agent-2-' || n], null, '1 microsecond')) from generate_series(1, 100) n},
		sql => 'select gov_maintain()',
		cold => 1,
		most => 100 * 42 },

	# Work in the background.
	{   name => 'an idle round',
		on => ['small'],
		ready => 'select gov_maintain(); select gov_maintain()',
		sql => 'select gov_maintain()',
		most => 60 },
	{   name => 'a round behind an idle transaction',
		on => ['tail'],
		sql => 'select gov_maintain()',
		most => 100 },
	{   name => 'a round of many chains',
		on => ['budgets'],
		count => 0.5,
		first => q{select count(gov_allowed('OWNER', 'tokens', 1, null, array['agent-' || n / 100 + 1 || '-' || n % 100 + 1])) from generate_series(0, N - 1) n},
		ready => q{select count(gov_ingest('OWNER', 'tokens', 1, null, array['agent-' || n / 100 + 1 || '-' || n % 100 + 1])) from generate_series(0, N - 1) n},
		sql => 'select gov_maintain()',
		most => 300,
		may => { budgets => 23 } },

	# Reports.
	{   name => 'gov_stats',
		on => [ 'small', 'tail' ],
		sql => 'select * from gov_stats',
		standby => 1,
		most => 200 },
	{   name => 'gov_verify of one owner',
		on => [ 'small', 'events', 'beside', 'tail' ],
		sql => q{select * from gov_verify('OWNER')},
		standby => 1,
		most => 1200,
		may => { events => 1.2, tail => 1.2 } },
	{   name => 'gov_budgets of one owner',
		on => [ 'small', 'budgets', 'beside', 'tail' ],
		sql => q{select * from gov_budgets where owner_id = 'OWNER'},
		standby => 1,
		most => 1000,
		may => { budgets => 5, tail => 0.1 } },
	{   name => 'gov_budgets of one entity',
		on => [ 'small', 'budgets', 'events', 'holds', 'beside' ],
		sql => q{select * from gov_budgets where owner_id = 'OWNER' and entity_id = 'AGENT'},
		standby => 1,
		most => 150 },
	{   name => 'gov_tree of a team',
		on => [ 'small', 'budgets', 'beside' ],
		sql => q{select * from gov_tree('OWNER', '{tokens}', 'team-1')},
		standby => 1,
		most => 2700 },
	{   name => 'gov_report of an agent',
		on => [ 'small', 'budgets', 'beside' ],
		sql => q{select * from gov_report('OWNER', 'tokens', 'AGENT')},
		standby => 1,
		most => 150 },
	{   name => 'gov_query, the first page, in a session that has asked before',
		on => [ 'small', 'budgets', 'events', 'beside', 'tail' ],
		sql => q{select gov_query('OWNER', '{tokens}')},
		standby => 1,
		most => 1000,
		may => { budgets => 5, tail => 0.1 } },
	{   name => 'gov_query of a team, in a session that has not asked before',
		on => [ 'small', 'budgets', 'beside' ],
		sql => q{select gov_query('OWNER', '{tokens}', under_entity_id => 'team-1')},
		standby => 1,
		most => 2500 },
	{   name => 'gov_attribution of a day by feature',
		on => [ 'small', 'events', 'beside' ],
		sql => qq{select * from gov_attribution('OWNER', 'tokens', '{feature}', $DAY)},
		standby => 1,
		count => 1 / 60,
		most => 800,
		slack => 600,
		may => { events => 1 } },
	{   name => 'gov_attribution of a day by whole hours and agents',
		on => [ 'small', 'events', 'beside' ],
		sql => qq{select * from gov_attribution('OWNER', 'tokens', '{agent}', date_trunc('hour', now() - interval '10 days'), date_trunc('hour', now() - interval '9 days'), '1 hour')},
		standby => 1,
		count => 1 / 60,
		most => 800,
		slack => 600,
		may => { events => 1 } },
	{   name => 'the ledger of an hour',
		on => ['events'],
		ready => q{select brin_summarize_new_values('gov_events_occurred_at_idx')},
		sql => q{select count(*) from gov_events where occurred_at >= now() - interval '9 days 1 hour' and occurred_at < now() - interval '9 days'},
		standby => 1,
		most => 1000,
		slack => 800 },
	{   name => 'gov_backtest of a day',
		on => [ 'small', 'events' ],
		sql => qq{select * from gov_backtest('OWNER', '[{"entityId": "AGENT", "capabilityId": "tokens", "usageLimit": 100, "cadence": "P1D"}]', $DAY)},
		standby => 1,
		count => 1 / 60,
		most => 800,
		slack => 600,
		may => { events => 1 } },
	{   name => 'the last alerts of one owner',
		on => [ 'small', 'alerts' ],
		sql => q{select * from gov_alerts where owner_id = 'OWNER' order by id desc limit 20},
		standby => 1,
		most => 30 },

	# The catalog.
	{   name => 'gov_list_entities, the first page',
		on => [ 'small', 'budgets' ],
		sql => q{select gov_list_entities('OWNER')},
		standby => 1,
		most => 100 },
	{   name => 'gov_list_assignments, the first page',
		on => [ 'small', 'budgets' ],
		sql => q{select gov_list_assignments('OWNER')},
		standby => 1,
		most => 150 },
	{   name => 'gov_list_entities, the first page of a type',
		on => [ 'small', 'budgets' ],
		sql => q{select gov_list_entities('OWNER', type_id => 'agent')},
		standby => 1,
		most => 100 },
	{   name => 'gov_list_assignments, the first page of a capability',
		on => [ 'small', 'budgets' ],
		sql => q{select gov_list_assignments('OWNER', capability_id => 'tokens')},
		standby => 1,
		most => 150 },
	{   name => 'gov_get_entity',
		on => [ 'small', 'budgets' ],
		sql => q{select gov_get_entity('OWNER', 'AGENT')},
		standby => 1,
		most => 40 },
	{   name => 'gov_upsert_entities',
		on => [ 'small', 'budgets' ],
		sql => q{select gov_upsert_entities('OWNER', '[{"id": "new", "typeRefId": "agent", "parentId": "team-1"}]')},
		most => 200 },
	{   name => 'gov_upsert_assignments',
		on => [ 'small', 'budgets', 'events', 'holds' ],
		sql => q{select gov_upsert_assignments('OWNER', '[{"entityId": "AGENT", "capabilityId": "tokens", "usageLimit": 5, "cadence": "P1M"}]')},
		most => 200 },
	{   name => 'another cadence of a budget',
		on => [ 'small', 'events', 'holds', 'windows', 'beside', 'tail' ],
		sql => q{update gov_assignments set cadence = 'P1W' where owner_id = 'OWNER' and entity_id = 'AGENT'},
		most => 200 },
	{   name => 'gov_archive_entities',
		on => [ 'small', 'budgets' ],
		sql => q{select gov_archive_entities('OWNER', '{AGENT}')},
		most => 200 },
	{   name => 'gov_set_alert_policy',
		on => [ 'small', 'budgets', 'events' ],
		sql => q{select gov_set_alert_policy('OWNER', '{50}')},
		most => 100 },
	{   name => 'budgets for many entities in one statement',
		on => ['budgets'],
		sql => q{insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit, cadence, name)
			select owner_id, id, 'tokens', 1, 'P1M', 'another' from gov_entities where owner_id = 'OWNER' limit N},
		count => 0.5,
		most => 300,
		may => { budgets => 32 } },
	{   name => 'other limits for many budgets in one statement',
		on => ['budgets'],
		sql => q{update gov_assignments set usage_limit = usage_limit + 1 where id in (select id from gov_assignments where owner_id = 'OWNER' limit N)},
		count => 0.5,
		most => 300,
		may => { budgets => 27 } },
	{   name => 'children of a strict budget in one statement',
		on => ['budgets'],
		before => q{update gov_assignments set strict_allocation = true, usage_limit = 999999999999999999 where owner_id = 'OWNER' and entity_id = 'org';
			insert into gov_entities (owner_id, id, type_id, parent_id) select 'OWNER', 'strict-' || n, 'team', 'org' from generate_series(1, N) n},
		sql => q{insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit, cadence)
			select owner_id, id, 'tokens', 1, 'P1M' from gov_entities where owner_id = 'OWNER' and id like 'strict-%'},
		count => 0.5,
		most => 300,
		may => { budgets => 41 } },
	{   name => 'the deletion of an entity',
		on => [ 'small', 'budgets' ],
		before => q{delete from gov_assignments where owner_id = 'OWNER' and entity_id = 'AGENT'},
		sql => q{delete from gov_entities where owner_id = 'OWNER' and id = 'AGENT'},
		most => 100 },
	{   name => 'the deletion of an owner with 4 entities',
		on => [ 'small' ],
		sql => q{select gov_delete_owner('doomed')},
		most => 600 });

sub gov_operations { return @OPERATIONS; }

# ---------------------------------------------------------------- measuring

# How many things an operation works on, of an owner that has so many.
sub how_many
{
	my ($operation, $size) = @_;
	my $count = int($size * ($operation->{count} // 1));

	return $count > 0 ? $count : 1;
}

sub statement
{
	my ($text, $owner, $count) = @_;
	my $agent = $owner eq 'holds' ? 'agent-2' : 'agent-1';
	my $name = $owner eq 'beside' ? 'small' : $owner;

	$text =~ s/\bOWNER\b/$name/g;
	$text =~ s/\bAGENT\b/$agent-1/g;
	$text =~ s/\bOTHER\b/$agent-2/g;
	$text =~ s/\bN\b/$count/g;
	return $text;
}

# What takes longer is not tried twice.
my $MOST_MS_TWICE = 30000;

# Measure an operation on one owner of the laboratory: the cheaper one of two, the first of which makes the session's plans.
#   standby  1: a session of the standby
sub gov_measure
{
	my ($session, $operation, $owner, $size, %option) = @_;
	my $count = how_many($operation, $size);
	my %text = map { $_ => statement($operation->{$_}, $owner, $count) } grep { defined $operation->{$_} } qw(first ready before sql);
	my $is_undone = !defined $text{ready} && !$option{standby};
	my @before = grep { defined } (
		$text{first},
		$text{ready},
		$operation->{cold} && !$option{standby} ? 'select gov_drop_cache()' : undef,
		$is_undone ? 'begin' : undef,
		$text{before});
	my $best;

	@before = () if $option{standby};
	foreach my $n (1 .. 2)
	{
		my $cost = gov_cost($session, $text{sql}, before => join(";\n", @before) || undef, after => $is_undone ? 'rollback' : undef);

		$best = $cost if $n == 1 || $cost->{blocks} < $best->{blocks};
		last if $cost->{ms} > $MOST_MS_TWICE;
	}
	$best->{count} = $count;
	return $best;
}

# The most that it may take, having taken so much in a smaller laboratory. What is flat may grow by a level of each index: a quarter,
# in a laboratory ten times as large as the smallest one, for which the bounds are.
sub gov_most_blocks
{
	my ($operation, $owner, $cost, $before, $levels) = @_;
	my $taller = 1.25**($levels // 0);
	my $rate = $taller * ($operation->{may}{$owner} // 0);
	my $most = $taller * $operation->{most} + $rate * $cost->{count};

	if (defined $before)
	{
		my $grown = 1.25 * $before->{blocks} + ($operation->{slack} // 12) + $rate * ($cost->{count} - $before->{count});
		$most = $grown if $grown < $most;
	}
	return int($most);
}

1;

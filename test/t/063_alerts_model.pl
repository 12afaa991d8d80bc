# Alerts against a model: a serial history of uses, corrections, holds, savepoints, rollbacks, limits and thresholds that change, late
# events and a clock that moves. After each transaction the alerts that it must have raised are there, with what they say; no others
# are; at the end every alert was notified once, and what one transaction raised in one notification.
#
# A run follows from its seed alone: SEED=n prove ... runs that seed and no other.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use JSON::PP;
use PostgreSQL::Test::Utils;
use Test::More;
use GovRandom;
use GovSession;
use GovTest;

my @seeds = defined $ENV{SEED} ? ($ENV{SEED}) : (1 .. $ENV{ALERT_SEEDS} // 4);
my $node = gov_node('alerts', conf => "fsync = off\nautovacuum = off\ngovernance.cache_size = '4MB'");

# It is five past noon in the middle of next month.
my $offset = $node->safe_psql('postgres', q{select floor(extract(epoch from date_trunc('month', now()) + interval '1 month 14 days 12 hours 5 minutes' - now()))});

$node->append_conf('postgresql.conf', "governance.clock_offset = '${offset}s'");
$node->restart;

my ($session, $other, $listener);

sub ask { return $session->ask($_[0]); }

sub connect_all
{
	($session, $other, $listener) = map { GovSession->new($node, $_) } 'actor', 'other', 'listener';
	$listener->ask('listen governance_alerts');
	return;
}

connect_all();

sub move_clock
{
	my ($hours) = @_;
	my $before = ask('select extract(epoch from gov_now())');

	$offset += 3600 * $hours;
	$node->append_conf('postgresql.conf', "governance.clock_offset = '${offset}s'");
	$node->reload;
	foreach my $psql ($session, $other)
	{
		foreach (1 .. 1000)
		{
			last if $psql->ask("select extract(epoch from gov_now()) >= $before + 3600 * $hours") eq 't';
			select(undef, undef, undef, 0.01);
		}
	}
	return;
}

# ---------------------------------------------------------------- what is there

my (%alerts, %must, %must_be_rolled_up, %may, %usage, %events, $first_event);
my (@history, @payloads);

sub did
{
	my ($sql) = @_;
	push @history, $sql =~ s/\s+/ /gr;
	return ask($sql);
}

# The budgets as they are now: limit and thresholds that hold for each.
sub budgets
{
	my %budget;

	foreach (split /\n/, ask(q{
		select a.id, coalesce(a.usage_limit::text, 'none'), array_to_string(coalesce(a.alert_thresholds,
			(select p.thresholds from gov_alert_policies p where p.owner_id = a.owner_id),
			(select p.thresholds from gov_alert_policies p where p.owner_id is null)), ' ')
		from gov_assignments a where a.usage_limit is not null and a.owner_id <> 'crowd'}))
	{
		my ($id, $limit, $thresholds) = split /\|/;
		$budget{$id} = { limit => $limit, thresholds => [ split / /, $thresholds ] };
	}
	return \%budget;
}

# Is so much usage past a threshold? Amounts, limits and thresholds are multiples of a half, so this is exact.
sub is_past
{
	my ($usage, $limit, $threshold) = @_;
	return $limit == 0 ? $usage > 0 : $usage * 100 >= $limit * $threshold;
}

# The alerts that came since the last look.
sub new_alerts
{
	my @new;

	foreach (split /\n/, ask(q{select id, assignment_id, threshold::float8, extract(epoch from window_start), usage::float8, usage_limit::float8, event_id, xmin, owner_id = (select owner_id from gov_assignments a where a.id = assignment_id) from gov_alerts order by id}))
	{
		my ($id, $budget, $threshold, $window, $usage, $limit, $event, $xmin, $is_owner) = split /\|/, $_, -1;

		next if exists $alerts{$id};
		$alerts{$id} = { id => $id, key => "$budget|$window|$threshold", usage => $usage, limit => $limit, event => $event, xmin => $xmin };
		die "alert $id: of another owner than its budget\n" if $is_owner ne 't';
		push @new, $alerts{$id};
	}
	return @new;
}

# All that may be raised for the usage that there is, some of it perhaps by the rollup only.
sub note_what_may_be
{
	my $budgets = budgets();

	foreach my $id (keys %$budgets)
	{
		foreach my $window (keys %{ $usage{$id} // {} })
		{
			my $highest = $usage{$id}{$window};
			$may{"$id|$window|" . ($_ + 0)} = 1 foreach grep { is_past($highest, $budgets->{$id}{limit}, $_) } @{ $budgets->{$id}{thresholds} };
		}
	}
	return;
}

# What the events committed since the last look come to.
sub note_events
{
	my $budgets = budgets();
	my (%change, %late, %raised);

	foreach (split /\n/, ask(qq{
		select e.id, a.id, extract(epoch from coalesce(w.window_start, '-infinity')), e.amount::float8,
			e.occurred_at < (select window_start from gov_window(a.cadence, a.anchor_at, a.timezone, gov_now()))
		from gov_events e
		join gov_assignments a on a.owner_id = e.owner_id and a.capability_id = e.capability_id and a.entity_id = any (e.entity_ids) and a.scope_entity_ids <@ e.entity_ids
		join gov_entities n on n.owner_id = a.owner_id and n.id = a.entity_id and n.archived_at is null
		cross join lateral gov_window(a.cadence, a.anchor_at, a.timezone, e.occurred_at) w
		where e.id > $first_event order by e.id}))
	{
		my ($event, $budget, $window, $amount, $is_late) = split /\|/;
		next if $events{$event};
		push @{ $change{"$budget|$window"} }, [ $event, $amount ];
		$late{"$budget|$window"} = 1 if $is_late eq 't';
	}
	$events{$_} = 1 foreach split /\n/, ask("select id from gov_events where id > $first_event");
	foreach my $place (keys %change)
	{
		my ($id, $window) = split /\|/, $place;
		my $before = $usage{$id}{$window} // 0;
		my ($now, $peak) = ($before, $before);

		foreach (@{ $change{$place} })
		{
			$now += $_->[1];
			$peak = $now if $now > $peak;
			push @$_, $now;
		}
		$usage{$id}{$window} = $now;
		my $budget = $budgets->{$id} // next;
		foreach my $threshold (map { $_ + 0 } @{ $budget->{thresholds} })
		{
			my $key = "$place|$threshold";

			$may{$key} = 1 if is_past($peak, $budget->{limit}, $threshold);
			push @history, "-- $key: $before to $now of $budget->{limit}" . ($late{$place} ? ', late' : '') if is_past($peak, $budget->{limit}, $threshold);
			next unless is_past($now, $budget->{limit}, $threshold);
			if ($late{$place} || is_past($before, $budget->{limit}, $threshold)) { $must_be_rolled_up{$key} = 1 if $now > $before; }
			else
			{
				$raised{$key} = { before => $before, after => $now, limit => $budget->{limit}, threshold => $threshold, events => $change{$place} } unless $must{$key};
				$must{$key} = 1;
			}
		}
	}
	return \%raised;
}

# Compare after a transaction: what is wrong, or nothing.
sub compare
{
	my %had = map { $_->{key} => 1 } values %alerts;
	my $raised = note_events();
	my %new;

	note_what_may_be();
	foreach my $alert (new_alerts())
	{
		my $key = $alert->{key};

		return "not to be raised: $key" unless $may{$key};
		return "raised twice: $key" if $had{$key}++;
		$new{$key} = $alert;
	}
	foreach my $key (sort keys %$raised)
	{
		next if !defined $new{$key} && $had{$key};
		my ($alert, $crossing) = ($new{$key}, $raised->{$key});

		return "not raised by the transaction that crossed: $key, from $crossing->{before} to $crossing->{after} of $crossing->{limit}" unless defined $alert;
		my $before = $crossing->{before};
		my $is_the_event = 0;
		foreach (@{ $crossing->{events} })
		{
			my ($event, undef, $after) = @$_;
			$is_the_event ||= $alert->{event} eq $event && !is_past($before, $crossing->{limit}, $crossing->{threshold}) && is_past($after, $crossing->{limit}, $crossing->{threshold});
			$before = $after;
		}
		return "event $alert->{event} did not cross: $key" unless $is_the_event;
		return "limit $alert->{limit}, not $crossing->{limit}: $key" if $alert->{limit} != $crossing->{limit};
		return "usage $alert->{usage} after the crossing, not $crossing->{after}: $key"
		  unless grep { $alert->{usage} == $_ } $crossing->{after}, map { $_->[2] } grep { $_->[0] eq $alert->{event} } @{ $crossing->{events} };
	}
	return;
}

sub roll_up
{
	foreach (1 .. 2000)
	{
		ask('do $$ begin perform gov_maintain(); end $$');
		return if ask('select count(*) from gov_events where id > coalesce((select watermark from gov_rollup_state), 0)') == 0;
		select(undef, undef, undef, 0.01);
	}
	die "the rollup does not end\n";
}

# ---------------------------------------------------------------- notifications

# What the listener has been told up to now. Notifications come in the order of the commits: the one that is sent here is the last.
sub told
{
	my $end = 'end ' . scalar @payloads . ' ' . rand();
	my @told;

	ask("notify governance_alerts, '$end'");
	foreach (1 .. 1000)
	{
		push @told, $listener->ask('select 1') =~ /^Asynchronous notification "governance_alerts" with payload "(.*)" received from/mg;
		last if @told && $told[-1] eq $end;
		select(undef, undef, undef, 0.01);
	}
	die "the listener hears nothing\n" unless @told && pop @told eq $end;
	push @payloads, @told;
	return @told;
}

# Every alert once, and what came from one transaction together.
sub check_notifications
{
	my (@told) = @_;
	my (%seen, %by_transaction);

	foreach my $payload (@told)
	{
		my $document = eval { decode_json($payload) } // return "not JSON: $payload";
		return "another document: $payload" if ref $document ne 'HASH' || join(' ', keys %$document) ne 'alertIds' || ref $document->{alertIds} ne 'ARRAY' || !@{ $document->{alertIds} };
		my %transaction;
		foreach my $id (@{ $document->{alertIds} })
		{
			return "alert $id was notified twice" if $seen{$id}++;
			my $alert = $alerts{$id} // return "alert $id is not there";
			$transaction{ $alert->{xmin} } = 1;
		}
		return "of several transactions: $payload" if keys %transaction != 1;
		return "one transaction, several notifications: $payload" if $by_transaction{ (keys %transaction)[0] }++;
	}
	foreach my $id (sort { $a <=> $b } keys %alerts)
	{
		return "alert $id was not notified" unless $seen{$id};
	}
	return;
}

# ---------------------------------------------------------------- histories

my @owners = ('acme', 'globex');
my %parent_of = (eng => 'acme', ops => 'acme', ann => 'eng', ben => 'eng', cyd => 'ops');
my @entities = ('acme', sort keys %parent_of);

# A crash: what was committed and rolled up is all there is.
sub crash
{
	roll_up();
	my $wrong = compare();
	return $wrong if defined $wrong;
	told();
	$_->close foreach $session, $other, $listener;
	$node->stop('immediate');
	$node->start;
	connect_all();
	push @history, '-- a crash';
	return;
}

sub random_thresholds { return one_of('{}', '{50}', '{50,100}', '{80,100,120}', '{33.5,80,100}', '{1}', '{1,10,20,30,40,50,60,70,80,90}', '{200}'); }
sub random_limit { return one_of(0, 10, 10, 20, 50, 7.5, 100, 'null'); }

sub a_call
{
	my $entity = one_of(@entities);
	return "'" . one_of(@owners) . "', 'tokens', ${\ one_of(1, 1, 2, 3, 5, 8, 0.5, 0, 25)}, null, '{$entity" . (chance(0.3) ? ',gpt' : '') . "}'";
}

sub random_use
{
	my $what = rand();

	return 'select gov_consume(' . a_call() . ')' if $what < 0.25;
	return 'select gov_reserve(' . a_call() . ", ttl => '900 days')" if $what < 0.33;
	if ($what < 0.45)
	{
		my $hold = ask("select id from gov_reservations where state = 'open' order by amount, created_at, id limit 1");
		return one_of("select gov_settle('$hold', 6)", "select gov_settle('$hold')", "select gov_release('$hold')") if $hold ne '';
	}
	return "select gov_ingest_many('" . one_of(@owners) . q{', '[{"capabilityId": "tokens", "amount": 4, "entityIds": ["ann"]}, {"capabilityId": "tokens", "amount": -2, "entityIds": ["eng"]},
		{"capabilityId": "tokens", "amount": 7, "entityIds": ["cyd", "gpt"]}]')} if $what < 0.5;
	my $call = a_call();
	$call =~ s/'tokens', /'tokens', -/ if chance(0.25);
	$call .= ", occurred_at => gov_now() - interval '" . one_of('1 hour', '1 day', '30 minutes', '31 days') . "'" if chance(0.2);
	return "select gov_ingest($call)";
}

sub transaction
{
	return did(random_use()) if chance(0.6);
	did('begin');
	my $has_savepoint = 0;
	foreach (1 .. one_of(1, 2, 3, 4))
	{
		did(random_use());
		if (!$has_savepoint && chance(0.3)) { did('savepoint s'); $has_savepoint = 1; }
		elsif ($has_savepoint && chance(0.4)) { did(one_of('rollback to s', 'release s')); did('savepoint s') if $history[-1] eq 'release s'; }
	}
	return did(chance(0.7) ? 'commit' : 'rollback');
}

# Another session is in a transaction meanwhile: what it uses is committed when it commits.
sub interleave
{
	my @uses = map { chance(0.5) ? 'select gov_consume(' . a_call() . ')' : 'select gov_ingest(' . a_call() =~ s/'tokens', /chance(0.3) ? "'tokens', -" : "'tokens', "/er . ')' } 1 .. one_of(1, 1, 2);

	foreach my $sql ('begin', @uses)
	{
		push @history, "other: $sql";
		$other->ask($sql);
	}
	foreach (1 .. one_of(1, 2))
	{
		transaction();
		my $wrong = compare();
		return $wrong if defined $wrong;
	}
	push @history, 'other: ' . one_of('commit', 'commit', 'rollback');
	$other->ask($history[-1] =~ s/other: //r);
	return;
}

sub a_budget { return q{(select id from gov_assignments where owner_id <> 'crowd' order by owner_id, entity_id, scope_entity_ids, name offset } . int(rand(18)) . ' limit 1)'; }

sub change_catalog
{
	my $budget = a_budget();
	my $owner = one_of("'acme'", "'globex'", 'null');

	return did(one_of(
		"update gov_assignments set usage_limit = ${\ random_limit()} where id = $budget",
		"update gov_assignments set usage_limit = usage_limit * 2 where id = $budget",
		"update gov_assignments set usage_limit = 10 where id = $budget",
		"update gov_assignments set alert_thresholds = ${\ one_of('null', q{'} . random_thresholds() . q{'})} where id = $budget",
		"select gov_set_alert_policy($owner, '${\ random_thresholds()}')",
		"delete from gov_alert_policies where owner_id is not distinct from $owner",
		"update gov_entities set archived_at = case when archived_at is null then now() end where owner_id = 'acme' and id = '${\ one_of(@entities)}'"));
}

sub populate
{
	foreach my $owner (@owners)
	{
		did("insert into gov_entities (owner_id, id, type_id, parent_id) values ('$owner', 'gpt', 'thing', null), ('$owner', 'acme', 'thing', null)");
		did("insert into gov_entities (owner_id, id, type_id, parent_id) values ('$owner', '$_', 'thing', '$parent_of{$_}')") foreach sort { $parent_of{$a} cmp $parent_of{$b} } keys %parent_of;
		foreach my $entity (@entities, 'acme', 'eng', 'ann')
		{
			my $thresholds = chance(0.5) ? 'null' : q{'} . random_thresholds() . q{'};
			my $cadence = one_of("'PT1H'", "'P1D'", "'P1D'", "'P1M'", 'null');

			did("insert into gov_assignments (owner_id, entity_id, capability_id, scope_entity_ids, name, usage_limit, cadence, enforcement, alert_thresholds) values ('$owner', '$entity', 'tokens', '"
				  . one_of('{}', '{}', '{gpt}') . "', '" . new_name('b') . "', ${\ random_limit()}, $cadence, '" . one_of('hard', 'soft', 'soft') . "', $thresholds)");
		}
	}
	return;
}

sub play
{
	my ($seed) = @_;

	srand($seed);
	random_catalog('nobody');    # names begin anew
	@history = @payloads = ();
	(%must, %must_be_rolled_up, %may, %usage, %events, %alerts) = ();
	$first_event = ask('select coalesce(max(id), 0) from gov_events');
	did('delete from gov_alert_policies');
	populate();
	foreach my $step (1 .. 200)
	{
		my $wrong;

		if (chance(0.12))
		{
			$wrong = catch_up();
			return "rolled up: $wrong" if defined $wrong;
			change_catalog();
		}
		elsif (chance(0.03)) { my $hours = one_of(1, 1, 24, 744); move_clock($hours); push @history, "-- the clock moves by $hours hours"; }
		elsif (chance(0.05)) { did(one_of(('select gov_drop_cache()') x 3, q{select count(*) from generate_series(0, 59) as g where gov_allowed('crowd', 'tokens', 1, entity_ids => array['c' || g])})); }
		elsif (chance(0.005)) { $wrong = crash(); }
		elsif (chance(0.05)) { roll_up(); }
		elsif (chance(0.15)) { $wrong = interleave(); }
		else { transaction(); }
		$wrong //= compare();
		return "after: " . (grep { !/^--/ } @history)[-1] . ": $wrong" if defined $wrong;
	}
	my $wrong = catch_up();
	return "rolled up: $wrong" if defined $wrong;
	my %raised = map { $_->{key} => 1 } values %alerts;
	my @missing = grep { !$raised{$_} } keys %must;
	return "lost: @missing" if @missing;

	told();
	return check_notifications(@payloads);
}

# What the transactions left to the rollup: a late event crossed; or a limit was lowered or a threshold set below the usage, and then more
# was used.
sub catch_up
{
	return unless %must_be_rolled_up;
	roll_up();
	my $wrong = compare();
	my %raised = map { $_->{key} => 1 } values %alerts;
	my @missing = grep { !$raised{$_} && still_past($_) } keys %must_be_rolled_up;

	%must_be_rolled_up = ();
	return $wrong // (@missing ? "not raised by the use, nor by the rollup: @missing" : undef);
}

sub still_past
{
	my ($key) = @_;
	my ($id, $window, $threshold) = split /\|/, $key;
	my $budget = budgets()->{$id} // return 0;

	return (grep { $_ == $threshold } @{ $budget->{thresholds} }) && is_past($usage{$id}{$window}, $budget->{limit}, $threshold);
}

ask(q{insert into gov_entity_types (id) values ('thing'); insert into gov_capabilities (id) values ('tokens')});

# Others, whose budgets push everything else out of the cache.
ask(q{insert into gov_entities (owner_id, id, type_id) select 'crowd', 'c' || n, 'thing' from generate_series(0, 59) as n});
ask(q{insert into gov_assignments (owner_id, entity_id, capability_id, name, usage_limit, alert_thresholds)
	select 'crowd', 'c' || n, 'tokens', lpad(m::text, 255, 'x'), 10, '{}' from generate_series(0, 59) as n, generate_series(1, 120) as m});
my $count = 0;

foreach my $seed (@seeds)
{
	my $wrong = eval { play($seed) };
	$wrong = $@ if $@ ne '';
	ok(!defined $wrong, "SEED=$seed") or diag("SEED=$seed\n$wrong\n" . join("\n", @history));
	foreach my $psql ($session, $other) { eval { $psql->ask('rollback') }; }
	$count += keys %alerts;
	ask("select gov_delete_owner('$_')") foreach @owners;
	is(ask('select count(*) from gov_alerts'), '0', 'no alert outlives its owner');
	told();
}
cmp_ok($count, '>', 5 * @seeds, 'there were alerts');

# ---------------------------------------------------------------- one thing at a time

sub alerts_of
{
	my ($entity) = @_;
	return ask(qq{select string_agg(trim_scale(threshold) || ':' || trim_scale(usage) || '/' || trim_scale(l.usage_limit), ' ' order by l.id)
		from gov_alerts l join gov_assignments a on a.id = assignment_id where entity_id = '$entity'});
}

# How many alerts each notification since the last look was about.
sub sizes { return join ' ', map { scalar @{ decode_json($_)->{alertIds} } } told(); }

sub budget
{
	my ($entity, $limit, $thresholds, $cadence) = @_;
	ask("insert into gov_entities (owner_id, id, type_id) values ('o', '$entity', 'thing')");
	ask("insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit, alert_thresholds, cadence, enforcement) values ('o', '$entity', 'tokens', $limit, $thresholds, ${\ ($cadence // 'null')}, 'soft')");
	return;
}

sub ingest { my ($psql, $entity, $amount, $more) = @_; return $psql->ask("select gov_ingest('o', 'tokens', $amount, null, '{$entity}'" . ($more // '') . ')'); }

ask('delete from gov_alert_policies');
budget('three', 100, q('{50,80,100}'));
ingest($session, 'three', 100);
is(alerts_of('three') . ' in ' . sizes(), '50:100/100 80:100/100 100:100/100 in 3', 'three thresholds, one notification');

budget('zero', 0, q('{50,100}'));
ingest($session, 'zero', 0);
is(alerts_of('zero'), '', 'nothing used of nothing');
ingest($session, 'zero', '0.000000001');
is(alerts_of('zero') . ' in ' . sizes(), '50:0.000000001/0 100:0.000000001/0 in 2', 'the first use of a limit of 0');

budget('fine', '0.000000003', q('{50}'));
ingest($session, 'fine', '0.000000001');
is(alerts_of('fine'), '', 'below a threshold between two amounts');
ingest($session, 'fine', '0.000000001');
is(alerts_of('fine'), '50:0.000000002/0.000000003', 'above it');

budget('large', '999999999999999999', q('{100}'));
ingest($session, 'large', '999999999999999998.999999999');
is(alerts_of('large'), '', 'a large limit, not reached');
ingest($session, 'large', '0.000000001');
is(alerts_of('large'), '100:999999999999999999/999999999999999999', 'reached');

budget('soft', 10, q('{120}'));
ingest($session, 'soft', 11.5);
is(alerts_of('soft'), '', 'over the limit, under the threshold');
ingest($session, 'soft', 0.5);
is(alerts_of('soft'), '120:12/10', 'the overage of a soft limit');

budget('raised', 10, q('{100}'));
ingest($session, 'raised', 10);
ask(q{update gov_assignments set usage_limit = 100 where entity_id = 'raised'});
ingest($session, 'raised', 90);
roll_up();
is(alerts_of('raised'), '100:10/10', 'a raised limit does not re-arm');

budget('corrected', 10, q('{100}'));
ingest($session, 'corrected', 10);
ingest($session, 'corrected', -10);
ingest($session, 'corrected', 10);
roll_up();
is(alerts_of('corrected'), '100:10/10', 'a correction does not re-arm');

# What has been loaded above a threshold that did not hold then, and is corrected to below it, crosses when it is used again.
foreach my $what ('dropped', 'kept')
{
	budget($what, 'null', q('{70}'));
	ingest($session, $what, 7);
	roll_up();
	ask('select gov_drop_cache()') if $what eq 'dropped';
	ask("update gov_assignments set usage_limit = 10 where entity_id = '$what'");
	ingest($session, $what, -1);
	ingest($session, $what, 7);
	is(alerts_of($what), '70:13/10', "corrected to below a threshold that is new, the cache $what");
}

budget('held', 10, q('{100}'));
my $hold = ask(q{select reservation_id from gov_reserve('o', 'tokens', 10, null, '{held}')});
roll_up();
is(alerts_of('held'), '', 'a hold is no usage');
ask("select gov_settle('$hold', 10)");
is(alerts_of('held'), '100:10/10', 'settled, it is');

sizes();
budget('aborted', 10, q('{100}'));
ask('begin');
ingest($session, 'aborted', 10);
ask('rollback');
ask('begin');
ask('savepoint s');
ingest($session, 'aborted', 10);
ask('rollback to s');
ingest($session, 'aborted', 9);
ask('commit');
roll_up();
is(alerts_of('aborted') . ' in ' . sizes(), ' in ', 'an aborted crosser');
ingest($session, 'aborted', 1);
is(alerts_of('aborted') . ' in ' . sizes(), '100:10/10 in 1', 'and the one that crosses');

# Two that are open at once: the one whose commit takes the committed usage past the threshold has crossed.
foreach my $ends ([ 'commit', 'commit' ], [ 'rollback', 'commit' ], [ 'commit', 'rollback' ])
{
	my ($first, $second) = @$ends;
	my $name = "$first-$second";

	budget($name, 10, q('{100}'));
	$_->ask('begin') foreach $session, $other;
	ingest($session, $name, 6);
	my ($event) = ingest($other, $name, 7) =~ /(\d+)/;
	$session->ask($first);
	is(alerts_of($name), '', "$name: nobody has crossed yet");
	$other->ask($second);
	is(alerts_of($name), $name eq 'commit-commit' ? '100:13/10' : '', "$name: who has crossed");
	is(ask("select event_id from gov_alerts l join gov_assignments a on a.id = assignment_id where entity_id = '$name'"), $name eq 'commit-commit' ? $event : '', "$name: by which event");
}
roll_up();
is(ask(q{select count(*) from gov_alerts l join gov_assignments a on a.id = assignment_id where entity_id in ('rollback-commit', 'commit-rollback')}), '0', 'nor does the rollup find any');

# The next window is armed again; a late event alerts for its own.
budget('window', 10, q('{50,100}'), "'P1D'");
ingest($session, 'window', 12);
is(alerts_of('window'), '50:12/10 100:12/10', 'a window');
move_clock(24);
is(alerts_of('window'), '50:12/10 100:12/10', 'the next window');
ingest($session, 'window', 6);
is(alerts_of('window'), '50:12/10 100:12/10 50:6/10', 'is armed again');
move_clock(24);
sizes();
ingest($session, 'window', 5, ", occurred_at => gov_now() - interval '1 day'");
roll_up();
is(alerts_of('window'), '50:12/10 100:12/10 50:6/10 100:11/10', 'a late event');
is(ask(q{select count(distinct window_start) from gov_alerts l join gov_assignments a on a.id = assignment_id where entity_id = 'window'}), '2', 'in its own window');
is(sizes(), '1', 'and it is notified');

# Own thresholds, else the owner's, else everybody's; {} is none.
ask($_) foreach q{select gov_set_alert_policy(null, '{10}')}, q{select gov_set_alert_policy('o', '{20}')};
budget('own', 100, q('{30}'));
budget('owners', 100, 'null');
budget('none', 100, q('{}'));
ingest($session, $_, 100) foreach 'own', 'owners', 'none';
is(join(', ', map { alerts_of($_) } 'own', 'owners', 'none'), '30:100/100, 20:100/100, ', 'whose thresholds');
ask(q{select gov_set_alert_policy('o', '{}')});
budget('owners-none', 100, 'null');
ingest($session, 'owners-none', 100);
is(alerts_of('owners-none'), '', 'an owner with a policy of none');
ask(q{delete from gov_alert_policies where owner_id = 'o'});
budget('everybodys', 100, 'null');
ingest($session, 'everybodys', 100);
is(alerts_of('everybodys'), '10:100/100', 'the default of all');

# More than fits one notification: as few as may be, each alert once.
ask(q{insert into gov_entities (owner_id, id, type_id) values ('o', 'many', 'thing')});
ask(q{insert into gov_assignments (owner_id, entity_id, capability_id, name, usage_limit, alert_thresholds)
	select 'o', 'many', 'tokens', 'b' || n, 10, '{10,20,30,40,50,60,70,80,90,100}' from generate_series(1, 256) n});
roll_up();						# which raises what the policies have come to mean for the others
sizes();
ingest($session, 'many', 10);
my @told = told();
my @ids = map { @{ decode_json($_)->{alertIds} } } @told;
my %times;

$times{$_}++ foreach @ids;
is(scalar @ids . ' ' . scalar keys %times, '2560 2560', 'many alerts, each once');
is(join(' ', sort { $a <=> $b } @ids), ask(q{select string_agg(l.id::text, ' ' order by l.id) from gov_alerts l join gov_assignments a on a.id = assignment_id where entity_id = 'many'}), 'the alerts that there are');
is(scalar(grep { length $_ > 7999 } @told), 0, 'no notification is too long');
cmp_ok(scalar @told, '<=', 1 + int(length(join(', ', @ids)) / 7900), 'as few notifications as may be');

$_->close foreach $session, $other, $listener;
$node->stop;
done_testing();

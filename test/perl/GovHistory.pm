# Random histories: what a session may do next. Everything random in them comes from rand(), so that a seed replays.

package GovHistory;

use strict;
use warnings;

use Exporter 'import';
use GovModel;

our @EXPORT = qw(history_begin history_step history_compare history_end);

# The cadences are long, or so short that a move of the clock, or an event of some time ago, is of another window.
my @cadences = ('PT1M', 'PT5M', 'PT7M', 'PT1H', 'P1D', 'P1W', 'P1M', 'P3M', 'P100Y', undef, undef);
my @anchors = (undef, undef, undef, '2020-01-31 10:00Z', '2019-03-10 02:30:00.5Z');
my @timezones = ('UTC', 'UTC', 'America/New_York', 'Asia/Kolkata');
my @capabilities = ('tokens', 'tokens', 'tokens', 'calls');
my %keys_of = (org => 'orgId', team => 'teamId', user => 'userId', model => 'model');

my ($entities, $next_name, $holds_made, @free_keys, $is_crowded);

# ---------------------------------------------------------------- random arguments

sub random_entity { return one_of(@$entities)->{id}; }

# Capability, dimensions and entities, as literals.
sub random_target
{
	my @ids = map { random_entity() } 1 .. one_of(0, 1, 1, 1, 1, 2, 3);
	my %dims;

	push @ids, 'nobody' if chance(0.05);
	foreach (1 .. one_of(0, 0, 1, 1, 2))
	{
		my $entity = one_of(@$entities);
		$dims{ chance(0.9) ? $keys_of{ $entity->{type} } : 'other' } = $entity->{id};
	}
	$dims{requestId} = 'r' . int(rand(1000)) if chance(0.1);
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

sub random_limit { return one_of(undef, 0, 5, 20, 20, 50, 100, 100, '33.333333333', 1000); }

# A key that was never used: a new one, or one whose transaction was rolled back.
sub random_key
{
	return undef if chance(0.75);
	return shift @free_keys if @free_keys && chance(0.5);
	return owner() . '-k' . $next_name++;
}

sub random_ttl { return one_of(1, 2, 5, 5, 5, 10, 60, 1440); }

sub ttl { return "interval '$_[0] minutes'"; }

# ---------------------------------------------------------------- use

# A call that recorded something has used its key; one that was denied has not.
sub note_key
{
	my ($n, $key, $report, @call) = @_;
	my $id = $report->{hold} // $report->{event};

	return unless defined $key;
	if (defined $id) { note($n, 'key', $key, { id => $id, call => \@call }); }
	else { push @free_keys, $key; }
	return;
}

sub ingest
{
	my ($n, $entity) = @_;
	my ($capability, $amount, $dims, $ids) = random_call();
	my $key = random_key();
	my $ago = chance(0.2) ? one_of('1 minute', '6 minutes', '1 hour', '1 day', '9 days', '40 days', '150 years', '-4 minutes') : undef;

	$ids = "'{$entity}'" if defined $entity;
	$amount = "-$amount" if chance(0.25);
	my $report = expect($n, 'ingest', literal(owner()), $capability, $amount, $dims, $ids, literal($key), literal($ago));
	note_key($n, $key, $report, 'gov_ingest', $capability, $amount, $dims, $ids);
	return;
}

sub consume
{
	my ($n, $entity) = @_;
	my ($capability, $amount, $dims, $ids) = random_call();
	my $key = random_key();
	my $function = one_of('consume', 'consume', 'consume', 'require');

	$ids = "'{$entity}'" if defined $entity;
	my $report = expect($n, $function, literal(owner()), $capability, $amount, $dims, $ids, literal($key), literal(in_flight($n)));
	note_key($n, $key, $report, "gov_$function", $capability, $amount, $dims, $ids);
	return;
}

sub ingest_many
{
	my ($n) = @_;
	my @items;

	foreach (1 .. one_of(1, 2, 3, 5))
	{
		my ($capability, $amount, $dims, $ids) = random_call();
		$capability = "'nonsense'" if chance(0.1);
		$amount = "-$amount" if chance(0.3);
		push @items, "jsonb_build_object('capabilityId', ${capability}::text, 'amount', ${amount}::numeric, 'dimensions', coalesce($dims, '{}')::jsonb, 'entityIds', coalesce($ids, '{}')::text[])";
	}
	expect($n, 'ingest_many', literal(owner()), 'jsonb_build_array(' . join(', ', @items) . ')');
	return;
}

# A call of one of the functions that take a key, as SQL.
sub call_sql
{
	my ($function, $capability, $amount, $dims, $ids, $key) = @_;
	return "$function(" . join(', ', literal(owner()), $capability, $amount, $dims, $ids, literal($key)) . ')';
}

# A key that is taken: the same call has the same result, another one is refused.
sub use_key_again
{
	my ($n) = @_;
	my $keys = known($n, 'key');

	# to look at the key of a hold is to wait for whoever changes the hold
	my @keys = grep { !is_touched_by_others($n, $keys->{$_}{id}) } sort keys %$keys or return;
	my $key = one_of(@keys);
	my ($id, $function, $capability, $amount, $dims, $ids) = ($keys->{$key}{id}, @{ $keys->{$key}{call} });

	if (chance(0.5))
	{
		my $other = one_of(
			sub { $amount = "1 + $amount" },
			sub { $capability = $capability eq "'tokens'" ? "'calls'" : "'tokens'" },
			sub { $ids = $ids eq "'{nobody}'" ? "'{somebody}'" : "'{nobody}'" },
			sub { $dims = q('{"another": "1"}') },
			sub { $function = one_of(grep { $_ ne $function } 'gov_consume', 'gov_require', 'gov_reserve', 'gov_ingest') });
		$other->();
		$amount = "abs($amount)" if $function ne 'gov_ingest';
		my $answer = outcome($n, 'select ' . call_sql($function, $capability, $amount, $dims, $ids, $key));
		die "key $key for another call: $answer\n" if $answer !~ /^23505/;
		return;
	}
	my @arguments = (literal(owner()), $capability, $amount, $dims, $ids, literal($key));
	if ($function eq 'gov_ingest')
	{
		my $answer = ask($n, 'select event_id, is_duplicate from ' . call_sql($function, @arguments[ 1 .. 4 ], $key));
		die "key $key again: $answer and not $id\n" if $answer ne "$id|t";
	}
	elsif ($function eq 'gov_reserve')
	{
		my $hold = known($n, 'hold')->{$id};
		expect($n, 'reserve_again', @arguments, ttl(random_ttl()), literal(in_flight($n)), literal($id), literal(hold_state($hold)));
	}
	else
	{
		expect($n, $function =~ s/^gov_//r, @arguments, literal(in_flight($n)), $id);
	}
	return;
}

# What an exception block takes back.
sub use_and_fail
{
	my ($n) = @_;
	my ($capability, $amount, $dims, $ids) = random_call();
	my $function = one_of('gov_ingest', 'gov_ingest', 'gov_consume', 'gov_reserve', 'gov_reserve');

	$amount = "-$amount" if $function eq 'gov_ingest' && chance(0.5);
	my $sql = call_sql($function, $capability, $amount, $dims, $ids, 'never-' . owner());
	my ($hold) = chance(0.4) ? some_hold($n, 'open') : ();
	$sql = one_of("gov_settle('$hold', $amount)", "gov_release('$hold')", "gov_extend('$hold', '1 hour')") if defined $hold && $amount >= 0;
	my $answer = outcome($n, "select 1 / (0 * length(x::text)) from $sql as x");
	die "a failing use: $answer\n" if $answer !~ /^22012/;
	return;
}

# ---------------------------------------------------------------- holds

# A hold in one of some states that no other session is at.
sub some_hold
{
	my ($n, @states) = @_;
	my $holds = known($n, 'hold');
	my %wanted = map { $_ => 1 } @states;
	my @ids = grep { $wanted{ hold_state($holds->{$_}) } && !is_touched_by_others($n, $_) }
	  sort { $holds->{$a}{made} <=> $holds->{$b}{made} } keys %$holds;

	# an expired hold may be swept by whoever meets it
	@ids = grep { hold_state($holds->{$_}) ne 'expired' } @ids if anyone_open($n);
	return @ids ? one_of(@ids) : ();
}

sub reserve
{
	my ($n, $entity) = @_;
	my ($capability, $amount, $dims, $ids) = random_call();
	my $key = random_key();
	my $minutes = random_ttl();

	$ids = "'{$entity}'" if defined $entity;
	my $report = expect($n, 'reserve', literal(owner()), $capability, $amount, $dims, $ids, literal($key), ttl($minutes), literal(in_flight($n)));
	if (defined $report->{hold})
	{
		@{$report}{qw(until made)} = (minutes() + $minutes, $holds_made++);
		note($n, 'hold', $report->{hold}, $report);
	}
	note_key($n, $key, $report, 'gov_reserve', $capability, $amount, $dims, $ids);
	return;
}

sub settle
{
	my ($n) = @_;
	my $hold = some_hold($n, 'open', 'open', 'expired', 'settled', 'released') // return;
	my $state = hold_state(known($n, 'hold')->{$hold});
	my $amount = chance(0.25) ? 'null' : random_amount();

	if ($state eq 'released')
	{
		my $answer = outcome($n, "select gov_settle('$hold', $amount)");
		die "settling a released hold: $answer\n" if $answer !~ /^55000/;
		return;
	}
	expect($n, 'settle', literal($hold), $amount, literal($state));
	return;
}

sub release
{
	my ($n) = @_;
	my $hold = some_hold($n, 'open', 'expired', 'settled', 'released') // return;
	expect($n, 'release', literal($hold), literal(hold_state(known($n, 'hold')->{$hold})));
	return;
}

sub extend
{
	my ($n) = @_;
	my $hold = some_hold($n, 'open', 'expired', 'settled', 'released') // return;
	my $state = hold_state(known($n, 'hold')->{$hold});
	my $minutes = random_ttl();

	if ($state ne 'open')
	{
		my $answer = outcome($n, "select gov_extend('$hold', interval '$minutes minutes')");
		die "extending a hold that is $state: $answer\n" if $answer !~ /^55000/;
		return;
	}
	my $report = expect($n, 'extend', literal($hold), ttl($minutes));
	note($n, 'hold', $hold, { %{ known($n, 'hold')->{$hold} }, until => minutes() + $minutes });
	return;
}

# ---------------------------------------------------------------- catalog

sub random_budget
{
	my @scope = chance(0.25) ? (map { random_entity() } 1 .. one_of(1, 1, 2)) : ();
	return (literal(random_entity()), literal(one_of(@capabilities)), "'{" . join(',', @scope) . "}'", literal(one_of('', '', '', 'extra', 'more')));
}

# Changes, as SQL; the arguments pick a budget and an entity.
my @changes = (
	[ 3, sub { "update gov_assignments set usage_limit = " . literal(random_limit()) . " where $_[0]" } ],
	[ 1, sub { "update gov_assignments set enforcement = " . literal(one_of('hard', 'soft')) . " where $_[0]" } ],
	[ 2, sub { "update gov_assignments set cadence = " . literal(one_of(@cadences)) . " where $_[0]" } ],
	[ 1, sub { "update gov_assignments set anchor_at = " . literal(one_of(@anchors)) . ", timezone = " . literal(one_of(@timezones)) . " where $_[0]" } ],
	[ 1, sub { "delete from gov_assignments where $_[0]" } ],
	[ 4, \&insert_budget ],
	[ 2, \&upsert_budget ],
	[ 1, sub { "update gov_entities set archived_at = case when archived_at is null then now() end where $_[1]" } ],
	[ 1, sub { "update gov_entities set parent_id = " . literal(chance(0.2) ? undef : random_entity()) . " where $_[1]" } ],
	[ 1, \&insert_entity ],
	[ 1, sub { "delete from gov_entities where $_[1]" } ],
	[ 1, sub { "update gov_entity_types set attribution_keys = " . literal(one_of('{userId}', '{userId}', '{other,userId}')) . " where id = 'user'" } ]);

sub insert_budget
{
	return
		'insert into gov_assignments (owner_id, entity_id, capability_id, scope_entity_ids, name, usage_limit, cadence, anchor_at, timezone, enforcement) values ('
	  . join(', ', literal(owner()), random_budget(), map { literal($_) } random_limit(), one_of(@cadences), one_of(@anchors), one_of(@timezones), one_of('hard', 'hard', 'hard', 'soft'))
	  . ') on conflict (owner_id, entity_id, capability_id, scope_entity_ids, name) do update set usage_limit = excluded.usage_limit, cadence = excluded.cadence';
}

sub upsert_budget
{
	my ($entity, $capability, $scope, $name) = random_budget();
	return
		'select gov_upsert_assignments(' . literal(owner()) . ", jsonb_build_array(jsonb_build_object('entityId', $entity, 'capabilityId', $capability, 'scopeEntityIds', ${scope}::text[], "
	  . "'name', $name, 'usageLimit', " . literal(random_limit()) . "::numeric, 'cadence', " . literal(one_of(@cadences)) . ')))';
}

sub insert_entity
{
	my $id = 'e' . $next_name++;
	my $type = one_of(sort keys %keys_of);
	my $parent = literal(chance(0.3) ? undef : random_entity());

	push @$entities, { id => $id, type => $type };
	return 'insert into gov_entities (owner_id, id, type_id, parent_id) values (' . literal(owner()) . ", '$id', '$type', $parent)";
}

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

sub change_catalog
{
	my ($n) = @_;
	my $owner = literal(owner());
	my $entity = random_entity();
	my $some_budget = "id = (select id from gov_assignments where owner_id = $owner order by entity_id, capability_id, scope_entity_ids, name offset " . int(rand(10)) . ' limit 1)';

	return if !may_change_catalog($n);
	my $answer = outcome($n, weighted(@changes)->($some_budget, "owner_id = $owner and id = '$entity'"));
	die "a catalog change: $answer\n" unless $answer =~ /^(ok|23503|23505|23514|55000|54000|22023)/;
	has_changed_catalog($n);

	# what is charged next, in its own transaction, may be charged in a view of its own
	one_of(\&ingest, \&consume, \&reserve)->($n, $entity) if open_in($n) && chance(0.5);
	return;
}

# ---------------------------------------------------------------- transactions

sub transact
{
	my ($n) = @_;
	my $what = rand();

	if (!open_in($n))
	{
		ask($n, 'begin');
		begin_level($n);
	}
	elsif ($what < 0.3)
	{
		ask($n, 'savepoint s');
		begin_level($n);
	}
	elsif ($what < 0.5 && depth($n) > 1)
	{
		# a savepoint that is rolled back to is still there
		ask($n, 'rollback to s');
		undo_level($n);
	}
	elsif ($what < 0.65 && depth($n) > 1)
	{
		ask($n, 'release s');
		end_level($n, 1);
	}
	else
	{
		end_transaction($n, chance(0.65));
	}
	return;
}

# ---------------------------------------------------------------- what the server does

# Reads of another owner's entities, enough of them to push everything that may go out of a small cache.
sub drop_cache
{
	my ($n) = @_;
	my $from = int(rand(40));

	return ask($n, "select count(*) from generate_series($from, $from + 39) as g where gov_allowed('crowd', 'tokens', 1, entity_ids => array['c' || g % 60])") if $is_crowded && chance(0.7);
	return ask($n, 'select gov_drop_cache()') if anyone_open() || chance(0.7);
	return ask($n, 'select gov_refresh()');
}

sub maintain
{
	my ($n) = @_;
	ask($n, 'do $$ begin perform gov_maintain(); end $$') unless open_in($n);
	return;
}

sub turn
{
	my $more = one_of(1, 1, 1, 2, 5, 5, 7, 60, 60, 1440, 10080);
	move_clock($more) if minutes() + $more < 25 * 1440;
	return;
}

# ---------------------------------------------------------------- histories

my @steps = (
	[ 14, \&ingest ], [ 18, \&consume ], [ 3, \&ingest_many ], [ 4, \&use_key_again ], [ 3, \&use_and_fail ], [ 12, \&change_catalog ],
	[ 14, \&reserve ], [ 10, \&settle ], [ 5, \&release ], [ 4, \&extend ],
	[ 22, \&transact ], [ 4, \&drop_cache ], [ 4, \&maintain ], [ 5, \&turn ]);

# A chain of three, two users more, two models; a dozen budgets.
sub history_begin
{
	my (%option) = @_;
	my $owner = literal(owner());
	my %parent_of = (eng => 'acme', ops => 'acme', ann => 'eng', ben => 'eng', cyd => 'ops');

	$is_crowded = $option{crowded};
	$entities = [ map { { id => $_->[0], type => $_->[1] } } [ 'acme', 'org' ], [ 'eng', 'team' ], [ 'ops', 'team' ], [ 'ann', 'user' ], [ 'ben', 'user' ], [ 'cyd', 'user' ], [ 'gpt', 'model' ] ];
	$next_name = 1;
	$holds_made = 0;
	@free_keys = ();
	ask(0, "insert into gov_entity_types (id, attribution_keys) values ('$_', '{$keys_of{$_}}') on conflict (id) do update set attribution_keys = excluded.attribution_keys") foreach sort keys %keys_of;
	ask(0, 'insert into gov_entities (owner_id, id, type_id, parent_id) values ' . join(', ', map { "($owner, '$_->{id}', '$_->{type}', " . literal($parent_of{ $_->{id} }) . ')' } @$entities));
	ask(0, "insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit, cadence) values ($owner, 'acme', 'tokens', "
		  . literal(one_of(50, 100, 200)) . ', ' . literal(one_of(@cadences)) . "), ($owner, 'eng', 'tokens', " . literal(one_of(20, 50, 100)) . ', ' . literal(one_of(@cadences)) . ')');
	change_catalog(0) foreach 1 .. 12;
	return;
}

sub history_step
{
	my ($n) = @_;
	weighted(@steps)->($n);
	return;
}

sub history_compare
{
	my ($n) = @_;
	compare($n, random_call());
	compare_holds($n) if chance(0.1);
	return;
}

# All transactions end, and everything is looked at: as it is, rolled up, and read from the tables again.
sub history_end
{
	end_transaction($_, chance(0.5)) foreach grep { open_in($_) } sessions();
	checkpoint('at the end');
	history_compare($_) foreach sessions();
	compare_holds(0);
	roll_up();
	ask(0, 'select gov_drop_cache()');
	history_compare($_) foreach sessions();
	checkpoint('rolled up and read again');
	return;
}

1;

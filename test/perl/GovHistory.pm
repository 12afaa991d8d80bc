# Random histories: what a session may do next.

package GovHistory;

use strict;
use warnings;

use Exporter 'import';
use GovModel;
use GovRandom;

our @EXPORT = qw(history_begin history_step history_compare history_end);

my ($holds_made, $is_crowded);

sub ttl { return "interval '$_[0] minutes'"; }

# ---------------------------------------------------------------- use

# A key that was never used: a new one, or one whose call was denied or rolled back.
sub random_key
{
	return undef if chance(0.75);
	return (chance(0.5) ? free_key() : undef) // new_name(owner() . '-k');
}

# A call that recorded something has used its key; one that was denied has not.
sub note_key
{
	my ($n, $key, $report, @call) = @_;
	my $id = $report->{hold} // $report->{event};

	return unless defined $key;
	if (defined $id) { remember($n, 'key', $key, { id => $id, call => \@call }); }
	else { add_free_key($key); }
	return;
}

# Dimensions of a call that writes: without those that may create, while another session's changes of the catalog are open, whom it
# would wait for. What a use creates is such a change.
sub writable
{
	my ($n, $dims) = @_;

	return $dims unless may_create($dims);
	return 'null' unless may_change_catalog($n);
	has_changed_catalog($n);
	return $dims;
}

# A call of a session that the budgets must allow; often of just what is left, or of the least bit more.
sub tight_call
{
	my ($n, $entity, $may_be_concurrent) = @_;
	my ($capability, $amount, $dims, $ids) = $may_be_concurrent && chance(0.3) ? random_concurrent_call() : random_call();

	$ids = "'{$entity}'" if defined $entity;
	if (chance(0.4))
	{
		$amount = ask($n, "select trim_scale(greatest(remaining, 0)) from oracle.check(" . join(', ', literal(owner()), $capability, 0, $dims, $ids, 'oracle.now()', literal(in_flight($n)), "'none'") . ')');
		$amount = 1 if $amount eq '';
		$amount .= ' + 0.000000001' if chance(0.3);
	}
	return ($capability, $amount, $dims, $ids);
}

# Is a call made as one of many?
sub among_others { return chance(0.3) ? 'true' : 'false'; }

sub ingest
{
	my ($n, $entity) = @_;
	my ($capability, $amount, $dims, $ids) = random_call();
	my $key = random_key();
	my $ago = chance(0.2) ? one_of('1 minute', '6 minutes', '1 hour', '1 day', '9 days', '40 days', '150 years', '-4 minutes') : undef;

	$dims = writable($n, $dims);
	$ids = "'{$entity}'" if defined $entity;
	$amount = "-$amount" if chance(0.25);
	my $report = expect($n, 'ingest', literal(owner()), $capability, $amount, $dims, $ids, literal($key), literal($ago), among_others());
	note_key($n, $key, $report, 'gov_ingest', $capability, $amount, $dims, $ids);
	return;
}

sub consume
{
	my ($n, $entity) = @_;
	my ($capability, $amount, $dims, $ids) = tight_call($n, $entity);
	$dims = writable($n, $dims);
	my $key = random_key();
	my $function = one_of('consume', 'consume', 'consume', 'require');

	my $report = expect($n, $function, literal(owner()), $capability, $amount, $dims, $ids, literal($key), literal(in_flight($n)),
		$function eq 'consume' ? ('null', among_others()) : ());
	note_key($n, $key, $report, "gov_$function", $capability, $amount, $dims, $ids);
	return;
}

# What a call wants of several capabilities, of which one never has a budget: as SQL. Some of it by quantities.
sub several
{
	my %amount = @_;

	foreach my $capability (qw(calls seconds tokens))
	{
		$amount{"'$capability'"} //= random_amount() if chance(0.6);
	}
	return 'jsonb_build_object(' . join(', ', map { "$_, " . (chance(0.25) && !is_concurrent($_) ? quantities($amount{$_}) : "($amount{$_})::numeric") } sort keys %amount) . ')';
}

# Quantities whose prices stay, or change with time; in some histories they are as much as the amount.
sub quantities
{
	my ($amount) = @_;

	return "jsonb_build_object('one', ($amount)::numeric)" if chance(0.5);
	return 'jsonb_build_object(' . join(', ', "'in', " . int(rand(12)), chance(0.6) ? "'out', " . one_of(0, 1, 3, '0.3333333333') : ()) . ')';
}

# All of several capabilities, or none: often tight in one of them.
sub consume_all
{
	my ($n, $entity) = @_;
	my ($capability, $amount, $dims, $ids) = tight_call($n, $entity);
	$dims = writable($n, $dims);
	my $key = random_key();
	my $function = one_of('consume_all', 'consume_all', 'require_all');
	my $amounts = several($capability, $amount);

	my $report = expect($n, $function, literal(owner()), $amounts, $dims, $ids, literal($key), literal(in_flight($n)));
	note_key($n, $key, $report, "gov_$function", $amounts, $dims, $ids);
	return;
}

sub ingest_all
{
	my ($n) = @_;
	my ($capability, $amount, $dims, $ids) = random_call();
	my $key = random_key();
	my $ago = chance(0.2) ? one_of('6 minutes', '1 day', '40 days', '-4 minutes') : undef;

	$dims = writable($n, $dims);
	my $amounts = several($capability, chance(0.3) ? "-$amount" : $amount);
	my $report = expect($n, 'ingest_all', literal(owner()), $amounts, $dims, $ids, literal($key), literal($ago));
	note_key($n, $key, $report, 'gov_ingest_all', $amounts, $dims, $ids);
	return;
}

sub ingest_many
{
	my ($n) = @_;
	my @items;

	foreach (1 .. one_of(1, 2, 3, 5))
	{
		my ($capability, $amount, $dims, $ids) = random_call();
		$dims = writable($n, $dims);

		# it is looked at after the batch, when what later items create is there
		$ids = "'{acme}'" if may_create("");
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
	my @keys = sort keys %$keys or return;
	my $key = one_of(@keys);
	my ($id, $function, $capability, $amount, $dims, $ids) = ($keys->{$key}{id}, @{ $keys->{$key}{call} });

	return use_reversal_key_again($n, $key, $id, $capability, $amount) if $function eq 'gov_reverse';
	return use_key_of_several_again($n, $key) if $function =~ /_all$/;
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

# The same of a call of several capabilities.
sub use_key_of_several_again
{
	my ($n, $key) = @_;
	my ($id, $function, $amounts, $dims, $ids) = (known($n, 'key')->{$key}{id}, @{ known($n, 'key')->{$key}{call} });
	my @arguments = (literal(owner()), $amounts, $dims, $ids, literal($key));

	if (chance(0.5))
	{
		my $other = one_of(
			sub { $arguments[1] = "$amounts || jsonb_build_object('seconds', 777.5)" },
			sub { $arguments[3] = $ids eq "'{nobody}'" ? "'{somebody}'" : "'{nobody}'" },
			sub { $arguments[2] = q('{"another": "1"}') },
			sub { $function = one_of(grep { $_ ne $function } 'gov_consume_all', 'gov_require_all', 'gov_reserve_all', 'gov_ingest_all') });
		$other->();
		my $answer = outcome($n, "select $function(" . join(', ', @arguments) . ')');
		die "key $key for another call: $answer\n" if $answer !~ /^23505|^22023 amount of .* must not be negative/;
		return;
	}
	if ($function eq 'gov_ingest_all')
	{
		my $answer = ask($n, "select event_ids = model.call_of($id), is_duplicate from gov_ingest_all(" . join(', ', @arguments) . ')');
		die "key $key again: $answer\n" if $answer ne 't|t';
	}
	elsif ($function eq 'gov_reserve_all')
	{
		expect($n, 'reserve_all_again', @arguments, ttl(random_ttl()), literal(in_flight($n)), literal($id), literal(hold_state(known($n, 'hold')->{$id})));
	}
	else
	{
		expect($n, $function =~ s/^gov_//r, @arguments, literal(in_flight($n)), $id);
	}
	return;
}

# Give back of an event that no other session is at: all, a part, or more than is left.
sub reverse_event
{
	my ($n) = @_;
	my @events = grep { !is_touched_by_others($n, $_) } sort { $a <=> $b } keys %{ known($n, 'event') };
	my $event = one_of(@events) // return;
	my $amount = chance(0.3) ? 'null' : random_amount();
	my $key = random_key();

	$amount = "(select round(abs(amount) / 2, 9) from gov_events where id = $event and amount <> 0)" if chance(0.4);
	$amount = ask($n, "select coalesce(nullif($amount, 0), 1)") if $amount ne 'null';
	my $report = expect($n, 'reverse', $event, $amount, literal($key));
	note_key($n, $key, $report, 'gov_reverse', $event, $amount);
	return;
}

# A key of a reversal: the same call has the same result, another one is refused.
sub use_reversal_key_again
{
	my ($n, $key, $id, $event, $amount) = @_;

	return if is_touched_by_others($n, $event);
	if (chance(0.5))
	{
		my $other = one_of("gov_reverse($event, coalesce($amount, 1) + 1, '$key')", 'gov_reverse(' . $event . ', ' . ($amount eq 'null' ? 1 : 'null') . ", '$key')", call_sql('gov_ingest', random_call(), $key));
		my $answer = outcome($n, "select $other");
		die "key $key of a reversal for another call: $answer\n" if $answer !~ /^23505/;
		return;
	}
	expect($n, 'reverse_again', $event, $amount, literal($key), $id);
	return;
}

# What is under way is not used up.
sub use_concurrent
{
	my ($n) = @_;
	my ($capability, $amount, $dims, $ids) = random_concurrent_call();
	my $answer = outcome($n, 'select ' . call_sql(one_of('gov_ingest', 'gov_consume', 'gov_require'), $capability, $amount, $dims, $ids, 'never-' . owner()));

	die "a use of what is under way: $answer\n" if $answer !~ /^22023/;
	return;
}

# What an exception block takes back.
sub use_and_fail
{
	my ($n) = @_;
	my ($capability, $amount, $dims, $ids) = random_call();
	my $function = one_of('gov_ingest', 'gov_ingest', 'gov_consume', 'gov_reserve', 'gov_reserve');
	$dims = writable($n, $dims);
	my @arguments = (literal(owner()), $capability, $amount, $dims, $ids, literal('never-' . owner()));

	# that it was denied is not taken back
	if ($function ne 'gov_ingest' && chance(0.6))
	{
		my $call = $function eq 'gov_consume' ? one_of('consume', 'require') : 'reserve';
		push @arguments, ttl(random_ttl()) if $call eq 'reserve';
		expect($n, 'undone', literal("$call(" . join(', ', @arguments, literal(in_flight($n))) . ')'));
		return;
	}
	$function = 'gov_ingest';
	$amount = "-$amount" if chance(0.5);
	my $sql = call_sql($function, $capability, $amount, $dims, $ids, 'never-' . owner());
	my ($hold) = chance(0.4) ? some_hold($n, 'open') : ();
	$sql = one_of("gov_settle('$hold', $amount)", "gov_release('$hold')", "gov_extend('$hold', '1 hour')") if defined $hold && $amount >= 0;
	my $answer = outcome($n, "select 1 / (0 * length(x::text)) from $sql as x");
	die "a failing use: $answer\n" if $answer !~ /^22012|^GV001 extension of hold .* denied: Blocked|^55000 hold .* is of several capabilities/;
	note_denied({ by => 'someone', reason => 'Blocked', window => ask($n, "select oracle.moment(date_trunc('day', oracle.now(), 'UTC'))"), amount => '0', count => 1 })
	  if $answer =~ /^GV001/;
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
	my ($capability, $amount, $dims, $ids) = tight_call($n, $entity, 1);
	$dims = writable($n, $dims);
	my $key = random_key();
	my $minutes = random_ttl();

	my $report = expect($n, 'reserve', literal(owner()), $capability, $amount, $dims, $ids, literal($key), ttl($minutes), literal(in_flight($n)));
	if (defined $report->{hold})
	{
		@{$report}{qw(until made is_concurrent)} = (minutes() + $minutes, $holds_made++, is_concurrent($capability) ? 1 : 0);
		remember($n, 'hold', $report->{hold}, $report);
	}
	note_key($n, $key, $report, 'gov_reserve', $capability, $amount, $dims, $ids);
	return;
}

sub reserve_all
{
	my ($n, $entity) = @_;
	my ($capability, $amount, $dims, $ids) = tight_call($n, $entity);
	$dims = writable($n, $dims);
	my $key = random_key();
	my $minutes = random_ttl();
	my $amounts = several($capability, $amount);

	my $report = expect($n, 'reserve_all', literal(owner()), $amounts, $dims, $ids, literal($key), ttl($minutes), literal(in_flight($n)));
	if (defined $report->{hold})
	{
		@{$report}{qw(until made)} = (minutes() + $minutes, $holds_made++);
		$report->{is_of_several} = (() = $amounts =~ /'(?:calls|seconds|streams|tokens)', /g) > 1 ? 1 : 0;
		remember($n, 'hold', $report->{hold}, $report);
	}
	note_key($n, $key, $report, 'gov_reserve_all', $amounts, $dims, $ids);
	return;
}

sub settle
{
	my ($n) = @_;
	my $hold = some_hold($n, 'open', 'open', 'expired', 'settled', 'released') // return;
	my $state = hold_state(known($n, 'hold')->{$hold});
	my $amount = chance(0.25) ? 'null' : random_amount();
	my $amounts = chance(0.25) ? 'null' : several(one_of("'calls'", "'seconds'", "'tokens'"), random_amount());
	my ($is_of_several, $is_concurrent) = @{ known($n, 'hold')->{$hold} }{qw(is_of_several is_concurrent)};

	if ($state eq 'released' || ($is_of_several && chance(0.1)))
	{
		my $sql = $state eq 'released' && !$is_concurrent && chance(0.4) ? "gov_settle_all('$hold', $amounts)" : "gov_settle('$hold', $amount)";
		my $answer = outcome($n, "select $sql");
		die "settling a hold that was released, or the wrong way: $answer\n" if $answer !~ /^55000/;
		return;
	}
	return expect($n, 'settle_all', literal($hold), $amounts, literal($state)) if $is_of_several || (!$is_concurrent && chance(0.15));
	expect($n, 'settle', literal($hold), $amount, literal($state), among_others());
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
	return if $report->{refused};
	remember($n, 'hold', $hold, { %{ known($n, 'hold')->{$hold} }, until => minutes() + $minutes });
	return;
}

# ---------------------------------------------------------------- catalog

sub change_catalog
{
	my ($n) = @_;
	my $entity = random_entity();

	return if !may_change_catalog($n);
	my $answer = outcome($n, random_change($entity));
	die "a catalog change: $answer\n" unless $answer =~ /^(ok|23503|23505|23514|42704|55000|54000|22023)/;
	has_changed_catalog($n);

	# what is charged next, in its own transaction, may be charged in a view of its own
	one_of(\&ingest, \&consume, \&reserve)->($n, $entity) if open_in($n) && chance(0.5);
	return;
}

# Everything goes, and mostly comes back with the rollback.
sub start_over
{
	my ($n) = @_;
	my $owner = literal(owner());

	return if anyone_open();
	if (chance(0.6))
	{
		ask($n, 'begin');
		begin_level($n);
		ask($n, one_of("select gov_delete_owner($owner)", 'truncate gov_assignments'));
		history_compare($n);
		end_transaction($n, 0);
		return;
	}
	ask($n, "select gov_delete_owner($owner)");
	ask($n, "delete from model.changed where owner_id = $owner");
	ask($n, "select oracle.remember_nobody($owner)");
	forget();
	ask($n, $_) foreach random_catalog(owner());
	change_catalog($n) foreach 1 .. 6;
	return;
}

# A budget is counted again, perhaps in a transaction that makes or changes it, and uses it. Nobody else is open: it would wait for them.
sub recount
{
	my ($n) = @_;
	my $owner = literal(owner());
	my $is_open = chance(0.5);
	my $ago = chance(0.5) ? 'null' : literal(one_of('1 minute', '1 hour', '1 day', '9 days', '40 days'));

	end_transactions() if chance(0.25);
	return if anyone_open();
	if ($is_open)
	{
		ask($n, 'begin');
		begin_level($n);
		outcome($n, random_change(random_entity())) if chance(0.5);
		has_changed_catalog($n);
	}
	foreach (1 .. one_of(1, 1, 1, 2))
	{
		ask($n, "select count(model.recount($owner, a, " . literal(one_of('recorded', 'tree')) . ", $ago)) from (select u.* from gov_used_assignments u where owner_id = $owner and name <> 'pool' order by entity_id, capability_id, scope_entity_ids, name offset " . int(rand(8)) . ' limit 1) as a');
	}
	history_compare($n);
	return unless $is_open;
	one_of(\&ingest, \&consume, \&reserve)->($n) foreach 1 .. one_of(0, 1, 2);
	history_compare($n);
	end_transaction($n, chance(0.65));
	return;
}

# What a billing system writes when a window is renewed: it stays the same.
sub renew_anchor
{
	my ($n) = @_;

	return if anyone_open();
	ask($n, 'update gov_assignments as a set anchor_at = (gov_window(a.cadence, a.anchor_at, a.timezone, oracle.now())).window_start where a.cadence is not null and a.owner_id = ' . literal(owner()) . ' and a.entity_id = ' . literal(random_entity()));
	return;
}

# Somebody is forgotten, rather one who has used a budget by a default, or is in its scope; for this all transactions end. What such
# budgets have counted stays theirs, under the other id, and somebody else with the former id begins afresh.
sub forget_somebody
{
	my ($n) = @_;
	my $of = literal(owner());

	end_transactions();
	my @used = split /,/, ask($n, "select string_agg(distinct u.id, ',') from gov_default_counts as n, unnest(n.entity_id || n.scope_entity_ids) as u (id) where n.owner_id = $of and not n.retired");
	my $entity = (chance(0.8) ? one_of(@used) : undef) // random_entity();
	my $replacement = new_name(owner() . '-gone');

	count_as('forgot who has used a default') if grep { $_ eq $entity } @used;
	forget_entity($entity, $replacement);
	rename_entity($entity, $replacement);
	foreach my $id ($replacement, chance(0.3) ? $entity : ())
	{
		outcome($n, entity_again($id)) if $id eq $entity;
		compare($n, "'$_'", 1, 'null', "'{$id}'") foreach 'tokens', 'calls';
		compare($n, "'tokens'", 1, 'null', "'{$id," . random_entity() . "}'");
		one_of(\&ingest, \&consume, \&reserve)->($n, $id) foreach 1 .. one_of(0, 1, 2);
	}
	history_compare($n);
	return;
}

# ---------------------------------------------------------------- transactions

# All of them end, for what would wait for them.
sub end_transactions
{
	end_transaction($_, chance(0.65)) foreach grep { open_in($_) } sessions();
	return;
}

sub transact
{
	my ($n) = @_;
	my $what = rand();

	if (!open_in($n))
	{
		ask($n, 'begin');
		begin_level($n);
	}
	elsif ($what < 0.35)
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
	elsif ($what < 0.7 && depth($n) > 1)
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

	return if open_in($n);
	ask($n, 'do $$ begin perform gov_maintain(); end $$');
	check_alerts($n);
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
	[ 14, \&ingest ], [ 18, \&consume ], [ 3, \&ingest_many ], [ 7, \&reverse_event ], [ 4, \&use_key_again ], [ 3, \&use_and_fail ], [ 1, \&use_concurrent ], [ 12, \&change_catalog ], [ 2, \&start_over ], [ 8, \&recount ], [ 3, \&renew_anchor ], [ 3, \&forget_somebody ],
	[ 10, \&consume_all ], [ 5, \&ingest_all ], [ 10, \&reserve_all ],
	[ 16, \&reserve ], [ 22, \&settle ], [ 5, \&release ], [ 4, \&extend ],
	[ 28, \&transact ], [ 4, \&drop_cache ], [ 4, \&maintain ], [ 5, \&turn ]);

sub history_begin
{
	my (%option) = @_;

	$is_crowded = $option{crowded};
	$holds_made = 0;
	ask(0, 'delete from gov_default_assignments');
	ask(0, $_) foreach random_catalog(owner());
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
	my @call = tight_call($n, undef, 1);
	compare($n, @call);
	compare_several($n, several(@call[ 0, 1 ]), @call[ 2, 3 ]) if !is_concurrent($call[0]) && chance(0.4);
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
	compare_history();
	roll_up();
	compare_denials();
	ask(0, 'select gov_drop_cache()');
	history_compare($_) foreach sessions();
	checkpoint('rolled up and read again');
	return if chance(0.5);
	move_owner();
	history_compare($_) foreach sessions();
	return;
}

1;

# The world that a random history plays in: sessions with their open transactions, what has been committed and what is in flight,
# the engine's clock. What a call did is noted at the level of its savepoint and goes with it; what the sessions ask is answered
# by the engine and by the oracle (test/oracle.sql, test/model.sql), and must be the same.

package GovModel;

use strict;
use warnings;

use Exporter 'import';
use JSON::PP;
use Time::Local;
use GovRandom;
use GovSession;

our @EXPORT = qw(
  model_begin model_end model_disconnect model_history model_tally model_done count_as
  owner sessions minutes free_key add_free_key
  ask expect outcome remember known forget open_in depth anyone_open in_flight is_touched_by_others hold_state
  begin_level end_level end_transaction undo_level may_change_catalog has_changed_catalog
  forget_entity move_owner check_alerts compare compare_several compare_holds compare_denials compare_history note_denied checkpoint roll_up move_clock crash
);

my $json = JSON::PP->new->canonical;
my ($node, $owner, @sessions, %committed, @history, $start, $minutes, $offset, @free_keys, %tally, $rounds_are_asked, @denied);

# ---------------------------------------------------------------- small things

sub owner { return $owner; }
sub sessions { return 0 .. $#sessions; }
sub minutes { return $minutes; }
sub model_history { return map { "$_;" } @history; }

# ---------------------------------------------------------------- sessions

# Ask a session; the history remembers it.
sub ask
{
	my ($n, $sql) = @_;

	push @history, "s$n: $sql";
	$tally{$1}++ if $sql =~ /^(?:select )?(?:model\.)?(\w+)/;
	return $sessions[$n]{psql}->ask($sql);
}

# How many levels a session has open: 0 without a transaction, 1 without a savepoint.
sub depth { return scalar @{ $sessions[ $_[0] ]{levels} // [] }; }

sub open_in { return defined $sessions[ $_[0] ]{levels}; }

# Does any session, but this one, have an open transaction?
sub anyone_open
{
	my ($but) = @_;
	return scalar grep { open_in($_) && $_ != ($but // -1) } sessions();
}

sub connect_sessions
{
	@sessions = map { { psql => GovSession->new($node, "model$_"), levels => undef } } 0 .. 2;
	return;
}

sub disconnect_sessions
{
	$_->{psql}->close foreach @sessions;
	@sessions = ();
	return;
}

# ---------------------------------------------------------------- what is known

# A session begins a transaction or a savepoint.
sub begin_level
{
	my ($n) = @_;
	push @{ $sessions[$n]{levels} }, { flight => [] };
	return;
}

# The innermost level ends; a savepoint that is released hands on what it has.
sub end_level
{
	my ($n, $keeps) = @_;
	my $levels = $sessions[$n]{levels};
	my $level = pop @$levels;

	return unless $keeps;
	push @{ $levels->[-1]{flight} }, @{ delete $level->{flight} };
	$levels->[-1]{$_} = { %{ $levels->[-1]{$_} // {} }, %{ $level->{$_} } } foreach keys %$level;
	return;
}

# The innermost level is rolled back to, and stays.
sub undo_level
{
	my ($n) = @_;
	add_free_key(keys %{ $sessions[$n]{levels}[-1]{key} // {} });
	$sessions[$n]{levels}[-1] = { flight => [] };
	return;
}

sub end_transaction
{
	my ($n, $commits) = @_;

	ask($n, $commits ? 'commit' : 'rollback');
	end_level($n, 1) while @{ $sessions[$n]{levels} } > 1;
	my $level = $sessions[$n]{levels}[0];
	my @events = keys %{ $level->{event} // {} };
	delete $level->{flight};
	if ($commits)
	{
		$committed{$_} = { %{ $committed{$_} // {} }, %{ $level->{$_} } } foreach keys %$level;
	}
	else { add_free_key(keys %{ $level->{key} // {} }); }
	$sessions[$n]{levels} = undef;
	$sessions[$n]{changed_catalog} = 0;
	$sessions[$n]{touched} = {};
	check_alerts($n, @events) if $commits;
	return;
}

# A session has committed events: what they have carried to a threshold has been alerted, and nothing else. But for a budget whose
# row another session has locked.
sub check_alerts
{
	my ($n, @events) = @_;
	my $is_locked = grep { $_ != $n && $sessions[$_]{changed_catalog} } sessions();
	my $wrong = ask($n, 'select model.alerts(' . join(', ', literal($owner), literal('{' . join(',', $is_locked ? () : @events) . '}'), $rounds_are_asked ? 'true' : 'false') . ')');

	die "session $n: alerts: $wrong\n" if $wrong ne '';
	return;
}

# Note that a session did something: $kind is event, hold or key.
sub remember
{
	my ($n, $kind, $id, $what) = @_;
	my $place = open_in($n) ? $sessions[$n]{levels}[-1] : \%committed;

	$place->{$kind}{$id} = $what;
	return;
}

# Keys that stand for nothing, because their calls were denied or rolled back.
sub add_free_key { push @free_keys, sort @_; return; }
sub free_key { return shift @free_keys; }

# The owner has been deleted.
sub forget
{
	%committed = ();
	@free_keys = ();
	@denied = ();
	return;
}

# Calls were denied: whatever becomes of their transaction, that stays.
sub note_denied { push @denied, @_; $tally{denied} += @_; return; }

# What a session sees of a kind: what is committed, and its own.
sub known
{
	my ($n, $kind) = @_;
	return { map { %{ $_->{$kind} // {} } } \%committed, @{ $sessions[$n]{levels} // [] } };
}

# What others than this session have taken and not yet committed.
sub in_flight
{
	my ($n) = @_;
	return $json->encode([ map { @{ $_->{flight} } } map { @{ $_->{levels} // [] } } map { $sessions[$_] } grep { $_ != $n } sessions() ]);
}

# Only one session at a time has uncommitted catalog changes: two would wait for one another's rows.
sub may_change_catalog
{
	my ($n) = @_;
	return !grep { $_ != $n && $sessions[$_]{changed_catalog} } sessions();
}

sub has_changed_catalog
{
	my ($n) = @_;
	$sessions[$n]{changed_catalog} = 1 if open_in($n);
	return;
}

# Holds and events whose rows the open transactions of others have locked.
sub is_touched_by_others
{
	my ($n, $id) = @_;
	return scalar grep { $_ != $n && $sessions[$_]{touched}{$id} } sessions();
}

# ---------------------------------------------------------------- calls

# One of the functions of schema model; what it says about rows and flight is noted.
sub expect
{
	my ($n, $function, @arguments) = @_;
	my $answer = ask($n, "select model.$function(" . join(', ', @arguments) . ')');
	my $report = $json->decode($answer);
	my @parts = ref $report eq 'ARRAY' ? @$report : $report;
	my $known = known($n, 'event');
	my @events = grep { defined && !$known->{$_} } map { $_->{event} } @parts;	# a settlement again records nothing

	foreach my $part (@parts)
	{
		my $flight = delete $part->{flight} // [];
		my $touches = delete $part->{touches};

		note_denied(@{ delete $part->{denied} // [] });
		if (defined $part->{hold})
		{
			my $before = known($n, 'hold')->{ $part->{hold} } // {};
			remember($n, 'hold', $part->{hold}, { %$before, %$part });
		}
		elsif (defined $part->{event}) { remember($n, 'event', $part->{event}, $part); }
		next unless open_in($n);
		$sessions[$n]{touched}{$touches} = 1 if defined $touches;
		push @{ $sessions[$n]{levels}[-1]{flight} }, @$flight;
		$sessions[$n]{touched}{ $_->{hold} } = 1 foreach grep { defined $_->{hold} } @$flight;
	}
	check_alerts($n, @events) if @events && !open_in($n);
	return $parts[0];
}

# The same of a call of several capabilities.
sub compare_several
{
	my ($n, @call) = @_;
	my $call = join(', ', literal($owner), @call);
	my $difference = ask($n, "select oracle.difference_all($call, " . literal(in_flight($n)) . ')');

	die "the engine and the oracle differ for ($call) in session $n:\n$difference\n" if $difference ne '';
	return;
}

# A statement that may fail: ok, or the error.
sub outcome
{
	my ($n, $sql) = @_;
	return ask($n, 'select model.outcome(' . literal($sql) . ')');
}

# Hold a call of one session against the oracle, sometimes without the cache too: the tables show nothing of what others have in flight.
sub compare
{
	my ($n, @call) = @_;
	my $call = join(', ', literal($owner), @call);
	my $difference = ask($n, "select oracle.difference($call, " . literal(in_flight($n)) . ')');

	die "the engine and the oracle differ for ($call) in session $n:\n$difference\n" if $difference ne '';
	return unless chance(0.1);
	$difference = ask($n, "set governance.use_cache = off; select oracle.difference($call); set governance.use_cache = on");
	die "without the cache the engine and the oracle differ for ($call) in session $n:\n$difference\n" if $difference ne '';
	return;
}

# The same for the view of holds.
sub compare_holds
{
	my ($n) = @_;
	my $wrong = ask($n, 'select model.shown(' . literal($owner) . ')');

	die "session $n: $wrong\n" if $wrong ne '';
	return;
}

# With no transaction open: who changed what, and the limits that budgets had.
sub compare_history
{
	my $wrong = ask(0, 'select model.history(' . literal($owner) . ')');

	die "history: $wrong\n" if $wrong ne '';
	return;
}

# With no transaction open: who was denied, as soon as all of it is written.
sub compare_denials
{
	my $deadline = time() + 20;
	my $call = 'select model.denials(' . literal($owner) . ', ' . literal($json->encode(\@denied)) . ')';

	while ((my $wrong = $sessions[0]{psql}->ask($call)) ne '')
	{
		die "gov_denials: $wrong\n" if time() > $deadline;
		$sessions[0]{psql}->ask('do $$ begin perform gov_maintain(); end $$');
		select(undef, undef, undef, 0.01);
	}
	return;
}

# With no transaction open: the rows are those of the acknowledged calls, and the counts are those of the rows.
sub checkpoint
{
	my ($when) = @_;
	my @expected = map { "$_ $committed{event}{$_}{print}" } keys %{ $committed{event} };
	push @expected, map { "$_ " . hold_state($committed{hold}{$_}) . " $committed{hold}{$_}{print}" } keys %{ $committed{hold} };

	my %found = map { $_ => 1 } split /\n/, ask(0, 'select model.rows(' . literal($owner) . ')');
	my @missing = grep { !delete $found{$_} } @expected;
	die "$when: acknowledged, and not there:\n" . join("\n", sort @missing) . "\nthere, and not acknowledged:\n" . join("\n", sort keys %found) . "\n" if @missing || %found;

	# the worker may be expiring a hold between its look at the tables and its look at the cache
	my $verify = 'select v from gov_verify(' . literal($owner) . ') as v';
	my $wrong = ask(0, $verify) && ask(0, $verify);
	die "$when: gov_verify: $wrong\n" if $wrong ne '';
	return;
}

# With no transaction open: roll up everything, and add it up again.
sub roll_up
{
	my $deadline = time() + 60;

	# a round of the worker's may be in the way
	until (ask(0, 'select events_left from gov_maintain()') == 0)
	{
		die "events are not rolled up\n" if time() > $deadline;
		select(undef, undef, undef, 0.01);
	}
	my $wrong = ask(0, 'select model.sums(' . literal($owner) . ')');
	die "rolled up: $wrong\n" if $wrong ne '';
	check_alerts(0);
	return;
}

# With no transaction open: somebody is forgotten, and all is rewritten. Of the rows nothing but names changes; they are known by their
# new prints then, and keys whose calls nobody knows are left alone.
sub forget_entity
{
	my ($entity, $replacement) = @_;
	my ($of, $old) = (literal($owner), literal($entity));
	my $before = ask(0, "select model.digest($of)");
	my $deadline = time() + 60;

	ask(0, "select oracle.forget($of, $old, " . literal($replacement) . ')');
	ask(0, "select gov_forget_entity($of, $old, " . literal($replacement) . ')');
	ask(0, "select model.forgot($of)");
	until (ask(0, "select events_left = 0 and not exists (select from gov_forgotten) from gov_maintain()") eq 't')
	{
		die "$entity is not forgotten\n" if time() > $deadline;
		select(undef, undef, undef, 0.01);
	}
	check_alerts(0);
	die "something has changed when $entity was forgotten\n" if ask(0, "select model.digest($of)") ne $before;
	my $named = ask(0, "select model.named($of, $old)");
	die "$entity is forgotten, and named by $named\n" if $named ne '';
	my $prints = $json->decode(ask(0, "select model.prints($of)"));
	foreach my $kind (qw(event hold))
	{
		$committed{$kind}{$_}{print} = $prints->{$kind}{$_} // 'gone' foreach keys %{ $committed{$kind} // {} };
	}
	delete $committed{key}{$_} foreach @{ $prints->{unknown} };
	return;
}

# With no transaction open, and all of it rolled up: the owner leaves the server, and comes back, as from another one. What there is of
# it is the same; ids of events are not, so this is the end of a history.
sub move_owner
{
	my $of = literal($owner);
	my $is_quiet = $rounds_are_asked ? 'true' : 'false';

	compare_denials();	# what is not written yet is not exported
	ask(0, 'truncate model.chunks, model.belonged');
	ask(0, "select gov_freeze_owner($of)");
	ask(0, "insert into model.belonged select model.belongings($of, $is_quiet)");
	ask(0, "insert into model.chunks (chunk) select gov_export_owner($of)");
	ask(0, "select gov_delete_owner($of)");
	my ($first, $last) = split /\|/, ask(0, 'select min(n), max(n) from model.chunks');
	while ($first <= $last)
	{
		my $next = $first + int(rand(6));

		ask(0, "select gov_import_owner($of, (select array_agg(chunk order by n) from model.chunks where n between $first - 1 and $next))");
		$first = $next + 1;
	}
	ask(0, "select gov_thaw_owner($of)");
	ask(0, "update oracle.recounts r set counter_id = _gov_moved_counter(r.counter_id, i.counter_id_shift, i.imported_counter_id_shift), through_id = r.through_id + i.event_id_shift from gov_imports i where r.owner = $of and i.owner_id = $of");
	count_as('moved the owner');
	my $wrong = ask(0, "select model.moved($of, $is_quiet)");
	die "moved:\n$wrong\n" if $wrong ne '';
	$wrong = ask(0, "select model.sums($of)") || ask(0, "select v from gov_verify($of) as v");
	die "moved: $wrong\n" if $wrong ne '';
	return;
}

# ---------------------------------------------------------------- time

# A hold's state now: time alone may have expired it.
sub hold_state
{
	my ($hold) = @_;
	return $hold->{state} eq 'open' && $hold->{until} <= $minutes ? 'expired' : $hold->{state};
}

# Set the engine's clock, and wait until all sessions see it. A history begins in the middle of a minute and moves by whole
# minutes, so that no window turns and no hold expires but by a move: what happens does not depend on how fast the machine is.
sub move_clock
{
	my ($more) = @_;
	my $file = $node->data_dir . '/clock.conf';

	$minutes += $more;
	$offset += 60 * $more;
	$tally{'clock moved'}++ if $more;
	push @history, "-- the clock moves by $more minutes";
	open(my $conf, '>', $file) or die "$file: $!";
	print $conf "governance.clock_offset = '${offset}s'\n";
	close $conf;
	$sessions[0]{psql}->ask('select pg_reload_conf()');
	await_clock();
	return;
}

sub await_clock
{
	my $deadline = time() + 60;

	foreach my $n (sessions())
	{
		until ($sessions[$n]{psql}->ask("select current_setting('governance.clock_offset')::interval = interval '${offset}s'") eq 't')
		{
			die "the clock does not move\n" if time() > $deadline;
			select(undef, undef, undef, 0.001);
		}
	}
	return;
}

# ---------------------------------------------------------------- histories

# Everything in flight is lost: the server is stopped at once, or one of its processes is killed.
sub crash
{
	my ($how) = @_;

	$tally{"crash: $how"}++;
	push @history, "-- crash: $how";
	if ($how eq 'stop')
	{
		$node->stop('immediate');
		$node->start;
	}
	else
	{
		kill 9, $sessions[ one_of(sessions()) ]{psql}->backend;
		# it is gone when the others are
		$_->{psql}->await_end foreach @sessions;
		$node->poll_query_until('postgres', 'select true') or die "the server does not come back\n";
	}
	disconnect_sessions();
	connect_sessions();
	await_clock();
	my $left = ask(0, 'select model.denials_left(' . literal($owner) . ', ' . literal($json->encode(\@denied)) . ')');
	@denied = @{ $json->decode($left) };
	return;
}

# A history begins, for an owner of its own, at a time of the engine's clock that follows from the seed.
sub model_begin
{
	my ($on, $seed, $month, %option) = @_;

	srand($seed);
	$rounds_are_asked = $option{rounds_are_asked};
	($node, $owner, $minutes) = ($on, "o$seed", 0);
	forget();
	@history = ();
	connect_sessions() unless @sessions;

	# a month begins soon, and perhaps its first day in New York
	$start = timegm(30, 0, 0, 1, $month % 12, 2030 + int($month / 12)) - 60 * one_of(1, 2, 5, 30, 61, 600, 2000);
	$offset = $start - time();
	move_clock(0);
	ask(0, "select gov_delete_owner('$owner')");
	ask(0, "delete from model.changed where owner_id = '$owner'");
	ask(0, "delete from model.forgotten where owner_id = '$owner'");
	ask(0, "select oracle.remember_nobody('$owner')");
	return;
}

# It ends; after a failure the sessions are in an unknown state.
sub model_end
{
	my ($done) = @_;

	ask(0, "select gov_delete_owner('$owner')") if $done;
	eval { disconnect_sessions() } unless $done;
	return;
}

# How often what was done, in all histories together.
sub model_tally { return join(', ', map { "$_ $tally{$_}" } sort { $tally{$b} <=> $tally{$a} || $a cmp $b } keys %tally); }

# A thing that was done, and how often it was.
sub count_as { $tally{ $_[0] }++; return; }
sub model_done { return $tally{ $_[0] } // 0; }

# The server is about to be stopped.
sub model_disconnect { disconnect_sessions() if @sessions; return; }

1;

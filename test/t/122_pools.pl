# Pools: what is drawn from which grant, and what is owed, is what was promised, whatever happens in between.
#
# The oracle here keeps books as an accountant would: time passes step by step, a grant that takes effect pays what is owed at that
# moment, one that ends forfeits what is left. The engine does none of that when it happens, and computes it when it is asked. Then a
# random history is made of both: uses, corrections, holds, reversals, grants, voidings, savepoints that are rolled back, rollups, and
# caches that are dropped; after each step every answer is compared.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use List::Util qw(first max min sum0);
use PostgreSQL::Test::Utils;
use Storable qw(dclone);
use Test::More;
use GovTest;

my $node = gov_node('pools', conf => "timezone = 'UTC'\nautovacuum = off\nrestart_after_crash = on\ngovernance.rollup_interval = '1h'");

if ($node->psql('postgres', 'show governance.fault_clock') != 0)
{
	$node->stop;
	plan skip_all => 'built without -DGOV_FAULTS';
}
my ($first, $last) = split /-/, $ENV{SEED} // '1-5';
$last //= $first;
my $steps = $ENV{STEPS} // 120;

$node->safe_psql('postgres', q{
	insert into gov_entity_types (id) values ('org'), ('user');
	insert into gov_capabilities (id) values ('tokens')});
my $session = $node->background_psql('postgres', on_error_stop => 0);
my ($owner, $now, $books, @stack, $in_transaction);

sub ask { return gov_ask($session, $_[0]); }

# Minutes since a day.
sub clock { return "timestamptz '2030-01-01 00:00Z' + interval '1 minute' * $_[0]"; }

sub stop_clock
{
	ask("select set_config('governance.fault_clock', (extract(epoch from " . clock($now) . " - timestamptz '2000-01-01 00:00Z') * 1000000)::bigint::text, false)");
	return;
}

# ---------------------------------------------------------------- the books

sub is_live { my ($g, $at) = @_; return $g->{from} <= $at && $at < $g->{until}; }
sub burn_order { return sort { $a->{priority} <=> $b->{priority} || $a->{expires} <=> $b->{expires} || $a->{from} <=> $b->{from} || $a->{id} cmp $b->{id} } @{ $books->{grants} }; }
sub left { my $g = shift; return $g->{amount} - $g->{drawn}; }
sub available { return sum0(map { left($_) } grep { is_live($_, $books->{at}) } @{ $books->{grants} }); }
sub held { return sum0(map { $_->{amount} } grep { $_->{open} } values %{ $books->{holds} }); }
sub granted { return sum0(map { $_->{amount} } grep { is_live($_, $books->{at}) } @{ $books->{grants} }); }

# What is owed is paid by whoever has something left and took effect after it was made, the one that did so first before the others. It
# is written down by the next use.
sub pay
{
	foreach my $g (sort { $a->{from} <=> $b->{from} } burn_order())
	{
		next if $g->{from} > $books->{at} || $books->{owed} <= 0;
		next if !is_live($g, $books->{at}) && ($g->{from} < $books->{owed_at} || $g->{until} <= $g->{from});
		my $pays = min($books->{owed}, left($g));
		$g->{drawn} += $pays;
		$books->{owed} -= $pays;
	}
	return;
}

sub find { my $id = shift; return first { $_->{id} eq $id } @{ $books->{grants} }; }

# Time goes on, and each grant that takes effect on the way pays then.
sub pass
{
	my $until = shift;

	foreach my $moment (sort { $a <=> $b } grep { $_ > $books->{at} && $_ <= $until } map { $_->{from} } @{ $books->{grants} })
	{
		$books->{at} = $moment;
		pay();
	}
	$books->{at} = $until;
	pay();
	return;
}

# What a use draws: the grants' names and amounts, and then what it takes of credit or owes.
sub draw
{
	my $amount = shift;
	my ($debt, @draws) = (0);

	if ($amount < 0)
	{
		$books->{owed} += $amount;
		pay();
		return ([ 'debt', $amount ]);
	}
	$debt = min($amount, -$books->{owed}) if $books->{owed} < 0;
	$amount -= $debt;
	foreach my $g (grep { is_live($_, $books->{at}) } burn_order())
	{
		my $takes = min($amount, left($g));
		next if $takes <= 0;
		$g->{drawn} += $takes;
		$amount -= $takes;
		push @draws, [ $g->{id}, $takes ];
	}
	$debt += $amount;
	$books->{owed} += $debt;
	$books->{owed_at} = $books->{at} if $debt > 0;
	push @draws, [ 'debt', $debt ] if $debt > 0;
	return @draws;
}

# A reversal finds paid what is paid, whether a use has written that down or not.
sub give_back
{
	my ($use, $amount) = @_;
	my $skip = $use->{given};

	$use->{given} += $amount;
	foreach my $draw (reverse @{ $use->{draws} })
	{
		my $skipped = min($skip, $draw->[1]);
		$skip -= $skipped;
		my $gives = min($amount, $draw->[1] - $skipped);
		next if $gives <= 0;
		$amount -= $gives;
		my $g = find($draw->[0]);
		# what would be given back to a live grant pays what is owed
		my $pays = defined $g && is_live($g, $books->{at}) ? max(0, min($gives, $books->{owed})) : 0;
		$books->{owed} -= $pays;
		$gives -= $pays;
		if ($draw->[0] eq 'debt') { $books->{owed} -= $gives; }
		else { $g->{drawn} -= $gives; }
	}
	pay();
	return;
}

# ---------------------------------------------------------------- both

sub note_use
{
	my ($event, @draws) = @_;

	$books->{uses}{$event} = { draws => \@draws, amount => sum0(map { $_->[1] } @draws), given => 0 };
	return;
}

# What the row says that the use has taken itself: what it pays of an earlier debt comes to nothing, and stands before.
sub is_drawn
{
	my ($event, $name, @draws) = @_;
	my $rows = ask("select coalesce(string_agg(coalesce(g.category, 'debt') || ' ' || trim_scale(x.amount), ', ' order by x.n), '') from gov_events e cross join lateral (select n, e.draws[n][1]::bigint as counter_id, e.draws[n][2] as amount from generate_subscripts(e.draws, 1) n) x left join gov_grants g on g.counter_id = x.counter_id where e.id = $event");
	my $wanted = join ', ', map { "$_->[0] $_->[1]" } @draws;

	return ok($rows =~ /(^|, )\Q$wanted\E$/, $name) || diag("row: $rows\nwanted: $wanted");
}

my %does = (
	consume => sub {
		my $amount = int(rand(12)) + 1;
		my $fits = $amount + held() <= available() - $books->{owed} + $books->{debt_limit};
		my ($granted, $event) = split /\|/, ask("select is_granted, event_id from gov_consume('$owner', 'tokens', $amount, null, '{ann}')");
		if ($granted ne ($fits ? 't' : 'f')) { fail("consume $amount") ; return 1; }
		if ($fits) { my @draws = draw($amount); note_use($event, @draws); return !is_drawn($event, "consume $amount", @draws); }
		return 0;
	},
	ingest => sub {
		my $amount = int(rand(20)) - 3 || 7;
		my $event = ask("select event_id from gov_ingest('$owner', 'tokens', $amount, null, '{ann}')");
		my @draws = draw($amount);
		note_use($event, @draws) if $amount > 0;
		return !is_drawn($event, "ingest $amount", @draws);
	},
	reserve => sub {
		my $amount = int(rand(10)) + 1;
		my $fits = $amount + held() <= available() - $books->{owed} + $books->{debt_limit};
		my ($granted, $hold) = split /\|/, ask("select is_granted, reservation_id from gov_reserve('$owner', 'tokens', $amount, null, '{ann}', ttl => '1000 days')");
		if ($granted ne ($fits ? 't' : 'f')) { fail("reserve $amount"); return 1; }
		$books->{holds}{$hold} = { amount => $amount, open => 1 } if $fits;
		return 0;
	},
	settle => sub {
		my ($hold) = grep { $books->{holds}{$_}{open} } sort keys %{ $books->{holds} };
		return 0 if !defined $hold;
		my $amount = int(rand(14));
		$books->{holds}{$hold}{open} = 0;
		if (rand() < 0.3) { ask("select gov_release('$hold')"); return 0; }
		my $event = ask("select event_id from gov_settle('$hold', $amount)");
		my @draws = draw($amount);
		note_use($event, @draws);
		return !is_drawn($event, "settle $amount", @draws);
	},
	reverse => sub {
		my @uses = grep { $books->{uses}{$_}{given} < $books->{uses}{$_}{amount} } sort { $a <=> $b } keys %{ $books->{uses} };
		return 0 if !@uses;
		my $event = $uses[ max(0, $#uses - int(rand(6))) ];
		my $use = $books->{uses}{$event};
		my $amount = int(rand($use->{amount} - $use->{given})) + 1;
		ask("select event_id from gov_reverse($event, $amount)");
		give_back($use, $amount);
		return 0;
	},
	grant => sub {
		# what is owed to others is not paid by a grant that they do not see yet
		return 0 if $in_transaction;
		my $id = sprintf 'g%04d', ++$books->{made};
		my %g = (id => $id, amount => int(rand(40)) + 1, priority => (1, 100, 100)[ rand 3 ], drawn => 0,
			from => rand() < 0.6 ? $now : $now + int(rand(60)));
		# of two that take effect at one moment the first to be drawn from pays, whichever was made first
		return 0 if grep { $_->{from} == $g{from} } @{ $books->{grants} };
		$g{until} = $g{expires} = rand() < 0.6 ? $g{from} + 1 + int(rand(90)) : 9**9;
		# the last part of the order is by ids that are drawn: here they ascend
		ask("insert into gov_grants (id, owner_id, assignment_id, amount, priority, effective_at, expires_at, category) select '00000000-0000-4000-8000-" . sprintf('%012d', $books->{made}) . "'::uuid, a.owner_id, a.id, $g{amount}, $g{priority}, " . clock($g{from}) . ', ' . ($g{expires} == 9**9 ? 'null' : clock($g{expires})) . ", '$id' from gov_assignments a where a.owner_id = '$owner' and a.is_pool");
		push @{ $books->{grants} }, \%g;
		pay();
		return 0;
	},
	void => sub {
		# one that was live for no time has paid nothing
		my @open = grep { $_->{until} > $now && $_->{from} != $now } @{ $books->{grants} };
		return 0 if !@open;
		my $g = $open[ rand @open ];
		ask("select gov_void_grant(id) from gov_grants where owner_id = '$owner' and category = '$g->{id}'");
		$g->{until} = $now;
		return 0;
	},
	debt_limit => sub {
		$books->{debt_limit} = int(rand(3)) * 5;
		ask("update gov_assignments set debt_limit = $books->{debt_limit} where owner_id = '$owner' and is_pool");
		return 0;
	},
	time => sub {
		return 0 if $in_transaction;
		$now += 1 + int(rand(40));
		stop_clock();
		pass($now);
		return 0;
	},
	drop => sub { ask('select gov_drop_cache()') if !$in_transaction; return 0; },
	maintain => sub { ask('select gov_maintain()') if !$in_transaction; return 0; },
	begin => sub {
		ask($in_transaction ? 'savepoint s' : 'begin');
		push @stack, dclone($books);
		$in_transaction = 1;
		return 0;
	},
	end => sub {
		return 0 if !$in_transaction;
		my $before = pop @stack;
		my $is_last = !@stack;
		if (rand() < 0.6)
		{
			ask($is_last ? 'rollback' : 'rollback to s');
			ask('release s') if !$is_last;
			$books = $before;
			pass($now);
		}
		else { ask($is_last ? 'commit' : 'release s'); }
		$in_transaction = !$is_last;
		return 0;
	});
my @often = (('consume') x 8, ('ingest') x 3, ('reserve') x 2, ('settle') x 2, ('reverse') x 2, ('grant') x 3, 'void', 'debt_limit', ('time') x 4, 'drop', 'maintain', ('begin') x 2, ('end') x 3);

sub compare
{
	my ($name) = @_;
	my $limit = granted();
	my $left = available() - $books->{owed};
	my $state = join ' ', $limit, $left - held();
	my %shown = (
		headroom => "select trim_scale(usage_limit) || ' ' || trim_scale(remaining) from gov_headroom('$owner', 'tokens', 0, null, '{ann}') where entity_id = 'acme'",
		budgets => "select trim_scale(usage_limit) || ' ' || trim_scale(remaining) from gov_budgets where owner_id = '$owner' and entity_id = 'acme'",
		query => "select (b ->> 'usageLimit') || ' ' || (b ->> 'remaining') from jsonb_path_query(gov_query('$owner', '{tokens}'), '\$.data[*]') b where b ->> 'entityId' = 'acme'",
		tree => "select trim_scale(usage_limit) || ' ' || trim_scale(remaining) from gov_tree('$owner', '{tokens}') where entity_id = 'acme'");

	foreach my $way (sort keys %shown)
	{
		# what is queued to be given back at the commit is in no table yet
		my $is = ask($shown{$way});
		if ($is ne $state) { is($is, $state, "$name: $way"); return 0; }
	}
	my $rows = ask("select string_agg(g.category || ' ' || b.drawn || ' ' || b.expired, ', ' order by g.category) from gov_grant_balances b join gov_grants g on g.id = b.grant_id where b.owner_id = '$owner'");
	my $wanted = join ', ', map { my $g = $_; join ' ', $g->{id}, $g->{drawn}, $g->{until} <= $now ? left($g) : 0 } sort { $a->{id} cmp $b->{id} } @{ $books->{grants} };
	if ($rows ne $wanted) { is($rows, $wanted, "$name: balances"); return 0; }
	return 1;
}

foreach my $seed ($first .. $last)
{
	srand($seed);
	($owner, $now, $in_transaction) = ("seed-$seed", 0, 0);
	$books = { at => 0, owed => 0, owed_at => -1, debt_limit => 0, grants => [], holds => {}, uses => {}, made => 1000 * $seed };
	@stack = ();
	stop_clock();
	ask("insert into gov_entities (owner_id, id, type_id, parent_id) values ('$owner', 'acme', 'org', null), ('$owner', 'ann', 'user', 'acme')");
	ask("insert into gov_assignments (owner_id, entity_id, capability_id, is_pool) values ('$owner', 'acme', 'tokens', true)");
	ask("insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit, cadence) values ('$owner', 'ann', 'tokens', 1000000, 'P1M')");
	my $is_good = 1;
	my @history;
	for (my $i = 1; $i <= $steps && $is_good; $i++)
	{
		my $what = $often[ rand @often ];
		push @history, "$what at $now";
		$is_good = !$does{$what}->() && compare("seed $seed, step $i, $what");
	}
	diag(join "\n", @history[ max(0, $#history - 8) .. $#history ]) if !$is_good;
	diag("owed $books->{owed}\n" . ask("select string_agg(e.id || coalesce(' reverses ' || e.reverses, '') || ' ' || trim_scale(e.amount) || ': ' || (select string_agg(coalesce(g.category, 'debt') || ' ' || trim_scale(d.amount), ', ') from gov_event_draws d left join gov_grants g on g.id = d.grant_id where d.event_id = e.id), E'\\n' order by e.id) from gov_events e where e.owner_id = '$owner' and e.draws is not null")) if !$is_good;
	ask('rollback') if $in_transaction;
	ok($is_good, "seed $seed");
	is(ask("select count(*) from gov_verify('$owner')"), '0', "seed $seed: the counts are those of the ledger");
	last if !$is_good;
}

# ---------------------------------------------------------------- a crash, and a cold start

my @shown = map { "select string_agg(v::text, ' ' order by v::text) from $_ v" } 'gov_grant_balances', 'gov_budgets';
$now += 5;
stop_clock();
my @before = map { ask($_) } @shown;
$session->quit;
$node->stop('immediate');
$node->start;
$session = $node->background_psql('postgres', on_error_stop => 0);
stop_clock();
is(ask($shown[$_]), $before[$_], "after a crash ($_)") foreach 0 .. $#shown;
ask("select count(*) from (select gov_check(owner_id, 'tokens', 0, null, '{ann}') from gov_assignments where is_pool) c");
is(ask('select count(*) from gov_verify()'), '0', 'and the counters that were loaded are right');
$session->quit;

# ---------------------------------------------------------------- 64 clients on a pool with several grants

$node->safe_psql('postgres', q{
	insert into gov_entities (owner_id, id, type_id, parent_id) values ('many', 'acme', 'org', null);
	insert into gov_entities (owner_id, id, type_id, parent_id) select 'many', 'u' || n, 'user', 'acme' from generate_series(1, 20) n;
	insert into gov_assignments (owner_id, entity_id, capability_id, is_pool) values ('many', 'acme', 'tokens', true);
	insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit, cadence) select 'many', 'u' || n, 'tokens', 100000, 'P1D' from generate_series(1, 20) n;
	insert into gov_grants (owner_id, assignment_id, amount, expires_at, category)
	select a.owner_id, a.id, 400 + 7 * n, now() + interval '1 day' * n, 'g' || n from gov_assignments a, generate_series(1, 5) n where a.owner_id = 'many' and a.is_pool});
my $script = PostgreSQL::Test::Utils::tempdir . '/pool.sql';
append_to_file($script, <<'SQL');
\set n random(1, 7)
\set u random(1, 20)
\set what random(1, 10)
begin;
select is_granted from gov_consume('many', 'tokens', :n, null, array['u' || :u]);
savepoint s;
\if :what < 4
select is_granted from gov_consume('many', 'tokens', :n, null, array['u' || :u]);
rollback to s;
\endif
\if :what = 5
select event_id from gov_ingest('many', 'tokens', -1, null, array['u' || :u]);
\endif
\if :what = 6
rollback;
\else
commit;
\endif
SQL
$node->command_ok([ 'pgbench', '-n', '-c', '40', '-j', '2', '-t', '25', '-f', $script, 'postgres' ], '40 clients draw');
my $granted = $node->safe_psql('postgres', q{select sum(amount) from gov_grants where owner_id = 'many'});
is($node->safe_psql('postgres', q{select count(*) from gov_grant_balances where owner_id = 'many' and (drawn > granted or remaining < 0)}), '0', 'no grant is drawn from past its amount');
is($node->safe_psql('postgres', q{select sum(b.drawn) + (select coalesce(sum(d.amount), 0) from gov_event_draws d where d.owner_id = 'many' and d.grant_id is null) = (select sum(amount) from gov_events where owner_id = 'many') from gov_grant_balances b where b.owner_id = 'many'}), 't', 'what was drawn is what was used');
is($node->safe_psql('postgres', q{select remaining >= 0 from gov_budgets where owner_id = 'many' and entity_id = 'acme'}), 't', 'nobody went past what is granted');
is($node->safe_psql('postgres', q{select count(*) from gov_verify('many')}), '0', 'and nothing is lost');

# what is left can be used to the last bit, and not a bit more
my $left = $node->safe_psql('postgres', q{select trim_scale(remaining) from gov_budgets where owner_id = 'many' and entity_id = 'acme'});
is($node->safe_psql('postgres', qq{select is_granted from gov_consume('many', 'tokens', $left + 1, null, '{u1}')}), 'f', "more than the $left that are left is refused");
is($node->safe_psql('postgres', qq{select is_granted from gov_consume('many', 'tokens', $left, null, '{u1}')}), 't', 'and just that is granted');
is($node->safe_psql('postgres', q{select bool_and(remaining = 0) from gov_grant_balances where owner_id = 'many'}), 't', 'then every grant is used up');

$node->stop;
done_testing();

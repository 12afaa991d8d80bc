# The server's clock jumps twenty days ahead and back. Nobody but who used a budget meanwhile notices; a restart or
# gov_reset_clock() ends it; no window is given twice; the record shows when calls were made.

use strict;
use warnings;

use FindBin;
use IPC::Run ();
use lib "$FindBin::RealBin/../perl";

use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(usleep);
use GovSession;
use GovTest;

my $owners = 1000;
my $jump = 20;
my $node = gov_node('clock_jump', conf => 'autovacuum = off');

sub sql { return $node->safe_psql('postgres', $_[0]); }

sql(qq{
	insert into gov_entity_types (id) values ('org'), ('agent');
	insert into gov_capabilities (id) values ('tokens');
	create temporary table owners as select 'o-' || n as id from generate_series(1, $owners) n union all select 'p-' || n from generate_series(4, 9) n;
	insert into gov_entities (owner_id, id, type_id) select o.id, 'org', 'org' from owners o;
	insert into gov_entities (owner_id, id, type_id, parent_id) select o.id, 'bot', 'agent', 'org' from owners o;
	insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit, cadence)
	select o.id, e.id, 'tokens', e.most, 'P1D' from owners o, (values ('bot', 10), ('org', 1000)) e (id, most);
	create function consume(owner text, amount numeric default 1) returns boolean language sql as
	\$\$select is_granted from gov_consume(owner, 'tokens', amount, null, '{bot}')\$\$;
	-- What a check says of the bot's budget: used, and how many days its window is away from the present one.
	create function state(owner text) returns text language sql as
	\$\$select trim_scale(current_usage) || ' in ' || round(extract(epoch from usage_period_start - date_trunc('day', gov_now() at time zone 'UTC') at time zone 'UTC') / 86400)
	from gov_headroom(owner, 'tokens', 0, null, '{bot}') where entity_id = 'bot'\$\$;
	-- The same from gov_query.
	create function shown(owner text) returns text language sql as
	\$\$select trim_scale((r->>'currentUsage')::numeric) || ' in ' || round(extract(epoch from (r->>'usagePeriodStart')::timestamptz - date_trunc('day', gov_now() at time zone 'UTC') at time zone 'UTC') / 86400)
	from jsonb_array_elements(gov_query(owner, '{tokens}')->'data') r where r->>'entityId' = 'bot'\$\$;
});

# Midnight must not pass between here and the end: the engine starts early in a day of its own.
my $seconds = sql(q{select ceil(extract(epoch from date_trunc('day', now() at time zone 'UTC') + interval '1 day 2 minutes' - now() at time zone 'UTC'))});
my @sessions;

# Days ahead, for the sessions that are open as well as for new ones.
sub set_clock
{
	my ($days, $more_seconds) = @_;
	my $offset = $seconds + 86400 * $days + ($more_seconds // 0);
	my $is_set = "select setting = '$offset' from pg_settings where name = 'governance.clock_offset'";

	sql("alter system set governance.clock_offset = '${offset}s'");
	$node->reload;
	for my $session (@sessions)
	{
		usleep(10_000) until $session->ask($is_set) eq 't';
	}
	$node->poll_query_until('postgres', $is_set) or die 'the clock does not move';
	return;
}

# Jump ahead, use, jump back.
sub jump
{
	my (@uses) = @_;

	set_clock($jump);
	is(sql($_), 't', "granted while the clock is ahead: $_") for @uses;
	set_clock(0);
	return;
}

sub is_verified { is(sql('select * from gov_verify()'), '', "gov_verify finds nothing: $_[0]"); return; }

my $kept = GovSession->new($node, 'kept');
push @sessions, $kept;
set_clock(0);

# ---------------------------------------------------------------- nobody else

sql(q{select consume('o-1', 3)});
sql(q{select consume('o-2', 2)});
is($kept->ask(q{select shown('o-1')}), '3 in 0', 'a session that keeps what it has read of the owner');
jump(q{select consume('o-1')}, q{select consume('o-2')});
is( sql(qq{
		select count(*) filter (where consume('o-' || n, 9)), count(distinct state('o-' || n)), max(state('o-' || n)), max(shown('o-' || n))
		from generate_series(3, $owners) n}),
	($owners - 2) . '|1|9 in 0|9 in 0',
	'nobody else has noticed');
is( sql(q{select count(*) from gov_events where recorded_at > gov_now() or occurred_at > gov_now()}), '2',
	'the record has the future only where the clock had');
my $three = sql(q{select count(*) from (select consume('o-3') from generate_series(1, 3)) c where consume});
is($three, '1', 'an owner that has noticed nothing gets what is left of its day');
ok(sql(q{select retry_at < gov_now() + interval '1 day' from gov_consume('o-3', 'tokens', 1, null, '{bot}')}) eq 't', 'and is told to come back tomorrow');

# ---------------------------------------------------------------- who used it

is(sql(q{select state('o-1')}), "1 in $jump", 'a window that has turned does not turn back by itself');
is($kept->ask(q{select shown('o-1')}), "1 in $jump", 'gov_query shows what a check does');
is(sql(q{select shown('o-1')}), "1 in $jump", 'in every session');
sql(q{select consume('o-1')});
is( sql(q{select occurred_at = recorded_at and abs(extract(epoch from gov_now() - occurred_at)) < 60 from gov_events where owner_id = 'o-1' order by id desc limit 1}),
	't', 'the record shows the time of the call');
is(sql(q{select state('o-1')}), "2 in $jump", 'which was charged to the later window');
is(sql(q{select consume('o-1', 9)}), 'f', 'and is limited there');
sql(q{select gov_ingest('o-1', 'tokens', 1, null, '{bot}', null, gov_now() - interval '1 second')});
is(sql(q{select state('o-1')}), "2 in $jump", 'an event that names a time before falls into the window of that time');
is_verified('ahead');

# ---------------------------------------------------------------- gov_reset_clock

sql(q{select gov_reset_clock('o-1')});
is(sql(q{select state('o-1')}), '4 in 0', 'the present day, with all that was recorded in it');
is($kept->ask(q{select shown('o-1')}), '4 in 0', 'also for a session that has known the later one');
is(sql(q{select consume('o-1', 7)}), 'f', 'nothing of the day is given twice');
is(sql(q{select consume('o-1', 6)}), 't', 'what is left of it is given');
is(sql(q{select state('o-2')}), "1 in $jump", 'another owner is left alone');
sql(q{select gov_reset_clock('o-1'), gov_reset_clock('nobody')});
is(sql(q{select state('o-1')}), '10 in 0', 'doing it again changes nothing');
is_verified('reset');

# ---------------------------------------------------------------- a restart

$kept->close;
@sessions = ();
$node->restart;
is(sql(q{select state('o-1')}), '10 in 0', 'after a restart');
is(sql(q{select state('o-2')}), '2 in 0', 'which ends it for everybody');
is_verified('restarted');

# ---------------------------------------------------------------- when that time comes

is(sql(q{select consume('o-2')}), 't', 'a day before it');
$kept = GovSession->new($node, 'kept');
push @sessions, $kept;
is($kept->ask(q{select shown('o-1')}), '10 in 0', 'a session remembers the day');
gov_roll_up($node, 'postgres');
my $open = GovSession->new($node, 'open');
push @sessions, $open;
$open->ask('begin');
$open->ask(q{select consume('o-2')});
set_clock($jump - 1);
is(sql(q{select state('o-1')}), '0 in 0', 'a day in between is empty');
is($kept->ask(q{select shown('o-1') || ', ' || shown('o-2')}), '0 in 0, 0 in 0', 'for all');
set_clock($jump);
is($kept->ask(q{select shown('o-1') || ', ' || shown('o-2')}), '2 in 0, 1 in 0', 'what was recorded of a later window counts when it comes');
is(sql(q{select state('o-1') || ', ' || state('o-2')}), '2 in 0, 1 in 0', 'for a check as well');
is(sql(q{set governance.use_cache = off; select state('o-1') || ', ' || state('o-2')}), '2 in 0, 1 in 0', 'and in the tables');
is(sql(q{select consume('o-2', 10)}), 'f', 'it is limited by it');
is(sql(q{select consume('o-2', 9)}), 't', 'up to its limit');
$open->ask(q{select consume('o-1')});
$open->ask('rollback');
is(sql(q{select state('o-1') || ', ' || state('o-2')}), '2 in 0, 10 in 0', 'what was in flight over the turn is gone');
is_verified('the later window');
set_clock($jump + 1);
is(sql(q{select state('o-1') || ', ' || state('o-2')}), '0 in 0, 0 in 0', 'the one after that is new');
$_->close for @sessions;
@sessions = ();
sql('alter system reset governance.clock_offset');
$node->restart;
set_clock(0);

# ---------------------------------------------------------------- a small step back

sql(q{insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit, cadence, name) values ('p-4', 'bot', 'tokens', 10, 'PT1H', 'hourly')});
my $hourly = q{select trim_scale(current_usage) from gov_headroom('p-4', 'tokens', 0, null, '{bot}') where name = 'hourly'};
sql(q{select gov_ingest('p-4', 'tokens', 10, null, '{bot}')});
set_clock(0, 3600);
is(sql($hourly), '0', 'another hour');
sql(q{select gov_ingest('p-4', 'tokens', 1, null, '{bot}')});
set_clock(0, 3540);
sql(q{select gov_ingest('p-4', 'tokens', 1, null, '{bot}')});
is(sql($hourly), '2', 'an hour that has begun goes on when the clock is put back by a minute');
set_clock(0, 3600);
is(sql($hourly), '2', 'and when it is right again');
is_verified('a small step');
set_clock(0);

# ---------------------------------------------------------------- while it is in use

# A transaction from before the jump, which is still open at the reset: what it has used of the day must count in it.
my ($before, $resets) = map { GovSession->new($node, $_) } qw(before resets);
@sessions = ($before, $resets);
$before->ask('begin');
$before->ask(q{select consume('p-5', 6)});
jump(q{select consume('p-5')});
is(sql(q{select state('p-5')}), "1 in $jump", 'turned over the head of an open transaction');
my $is_waiting = q{select count(*) = 1 from pg_stat_activity where application_name = 'resets' and wait_event_type = 'Extension'};
# (ask() would wait for the answer)
print { $resets->{in} } "select gov_reset_clock('p-5');\n";
$node->poll_query_until('postgres', $is_waiting) or die 'the reset does not wait';
is($before->ask(q{select consume('p-5')}), 't', 'the transaction that is waited for goes on');
is(sql(q{select is_granted from gov_check('p-5', 'tokens', 1, null, '{bot}')}), 't', 'and so does a check');
my $waits = GovSession->new($node, 'waits');
push @sessions, $waits;
print { $waits->{in} } "select consume('p-5', 5);\n";
$node->poll_query_until('postgres', q{select count(*) = 1 from pg_stat_activity where application_name = 'waits' and wait_event_type = 'Extension'})
  or die 'a new call does not wait';
$before->ask('commit');
like($resets->ask('select 1'), qr/\A\s*1\z/, 'the reset ends');
like($waits->ask('select 1'), qr/\Af\n1\z/, 'who has waited is denied what the open transaction has used of the day');
is(sql(q{select state('p-5')}), '6 in 0', 'the day has what was used in it');
is(sql(q{select consume('p-5', 4)}), 't', 'and the rest');
is_verified('in flight over a reset');

# One that stays open is not waited for for ever, and nothing hangs behind it.
$before->ask('begin');
$before->ask(q{select consume('p-6', 6)});
jump(q{select consume('p-6')});
gov_raises($node, 'postgres', q{select gov_reset_clock('p-6')}, '55P03', 'an idle transaction', qr/could not reset the clock of owner "p-6" in time/);
is(sql(q{set statement_timeout = '3s'; select consume('p-6')}), 't', 'others go on after that');
is($before->ask(q{do $$ begin perform gov_reset_clock('p-7'); exception when active_sql_transaction then raise notice 'refused'; end $$}) =~ /refused/ ? 't' : 'f', 't',
	'a transaction with something in flight is refused');
$before->ask('rollback');
sql(q{select gov_reset_clock('p-6')});
is(sql(q{select state('p-6')}), '0 in 0', 'once it is over the reset works');
is_verified('after a reset that failed');

# A session that is ended while it resets leaves nothing behind.
$before->ask('begin');
$before->ask(q{select consume('p-8')});
jump(q{select consume('p-8')});
print { $resets->{in} } "select gov_reset_clock('p-8');\n";
$node->poll_query_until('postgres', $is_waiting) or die 'the reset does not wait';
sql(q{select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'resets'});
$resets->await_end;
is(sql(q{set statement_timeout = '3s'; select consume('p-8')}), 't', 'others go on when the session that resets is ended');
$before->ask('commit');
sql(q{select gov_reset_clock('p-8')});
is(sql(q{select state('p-8')}), '1 in 0', 'and another one can do it');
is_verified('after a reset that was ended');

# Sessions that never stop, some in transactions of several calls, while the clock jumps to and fro.
sql(q{update gov_assignments set usage_limit = 20000 where owner_id = 'p-9' and entity_id = 'bot'; update gov_assignments set usage_limit = 100000 where owner_id = 'p-9' and entity_id = 'org'});
$_->close for $before, $waits;
@sessions = ();
my $script = "$PostgreSQL::Test::Utils::tmp_check/busy.sql";
append_to_file($script, "select consume('p-9');\nbegin;\nselect consume('p-9');\nselect consume('p-9');\ncommit;\n");
my $busy = IPC::Run::start([ 'pgbench', '-n', '-c', '4', '-T', '600', '-f', $script, $node->connstr('postgres') ],
	'>', "$script.out", '2>', "$script.err");

sub wait_for_uses
{
	my ($where) = @_;
	$node->poll_query_until('postgres', "select count(*) >= 50 from gov_events where owner_id = 'p-9' and $where") or die 'nobody uses it';
	return;
}
wait_for_uses(q{occurred_at < gov_now() + interval '1 day'});
set_clock($jump);
wait_for_uses(q{occurred_at > gov_now() - interval '1 day'});
set_clock(0);
wait_for_uses(q{occurred_at < gov_now() + interval '1 day' and id > (select max(id) from gov_events where occurred_at > gov_now() + interval '1 day')});
is(sql(q{select gov_reset_clock('p-9')}), '', 'a reset under the use of several sessions');
is(sql(q{select usage_period_start < gov_now() from gov_headroom('p-9', 'tokens', 0, null, '{bot}') where entity_id = 'bot'}), 't', 'ends it');
$node->poll_query_until('postgres', q{select not gov_allowed('p-9', 'tokens', 1, null, '{bot}')}) or die 'the day is not used up';
$busy->signal('INT');
$busy->finish;
unlike(slurp_file("$script.err"), qr/ERROR/, 'nobody has met an error');
is( sql(q{
		select count(*) || ' ' || (array_agg(used order by start))[1] || ' ' || bool_and(used <= 20000) from (
			select x.start, sum(e.amount) as used from gov_events e
			cross join unnest(e.counter_ids, e.window_starts) x (counter_id, start)
			join gov_assignments a on a.counter_id = x.counter_id
			where a.owner_id = 'p-9' and a.entity_id = 'bot' group by 1) w}),
	'2 20000 true', 'the day has given its limit and not one more, and the other one no more than that');
is_verified('in use');

# ---------------------------------------------------------------- who may

sql(q{
	create role app_1; select gov_grant('app_1', 'app');
	create role admin_1; select gov_grant('admin_1', 'admin');
});
gov_raises($node, 'postgres', q{set role app_1; select gov_reset_clock('o-1')}, '42501', 'the app may not');
is(sql(q{set role admin_1; select gov_reset_clock('o-1')}), '', 'an admin may');
gov_raises($node, 'postgres', q{set governance.owner = 'o-2'; select gov_reset_clock('o-1')}, '42501', 'not for another owner than the session is pinned to');
gov_raises($node, 'postgres', q{select gov_reset_clock(null)}, '22004', 'null');
gov_raises($node, 'postgres', q{select gov_reset_clock(repeat('a', 256))}, '22023', 'no id');

$node->stop;
done_testing();
